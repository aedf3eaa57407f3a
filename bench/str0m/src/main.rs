//! str0m, a sans-IO WebRTC library: one task and one UDP socket for each connection.

use anyhow::{Context as _, Result};
use bench_stack::signal::{self, Signal};
use bench_stack::{Link, PIECE, Place, Stack, enlarge_buffers};
use bytes::Bytes;
use std::net::IpAddr;
use std::time::Instant;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::sync::{Mutex, mpsc, oneshot};

/// The send queue on short paths is the crate's own 128 KiB: with 1 MiB it was half as fast there. On long ones the
/// queue bounds what is in flight, as the crate's documentation says.
const LONG_QUEUE: usize = 4 << 20;
const LONG_MILLISECONDS: u32 = 5;

struct Str0m {
    signal: Signal,
    host: IpAddr,
    is_long: bool,
}

struct Channel {
    outgoing: mpsc::Sender<Bytes>,
    pieces: Mutex<mpsc::UnboundedReceiver<Bytes>>,
}

fn main() -> Result<()> {
    str0m::crypto::from_feature_flags().install_process_default();
    bench_stack::main::<Str0m>()
}

impl Stack for Str0m {
    type Link = Channel;

    async fn open(place: &Place) -> Result<Self> {
        let is_long = place.round_trip > LONG_MILLISECONDS;
        Ok(Self {
            signal: Signal::open(place.host).await?,
            host: place.host,
            is_long,
        })
    }

    fn address(&self) -> String {
        self.signal.address()
    }

    async fn accept(&self) -> Result<Channel> {
        let (offer, mut stream) = self.signal.accept().await?;
        let (mut rtc, socket) = self.rtc().await?;
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(&offer)?)?;
        signal::write(&mut stream, &answer.to_sdp_string()).await?;
        Channel::opened(rtc, socket).await
    }

    async fn connect(&self, address: &str) -> Result<Channel> {
        let (mut rtc, socket) = self.rtc().await?;
        let mut change = rtc.sdp_api();
        change.add_channel("bench".into());
        let (offer, pending) = change.apply().context("nothing to offer")?;
        let answer = signal::call(address, &offer.to_sdp_string()).await?;
        rtc.sdp_api()
            .accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;
        Channel::opened(rtc, socket).await
    }
}

impl Str0m {
    async fn rtc(&self) -> Result<(Rtc, UdpSocket)> {
        let mut config = Rtc::builder();
        if self.is_long {
            config = config.set_sctp_max_buffered_amount(LONG_QUEUE);
        }
        let mut rtc = config.build(Instant::now());
        let socket = UdpSocket::bind((self.host, 0)).await?.into_std()?;
        enlarge_buffers(&socket);
        let socket = UdpSocket::from_std(socket)?;
        rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
        Ok((rtc, socket))
    }
}

impl Channel {
    async fn opened(rtc: Rtc, socket: UdpSocket) -> Result<Self> {
        let (outgoing, queue) = mpsc::channel(1);
        let (arrived, pieces) = mpsc::unbounded_channel();
        let (opened, is_open) = oneshot::channel();
        let driver = Driver {
            rtc,
            socket,
            queue,
            waiting: None,
            arrived,
            channel: None,
            opened: Some(opened),
        };
        tokio::spawn(async move {
            if let Err(error) = driver.run().await {
                eprintln!("bench: {error:#}");
            }
        });
        is_open.await.context("the connection ended")?;
        Ok(Self {
            outgoing,
            pieces: Mutex::new(pieces),
        })
    }
}

impl Link for Channel {
    async fn send(&self, message: Bytes) -> Result<()> {
        for at in (0..message.len()).step_by(PIECE) {
            let piece = message.slice(at..message.len().min(at + PIECE));
            self.outgoing.send(piece).await.context("the connection ended")?;
        }
        Ok(())
    }

    async fn recv(&self) -> Result<Bytes> {
        self.pieces.lock().await.recv().await.context("the connection ended")
    }
}

struct Driver {
    rtc: Rtc,
    socket: UdpSocket,
    queue: mpsc::Receiver<Bytes>,
    /// What found no room yet.
    waiting: Option<Bytes>,
    arrived: mpsc::UnboundedSender<Bytes>,
    channel: Option<ChannelId>,
    opened: Option<oneshot::Sender<()>>,
}

impl Driver {
    async fn run(mut self) -> Result<()> {
        let local = self.socket.local_addr()?;
        let mut buffer = vec![0; 2000];
        while self.rtc.is_alive() {
            let deadline = self.drain().await?;
            if self.write()? {
                continue;
            }
            let may_send = self.channel.is_some() && self.waiting.is_none();
            tokio::select! {
                biased;
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, source) = received?;
                    let contents = (&buffer[..length]).try_into()?;
                    let receive = Receive { proto: Protocol::Udp, source, destination: local, contents };
                    self.rtc.handle_input(Input::Receive(Instant::now(), receive))?;
                }
                next = self.queue.recv(), if may_send => match next {
                    Some(piece) => self.waiting = Some(piece),
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(deadline.into()) => self.rtc.handle_input(Input::Timeout(Instant::now()))?,
            }
        }
        Ok(())
    }

    /// Whether something was written, so that there is more to drain.
    fn write(&mut self) -> Result<bool> {
        let Some((piece, id)) = self.waiting.take().zip(self.channel) else {
            return Ok(false);
        };
        let mut channel = self.rtc.channel(id).context("the channel is closed")?;
        let written = channel.write(true, &piece)?;
        if !written {
            self.waiting = Some(piece);
        }
        Ok(written)
    }

    async fn drain(&mut self) -> Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => return Ok(deadline),
                Output::Transmit(transmit) => {
                    self.socket.send_to(&transmit.contents, transmit.destination).await?;
                }
                Output::Event(Event::ChannelOpen(id, _)) => {
                    self.channel = Some(id);
                    if let Some(opened) = self.opened.take() {
                        let _ = opened.send(());
                    }
                }
                Output::Event(Event::ChannelData(data)) => drop(self.arrived.send(data.data.into())),
                Output::Event(_) => {}
            }
        }
    }
}
