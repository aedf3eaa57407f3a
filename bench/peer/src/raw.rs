//! The `webrtc` crate with the same settings, and nothing of ours above it: large socket buffers, 2 MiB window, 1 MiB
//! send buffer, ICE checks every 20 ms, and a driver that looks again every 2 ms until the channel is open.

use anyhow::{Result, bail};
use bench_stack::signal::{self, Signal};
use bench_stack::{Link, PIECE, Place, Stack, enlarge_buffers};
use bytes::{Bytes, BytesMut};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::shared::ifaces::ifaces;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, mpsc};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder, RTCIceGatheringState,
    RTCSessionDescription, SettingEngineBuilder,
};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, TokioRuntime,
};

const SEND_BUFFER: usize = 1 << 20;
const WINDOW: u32 = 4 << 20;
const TICK: Duration = Duration::from_millis(2);

pub struct Raw(Signal);

pub struct RawLink {
    _connection: Arc<dyn PeerConnection>,
    channel: Arc<dyn DataChannel>,
    pieces: Mutex<mpsc::Receiver<Bytes>>,
}

impl Stack for Raw {
    type Link = RawLink;

    async fn open(place: &Place) -> Result<Self> {
        Ok(Self(Signal::open(place.host).await?))
    }

    fn address(&self) -> String {
        self.0.address()
    }

    async fn accept(&self) -> Result<RawLink> {
        let (offer, mut stream) = self.0.accept().await?;
        let (connection, mut news) = new().await?;
        connection
            .set_remote_description(RTCSessionDescription::offer(offer)?)
            .await?;
        let answer = connection.create_answer(None).await?;
        connection.set_local_description(answer).await?;
        news.gathered.notified().await;
        signal::write(&mut stream, &sdp(&connection).await).await?;
        let Some(channel) = news.channels.recv().await else {
            bail!("no channel")
        };
        news.is_open.store(true, Relaxed);
        Ok(RawLink::new(connection, channel, None))
    }

    async fn connect(&self, address: &str) -> Result<RawLink> {
        let (connection, news) = new().await?;
        let channel = connection
            .create_data_channel("bench", Some(RTCDataChannelInit::default()))
            .await?;
        let offer = connection.create_offer(None).await?;
        connection.set_local_description(offer).await?;
        news.gathered.notified().await;
        let answer = signal::call(address, &sdp(&connection).await).await?;
        connection
            .set_remote_description(RTCSessionDescription::answer(answer)?)
            .await?;
        let opened = Arc::new(Notify::new());
        let link = RawLink::new(connection, channel, Some(Arc::clone(&opened)));
        opened.notified().await;
        news.is_open.store(true, Relaxed);
        Ok(link)
    }
}

async fn sdp(connection: &Arc<dyn PeerConnection>) -> String {
    connection
        .local_description()
        .await
        .map(|description| description.sdp)
        .unwrap_or_default()
}

async fn new() -> Result<(Arc<dyn PeerConnection>, News)> {
    let settings = SettingEngineBuilder::new()
        .with_ice_connection_attempts(Some(Duration::from_millis(20)), Some(1500))
        .with_host_acceptance_min_wait(Some(Duration::ZERO))
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(256 << 10))
        .with_sctp_max_receive_buffer_size(WINDOW)
        .build();
    let (gathered, is_open) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (arrived, channels) = mpsc::channel(1);
    let observer = Observer {
        gathered: Arc::clone(&gathered),
        arrived,
    };
    let connection = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::default().build())
        .with_setting_engine(settings)
        .with_handler(Arc::new(observer))
        .with_runtime(Arc::new(Tuned {
            is_open: Arc::clone(&is_open),
        }))
        .with_data_channel_send_buffer_limit(SEND_BUFFER)
        .with_udp_addrs(vec![address()])
        .build();
    Ok((
        Arc::new(Box::pin(connection).await?),
        News {
            gathered,
            channels,
            is_open,
        },
    ))
}

/// This host's first IPv4 address other than loopback.
fn address() -> SocketAddr {
    let all = ifaces()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|interface| Some(interface.addr?.ip()));
    let ip = all.filter(|ip| ip.is_ipv4() && !ip.is_loopback()).next();
    SocketAddr::new(ip.unwrap_or(Ipv4Addr::LOCALHOST.into()), 0)
}

struct News {
    gathered: Arc<Notify>,
    channels: mpsc::Receiver<Arc<dyn DataChannel>>,
    is_open: Arc<AtomicBool>,
}

struct Observer {
    gathered: Arc<Notify>,
    arrived: mpsc::Sender<Arc<dyn DataChannel>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Observer {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.arrived.send(channel).await;
    }
}

impl RawLink {
    fn new(connection: Arc<dyn PeerConnection>, channel: Arc<dyn DataChannel>, opened: Option<Arc<Notify>>) -> Self {
        // A task of its own: the engine drops what does not fit into its queue of 256 events.
        let (pieces, received) = mpsc::channel(4096);
        let from = Arc::clone(&channel);
        tokio::spawn(async move {
            while let Some(event) = from.poll().await {
                match event {
                    DataChannelEvent::OnOpen => opened.iter().for_each(|opened| opened.notify_one()),
                    DataChannelEvent::OnMessage(message) => {
                        let _ = pieces.send(message.data.freeze()).await;
                    }
                    DataChannelEvent::OnClose => return,
                    _ => {}
                }
            }
        });
        Self {
            _connection: connection,
            channel,
            pieces: Mutex::new(received),
        }
    }
}

impl Link for RawLink {
    async fn send(&self, message: Bytes) -> Result<()> {
        for piece in message.chunks(PIECE) {
            self.channel.send(BytesMut::from(piece)).await?;
        }
        Ok(())
    }

    async fn recv(&self) -> Result<Bytes> {
        match self.pieces.lock().await.recv().await {
            Some(piece) => Ok(piece),
            None => bail!("the connection ended"),
        }
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[derive(Debug)]
struct Tuned {
    is_open: Arc<AtomicBool>,
}

impl Runtime for Tuned {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        enlarge_buffers(&socket);
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        TokioRuntime.sleep(if self.is_open.load(Relaxed) {
            duration
        } else {
            duration.min(TICK)
        })
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "bench"
    }
}
