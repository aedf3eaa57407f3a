//! The token that a relay wants: one that stays, or one that is asked for whenever the relay is called.

use futures_util::future::{BoxFuture, FutureExt};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// Who is asked. A configuration goes wherever its handle goes, so this does too.
trait Ask: Send + Sync {
    fn ask(&self) -> BoxFuture<'static, Result<String, String>>;
}

impl<F, Answer> Ask for F
where
    F: Send + Sync + Fn() -> Answer,
    Answer: Send + Future<Output = Result<String, String>> + 'static,
{
    fn ask(&self) -> BoxFuture<'static, Result<String, String>> {
        self().boxed()
    }
}

/// What shows a relay that this peer may use it. Natively it goes as `Authorization: Bearer …`, as ProxyStore sends it; from
/// pages as a subprotocol. It is never shown.
#[derive(Clone)]
pub struct Token(Source);

#[derive(Clone)]
enum Source {
    Fixed(Arc<str>),
    Ask(Arc<dyn Ask>),
    Platform,
}

impl Token {
    /// One that stays as it is.
    pub fn new(token: impl Into<String>) -> Self {
        Self(Source::Fixed(token.into().into()))
    }

    /// Asked for at each call of the relay: the first, and whenever the connection to it was lost. An error, which says why
    /// there is none, and an answer that takes more than 10 s count as a relay that cannot be reached: it is tried again.
    ///
    /// A relay that refuses a token of a peer it has known is called once more, with a new one.
    pub fn provider<F, Answer>(ask: F) -> Self
    where
        F: Send + Sync + Fn() -> Answer + 'static,
        Answer: Send + Future<Output = Result<String, String>> + 'static,
    {
        Self(Source::Ask(Arc::new(ask)))
    }

    /// The platform knows whom to ask; for pages, whose functions stay on their thread.
    #[doc(hidden)]
    pub fn of_platform() -> Self {
        Self(Source::Platform)
    }

    /// The token now.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(&self) -> Result<String, String> {
        match &self.0 {
            Source::Fixed(token) => Ok(token.as_ref().to_owned()),
            Source::Ask(provider) => provider.ask().await,
            Source::Platform => Err("nobody is asked for it".into()),
        }
    }

    /// The token, if it stays.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &self.0 {
            Source::Fixed(token) => Some(token),
            _ => None,
        }
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self::new(token)
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self::new(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Source::Fixed(one), Source::Fixed(other)) => one == other,
            (Source::Ask(one), Source::Ask(other)) => Arc::ptr_eq(one, other),
            (Source::Platform, Source::Platform) => true,
            _ => false,
        }
    }
}

impl Eq for Token {}
