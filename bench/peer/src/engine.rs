//! crosspeer's native layer alone: its engine, reader and writer tasks, driven as the link drives them.

use anyhow::{Result, bail};
use bench_stack::signal::{self, Signal};
use bench_stack::{Link, PIECE, Place, Stack};
use bytes::{Bytes, BytesMut};
use crosspeer::Config;
use crosspeer::platform::{Event, Events, Platform, Receiver, Rtc, RtcCommand, RtcEvent, RtcId};
use crosspeer_native::{Native, NativeRtc};
use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt as _;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore, mpsc};

const TO: Receiver = Receiver {
    send_buffer: 1 << 20,
    prompt: true,
    quic: false,
};
/// As the link's limit of what is not written yet; its frames are of [`PIECE`] bytes too.
const IN_FLIGHT: usize = 256 << 10;

pub struct Engine {
    signal: Signal,
}

pub struct EngineLink {
    rtc: Arc<NativeRtc>,
    room: Arc<Semaphore>,
    frames: Mutex<mpsc::UnboundedReceiver<Bytes>>,
}

impl Stack for Engine {
    type Link = EngineLink;

    async fn open(place: &Place) -> Result<Self> {
        Ok(Self {
            signal: Signal::open(place.host).await?,
        })
    }

    fn address(&self) -> String {
        self.signal.address()
    }

    async fn accept(&self) -> Result<EngineLink> {
        let (offer, mut stream) = self.signal.accept().await?;
        let (rtc, mut events) = new();
        rtc.execute(RtcCommand::Answer { offer, to: TO });
        signal::write(&mut stream, &description(&mut events).await?).await?;
        EngineLink::opened(rtc, events).await
    }

    async fn connect(&self, address: &str) -> Result<EngineLink> {
        let (rtc, mut events) = new();
        rtc.execute(RtcCommand::Offer {
            channels: 1,
            ordered: true,
        });
        let answer = signal::call(address, &description(&mut events).await?).await?;
        rtc.execute(RtcCommand::Complete { answer, to: TO });
        EngineLink::opened(rtc, events).await
    }
}

fn new() -> (NativeRtc, UnboundedReceiver<Event>) {
    let (sink, events) = Events::channel();
    let mut config = Config::default();
    config.ice_servers.clear();
    let platform = Native::new(tokio::runtime::Handle::current());
    (platform.open_rtc(RtcId(0), &config, sink), events)
}

async fn description(events: &mut UnboundedReceiver<Event>) -> Result<String> {
    loop {
        match events.next().await {
            Some(Event::Rtc(_, RtcEvent::LocalDescription(description))) => return Ok(description.sdp),
            Some(_) => {}
            None => bail!("the connection ended"),
        }
    }
}

impl EngineLink {
    async fn opened(rtc: NativeRtc, mut events: UnboundedReceiver<Event>) -> Result<Self> {
        loop {
            match events.next().await {
                Some(Event::Rtc(_, RtcEvent::ChannelOpen { .. })) => break,
                Some(_) => {}
                None => bail!("the connection ended"),
            }
        }
        let (frames, received) = mpsc::unbounded_channel();
        let (rtc, room) = (Arc::new(rtc), Arc::new(Semaphore::new(IN_FLIGHT)));
        let link = Self {
            rtc: Arc::clone(&rtc),
            room: Arc::clone(&room),
            frames: Mutex::new(received),
        };
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::Rtc(_, RtcEvent::Written { bytes, .. }) => room.add_permits(bytes),
                    Event::Rtc(_, RtcEvent::Frame { data, .. }) => {
                        rtc.execute(RtcCommand::Consumed { bytes: data.len() });
                        let _ = frames.send(data);
                    }
                    Event::Rtc(_, RtcEvent::Failed { .. } | RtcEvent::Closed) => return,
                    _ => {}
                }
            }
        });
        Ok(link)
    }
}

impl Link for EngineLink {
    async fn send(&self, message: Bytes) -> Result<()> {
        for piece in message.chunks(PIECE) {
            self.room.acquire_many(piece.len() as u32).await?.forget();
            let frame = BytesMut::from(piece);
            self.rtc.execute(RtcCommand::Write { channel: 0, frame });
        }
        Ok(())
    }

    async fn recv(&self) -> Result<Bytes> {
        match self.frames.lock().await.recv().await {
            Some(frame) => Ok(frame),
            None => bail!("the connection ended"),
        }
    }
}
