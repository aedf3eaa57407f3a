//! The certificate of a peer: what names it, and how it is kept.

use uuid::Builder;
use uuid::Uuid;

/// The SHA-256 of a certificate, as in `a=fingerprint:sha-256 …` of a description.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// From the hash itself.
    pub fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 32 hexadecimal pairs with colons between them, in large or small letters.
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let mut pairs = text.split(':');
        for byte in &mut hash {
            let pair = pairs.next()?;
            let hexadecimal = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(pair, 16).ok().filter(|_| hexadecimal)?;
        }
        pairs.next().is_none().then_some(Self(hash))
    }

    /// The id of the peer that has this certificate: a UUID of version 8 with the first 122 bits that its version and
    /// variant leave room for.
    pub fn uuid(&self) -> Uuid {
        let mut first = [0; 16];
        first.copy_from_slice(&self.0[..16]);
        Builder::from_custom_bytes(first).into_uuid()
    }

    /// Of a line of an SDP.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let (algorithm, value) = line.strip_prefix("a=fingerprint:")?.split_once(' ')?;
        algorithm.eq_ignore_ascii_case("sha-256").then(|| Self::parse(value))?
    }

    /// Of an SDP that names one certificate by SHA-256, as engines write it.
    pub fn of_description(sdp: &str) -> Option<Self> {
        sdp.split('\n').find_map(|line| Self::of_line(line.trim_end()))
    }
}

impl std::fmt::Display for Fingerprint {
    /// `AB:CD:…`, 32 pairs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The text of an identity file: a certificate and its private key, as PEM. What a platform makes of it is its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity(String);

impl Identity {
    /// From PEM text, which the platform reads when it is opened.
    pub fn from_pem(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The PEM text. It has the private key in it.
    pub fn as_pem(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Identity {
    /// Without the private key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}
