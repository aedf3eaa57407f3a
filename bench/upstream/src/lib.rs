//! Two SCTP associations of `rtc-sctp` over a wire that is a queue, by a clock that is a number: what happens here
//! happens each time, and takes no time.

use bytes::Bytes;
use rtc_sctp::{
    Association, AssociationEvent, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload,
    PayloadProtocolIdentifier, ServerConfig, TransportConfig,
};
use rtc_shared::TransportProtocol;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The only stream.
pub const STREAM: u16 = 0;

/// One end.
pub struct End {
    endpoint: Endpoint,
    handle: Option<AssociationHandle>,
    association: Option<Association>,
    arriving: VecDeque<(Instant, Bytes)>,
    /// Packets of 100 bytes and more that it has sent: those with data.
    pub sent: usize,
}

/// Both, and the wire between.
pub struct Pair {
    pub ends: [End; 2],
    pub start: Instant,
    pub now: Instant,
    /// One way.
    pub delay: Duration,
    /// Whether a packet of this end is lost; it has this number of those with data, from 1, or is without.
    pub loses: Box<dyn FnMut(usize, Option<usize>) -> bool>,
}

/// The end that connects and sends.
pub const SENDER: usize = 0;
/// The end that receives.
pub const RECEIVER: usize = 1;

impl Pair {
    /// Connected, with a stream that has carried one message.
    pub fn new(delay: Duration, window: u32) -> Self {
        let transport = || TransportConfig::default().with_max_receive_buffer_size(window);
        let addresses = [address(SENDER), address(RECEIVER)];
        let config = Arc::new(EndpointConfig::new());
        let server = Some(Arc::new(ServerConfig::new(transport())));
        let end = |address, server| End {
            endpoint: Endpoint::new(address, TransportProtocol::UDP, Arc::clone(&config), server),
            handle: None,
            association: None,
            arriving: VecDeque::new(),
            sent: 0,
        };
        let mut ends = [end(addresses[0], None), end(addresses[1], server)];
        let now = Instant::now();
        let client = ClientConfig::new(transport());
        let (handle, association) = ends[SENDER]
            .endpoint
            .connect(now, client, addresses[1])
            .expect("it connects");
        (ends[SENDER].handle, ends[SENDER].association) = (Some(handle), Some(association));
        let mut pair = Self {
            ends,
            start: now,
            now,
            delay,
            loses: Box::new(|_, _| false),
        };
        pair.run_for(Duration::from_secs(1));
        let ppi = PayloadProtocolIdentifier::Binary;
        pair.of(SENDER).open_stream(STREAM, ppi).expect("it opens");
        pair.write(1);
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.read(), 1);
        (pair.start, pair.ends[SENDER].sent, pair.ends[RECEIVER].sent) = (pair.now, 0, 0);
        pair
    }

    /// An end's association.
    pub fn of(&mut self, end: usize) -> &mut Association {
        self.ends[end].association.as_mut().expect("it is connected")
    }

    /// Sends a message of this size.
    pub fn write(&mut self, bytes: usize) {
        let now = self.now;
        let message = Bytes::from(vec![0; bytes]);
        let mut stream = self.of(SENDER).stream(STREAM).expect("it is open");
        stream
            .write_sctp(now, &message, PayloadProtocolIdentifier::Binary)
            .expect("it is written");
    }

    /// Bytes of all messages that wait to be read; they no longer do.
    pub fn read(&mut self) -> usize {
        let association = self.of(RECEIVER);
        while association.accept_stream().is_some() {}
        let Ok(mut stream) = association.stream(STREAM) else {
            return 0;
        };
        let mut bytes = 0;
        while let Ok(Some(chunks)) = stream.read_sctp() {
            bytes += chunks.len();
        }
        bytes
    }

    /// Bytes that the sender has and the receiver has not acknowledged.
    pub fn unacknowledged(&mut self) -> usize {
        self.of(SENDER)
            .stream(STREAM)
            .and_then(|stream| stream.buffered_amount())
            .expect("it is open")
    }

    /// Milliseconds since the beginning.
    pub fn elapsed(&self) -> u128 {
        (self.now - self.start).as_millis()
    }

    /// Lets time run.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_until(until, |_| false);
    }

    /// Lets time run until then, or until something is so; whether it is.
    pub fn run_until(&mut self, until: Instant, mut is_so: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            for end in [SENDER, RECEIVER] {
                self.drive(end);
            }
            if is_so(self) {
                return true;
            }
            let arriving = self.ends.iter().filter_map(|end| Some(end.arriving.front()?.0));
            let due = self
                .ends
                .iter()
                .filter_map(|end| end.association.as_ref()?.poll_timeout());
            match arriving.chain(due).min() {
                Some(next) if next <= until => self.now = self.now.max(next),
                _ => {
                    self.now = until;
                    return false;
                }
            }
        }
    }

    fn drive(&mut self, number: usize) {
        let now = self.now;
        // What a packet is answered is sent before the next one is looked at.
        while let Some((_, packet)) = self.ends[number].arriving.pop_front_if(|(at, _)| *at <= now) {
            self.ends[number].take_in(now, address(1 - number), packet);
            self.transmit(number);
        }
        if let Some(association) = &mut self.ends[number].association
            && association.poll_timeout().is_some_and(|at| at <= now)
        {
            association.handle_timeout(now);
        }
        self.transmit(number);
    }

    fn transmit(&mut self, number: usize) {
        let now = self.now;
        for packet in self.ends[number].packets(now) {
            let has_data = packet.len() >= 100;
            self.ends[number].sent += usize::from(has_data);
            let of_data = has_data.then_some(self.ends[number].sent);
            if !(self.loses)(number, of_data) {
                self.ends[1 - number].arriving.push_back((now + self.delay, packet));
            }
        }
    }
}

fn address(number: usize) -> SocketAddr {
    ([127, 0, 0, 1], number as u16 + 1).into()
}

impl End {
    fn take_in(&mut self, now: Instant, remote: SocketAddr, packet: Bytes) {
        match self.endpoint.handle(now, remote, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                (self.handle, self.association) = (Some(handle), Some(association));
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => self.tell(event),
            _ => {}
        }
    }

    fn packets(&mut self, now: Instant) -> Vec<Bytes> {
        let mut packets = Vec::new();
        let Some(association) = &mut self.association else {
            return packets;
        };
        while association.poll().is_some() {}
        while let Some(transmit) = association.poll_transmit(now) {
            if let Payload::RawEncode(encoded) = transmit.message {
                packets.extend(encoded);
            }
        }
        while let Some(event) = association.poll_endpoint_event() {
            if let Some(handle) = self.handle {
                self.endpoint.handle_event(handle, event);
            }
        }
        packets
    }

    fn tell(&mut self, event: AssociationEvent) {
        if let Some(association) = &mut self.association {
            association.handle_event(event);
        }
    }
}
