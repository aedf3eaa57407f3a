//! Two engines wired to each other by hand, on this host's own addresses.

mod quic;
mod relayed;

use super::*;
use crosspeer::Stage;
use crosspeer::platform::{Event, Receiver, RtcEvent, SdpType};
use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;
use tokio::time::timeout;

/// Nothing here takes long; a test that hangs ends with this.
const HANG: Duration = Duration::from_secs(60);
const SEND_BUFFER: usize = 1 << 20;

fn config() -> Config {
    let mut config = Config::default();
    config.ice_servers.clear();
    config
}

struct Side {
    rtc: NativeRtc,
    events: UnboundedReceiver<Event>,
}

impl Side {
    fn new(config: &Config) -> Self {
        let (events, received) = Events::channel();
        let rtc = crosspeer::platform::Platform::open_rtc(
            &crate::Native::new(tokio::runtime::Handle::current()),
            RtcId(1),
            config,
            events,
        );
        Self { rtc, events: received }
    }

    async fn next(&mut self) -> RtcEvent {
        match timeout(HANG, self.events.next())
            .await
            .expect("an event")
            .expect("more")
        {
            Event::Rtc(RtcId(1), event) => event,
            other => panic!("not this connection's: {other:?}"),
        }
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(RtcEvent) -> Option<T>) -> T {
        loop {
            let event = self.next().await;
            if let RtcEvent::Failed { stage, reason } = &event {
                assert!(wanted(event.clone()).is_some(), "failed at {stage}: {reason}");
            }
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    async fn description(&mut self, wanted: SdpType) -> String {
        self.until(|event| match event {
            RtcEvent::LocalDescription(description) => {
                assert_eq!(description.sdp_type, wanted);
                Some(description.sdp)
            }
            _ => None,
        })
        .await
    }

    async fn offers_to(&mut self, other: &mut Self, channels: u16, ordered: bool, prompt: bool) {
        let send_buffer = SEND_BUFFER;
        let to = Receiver {
            send_buffer,
            prompt,
            quic: false,
        };
        self.rtc.execute(RtcCommand::Offer { channels, ordered });
        let offer = self.description(SdpType::Offer).await;
        other.rtc.execute(RtcCommand::Answer { offer, to });
        let answer = other.description(SdpType::Answer).await;
        self.rtc.execute(RtcCommand::Complete { answer, to });
    }

    /// Waits for all channels; returns their labels by number.
    async fn opened(&mut self, channels: u16) -> HashMap<u16, String> {
        let mut open = HashMap::new();
        self.until(|event| {
            if let RtcEvent::ChannelOpen { channel, label } = event {
                assert!(open.insert(channel, label).is_none(), "opened twice");
            }
            (open.len() == usize::from(channels)).then_some(())
        })
        .await;
        open
    }

    fn write(&self, channel: u16, frame: &[u8]) {
        let frame = frame.into();
        self.rtc.execute(RtcCommand::Write { channel, frame });
    }

    async fn frame(&mut self) -> (u16, bytes::Bytes) {
        let (channel, data) = self
            .until(|event| match event {
                RtcEvent::Frame { channel, data, binary } => binary.then_some((channel, data)),
                _ => None,
            })
            .await;
        self.rtc.execute(RtcCommand::Consumed { bytes: data.len() });
        (channel, data)
    }

    async fn ended(&mut self) {
        self.until(|event| matches!(event, RtcEvent::Closed).then_some(()))
            .await;
    }
}

async fn describe(config: &Config, channels: u16, ordered: bool, prompt: bool) -> (Side, Side) {
    let (mut a, mut b) = (Side::new(config), Side::new(config));
    a.offers_to(&mut b, channels, ordered, prompt).await;
    (a, b)
}

async fn connect(channels: u16, ordered: bool) -> (Side, Side) {
    connect_as(channels, ordered, true).await
}

async fn connect_as(channels: u16, ordered: bool, prompt: bool) -> (Side, Side) {
    let (mut a, mut b) = describe(&config(), channels, ordered, prompt).await;
    let labels = a.opened(channels).await;
    assert_eq!(labels[&0], format!("p2p-0-{channels}"));
    let mut theirs: Vec<_> = b.opened(channels).await.into_values().collect();
    let mut ours: Vec<_> = labels.into_values().collect();
    theirs.sort();
    ours.sort();
    assert_eq!(ours, theirs);
    (a, b)
}

fn pattern(bytes: usize, seed: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 31 + seed * 7 + i / 251) as u8).collect()
}

