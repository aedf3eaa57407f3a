//! Candidates apart from their description.
//!
//! A browser hides its addresses behind `.local` names. A Python peer loses 1.1 s on each attempt to resolve one, and
//! whom an offer reaches is not known: so they follow once the answer has come from our own kind. An answerer knows, and
//! leaves them out or in.

use super::{Context, Link, Signal};
use crate::description::{self, Description, is_usable_candidate};
use crate::platform::RtcCommand;

/// Candidates of one peer, in its description and apart from it; a host has a few for each of its addresses.
const MAX_CANDIDATES: usize = 32;

/// What is left out of our description for now.
#[derive(Default)]
pub(super) struct Withheld {
    candidates: Vec<(String, String)>,
    /// The peer understands them, and does not have them yet.
    due: bool,
}

impl Link {
    /// Takes a candidate that came apart from its description.
    pub(crate) fn add_candidate(&mut self, cx: &mut Context<'_>, candidate: String, mid: String) {
        self.candidates += 1;
        if self.candidates > MAX_CANDIDATES {
            return tracing::warn!(link = self.id.0, "ignored one candidate too many");
        }
        if !is_usable_candidate(&candidate) {
            let candidate = description::excerpt(&candidate);
            return tracing::warn!(link = self.id.0, candidate, "ignored a candidate that nobody can use");
        }
        self.command(cx, RtcCommand::AddCandidate { candidate, mid });
    }

    /// Our SDP without what its reader could not use. Carried by hand it stays whole: nothing could follow.
    pub(super) fn withhold(&mut self, sdp: String, offer: bool) -> String {
        if self.by_hand || (!offer && self.agreed.crosspeer) {
            return sdp;
        }
        let (sdp, candidates) = description::split_mdns_candidates(&sdp);
        self.withheld = Withheld { candidates, due: false };
        sdp
    }

    /// The answer is from our own kind: what was left out follows.
    pub(super) fn release_candidates(&mut self) {
        self.withheld.due = self.agreed.crosspeer && !self.withheld.candidates.is_empty();
    }

    /// They are to be signalled once more: they may not have arrived.
    pub(super) fn repeat_candidates(&mut self) {
        if self.phase == super::Phase::Establishing {
            self.release_candidates();
        }
    }

    pub(super) fn take_candidates(&mut self) -> Vec<Signal> {
        let due = std::mem::take(&mut self.withheld.due);
        let signal = |(candidate, mid): &(String, String)| Signal {
            offer: true,
            description: Description::Candidate {
                candidate: candidate.clone(),
                mid: mid.clone(),
            }
            .encode(),
            due: true,
        };
        self.withheld.candidates.iter().filter(|_| due).map(signal).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use crate::description::Description;
    use crate::output::Output;
    use crate::platform::{Event, RtcEvent, RtcId, SdpType, SessionDescription, SocketEvent, SocketId};
    use crate::relay::{DescriptionType, PeerConnectionMessage, Registration, RelayMessage};
    use crate::request::{Request, RequestId, Target};
    use crate::router::{Input, Mode, Router};
    use uuid::Uuid;
    use web_time::Instant;

    const ME: Uuid = Uuid::from_u128(1);
    const PEER: Uuid = Uuid::from_u128(2);
    const HIDDEN: &str = "candidate:1 1 udp 2113937151 2f1c-4e.local 5001 typ host";

    fn session(sdp_type: SdpType, words: &str) -> SessionDescription {
        let sdp = format!(
            "v=0\r\n{words}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:data\r\na=ice-ufrag:{sdp_type:?}\r\na={HIDDEN}\r\n"
        );
        SessionDescription { sdp_type, sdp }
    }

    /// A managed router, registered, with an in-memory relay.
    struct Bench {
        router: Router,
        now: Instant,
    }

    impl Bench {
        #[allow(clippy::disallowed_methods)] // any time will do
        fn new() -> Self {
            let now = Instant::now();
            let me = Registration {
                name: "me".into(),
                uuid: ME,
            };
            let mut router = Router::new(Mode::Managed, "ws://relay", me, Config::default(), 1);
            router.start(now);
            let mut bench = Self { router, now };
            let registered = r#"{"success": true, "message": null, "error": false, "message_type": "relay_response"}"#;
            bench.socket(SocketEvent::Open);
            bench.socket(SocketEvent::Text(registered.into()));
            bench
        }

        /// The descriptions that leave for the relay.
        fn handle(&mut self, input: Input) -> Vec<Description> {
            self.router.handle(self.now, input);
            let outputs = std::iter::from_fn(|| self.router.poll_output());
            outputs
                .filter_map(|output| match output {
                    Output::SendSocket(_, text) => match RelayMessage::decode(&text) {
                        Ok(RelayMessage::PeerConnection(message)) => Description::decode(&message.description).ok(),
                        _ => None,
                    },
                    _ => None,
                })
                .collect()
        }

        fn socket(&mut self, event: SocketEvent) -> Vec<Description> {
            self.handle(Input::Event(Event::Socket(SocketId(0), event)))
        }

        fn described(&mut self, sdp_type: SdpType) -> Vec<Description> {
            let local = RtcEvent::LocalDescription(session(sdp_type, ""));
            self.handle(Input::Event(Event::Rtc(RtcId(0), local)))
        }

        fn hears(&mut self, description_type: DescriptionType, session: SessionDescription) -> Vec<Description> {
            let message = RelayMessage::PeerConnection(PeerConnectionMessage {
                source_uuid: PEER,
                source_name: "peer".into(),
                peer_uuid: ME,
                description_type,
                description: Description::Session(session).encode(),
                error: None,
            });
            self.socket(SocketEvent::Text(message.encode()))
        }

        fn offers(&mut self) -> Vec<Description> {
            let (target, timeout) = (Target::Peer(PEER), None);
            self.handle(Input::Request(RequestId(1), Request::Ready { target, timeout }));
            self.described(SdpType::Offer)
        }
    }

    fn hides(descriptions: &[Description]) -> bool {
        matches!(descriptions, [Description::Session(session)] if !session.sdp.contains(".local"))
    }

    #[test]
    fn a_python_peer_never_sees_a_hidden_address() {
        let mut caller = Bench::new();
        assert!(hides(&caller.offers()));
        let answer = session(SdpType::Answer, "");
        assert_eq!(caller.hears(DescriptionType::Answer, answer), []);
        let mut called = Bench::new();
        called.hears(DescriptionType::Offer, session(SdpType::Offer, ""));
        assert!(hides(&called.described(SdpType::Answer)));
    }

    #[test]
    fn our_own_kind_gets_hidden_addresses_once_it_is_known() {
        let mut caller = Bench::new();
        assert!(hides(&caller.offers()));
        let answer = session(SdpType::Answer, "a=x-crosspeer:1\r\n");
        let candidate = Description::Candidate {
            candidate: HIDDEN.into(),
            mid: "data".into(),
        };
        assert_eq!(caller.hears(DescriptionType::Answer, answer), [candidate]);
        let mut called = Bench::new();
        called.hears(DescriptionType::Offer, session(SdpType::Offer, "a=x-crosspeer:1\r\n"));
        assert!(!hides(&called.described(SdpType::Answer)));
    }
}
