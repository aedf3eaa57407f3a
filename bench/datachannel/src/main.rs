//! libdatachannel, a C++ library, by the `datachannel` crate; with its own settings.

use anyhow::{Context as _, Result};
use bench_stack::signal::{self, Signal};
use bench_stack::{Link, PIECE, Place, Stack};
use bytes::Bytes;
use datachannel::{
    DataChannelHandler, DataChannelInfo, GatheringState, PeerConnectionHandler, RtcConfig, RtcDataChannel,
    RtcPeerConnection, SdpType, SessionDescription,
};
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, mpsc};

/// Bytes that may wait before a sender is held back: the library itself has no limit.
const QUEUE: usize = 1 << 20;
/// It goes on when no more than these are left.
const LOW: usize = 256 << 10;

struct Libdatachannel(Signal);

type Raw = Box<RtcDataChannel<Events>>;

struct Channel {
    _connection: Box<RtcPeerConnection<News>>,
    channel: Mutex<Raw>,
    low: Arc<Notify>,
    pieces: Mutex<mpsc::UnboundedReceiver<Bytes>>,
}

/// What a channel's callbacks do.
struct Events {
    open: Arc<Notify>,
    low: Arc<Notify>,
    arrived: mpsc::UnboundedSender<Bytes>,
}

/// What a connection's callbacks do.
struct News {
    gathered: Arc<Notify>,
    channels: mpsc::UnboundedSender<Raw>,
    /// For the channel that the other side opens.
    events: Option<Events>,
}

fn main() -> Result<()> {
    bench_stack::main::<Libdatachannel>()
}

impl Stack for Libdatachannel {
    type Link = Channel;

    async fn open(place: &Place) -> Result<Self> {
        Ok(Self(Signal::open(place.host).await?))
    }

    fn address(&self) -> String {
        self.0.address()
    }

    async fn accept(&self) -> Result<Channel> {
        let (offer, mut stream) = self.0.accept().await?;
        let mut parts = Parts::new();
        let mut connection = parts.connection(true)?;
        // The answer is made by itself.
        connection.set_remote_description(&serde_json::from_str::<SessionDescription>(&offer)?)?;
        parts.gathered.notified().await;
        signal::write(&mut stream, &description(&connection)?).await?;
        let channel = parts.channels.recv().await.context("no channel")?;
        parts.into_link(connection, channel)
    }

    async fn connect(&self, address: &str) -> Result<Channel> {
        let mut parts = Parts::new();
        let mut connection = parts.connection(false)?;
        let channel = connection.create_data_channel("bench", parts.events.take().context("used")?)?;
        connection.set_local_description(SdpType::Offer)?;
        parts.gathered.notified().await;
        let answer = signal::call(address, &description(&connection)?).await?;
        connection.set_remote_description(&serde_json::from_str::<SessionDescription>(&answer)?)?;
        parts.open.notified().await;
        parts.into_link(connection, channel)
    }
}

fn description(connection: &RtcPeerConnection<News>) -> Result<String> {
    let description = connection.local_description().context("no local description")?;
    Ok(serde_json::to_string(&description)?)
}

/// Both ends of everything that callbacks tell.
struct Parts {
    gathered: Arc<Notify>,
    open: Arc<Notify>,
    low: Arc<Notify>,
    events: Option<Events>,
    pieces: mpsc::UnboundedReceiver<Bytes>,
    opened: mpsc::UnboundedSender<Raw>,
    channels: mpsc::UnboundedReceiver<Raw>,
}

impl Parts {
    fn new() -> Self {
        let (gathered, open, low) = <(Arc<Notify>, Arc<Notify>, Arc<Notify>)>::default();
        let (arrived, pieces) = mpsc::unbounded_channel();
        let (opened, channels) = mpsc::unbounded_channel();
        let events = Some(Events {
            open: Arc::clone(&open),
            low: Arc::clone(&low),
            arrived,
        });
        Self {
            gathered,
            open,
            low,
            events,
            pieces,
            opened,
            channels,
        }
    }

    fn connection(&mut self, answers: bool) -> Result<Box<RtcPeerConnection<News>>> {
        let events = if answers { self.events.take() } else { None };
        let news = News {
            gathered: Arc::clone(&self.gathered),
            channels: self.opened.clone(),
            events,
        };
        Ok(RtcPeerConnection::new(&RtcConfig::new::<&str>(&[]), news)?)
    }

    fn into_link(self, connection: Box<RtcPeerConnection<News>>, mut channel: Raw) -> Result<Channel> {
        channel.set_buffered_amount_low_threshold(LOW)?;
        Ok(Channel {
            _connection: connection,
            channel: Mutex::new(channel),
            low: self.low,
            pieces: Mutex::new(self.pieces),
        })
    }
}

impl PeerConnectionHandler for News {
    type DCH = Events;

    fn data_channel_handler(&mut self, _: DataChannelInfo) -> Events {
        self.events.take().unwrap_or_else(|| panic!("one channel only"))
    }

    fn on_gathering_state_change(&mut self, state: GatheringState) {
        if state == GatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    fn on_data_channel(&mut self, channel: Raw) {
        let _ = self.channels.send(channel);
    }
}

impl DataChannelHandler for Events {
    fn on_open(&mut self) {
        self.open.notify_one();
    }

    fn on_message(&mut self, message: &[u8]) {
        let _ = self.arrived.send(Bytes::copy_from_slice(message));
    }

    fn on_buffered_amount_low(&mut self) {
        self.low.notify_one();
    }
}

impl Link for Channel {
    async fn send(&self, message: Bytes) -> Result<()> {
        let mut channel = self.channel.lock().await;
        for piece in message.chunks(PIECE) {
            while channel.buffered_amount() + piece.len() > QUEUE {
                self.low.notified().await;
            }
            channel.send(piece)?;
        }
        Ok(())
    }

    async fn recv(&self) -> Result<Bytes> {
        self.pieces.lock().await.recv().await.context("the connection ended")
    }
}
