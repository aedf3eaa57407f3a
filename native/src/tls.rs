//! Whom a `wss://` relay must prove to be.

use crosspeer::TlsOptions;
use rustls::client::verify_server_name;
use rustls::client::{
    WebPkiServerVerifier,
    danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// The TLS settings for these options; the error says which root certificate cannot be used.
pub(crate) fn client_config(options: &TlsOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS is not usable: {error}"))?;
    let verifier: Arc<dyn ServerCertVerifier> = match options.verify {
        true => Arc::new(RootsAndPins::new(options, provider)?),
        false => Arc::new(AcceptAnyone(provider)),
    };
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// The TLS library's error, where that is what a connection failed by.
pub(crate) fn cause(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// What was wrong with a server's TLS, and what to do about it.
pub(crate) fn explain(error: &Error, whose: &str) -> String {
    let hint = match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the {whose}'s certificate has expired: it must be renewed (or is this machine's clock wrong?)")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the {whose}'s certificate is not valid yet: is this machine's clock wrong?")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!(
                    "the {whose}'s certificate is for other names: use one of them in the URL, or renew it for this one"
                )
            }
            CertificateError::UnknownIssuer => format!(
                "the {whose}'s certificate is not trusted: add its root to `tls.roots_pem` (`--ca`), or switch \
                 verification off for a test relay (`--insecure`)"
            ),
            _ => format!(
                "the {whose}'s certificate cannot be used: replace it, or switch verification off for a test relay \
                 (`--insecure`)"
            ),
        },
        Error::InvalidMessage(_) => format!("the {whose} does not speak TLS here: try the URL without the `s`"),
        _ => return error.to_string(),
    };
    format!("{error}; {hint}")
}

/// The certificates of `roots_pem`.
fn extra_roots(options: &TlsOptions) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut roots = Vec::new();
    for pem in &options.roots_pem {
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("a root certificate is not PEM: {error}"))?;
            roots.push(certificate);
            found = true;
        }
        if !found {
            return Err("a root certificate holds no `BEGIN CERTIFICATE`".into());
        }
    }
    Ok(roots)
}

/// The web's roots and the user's own. A certificate that the user trusts may also be the server's itself: self-signed
/// ones, as `openssl req -x509` makes them, call themselves authorities, which no server's certificate may otherwise.
#[derive(Debug)]
struct RootsAndPins {
    webpki: Arc<WebPkiServerVerifier>,
    pins: Vec<CertificateDer<'static>>,
}

impl RootsAndPins {
    fn new(options: &TlsOptions, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let pins = extra_roots(options)?;
        for pin in &pins {
            let added = roots.add(pin.clone());
            added.map_err(|error| format!("a root certificate is not usable: {error}"))?;
        }
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let webpki = webpki.map_err(|error| format!("TLS is not usable: {error}"))?;
        Ok(Self { webpki, pins })
    }
}

impl ServerCertVerifier for RootsAndPins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .webpki
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // Found after the dates have been checked, before the name is.
            Err(Error::InvalidCertificate(CertificateError::Other(other)))
                if other.to_string().contains("CaUsedAsEndEntity") && self.pins.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
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
