//! However the last handle goes, the driver ends.

use super::*;
use crate::chunk::{self, Header, Kind};
use crate::description::Description;
use crate::platform::{RtcEvent, SdpType, SessionDescription, SocketEvent};
use crate::relay::{DescriptionType, PeerConnectionMessage, RelayMessage, Response};
use crate::{PeerConnection, PeerManager, RelayClient, Stage};
use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use uuid::Uuid;
use web_time::Instant;

const SDP: &str =
    "v=0\r\na=x-crosspeer:1 bye ordered\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:";

/// A machine whose relay accepts, whose engine connects at once, and whose peers close as soon as they hear anything.
#[derive(Clone, Default)]
struct Fake {
    /// What is open now.
    open: Rc<RefCell<Vec<String>>>,
    /// The latest socket.
    socket: Rc<RefCell<Option<(SocketId, Events)>>>,
}

struct Opened(Fake, String, Box<dyn Fn(RtcCommand)>);

impl Fake {
    fn opened(&self, what: String, execute: impl Fn(RtcCommand) + 'static) -> Opened {
        self.open.borrow_mut().push(what.clone());
        Opened(self.clone(), what, Box::new(execute))
    }

    fn text(&self, text: &str) {
        let (id, events) = self.socket.borrow().clone().unwrap();
        events.push(Event::Socket(id, SocketEvent::Text(text.into())));
    }

    /// A peer of this number calls.
    fn call(&self, me: Uuid, number: u128) {
        let sdp = format!("{SDP}peer{number}\r\n");
        let sdp_type = SdpType::Offer;
        let message = PeerConnectionMessage {
            source_uuid: Uuid::from_u128(number),
            source_name: "peer".into(),
            peer_uuid: me,
            description_type: DescriptionType::Offer,
            description: Description::Session(SessionDescription { sdp_type, sdp }).encode(),
            error: None,
        };
        self.text(&RelayMessage::PeerConnection(message).encode());
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open.borrow_mut().retain(|what| *what != self.1);
    }
}

impl crate::platform::Rtc for Opened {
    fn execute(&self, command: RtcCommand) {
        (self.2)(command);
    }
}

impl crate::platform::Socket for Opened {
    fn send(&self, _: String) {}
    fn close(&self) {}
}

impl Platform for Fake {
    type Rtc = Opened;
    type Socket = Opened;

    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, _: Instant) -> impl Future<Output = ()> {
        pending()
    }

    fn open_rtc(&self, id: RtcId, _: &Config, events: Events) -> Opened {
        let report = move |event| events.push(Event::Rtc(id, event));
        self.opened(format!("{id:?}"), move |command| match command {
            RtcCommand::Offer { .. } => report(RtcEvent::LocalDescription(SessionDescription {
                sdp_type: SdpType::Offer,
                sdp: format!("{SDP}own\r\n"),
            })),
            RtcCommand::Answer { .. } => {
                report(RtcEvent::LocalDescription(SessionDescription {
                    sdp_type: SdpType::Answer,
                    sdp: format!("{SDP}own\r\n"),
                }));
                report(RtcEvent::Progress(Stage::Channels));
                let label = "p2p-0-1".into();
                report(RtcEvent::ChannelOpen { channel: 0, label });
                let header = Header {
                    kind: Kind::Bytes,
                    stream_id: 0,
                    seq_id: 0,
                    seq_len: 1,
                };
                report(RtcEvent::Frame {
                    channel: 0,
                    data: chunk::encode(&header, b"hello").freeze(),
                    binary: true,
                });
            }
            RtcCommand::Write { .. } => report(RtcEvent::Closed),
            _ => {}
        })
    }

    fn open_socket(&self, id: SocketId, _: &str, _: &Config, events: Events) -> Opened {
        events.push(Event::Socket(id, SocketEvent::Open));
        *self.socket.borrow_mut() = Some((id, events));
        self.opened(format!("{id:?}"), |_| {})
    }

    fn host_name(&self) -> Option<String> {
        None
    }
}

