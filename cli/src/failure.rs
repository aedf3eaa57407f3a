//! How a command fails: an exit code, and words that say what to try.

use crosspeer::{Error, Stage};
use serde_json::json;
use std::fmt;

/// The exit codes of `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failure = 1,
    Usage = 2,
    Relay = 3,
    Peer = 4,
    Timeout = 5,
    Refused = 6,
    Displaced = 7,
    Unverified = 8,
    Interrupted = 130,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// A stable name for programs.
    code: &'static str,
    message: String,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        let code = match exit {
            Exit::Failure => "failed",
            Exit::Usage => "usage",
            Exit::Relay => "relay-unreachable",
            Exit::Peer => "peer-unavailable",
            Exit::Timeout => "timeout",
            Exit::Refused => "refused",
            Exit::Displaced => "displaced",
            Exit::Unverified => "not-verified",
            Exit::Interrupted => "interrupted",
        };
        Self {
            exit,
            code,
            message: message.into(),
        }
    }

    /// Something of this machine: a file, a socket.
    pub(crate) fn local(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(Exit::Failure, format!("{what}: {error}"))
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    pub(crate) fn event(&self) -> serde_json::Value {
        json!({"type": "error", "code": self.code, "message": self.message, "exit": self.exit as i32})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Displaced => Exit::Displaced,
            Error::IdentityMismatch { .. } | Error::NotVerified { .. } => Exit::Unverified,
            Error::RelayUnreachable { .. } | Error::RelayRefused { .. } => Exit::Relay,
            Error::Timeout {
                stage: Stage::Relay, ..
            }
            | Error::SetupFailed {
                stage: Stage::Relay, ..
            } => Exit::Relay,
            Error::PeerUnavailable { .. } => Exit::Peer,
            Error::Timeout { stage: Stage::Peer, .. } | Error::SetupFailed { stage: Stage::Peer, .. } => Exit::Peer,
            Error::Timeout { .. } | Error::SendTimeout { .. } => Exit::Timeout,
            Error::InvalidInput(_) => Exit::Usage,
            _ => Exit::Failure,
        };
        let (code, message) = (error.code(), error.to_string());
        Self { exit, code, message }
    }
}
