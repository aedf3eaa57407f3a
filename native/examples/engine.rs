//! Two peer connections in one process, without relay or link: what the engine itself does on this machine.
//!
//! `cargo run --release -p crosspeer-native --example engine`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use crosspeer::Config;
use crosspeer::platform::{Event, Events, Platform, Receiver, Rtc, RtcCommand, RtcEvent, RtcId};
use crosspeer_native::{Native, NativeRtc};
use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt;
use std::time::{Duration, Instant};

struct Side {
    rtc: NativeRtc,
    events: UnboundedReceiver<Event>,
}

impl Side {
    fn new(platform: &Native, config: &Config) -> Self {
        let (events, received) = Events::channel();
        let rtc = platform.open_rtc(RtcId(0), config, events);
        Self { rtc, events: received }
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(RtcEvent) -> Option<T>) -> T {
        loop {
            let Some(Event::Rtc(_, event)) = self.events.next().await else {
                panic!("the connection ended")
            };
            if let RtcEvent::Failed { stage, reason } = &event {
                panic!("{stage}: {reason}");
            }
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    async fn description(&mut self) -> String {
        self.until(|event| match event {
            RtcEvent::LocalDescription(description) => Some(description.sdp),
            _ => None,
        })
        .await
    }

    async fn opened(&mut self) {
        self.until(|event| matches!(event, RtcEvent::ChannelOpen { .. }).then_some(()))
            .await;
    }

    fn write(&self, frame: &[u8]) {
        let frame = frame.into();
        self.rtc.execute(RtcCommand::Write { channel: 0, frame });
    }

    async fn frame(&mut self) -> usize {
        let bytes = self
            .until(|event| match event {
                RtcEvent::Frame { data, .. } => Some(data.len()),
                _ => None,
            })
            .await;
        self.rtc.execute(RtcCommand::Consumed { bytes });
        bytes
    }

    /// Sends as the link does: a few frames ahead of `Written`.
    async fn send(&mut self, frame: &[u8], total: usize) {
        let count = total / frame.len();
        let (mut sent, mut written) = (0, 0);
        while written < count {
            while sent < count && (sent - written) * frame.len() < 256 << 10 {
                self.write(frame);
                sent += 1;
            }
            self.until(|event| matches!(event, RtcEvent::Written { .. }).then_some(()))
                .await;
            written += 1;
        }
    }
}

async fn connect() -> (Side, Side) {
    let platform = Native::new(tokio::runtime::Handle::current());
    let mut config = Config::default();
    config.ice_servers.clear();
    let (mut a, mut b) = (Side::new(&platform, &config), Side::new(&platform, &config));
    let to = Receiver {
        send_buffer: 1 << 20,
        prompt: true,
        quic: false,
    };
    a.rtc.execute(RtcCommand::Offer {
        channels: 1,
        ordered: true,
    });
    let offer = a.description().await;
    b.rtc.execute(RtcCommand::Answer { offer, to });
    let answer = b.description().await;
    a.rtc.execute(RtcCommand::Complete { answer, to });
    a.opened().await;
    b.opened().await;
    (a, b)
}

#[tokio::main]
async fn main() {
    let mut setups = Vec::new();
    for _ in 0..10 {
        let start = Instant::now();
        connect().await;
        setups.push(start.elapsed());
    }
    setups.sort();
    println!("set-up      median {:>6.1?}  worst {:.1?}", setups[5], setups[9]);

    let (mut a, mut b) = connect().await;
    let mut trips = Vec::new();
    for _ in 0..2000 {
        let start = Instant::now();
        a.write(&[0; 64]);
        b.frame().await;
        b.write(&[0; 64]);
        a.frame().await;
        trips.push(start.elapsed());
    }
    trips.sort();
    println!("round trip  median {:>6.0?}  p99 {:.0?}", trips[1000], trips[1980]);

    let only = std::env::args().nth(1).unwrap_or_default();
    for (name, frame, total) in [
        ("64 KiB", 64 << 10, 1 << 30),
        ("16 KiB", 16 << 10, 512 << 20),
        (" 1 KiB", 1 << 10, 128 << 20),
        ("  64 B", 64, 4 << 20),
    ] {
        if name.contains(&only) {
            throughput(name, frame, total).await;
        }
    }
}

async fn throughput(name: &str, frame: usize, total: usize) {
    let (mut a, mut b) = connect().await;
    let start = Instant::now();
    let sender = tokio::spawn(async move {
        a.send(&vec![7; frame], total).await;
        a
    });
    let (mut received, mut slowest, mut last) = (0, Duration::ZERO, start);
    while received < total {
        received += b.frame().await;
        slowest = slowest.max(last.elapsed());
        last = Instant::now();
    }
    let rate = total as f64 / start.elapsed().as_secs_f64() / f64::from(1 << 20);
    println!("{name} frames  {rate:>6.0} MiB/s  longest gap {slowest:.0?}");
    drop(sender.await);
}
