//! Whom a `wss://` relay must prove to be.

use crosspeer::TlsOptions;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// The TLS settings for these options; the error says which root certificate cannot be used.
pub(crate) fn client_config(options: &TlsOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS is not usable: {error}"))?;
    if options.verify {
        return Ok(builder.with_root_certificates(roots(options)?).with_no_client_auth());
    }
    let anyone = Arc::new(AcceptAnyone(provider));
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(anyone)
        .with_no_client_auth())
}

fn roots(options: &TlsOptions) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for pem in &options.roots_pem {
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("a root certificate is not PEM: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("a root certificate is not usable: {error}"))?;
            found = true;
        }
        if !found {
            return Err("a root certificate holds no `BEGIN CERTIFICATE`".into());
        }
    }
    Ok(roots)
}

/// For self-signed test relays: any certificate will do, but its owner must hold the key.
#[derive(Debug)]
struct AcceptAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_is_not_a_certificate_is_refused_in_words() {
        let mut options = TlsOptions::default();
        assert!(client_config(&options).is_ok());
        options.roots_pem.push("nothing".into());
        let error = client_config(&options).unwrap_err();
        assert!(error.contains("BEGIN CERTIFICATE"), "{error}");
        options.verify = false;
        assert!(client_config(&options).is_ok());
    }
}
