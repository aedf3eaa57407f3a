//! Whether the relay knows this peer, for whoever holds a handle.

use crate::Error;

/// Whether the relay knows this peer. Connections that are up do not need it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayState {
    /// Not now; it is tried again and again. The error says why the last attempt failed or the registration was lost,
    /// and is `None` during the first attempt.
    Connecting(Option<Error>),
    /// It does: other peers can call.
    Registered,
    /// Not any more, and it is not tried again: [`Error::Displaced`], [`Error::RelayRefused`],
    /// [`Error::RelayUnreachable`] where there never was a relay, or [`Error::Closed`].
    Ended(Error),
}

impl RelayState {
    /// `connecting`, `registered` or `ended`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting(_) => "connecting",
            Self::Registered => "registered",
            Self::Ended(_) => "ended",
        }
    }

    /// Why there is no registration.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Connecting(error) => error.as_ref(),
            Self::Registered => None,
            Self::Ended(error) => Some(error),
        }
    }
}
