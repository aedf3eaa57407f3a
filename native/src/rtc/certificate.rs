//! The certificate of all of a peer's connections, as the engine has it.

use crate::quic::Credentials;
use crosspeer::{Error, Fingerprint, Identity, Result};
use rtc::crypto::{self, SignatureScheme};
use rtc::peer_connection::certificate::{CertificateParams, RTCCertificate};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::time::{Duration, SystemTime};

/// No peer looks at it: what counts is the fingerprint.
const NEVER: Duration = Duration::from_secs(1 << 36);

/// With its private key.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(super) inner: RTCCertificate,
    pub(crate) fingerprint: Fingerprint,
    /// The same for QUIC, where it can be used there.
    pub(super) credentials: Option<Credentials>,
}

impl Certificate {
    /// A new one: ECDSA over P-256, which every engine takes.
    pub(crate) fn generate() -> Result<Self> {
        let provider = crypto::default_provider().map_err(failed)?;
        let params = CertificateParams::new(vec!["crosspeer".to_owned()]).map_err(failed)?;
        let made = RTCCertificate::generate(provider.crypto(), SignatureScheme::EcdsaP256Sha256, params);
        Self::of(made.map_err(failed)?)
    }

    /// The one of an identity.
    pub(crate) fn read(identity: &Identity) -> Result<Self> {
        let pem = identity.as_pem().as_bytes();
        let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| unusable("no certificate"))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| unusable("no private key"))?;
        let provider = crypto::default_provider().map_err(failed)?;
        let read = RTCCertificate::from_pkcs8(
            provider.crypto(),
            SignatureScheme::EcdsaP256Sha256,
            vec![certificate],
            key.secret_pkcs8_der(),
            SystemTime::UNIX_EPOCH + NEVER,
        );
        Self::of(read.map_err(|_| unusable("another kind of key than ECDSA over P-256"))?)
    }

    fn of(mut inner: RTCCertificate) -> Result<Self> {
        inner.expires = SystemTime::UNIX_EPOCH + NEVER;
        let provider = crypto::default_provider().map_err(failed)?;
        let fingerprints = inner.get_fingerprints(provider.crypto()).map_err(failed)?;
        let fingerprint = fingerprints.first().and_then(|first| Fingerprint::parse(&first.value));
        let fingerprint = fingerprint.ok_or_else(|| failed("it has no fingerprint"))?;
        let credentials = credentials(&inner)
            .inspect_err(|error| tracing::debug!(%error, "no QUIC with this certificate"))
            .ok();
        Ok(Self {
            inner,
            fingerprint,
            credentials,
        })
    }

    /// As it is kept.
    pub(crate) fn identity(&self) -> Result<Identity> {
        let pem = self.inner.dtls_certificate.serialize_pem().map_err(failed)?;
        // The engine writes a tag that nothing else reads.
        Ok(Identity::from_pem(
            pem.replace("PRIVATE_KEY", "PRIVATE KEY").replace('\r', ""),
        ))
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Certificate").field(&self.fingerprint).finish()
    }
}

fn credentials(of: &RTCCertificate) -> std::result::Result<Credentials, Box<dyn std::error::Error>> {
    let key = of.dtls_certificate.private_key.signing_key.to_pkcs8_der()?;
    let key = key.ok_or("its key cannot be exported")?;
    let certificate = of.dtls_certificate.certificate.first().ok_or("it is empty")?;
    Ok(Credentials::new(
        certificate.clone(),
        &PrivatePkcs8KeyDer::from(AsRef::<[u8]>::as_ref(&key)),
    )?)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Platform(format!("no certificate can be made: {error}"))
}

fn unusable(what: &str) -> Error {
    Error::InvalidInput(format!("the identity cannot be used: it has {what} in it"))
}
