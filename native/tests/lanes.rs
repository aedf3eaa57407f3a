//! One connection over several lanes, on this host's own addresses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use crosspeer::platform::{Event, Events, Platform, Rtc, RtcCommand, RtcEvent, RtcId, SocketId};
use crosspeer::{Config, Message, PeerConnection, PeerManager, Stage};
use crosspeer_native::{Native, NativeRtc, NativeSocket};
use crosspeer_relay::{Relay, RelayConfig};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;
use web_time::Instant;

/// Nothing here takes long; a test that hangs ends with this.
const HANG: Duration = Duration::from_secs(60);

type Slot = Arc<Mutex<Option<NativeRtc>>>;

/// A peer connection that can be torn out.
struct Lane(Slot);

impl Rtc for Lane {
    fn execute(&self, command: RtcCommand) {
        if let Some(rtc) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            rtc.execute(command);
        }
    }
}

/// The native platform, whose peer connections are in the test's hands too.
#[derive(Clone)]
struct Torn {
    native: Native,
    lanes: Arc<Mutex<Vec<(RtcId, Slot, Events)>>>,
    opened: Arc<Notify>,
}

impl Torn {
    fn new() -> Self {
        Self {
            native: Native::new(tokio::runtime::Handle::current()),
            lanes: Arc::default(),
            opened: Arc::default(),
        }
    }

    fn count(&self) -> usize {
        self.lanes.lock().unwrap().len()
    }

    /// Ends once so many have been opened.
    async fn until(&self, count: usize) {
        while self.count() < count {
            timeout(HANG, self.opened.notified()).await.expect("another lane");
        }
    }

    /// Ends a lane as if its path had failed.
    fn tear(&self, nth: usize) {
        let (id, slot, events) = self.lanes.lock().unwrap()[nth].clone();
        *slot.lock().unwrap() = None;
        let reason = "torn out".into();
        let stage = Stage::Channels;
        events.push(Event::Rtc(id, RtcEvent::Failed { stage, reason }));
    }
}

impl Platform for Torn {
    type Rtc = Lane;
    type Socket = NativeSocket;

    fn now(&self) -> Instant {
        self.native.now()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        self.native.sleep_until(at)
    }

    fn open_rtc(&self, id: RtcId, config: &Config, events: Events) -> Lane {
        let rtc = self.native.open_rtc(id, config, events.clone());
        let slot = Arc::new(Mutex::new(Some(rtc)));
        self.lanes.lock().unwrap().push((id, Arc::clone(&slot), events));
        self.opened.notify_one();
        Lane(slot)
    }

    fn open_socket(&self, id: SocketId, url: &str, config: &Config, events: Events) -> NativeSocket {
        self.native.open_socket(id, url, config, events)
    }

    fn host_name(&self) -> Option<String> {
        None
    }
}

struct Peer {
    platform: Torn,
    manager: PeerManager,
}

impl Peer {
    async fn join(relay: &str, lanes: RangeInclusive<u8>) -> Self {
        let mut config = Config::default();
        config.ice_servers.clear();
        config.lanes = lanes;
        let platform = Torn::new();
        let (manager, driver) = PeerManager::new(platform.clone(), relay, config).unwrap();
        tokio::spawn(driver.run());
        manager.registered().await.unwrap();
        Self { platform, manager }
    }
}

async fn relay() -> String {
    let mut config = RelayConfig::default();
    (config.host, config.port) = (Some("127.0.0.1".into()), 0);
    let server = Relay::bind(config).await.unwrap();
    let relay = format!("ws://{}", server.local_addr());
    tokio::spawn(server.serve(std::future::pending()));
    relay
}

async fn pair(lanes: u8) -> (Peer, Peer, [PeerConnection; 2]) {
    let relay = relay().await;
    let a = Peer::join(&relay, lanes..=lanes).await;
    let b = Peer::join(&relay, 1..=8).await;
    let ours = a.manager.connect(b.manager.uuid()).await.unwrap();
    let theirs = b.manager.accept().await.unwrap();
    (a, b, [ours, theirs])
}

/// Any part of it differs from any other.
fn pattern() -> Bytes {
    (0..1_u32 << 20).flat_map(u32::to_be_bytes).collect()
}

/// Large and small messages both ways at once; `meanwhile` happens after the first few.
async fn exchange([ours, theirs]: &[PeerConnection; 2], meanwhile: impl FnOnce()) {
    const COUNT: usize = 48;
    let pattern = pattern();
    let message = |i: usize| Message::Bytes(pattern.slice(i..i + [3 << 20, 10, 64 << 10, 1 << 20][i % 4]));
    let send = async |from: &PeerConnection| {
        for i in 0..COUNT {
            from.send(message(i)).await.unwrap();
        }
    };
    let receive = async |to: &PeerConnection, meanwhile: Option<_>| {
        let mut meanwhile: Option<_> = meanwhile;
        for i in 0..COUNT {
            let received = to.recv().await.unwrap();
            assert!(received == message(i), "message {i}");
            if i == COUNT / 3 {
                meanwhile
                    .take()
                    .into_iter()
                    .for_each(|call: Box<dyn FnOnce() + '_>| call());
            }
        }
    };
    let meanwhile: Box<dyn FnOnce() + '_> = Box::new(meanwhile);
    let all = async {
        tokio::join!(
            send(ours),
            send(theirs),
            receive(theirs, Some(meanwhile)),
            receive(ours, None)
        )
    };
    timeout(HANG, all).await.expect("everything arrives");
}

async fn close(peers: [Peer; 2]) {
    for peer in peers {
        timeout(HANG, peer.manager.close()).await.expect("an end").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_lanes_carry_large_and_small_messages_in_order() {
    for lanes in [2, 4] {
        let (a, b, connections) = pair(lanes).await;
        exchange(&connections, || {}).await;
        assert_eq!([a.platform.count(), b.platform.count()], [usize::from(lanes); 2]);
        close([a, b]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_carries_large_and_small_messages_in_order_by_itself() {
    let relay = relay().await;
    let join = async |quic: bool, channels: u16| {
        let mut config = Config::default();
        config.ice_servers.clear();
        (config.quic, config.channels) = (quic, channels);
        crosspeer_native::PeerManager::join(&relay, config).await.unwrap()
    };
    for (channels, [ours, theirs]) in [
        (1, [true, true]),
        (3, [true, true]),
        (1, [true, false]),
        (1, [false, true]),
    ] {
        let (a, b) = (join(ours, channels).await, join(theirs, 1).await);
        let first = a.connect(b.uuid()).await.unwrap();
        let connections = [first, b.accept().await.unwrap()];
        exchange(&connections, || {}).await;
        for connection in &connections {
            let statistics = connection.statistics().await.unwrap();
            assert_eq!(statistics.quic, ours && theirs);
            assert!(!statistics.quic || statistics.lanes == 1);
        }
        for peer in [a, b] {
            timeout(HANG, peer.close()).await.expect("an end").unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_torn_out_loses_nothing() {
    for nth in [0, 1] {
        let (a, b, connections) = pair(2).await;
        exchange(&connections, || {}).await;
        exchange(&connections, || a.platform.tear(nth)).await;
        a.platform.until(3).await; // another takes its place
        exchange(&connections, || {}).await;
        close([a, b]).await;
    }
}
