//! The certificate of a `wss://` relay.

use crate::config::{RelayConfig, RelayError};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What accepts TLS, or `None` for a `ws://` relay.
pub(crate) fn acceptor(config: &RelayConfig) -> Result<Option<TlsAcceptor>, RelayError> {
    let Some(certfile) = &config.certfile else {
        return Ok(None);
    };
    let keyfile = config.keyfile.as_ref().unwrap_or(certfile);
    let chain = chain(certfile).map_err(|error| problem(certfile, "certificate", &error))?;
    let key = PrivateKeyDer::from_pem_file(keyfile).map_err(|error| problem(keyfile, "private key", &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| problem(certfile, "certificate", &error))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
    match chain.is_empty() {
        true => Err(rustls::pki_types::pem::Error::NoItemsFound),
        false => Ok(chain),
    }
}

fn problem(path: &Path, what: &str, error: &dyn std::fmt::Display) -> RelayError {
    RelayError::Config(format!("{}: no usable {what} (PEM): {error}", path.display()))
}
