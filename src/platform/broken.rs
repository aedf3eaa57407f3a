//! What it means that a peer connection has broken, which depends on how far it had come. Engines only say what broke.

use crate::Stage;

/// What an engine says has failed, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Its ICE transport: no pair of addresses works, or works any more.
    Path,
    /// The peer connection, and not because of its path: so its DTLS transport.
    Encryption,
}

impl Broken {
    /// The reason to report, of a connection that had come to this stage: [`Stage::Channels`] once it was encrypted.
    pub fn reason(self, stage: Stage) -> &'static str {
        match (self, stage) {
            // Before there is a path nothing can be wrong with the handshake on it.
            (_, Stage::Relay | Stage::Peer | Stage::Candidates | Stage::Ice) => "no pair of addresses reaches the peer",
            (Self::Path, Stage::Dtls) => "the path to the peer was lost during the encrypted handshake",
            (Self::Encryption, Stage::Dtls) => "the encrypted handshake failed",
            (Self::Path, Stage::Channels) => "no path to the peer works any more",
            (Self::Encryption, Stage::Channels) => "the peer or its network has ended the encrypted connection",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_says_what_broke_at_its_stage() {
        use Broken::{Encryption, Path};
        let none = "no pair of addresses reaches the peer";
        let table = [
            (Stage::Peer, Path, none),
            (Stage::Peer, Encryption, none),
            (Stage::Candidates, Path, none),
            (Stage::Candidates, Encryption, none),
            (Stage::Ice, Path, none),
            (Stage::Ice, Encryption, none),
            (
                Stage::Dtls,
                Path,
                "the path to the peer was lost during the encrypted handshake",
            ),
            (Stage::Dtls, Encryption, "the encrypted handshake failed"),
            (Stage::Channels, Path, "no path to the peer works any more"),
            (
                Stage::Channels,
                Encryption,
                "the peer or its network has ended the encrypted connection",
            ),
        ];
        for (stage, broken, reason) in table {
            assert_eq!(broken.reason(stage), reason, "{broken:?} at the {stage} stage");
        }
    }

    #[test]
    fn what_was_connected_does_not_speak_of_its_set_up() {
        for broken in [Broken::Path, Broken::Encryption] {
            let reason = broken.reason(Stage::Channels);
            assert!(!reason.contains("handshake") && !reason.contains("reaches"), "{reason}");
        }
    }
}