/// A driver that is polled by hand.
struct Running {
    fake: Fake,
    driver: Pin<Box<dyn Future<Output = ()>>>,
}

impl Running {
    fn new(fake: &Fake, driver: Driver<Fake>) -> Self {
        let (fake, driver) = (fake.clone(), Box::pin(driver.run()));
        Self { fake, driver }
    }

    /// Whether it has ended.
    fn ended(&mut self) -> bool {
        (0..10).any(|_| (&mut self.driver).now_or_never().is_some())
    }
}

/// Whatever a user may hold.
type Held = Box<dyn Any>;

/// A future that has begun.
fn begun<T: 'static>(future: impl Future<Output = T> + 'static) -> Held {
    let mut future: Pin<Box<dyn Future<Output = T>>> = Box::pin(future);
    let _ = future.as_mut().now_or_never();
    Box::new(future)
}

fn manager() -> (Running, PeerManager) {
    let fake = Fake::default();
    let (manager, driver) = PeerManager::new(fake.clone(), "ws://relay", Config::default()).unwrap();
    (Running::new(&fake, driver), manager)
}

/// A manager in full use, in as many pieces as there can be.
fn of_a_manager() -> (Running, Vec<Held>) {
    let (mut running, manager) = manager();
    assert!(!running.ended());
    let me = manager.uuid();
    let registered = Response {
        success: true,
        message: None,
        error: false,
    };
    running.fake.text(&RelayMessage::Response(registered).encode());
    assert!(!running.ended());
    let accept = manager.clone();
    let mut accepting: Pin<Box<dyn Future<Output = crate::Result<PeerConnection>>>> =
        Box::pin(async move { accept.accept().await });
    assert!(accepting.as_mut().now_or_never().is_none());
    running.fake.call(me, 7);
    assert!(!running.ended());
    let accepted = accepting.as_mut().now_or_never().expect("called").unwrap();
    let (m, c, d) = (manager.clone(), accepted.clone(), manager.clone());
    let held: Vec<Held> = vec![
        begun(manager.registered()),
        begun(manager.send(Uuid::from_u128(8), "never answered")),
        begun(async move { m.recv().await }),
        begun(async move { c.on_close().await }),
        begun(async move { d.accept().await }),
        Box::new(accepted),
        Box::new(manager),
    ];
    assert!(!running.ended());
    (running, held)
}

fn of_a_client() -> (Running, Vec<Held>) {
    let fake = Fake::default();
    let (client, driver) = RelayClient::new(fake.clone(), "ws://relay", Config::default()).unwrap();
    let mut running = Running::new(&fake, driver);
    assert!(!running.ended());
    let connection = PeerConnection::new(&client, 1).unwrap();
    let (m, c) = (client.clone(), connection.clone());
    let held: Vec<Held> = vec![
        begun(client.registered()),
        begun(connection.send_offer(Uuid::from_u128(9))),
        begun(connection.ready(Duration::from_secs(1))),
        begun(async move { m.recv().await }),
        begun(async move { c.recv().await }),
        Box::new(connection),
        Box::new(client),
    ];
    assert!(!running.ended());
    (running, held)
}

#[test]
fn it_ends_in_whatever_order_the_handles_are_dropped() {
    for make in [of_a_manager, of_a_client] {
        for seed in 0..300 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut running, mut held) = make();
            rng.shuffle(&mut held);
            let runs_between = rng.bool();
            while let Some(last) = held.pop() {
                drop(last);
                if runs_between && !held.is_empty() {
                    assert!(!running.ended(), "too early, seed {seed}");
                }
            }
            assert!(running.ended(), "never, seed {seed}");
            assert_eq!(*running.fake.open.borrow(), [""; 0], "seed {seed}");
        }
    }
}

#[test]
fn it_ends_when_all_is_dropped_before_it_has_run() {
    let (mut running, manager) = manager();
    drop(begun(manager.registered()));
    drop(manager);
    assert!(running.ended());
}