async fn frames_arrive_byte_for_byte(channels: u16, ordered: bool, prompt: bool) {
    let (mut a, mut b) = connect_as(channels, ordered, prompt).await;
    let largest = if prompt { 65_554 } else { 262_144 };
    let sizes = [1, 19, 1160, 16 << 10, 32_786, 64 << 10, largest];
    for (from_a, (from, to)) in [(true, (0, 1)), (false, (1, 0))] {
        let sides = [&mut a, &mut b];
        let [first, second] = sides;
        let (sender, receiver): (&mut Side, &mut Side) = if from < to { (first, second) } else { (second, first) };
        assert_eq!(from_a, from < to);
        let mut expected = Vec::new();
        for (number, size) in sizes.into_iter().enumerate() {
            let frame = pattern(size, number);
            sender.write(number as u16 % channels, &frame);
            expected.push(frame);
        }
        let mut received = Vec::new();
        for _ in sizes {
            received.push(receiver.frame().await.1.to_vec());
        }
        expected.sort();
        received.sort();
        assert!(received == expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_any_size_arrive_on_one_ordered_channel() {
    frames_arrive_byte_for_byte(1, true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_up_to_a_chunk_arrive_at_a_prompt_peer() {
    frames_arrive_byte_for_byte(1, true, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_any_size_arrive_on_four_unordered_channels() {
    frames_arrive_byte_for_byte(4, false, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_keep_their_order_whatever_their_size() {
    let (a, mut b) = connect(1, true).await;
    let size = |number: usize| {
        if number.is_multiple_of(7) {
            64 << 10
        } else {
            100 + number
        }
    };
    let writer = tokio::spawn(async move {
        for number in 0..2000 {
            a.write(0, &pattern(size(number), number));
            if number.is_multiple_of(50) {
                tokio::task::yield_now().await;
            }
        }
        a
    });
    for number in 0..2000 {
        assert!(b.frame().await.1 == pattern(size(number), number), "{number}");
    }
    drop(writer.await.unwrap());
    b.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_that_the_engine_cannot_read_void_nothing() {
    for unreadable in [
        "1 1 udp 1 fe80::1%eth0 9 typ host",
        "1 1 udp 1 host.example 9 typ host",
        "1 1 udp 1 192.0.2.1 99999 typ host",
        "1 1 udp 1 192.0.2.1 9 typ magic",
        "1 1 magic 1 192.0.2.1 9 typ host",
        "1 1 udp 1 x.local 9 typ srflx raddr 0.0.0.0 rport 0",
        "1 1 udp 1 x.LOCAL 9 typ host",
        "",
    ] {
        let (mut a, mut b) = (Side::new(&config()), Side::new(&config()));
        let spoil = |sdp: String| {
            let spoiled = sdp.replacen("a=candidate:", &format!("a=candidate:{unreadable}\r\na=candidate:"), 1);
            assert_ne!(spoiled, sdp);
            crosspeer::description::prepare_remote(&spoiled)
        };
        let send_buffer = SEND_BUFFER;
        let to = Receiver {
            send_buffer,
            prompt: true,
            quic: false,
        };
        let (channels, ordered) = (1, true);
        a.rtc.execute(RtcCommand::Offer { channels, ordered });
        let offer = spoil(a.description(SdpType::Offer).await);
        b.rtc.execute(RtcCommand::Answer { offer, to });
        let answer = spoil(b.description(SdpType::Answer).await);
        a.rtc.execute(RtcCommand::Complete { answer, to });
        a.opened(1).await;
        b.opened(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_reported_stage_by_stage() {
    let (mut a, mut b) = describe(&config(), 1, true, true).await;
    for side in [&mut a, &mut b] {
        let mut stages = Vec::new();
        side.until(|event| match event {
            RtcEvent::Progress(stage) => {
                stages.push(stage);
                None
            }
            RtcEvent::ChannelOpen { .. } => Some(()),
            _ => None,
        })
        .await;
        assert_eq!(stages, [Stage::Dtls, Stage::Channels]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_flushed_is_not_lost_by_closing() {
    let (mut a, mut b) = connect(1, true).await;
    for number in 0..200 {
        a.write(0, &pattern(32 << 10, number));
    }
    a.rtc.execute(RtcCommand::Flush);
    let reader = tokio::spawn(async move {
        for number in 0..200 {
            assert!(b.frame().await.1 == pattern(32 << 10, number));
        }
        b.ended().await;
    });
    let mut written = 0;
    a.until(|event| match event {
        RtcEvent::Written { bytes, .. } => {
            written += bytes;
            None
        }
        RtcEvent::Flushed => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(written, 200 * (32 << 10));
    a.rtc.execute(RtcCommand::Close);
    reader.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_handle_closes_the_connection_for_the_peer() {
    let (a, mut b) = connect(2, false).await;
    drop(a);
    b.ended().await;
    // Nothing follows, since the actor has ended.
    assert!(timeout(HANG, b.events.next()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_says_nothing_for_a_while_is_noticed_and_so_is_its_return() {
    let mut config = config();
    config.dead_after = Duration::from_secs(2);
    let (mut a, mut b) = describe(&config, 1, true, true).await;
    a.opened(1).await;
    b.opened(1).await;
    let began = tokio::time::Instant::now();
    b.rtc.gate.muted.store(true, Release);
    let silent = |event| match event {
        RtcEvent::Silent(time) => Some(time),
        _ => None,
    };
    let time = a.until(silent).await;
    // Late by what a busy machine takes, but never before the link would have to know.
    assert!(
        time >= config.dead_after / 8 && time <= began.elapsed() + config.dead_after / 8,
        "{time:?}"
    );
    b.rtc.gate.muted.store(false, Release);
    a.until(|event| matches!(event, RtcEvent::Responsive).then_some(()))
        .await;
}

/// `frame_bytes` × `frames` to a reader that takes nothing until its read-ahead is used up.
async fn a_stalled_reader_loses_nothing(frame_bytes: usize, frames: usize, ordered: bool, stall: Duration) {
    let (a, mut b) = connect(1, ordered).await;
    let frame = pattern(frame_bytes, 1);
    for _ in 0..frames {
        a.write(0, &frame);
    }
    let mut ahead = 0;
    while ahead < READ_AHEAD {
        ahead += b
            .until(|event| match event {
                RtcEvent::Frame { data, .. } => Some(data.len()),
                _ => None,
            })
            .await;
    }
    // No more than the credit comes, even though the sender has much more to send.
    assert!(timeout(stall, b.events.next()).await.is_err());
    b.rtc.execute(RtcCommand::Consumed { bytes: ahead });
    for _ in ahead / frame_bytes..frames {
        assert!(b.frame().await.1 == frame);
    }
}

const SHORT: Duration = Duration::from_millis(300);
const READ_AHEAD: usize = crosspeer::platform::READ_AHEAD_BYTES;

#[tokio::test(flavor = "multi_thread")]
async fn small_frames_to_a_stalled_reader_all_arrive_once_it_reads() {
    a_stalled_reader_loses_nothing(1024, 12_000, true, SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_frames_to_a_stalled_reader_all_arrive_once_it_reads() {
    a_stalled_reader_loses_nothing(64 << 10, 200, false, SHORT).await;
}

/// The engine's sender gives up probing a closed window after 63 s; without the gate it would be stuck.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 70 s"]
async fn a_reader_that_stalled_for_longer_than_the_peer_probes_still_gets_everything() {
    a_stalled_reader_loses_nothing(1024, 12_000, true, Duration::from_secs(68)).await;
}

#[tokio::test]
async fn an_attempt_that_gives_way_before_its_turn_costs_no_socket() {
    let wrapped = || super::runtime::WRAPPED.with(std::cell::Cell::get);
    let mut offerer = Side::new(&config());
    offerer.rtc.execute(RtcCommand::Offer {
        channels: 1,
        ordered: true,
    });
    let offer = offerer.description(SdpType::Offer).await;
    let each = wrapped();
    let mut sides: Vec<Side> = (0..300).map(|_| Side::new(&config())).collect();
    for side in &sides {
        let to = Receiver::default();
        let offer = offer.clone();
        side.rtc.execute(RtcCommand::Answer { offer, to });
    }
    let last = sides.split_off(299).remove(0);
    sides.iter().for_each(|side| side.rtc.execute(RtcCommand::Close));
    let mut last = last;
    last.description(SdpType::Answer).await;
    assert!((each..=6 * each).contains(&(wrapped() - each)), "{each} {}", wrapped());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_that_is_none_fails_at_the_peers_stage() {
    for offer in ["", "nonsense", "v=0\r\n"] {
        let mut side = Side::new(&config());
        side.rtc.execute(RtcCommand::Answer {
            offer: offer.into(),
            to: Receiver::default(),
        });
        let stage = side
            .until(|event| match event {
                RtcEvent::Failed { stage, .. } => Some(stage),
                _ => None,
            })
            .await;
        assert_eq!(stage, Stage::Peer, "{offer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stun_server_that_does_not_answer_only_costs_its_time() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = config();
    let url = format!("stun:{}", silent.local_addr().unwrap());
    config.ice_servers.push(crosspeer::IceServer::new(url));
    config.gather_timeout = Duration::from_millis(200);
    let mut side = Side::new(&config);
    side.rtc.execute(RtcCommand::Offer {
        channels: 1,
        ordered: true,
    });
    let offer = side.description(SdpType::Offer).await;
    assert!(offer.contains("typ host"), "{offer}");
    assert!(offer.contains("a=max-message-size:262144"), "{offer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_leave_nothing_behind() {
    let open_files = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (files_before, tasks_before) = (open_files(), tasks());
    for _ in 0..200 {
        let (mut a, b) = connect(1, true).await;
        // A goodbye is heard in the middle of other news, too.
        for _ in 0..10 {
            a.write(0, b"to");
            b.write(0, b"fro");
        }
        drop(b);
        a.ended().await;
    }
    // The last ones may still be closing.
    timeout(HANG, async {
        while tasks() > tasks_before || open_files() > files_before + 20 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("tasks or sockets are left");
}
