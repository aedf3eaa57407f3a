//! The `webrtc` crate 0.17, the last before its sans-IO rewrite: detached channels, messages of at most 64 KiB.

use anyhow::{Context as _, Result, bail};
use bench_stack::signal::{self, Signal};
use bench_stack::{Link, PIECE, Place, Stack};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, mpsc};
use webrtc::api::APIBuilder;
use webrtc::api::setting_engine::SettingEngine;
use webrtc::data::data_channel::DataChannel;
use webrtc::data_channel::RTCDataChannel;
use webrtc::ice::mdns::MulticastDnsMode;
use webrtc::peer_connection::RTCPeerConnection;
use webrtc::peer_connection::configuration::RTCConfiguration;
use webrtc::peer_connection::sdp::session_description::RTCSessionDescription;

/// Bytes that may wait to be acknowledged before a sender is held back: the crate itself has no limit.
const QUEUE: usize = 1 << 20;
/// It goes on when no more than these are left.
const LOW: usize = 512 << 10;

struct Webrtc(Signal);

struct Channel {
    _connection: RTCPeerConnection,
    channel: Arc<DataChannel>,
    low: Arc<Notify>,
    buffer: Mutex<Vec<u8>>,
}

fn main() -> Result<()> {
    bench_stack::main::<Webrtc>()
}

impl Stack for Webrtc {
    type Link = Channel;

    async fn open(place: &Place) -> Result<Self> {
        Ok(Self(Signal::open(place.host).await?))
    }

    fn address(&self) -> String {
        self.0.address()
    }

    async fn accept(&self) -> Result<Channel> {
        let (offer, mut stream) = self.0.accept().await?;
        let connection = new().await?;
        let (arrived, mut channels) = mpsc::channel(1);
        connection.on_data_channel(Box::new(move |channel| {
            let arrived = arrived.clone();
            Box::pin(async move { opens(&channel, arrived) })
        }));
        connection
            .set_remote_description(RTCSessionDescription::offer(offer)?)
            .await?;
        let answer = connection.create_answer(None).await?;
        signal::write(&mut stream, &gathered(&connection, answer).await?).await?;
        Channel::new(connection, channels.recv().await).await
    }

    async fn connect(&self, address: &str) -> Result<Channel> {
        let connection = new().await?;
        let channel = connection.create_data_channel("bench", None).await?;
        let (opened, mut channels) = mpsc::channel(1);
        opens(&channel, opened);
        let offer = connection.create_offer(None).await?;
        let answer = signal::call(address, &gathered(&connection, offer).await?).await?;
        connection
            .set_remote_description(RTCSessionDescription::answer(answer)?)
            .await?;
        Channel::new(connection, channels.recv().await).await
    }
}

async fn new() -> Result<RTCPeerConnection> {
    let mut settings = SettingEngine::default();
    settings.detach_data_channels();
    settings.set_ice_multicast_dns_mode(MulticastDnsMode::Disabled);
    let api = APIBuilder::new().with_setting_engine(settings).build();
    Ok(api.new_peer_connection(RTCConfiguration::default()).await?)
}

/// The description with all candidates.
async fn gathered(connection: &RTCPeerConnection, description: RTCSessionDescription) -> Result<String> {
    let mut complete = connection.gathering_complete_promise().await;
    connection.set_local_description(description).await?;
    let _ = complete.recv().await;
    Ok(connection
        .local_description()
        .await
        .context("no local description")?
        .sdp)
}

/// Tells of the channel when it is open.
fn opens(channel: &Arc<RTCDataChannel>, to: mpsc::Sender<Arc<RTCDataChannel>>) {
    let this = Arc::clone(channel);
    channel.on_open(Box::new(move || {
        Box::pin(async move {
            let _ = to.send(this).await;
        })
    }));
}

impl Channel {
    async fn new(connection: RTCPeerConnection, channel: Option<Arc<RTCDataChannel>>) -> Result<Self> {
        let channel = channel.context("no channel")?.detach().await?;
        let low = Arc::new(Notify::new());
        let notified = Arc::clone(&low);
        channel.set_buffered_amount_low_threshold(LOW);
        channel.on_buffered_amount_low(Box::new(move || {
            notified.notify_one();
            Box::pin(async {})
        }));
        Ok(Self {
            _connection: connection,
            channel,
            low,
            buffer: Mutex::new(vec![0; PIECE]),
        })
    }
}

impl Link for Channel {
    async fn send(&self, message: Bytes) -> Result<()> {
        for at in (0..message.len()).step_by(PIECE) {
            let piece = message.slice(at..message.len().min(at + PIECE));
            while self.channel.buffered_amount() + piece.len() > QUEUE {
                self.low.notified().await;
            }
            self.channel.write(&piece).await?;
        }
        Ok(())
    }

    async fn recv(&self) -> Result<Bytes> {
        let mut buffer = self.buffer.lock().await;
        match self.channel.read(&mut buffer).await? {
            0 => bail!("the connection ended"),
            length => Ok(Bytes::copy_from_slice(&buffer[..length])),
        }
    }
}
