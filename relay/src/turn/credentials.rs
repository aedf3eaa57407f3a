//! Who may use the TURN server: whoever can show a user name with a password that only the secret's owner can have made.
//!
//! The form is the one of coturn's REST API (`use-auth-secret`): the name is `expiry:name`, with the time in seconds since
//! 1970 at which it ends, and the password is the name's HMAC-SHA1 in base64. So no server has to know of any user.

use crate::config::RelayError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rtc_stun::crypto::{HmacAlgorithm, RTCCryptoProvider, default_provider};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// What credentials are made of. Never shown.
#[derive(Clone)]
pub(crate) struct Secret {
    text: String,
    crypto: Arc<dyn RTCCryptoProvider>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The one in this file, or a new one.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, RelayError> {
        let Some(path) = file else {
            return Self::new([(); 2].map(|()| Uuid::new_v4().simple().to_string()).concat());
        };
        let read = std::fs::read_to_string(path).map_err(|source| RelayError::File {
            path: path.to_owned(),
            source,
        })?;
        match read.trim() {
            "" => Err(RelayError::Config(format!(
                "{}: the TURN secret is empty",
                path.display()
            ))),
            text => Self::new(text.to_owned()),
        }
    }

    pub(crate) fn new(text: String) -> Result<Self, RelayError> {
        let crypto = default_provider().map_err(|error| RelayError::Config(format!("TURN: {error}")))?;
        Ok(Self { text, crypto })
    }

    pub(super) fn crypto(&self) -> &Arc<dyn RTCCryptoProvider> {
        &self.crypto
    }

    /// The password of this user name.
    pub(super) fn password(&self, username: &str) -> Option<String> {
        Some(BASE64_STANDARD.encode(self.mac(username.as_bytes())?))
    }

    /// 20 bytes that nobody else can compute of these.
    pub(super) fn mac(&self, of: &[u8]) -> Option<[u8; 20]> {
        let mut mac = [0; 20];
        let hmac = self.crypto.crypto().new_hmac(HmacAlgorithm::Sha1, self.text.as_bytes());
        hmac.and_then(|mut hmac| hmac.sign(&[of], &mut mac)).ok()?;
        Some(mac)
    }

    /// A user name for this name that ends at this time, and its password.
    pub(super) fn issue(&self, name: &str, expires: u64) -> Option<(String, String)> {
        let username = format!("{expires}:{name}");
        let password = self.password(&username)?;
        Some((username, password))
    }
}

/// When a user name ends, in seconds since 1970, and whose it is.
pub(super) fn parts(username: &str) -> Option<(u64, &str)> {
    let (expires, name) = username.split_once(':').unwrap_or((username, ""));
    Some((expires.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_coturns_rest_form() {
        let secret = Secret::new("north".into()).unwrap();
        // printf 1433895918:test | openssl dgst -sha1 -hmac north -binary | base64
        let issued = secret.issue("test", 1_433_895_918).unwrap();
        assert_eq!(
            issued,
            ("1433895918:test".into(), "QWEnj0IYtIM4+Urq/nfK/B5TzT0=".into())
        );
        assert_eq!(parts("1433895918:a:b"), Some((1_433_895_918, "a:b")));
        assert_eq!(parts("1433895918"), Some((1_433_895_918, "")));
        for bad in ["", "me", "me:1", "-1:me", "99999999999999999999:me"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_secret_is_read_from_a_file_or_new_and_never_shown() {
        let [one, other] = [(); 2].map(|()| Secret::load(None).unwrap());
        assert_ne!(one.password("u"), other.password("u"));
        assert_eq!(format!("{one:?}"), "Secret");
        let file = std::env::temp_dir().join(format!("crosspeer-secret-{}", std::process::id()));
        std::fs::write(&file, " north\n").unwrap();
        let read = Secret::load(Some(&file)).unwrap();
        assert_eq!(read.password("u"), Secret::new("north".into()).unwrap().password("u"));
        std::fs::write(&file, " \n").unwrap();
        assert!(Secret::load(Some(&file)).unwrap_err().to_string().contains("empty"));
        std::fs::remove_file(&file).unwrap();
        assert!(Secret::load(Some(&file)).is_err());
    }
}
