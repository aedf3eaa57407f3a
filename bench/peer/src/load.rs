//! The load of a relay: clients that speak ProxyStore's protocol to any relay, and what that relay uses meanwhile.
//!
//! They share the machine with the relay, so they do as little as they can: a batch of frames is made once and written
//! as it is, and of what arrives only the frames' headers are read.

use anyhow::{Context as _, Result, bail};
use bench_stack::{Options, usage_of};
use clap::{Args, ValueEnum};
use crosspeer::relay::{DescriptionType, PeerConnectionMessage, Registration, RelayMessage};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use futures_util::{SinkExt as _, future};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

/// Messages of a pair that are on their way at once; a mailbox of our relay holds 64.
const WINDOW: u64 = 32;
/// Clients that are connected at the same time.
const AT_ONCE: usize = 50;
/// Before the clock starts.
const WARM_UP: Duration = Duration::from_millis(500);

/// Be many clients of a relay, and measure it.
#[derive(Args)]
pub struct Load {
    what: What,
    /// The relay's URL, ws://…
    #[arg(long)]
    relay: String,
    /// The relay's process
    #[arg(long)]
    process: u32,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Pairs of clients, of which one sends to the other
    Forward,
    /// Clients that do nothing but answer pings
    Crowd,
}

/// Measures, and prints one JSON object.
pub async fn load(load: Load) -> Result<()> {
    let result = match load.what {
        What::Forward => forward(&load).await?,
        What::Crowd => crowd(&load).await?,
    };
    println!("{result}");
    std::process::exit(0)
}

async fn forward(load: &Load) -> Result<Value> {
    let arrived = Arc::new(AtomicU64::new(0));
    let joining = (0..load.options.count).map(|_| future::try_join(join(&load.relay), join(&load.relay)));
    let joined: Vec<_> = stream::iter(joining).buffer_unordered(AT_ONCE).try_collect().await?;
    let mut pairs = JoinSet::new();
    for ((from, sender), (to, receiver)) in joined {
        let batch = frame(&message(from, to, load.options.size)).repeat(WINDOW as usize);
        pairs.spawn(pair(sender.into_inner(), receiver.into_inner(), batch, arrived.clone()));
    }
    let measuring = async {
        sleep(WARM_UP).await;
        let (start, first, before) = (Instant::now(), arrived.load(Ordering::Relaxed), used(load, "cpu"));
        sleep(Duration::from_secs_f64(load.options.seconds)).await;
        let (seconds, messages) = (start.elapsed().as_secs_f64(), arrived.load(Ordering::Relaxed) - first);
        json!({"seconds": seconds, "messages": messages, "cpu": used(load, "cpu") - before})
    };
    tokio::select! {
        result = measuring => Ok(result),
        Some(ended) = pairs.join_next() => Err(ended?.err().context("a pair has ended")?),
    }
}

/// Sends batch after batch, each when the one before has arrived.
async fn pair(mut sender: TcpStream, mut receiver: TcpStream, batch: Vec<u8>, arrived: Arc<AtomicU64>) -> Result<()> {
    let (mut buffer, mut filled) = (vec![0; 64 << 10], 0);
    loop {
        sender.write_all(&batch).await?;
        let mut missing = WINDOW;
        while missing > 0 {
            let read = receiver.read(&mut buffer[filled..]).await?;
            if read == 0 {
                bail!("the relay has closed a client");
            }
            filled += read;
            let (texts, taken) = texts(&buffer[..filled]);
            buffer.copy_within(taken..filled, 0);
            filled -= taken;
            missing = missing.checked_sub(texts).context("more has arrived than was sent")?;
            arrived.fetch_add(texts, Ordering::Relaxed);
        }
    }
}

async fn crowd(load: &Load) -> Result<Value> {
    let clients = load.options.count;
    let before = used(load, "rss");
    let joining = (0..clients).map(|_| join(&load.relay));
    let mut joined = stream::iter(joining).buffer_unordered(AT_ONCE);
    while let Some((_, mut socket)) = joined.next().await.transpose()? {
        tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} }); // it answers pings
    }
    sleep(Duration::from_secs(1)).await;
    let cpu = used(load, "cpu");
    sleep(Duration::from_secs_f64(load.options.seconds)).await;
    let cpu = (used(load, "cpu") - cpu) / load.options.seconds;
    Ok(json!({"clients": clients, "bytes": (used(load, "rss") - before) / clients as f64, "cpu": cpu}))
}

/// What the relay has used so far.
fn used(load: &Load, key: &str) -> f64 {
    usage_of(&load.process.to_string())[key].as_f64().unwrap_or(f64::NAN)
}

/// A client that is registered.
async fn join(relay: &str) -> Result<(Uuid, WebSocketStream<TcpStream>)> {
    let address = relay.strip_prefix("ws://").context("not a ws:// URL")?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tokio_tungstenite::client_async(relay, stream).await?;
    let (uuid, name) = (Uuid::new_v4(), "bench".to_owned());
    let registration = RelayMessage::Registration(Registration { name, uuid });
    socket.send(Message::text(registration.encode())).await?;
    let reply = socket.next().await.context("the relay has closed")??;
    match RelayMessage::decode(reply.to_text()?)? {
        RelayMessage::Response(response) if response.success => Ok((uuid, socket)),
        other => bail!("not registered: {other:?}"),
    }
}

/// An offer with as many candidates as make about this many bytes.
fn message(source_uuid: Uuid, peer_uuid: Uuid, size: usize) -> String {
    let encoded = |candidates: usize| {
        let candidate = "a=candidate:f957a2332b1715da3b0ef8ba684454eb 1 udp 2130706431 192.0.2.2 33867 typ host\r\n";
        let sdp = format!(
            "v=0\r\no=- 4004330936 4004330936 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{}",
            candidate.repeat(candidates)
        );
        let message = PeerConnectionMessage {
            source_uuid,
            source_name: "bench".into(),
            peer_uuid,
            description_type: DescriptionType::Offer,
            description: json!({"sdp": sdp, "type": "offer"}).to_string(),
            error: None,
        };
        RelayMessage::PeerConnection(message).encode()
    };
    let fits = |candidates: &usize| encoded(*candidates).len() < size;
    encoded((0..).find(|candidates| !fits(candidates)).unwrap_or(0))
}

/// A client's text frame (RFC 6455 §5.2). It must be masked: with zeros, which change nothing.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// How many whole text frames of a relay these bytes begin with, and the bytes of all whole frames.
fn texts(bytes: &[u8]) -> (u64, usize) {
    let (mut texts, mut at) = (0, 0);
    while let [kind, length, rest @ ..] = &bytes[at..] {
        let end = match (length, rest) {
            (126, [high, low, ..]) => at + 4 + usize::from(u16::from_be_bytes([*high, *low])),
            (..126, _) => at + 2 + usize::from(*length),
            _ => break,
        };
        if end > bytes.len() {
            break;
        }
        texts += u64::from(kind & 0xf == 1);
        at = end;
    }
    (texts, at)
}
