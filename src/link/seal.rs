//! Whether both sides have seen the same: the first frame on each channel says what this side has sent and received of both
//! descriptions, and a difference ends the connection. So nobody in between can leave out or change what they agree on.

use super::{Context, Link, Phase};
use crate::chunk::{Frame, Kind};
use crate::output::Output;
use crate::platform::RtcCommand;
use crate::wire::control::SEAL;
use crate::{Error, Fingerprint, identity};
use bytes::Bytes;
use std::time::Duration;
use uuid::Uuid;

/// The longest that a peer is given to hear it.
const LAST_WORD: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Seal {
    /// Of our description, and of the peer's.
    local: String,
    remote: String,
    fingerprint: Option<Fingerprint>,
    /// The peer's id is a key, and its certificate fits.
    verified: bool,
    /// What is wrong, while the peer is yet to hear what we have seen: it names it too.
    broken: Option<Error>,
    /// The channels, as bits, on which the peer has said it.
    heard: u64,
}

impl Seal {
    /// This is our description, as it leaves.
    pub(super) fn sent(&mut self, me: Uuid, sdp: &str) {
        self.local = identity::part(Some(me), sdp);
    }

    pub(super) fn identity(&self) -> (bool, Option<Fingerprint>) {
        (self.verified, self.fingerprint)
    }
}

impl Link {
    /// This is the peer's description, which has been checked.
    pub(super) fn meet(&mut self, sdp: &str) {
        let fingerprint = self.peer.and_then(|peer| identity::check(peer, sdp).ok().flatten());
        self.seal.remote = identity::part(self.peer, sdp);
        self.seal.fingerprint = fingerprint;
        self.seal.verified = self.peer.is_some_and(identity::is_key) && fingerprint.is_some();
        self.seal.heard = 0;
        // Whoever has such an id compares; one that does not say so was silenced.
        self.agreed.seal |= self.seal.verified;
    }

    /// Whether this is another certificate than the peer had.
    pub(crate) fn is_another(&self, fingerprint: Option<Fingerprint>) -> bool {
        self.seal.fingerprint != fingerprint
    }

    fn transcript(&self) -> String {
        let Seal { local, remote, .. } = &self.seal;
        match self.is_answerer() {
            true => format!("{remote}{local}"),
            false => format!("{local}{remote}"),
        }
    }

    /// The first thing that is said on each channel.
    pub(super) fn send_seal(&mut self, cx: &mut Context<'_>) {
        if !self.agreed.seal {
            return;
        }
        let transcript = self.transcript();
        for channel in 0..self.open_channels.len() {
            if let Some(mut slot) = self.lanes.any(cx.now) {
                slot.channel = channel as u16;
                self.control_on(cx, slot, SEAL, transcript.as_bytes());
            }
        }
    }

    /// Both have seen different things: nothing more is said or heard, but what was said first still arrives.
    pub(super) fn break_off(&mut self, cx: &mut Context<'_>, error: Error) {
        if self.phase != Phase::Open {
            return self.end(cx, error);
        }
        tracing::warn!(link = self.id.0, peer = ?self.peer, %error, "ends");
        self.seal.broken = Some(error);
        cx.out.push_back(Output::Identity(self.id, false, None));
        self.phase = Phase::Closing;
        self.close.deadline = Some(cx.now + cx.config.close_timeout.min(LAST_WORD));
        self.command(cx, RtcCommand::Flush);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.seal.broken.is_some()
    }

    /// With what the connection ends, whatever it ends by.
    pub(super) fn end_of(&mut self, error: Error) -> Error {
        self.seal.broken.take().unwrap_or(error)
    }

    /// Looks at what comes first on each channel.
    ///
    /// # Errors
    /// The peer has not seen what we have.
    pub(super) fn check_seal(&mut self, at: usize, channel: u16, data: &Bytes) -> Result<(), Error> {
        let bit = 1u64.checked_shl(u32::from(channel)).unwrap_or_default();
        if !self.agreed.seal || self.is_further(at) || self.seal.heard & bit != 0 {
            return Ok(());
        }
        self.seal.heard |= bit;
        let frame = Frame::decode(data.clone()).ok();
        let said = frame.filter(|frame| frame.header.kind == Kind::Control && frame.header.stream_id == SEAL);
        let reason = match said {
            Some(frame) if frame.payload == self.transcript().as_bytes() => return Ok(()),
            Some(_) => "both sides have seen different descriptions",
            None => "the peer does not say what it has seen",
        };
        Err(identity::mismatch(self.peer.unwrap_or_default(), reason))
    }
}
