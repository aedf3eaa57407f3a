//! Two routers that are connected at once and without any loss: what is left is their own work.

use bytes::Bytes;
use crosspeer::description::ice_ufrag;
use crosspeer::output::Output;
use crosspeer::platform::{Event, RtcCommand, RtcEvent, RtcId, SdpType, SessionDescription, SocketEvent, SocketId};
use crosspeer::relay::{ConnId, Registration, Switchboard, SwitchboardOutput};
use crosspeer::request::{Request, RequestId, Target};
use crosspeer::router::{Input, Mode, Router};
use crosspeer::{Config, LinkId, Message};
use std::collections::HashMap;
use uuid::Uuid;
use web_time::Instant;

/// A peer connection: whose, and which.
type Rtc = (usize, RtcId);

pub(crate) struct Pair {
    now: Instant,
    routers: [Router; 2],
    relay: Switchboard,
    sockets: [SocketId; 2],
    /// Where what is written goes.
    peers: HashMap<Rtc, Rtc>,
    remotes: HashMap<Rtc, String>,
    /// What happened and was not told yet; kept, so that it is not allocated for each message.
    events: Vec<(usize, Event)>,
    delivered: usize,
    replied: usize,
}

impl Pair {
    /// A pair that has exchanged a message.
    pub(crate) fn new() -> Self {
        let router = |number: u128| {
            let me = Registration {
                name: "bench".into(),
                uuid: Uuid::from_u128(number),
            };
            Router::new(Mode::Managed, "ws://bench", me, Config::default(), 1)
        };
        let mut pair = Self {
            now: Instant::now(),
            routers: [router(0), router(1)],
            relay: Switchboard::new(),
            sockets: [SocketId(0), SocketId(0)],
            peers: HashMap::new(),
            remotes: HashMap::new(),
            events: Vec::new(),
            delivered: 0,
            replied: 0,
        };
        for number in [0, 1] {
            pair.routers[number].start(pair.now);
            pair.carry_out(number);
        }
        pair.settle();
        pair.pass(Message::from("hello"));
        pair
    }

    /// Sends a message from one to the other, and waits until it was taken.
    pub(crate) fn pass(&mut self, message: Message) {
        let (delivered, replied) = (self.delivered, self.replied);
        let request = Request::Send {
            target: Target::Peer(Uuid::from_u128(1)),
            message,
            timeout: None,
        };
        self.tell(0, Input::Request(RequestId(1), request));
        self.settle();
        assert_eq!((self.delivered, self.replied), (delivered + 1, replied + 1));
    }

    fn tell(&mut self, number: usize, input: Input) {
        self.routers[number].handle(self.now, input);
        self.carry_out(number);
    }

    fn settle(&mut self) {
        while !self.events.is_empty() {
            let mut events = std::mem::take(&mut self.events);
            for (number, event) in events.drain(..) {
                self.tell(number, Input::Event(event));
            }
            if self.events.is_empty() {
                self.events = events;
            }
        }
    }

    fn carry_out(&mut self, number: usize) {
        while let Some(output) = self.routers[number].poll_output() {
            match output {
                Output::Rtc(rtc, command) => self.command((number, rtc), command),
                Output::OpenSocket(socket) => {
                    self.sockets[number] = socket;
                    self.relay.on_open(ConnId(number as u64));
                    self.events.push((number, Event::Socket(socket, SocketEvent::Open)));
                }
                Output::SendSocket(_, text) => {
                    self.relay.on_text(ConnId(number as u64), &text);
                    self.forward();
                }
                Output::Deliver(link, message) => {
                    self.delivered += 1;
                    // What the handles take an empty message to weigh.
                    self.consume(number, link, message.len() + 64);
                }
                Output::Reply(RequestId(1), result) => {
                    result.unwrap();
                    self.replied += 1;
                }
                _ => {}
            }
        }
    }

    fn consume(&mut self, number: usize, link: LinkId, bytes: usize) {
        let consumed = Request::Consumed { link, bytes };
        self.routers[number].handle(self.now, Input::Request(RequestId(0), consumed));
    }

    fn forward(&mut self) {
        while let Some(output) = self.relay.poll_output() {
            if let SwitchboardOutput::Send {
                conn: ConnId(number),
                text,
            } = output
            {
                let number = number as usize;
                let event = Event::Socket(self.sockets[number], SocketEvent::Text(text));
                self.events.push((number, event));
            }
        }
    }

    fn report(&mut self, (number, rtc): Rtc, event: RtcEvent) {
        self.events.push((number, Event::Rtc(rtc, event)));
    }

    fn command(&mut self, rtc: Rtc, command: RtcCommand) {
        match command {
            RtcCommand::Offer { .. } => self.describe(rtc, SdpType::Offer),
            RtcCommand::Answer { offer, .. } => {
                self.remotes.insert(rtc, offer);
                self.describe(rtc, SdpType::Answer);
            }
            RtcCommand::Complete { answer, .. } => {
                self.remotes.insert(rtc, answer);
                self.connect(rtc);
            }
            RtcCommand::Write { channel, frame } => {
                let bytes = frame.len();
                let data: Bytes = frame.freeze();
                let binary = true;
                self.report(rtc, RtcEvent::Written { channel, bytes });
                self.report(self.peers[&rtc], RtcEvent::Frame { channel, data, binary });
            }
            RtcCommand::Flush => self.report(rtc, RtcEvent::Flushed),
            _ => {}
        }
    }

    fn describe(&mut self, rtc: Rtc, sdp_type: SdpType) {
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
             a=mid:0\r\na=max-message-size:262144\r\na=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n\
             a=ice-ufrag:{}\r\na=ice-pwd:0000000000000000000000\r\n",
            ufrag(rtc)
        );
        self.report(rtc, RtcEvent::LocalDescription(SessionDescription { sdp_type, sdp }));
    }

    fn connect(&mut self, rtc: Rtc) {
        let wanted = ice_ufrag(&self.remotes[&rtc]).unwrap().to_owned();
        let peer = *self.remotes.keys().find(|key| ufrag(**key) == wanted).unwrap();
        self.peers.extend([(rtc, peer), (peer, rtc)]);
        for end in [rtc, peer] {
            let label = "p2p-0-1".into();
            self.report(end, RtcEvent::ChannelOpen { channel: 0, label });
        }
    }
}

fn ufrag((number, RtcId(id)): Rtc) -> String {
    format!("n{number}r{id}")
}
