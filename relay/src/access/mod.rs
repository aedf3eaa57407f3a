//! Who may use the relay: what a client shows when it comes, who judges it, and what it may do then.
//!
//! A client shows a token ([`credential`]). The [`Authority`] that the configuration names judges it: a file of hashed
//! tokens ([`tokens`]), signed tokens ([`jwt`]), or a web service of the operator's ([`callback`]). The outcome is a
//! [`Grant`], which the hub asks at each registration and message. Whatever goes wrong on the way keeps the client out.

mod callback;
mod credential;
mod grant;
mod jwt;
mod tokens;

pub(crate) use credential::{PROTOCOL, credential, offers_protocol, said};
pub(crate) use grant::{Claims, Grant, share_room};

use crate::config::{AuthConfig, METHODS, RelayError};
use crosspeer::relay::close_code;
use std::net::IpAddr;
use std::sync::Arc;

/// Who judges tokens.
#[derive(Debug)]
pub(crate) enum Authority {
    /// Nobody: everyone may come in.
    Open,
    Tokens(tokens::Tokens),
    Jwt(jwt::Keys),
    Http(callback::Callback),
}

/// Why a client is kept out; the close code tells it whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No token, or not in a form that this relay knows.
    Missing(&'static str),
    /// A token that is not good.
    Invalid(&'static str),
    /// It could not be judged.
    Unavailable(&'static str),
}

impl Refusal {
    pub(crate) fn close(self) -> (u16, &'static str) {
        match self {
            Self::Missing(reason) => (close_code::UNAUTHORIZED, reason),
            Self::Invalid(reason) => (close_code::FORBIDDEN, reason),
            Self::Unavailable(reason) => (close_code::TRY_AGAIN_LATER, reason),
        }
    }
}

/// What a client says for itself.
#[derive(Debug, Clone)]
pub(crate) struct Applicant {
    /// The token; `Err`: what was given is none.
    pub(crate) token: Result<Option<String>, &'static str>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) origin: Option<String>,
}

impl Authority {
    /// As the configuration says.
    pub(crate) fn load(config: &AuthConfig) -> Result<Self, RelayError> {
        let Some(method) = &config.method else {
            return Ok(Self::Open);
        };
        let settings = Settings(config);
        Ok(match method.as_str() {
            "tokens" => Self::Tokens(tokens::Tokens::read(&settings.path("file")?)?),
            "jwt" => Self::Jwt(jwt::Keys::read(
                &settings.path("file")?,
                settings.text("issuer")?,
                settings.text("audience")?,
            )?),
            "http" => Self::Http(callback::Callback::new(&settings.needed("url")?)?),
            other => {
                let text = format!(
                    "auth.method {other:?} is not known here: use {}, or leave it out to let everyone register",
                    METHODS.join(", ")
                );
                return Err(RelayError::Config(text));
            }
        })
    }

    /// What this client may do. `None`: anything, nobody is asked here.
    pub(crate) async fn judge(&self, applicant: &Applicant) -> Result<Option<Arc<Grant>>, Refusal> {
        if matches!(self, Self::Open) {
            return Ok(None);
        }
        let token = match &applicant.token {
            Ok(Some(token)) => token,
            Ok(None) => return Err(Refusal::Missing("This relay wants a token.")),
            Err(why) => return Err(Refusal::Missing(why)),
        };
        match self {
            Self::Open => Ok(None),
            Self::Tokens(tokens) => tokens.judge(token).map(Some),
            Self::Jwt(keys) => keys.judge(token).map(Some),
            Self::Http(callback) => callback.judge(token, applicant).await.map(Some),
        }
    }

    /// Whether what was granted under an earlier configuration still is.
    pub(crate) fn upholds(&self, grant: &Grant) -> bool {
        match self {
            Self::Tokens(tokens) => tokens.upholds(grant),
            _ => true, // the others say themselves until when
        }
    }
}

/// The method's own settings.
struct Settings<'a>(&'a AuthConfig);

impl Settings<'_> {
    fn text(&self, key: &str) -> Result<Option<String>, RelayError> {
        match self.0.kwargs.get(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(RelayError::Config(format!(
                "auth.kwargs.{key} must be a string, not {other}"
            ))),
        }
    }

    fn needed(&self, key: &str) -> Result<String, RelayError> {
        let method = self.0.method.as_deref().unwrap_or_default();
        let missing = || RelayError::Config(format!("auth.method {method:?} needs auth.kwargs.{key}"));
        self.text(key)?.ok_or_else(missing)
    }

    fn path(&self, key: &str) -> Result<std::path::PathBuf, RelayError> {
        self.needed(key).map(Into::into)
    }
}
