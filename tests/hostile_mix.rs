//! A stranger's worst, in any mix, against what is meant to run unattended: `echo`, `receive`, `share` and the relay. Each
//! must stay below 80 MiB, and an honest peer must connect within 2 s all the while.
//!
//! ```text
//! hostile-mix CROSSPEER SECONDS [LONGEST_MS MOST_MIB]
//! ```
//! `LONGEST_MS`: how long an honest peer may take, if not 2 s. `MOST_MIB`: what each may have, if not 80 MiB.

use crosspeer::description::Description;
use crosspeer::platform::{SdpType, SessionDescription};
use crosspeer::relay::{DescriptionType, PeerConnectionMessage, RelayMessage};
use crosspeer_native::{Config, PeerManager, Proxy};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use std::collections::VecDeque;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const MOST_BYTES: usize = 80 << 20;
const LONGEST: Duration = Duration::from_secs(2);

/// A program under attack.
struct Victim {
    name: &'static str,
    child: Child,
    most: usize,
}

impl Victim {
    /// Starts it, and gives what it said when it was ready.
    async fn start(name: &'static str, crosspeer: &str, args: &[&str]) -> Result<(Self, Value), Failure> {
        let mut command = Command::new(crosspeer);
        command.args(args).args(["--json"]).kill_on_drop(true);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let first = lines.next_line().await?.ok_or("it ended")?;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let most = 0;
        Ok((Self { name, child, most }, serde_json::from_str(&first)?))
    }

    fn measure(&mut self) -> Result<(), Failure> {
        let pid = self.child.id().ok_or_else(|| format!("{} has ended", self.name))?;
        let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
        let pages: usize = statm.split(' ').nth(1).ok_or("no figure")?.parse()?;
        self.most = self.most.max(pages * 4096);
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} has ended: {status}", self.name).into()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    let (crosspeer, seconds, longest, most_bytes) = match args.as_slice() {
        [_, crosspeer, seconds] => (crosspeer, seconds.parse()?, LONGEST, MOST_BYTES),
        [_, crosspeer, seconds, longest, most] => {
            let longest = Duration::from_millis(longest.parse()?);
            (crosspeer, seconds.parse()?, longest, most.parse::<usize>()? << 20)
        }
        _ => return Err("usage: hostile-mix CROSSPEER SECONDS [LONGEST_MS MOST_MIB]".into()),
    };
    let folder = std::env::temp_dir().join(format!("crosspeer-hostile-{}", Uuid::new_v4().simple()));
    std::fs::create_dir_all(&folder)?;
    let dir = folder.to_str().ok_or("a path")?;

    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new(crosspeer);
    let relay = command.args(["relay", "--host", "127.0.0.1", "--port", &port.to_string()]);
    let relay = relay.stdout(Stdio::null()).kill_on_drop(true).spawn()?;
    let relay = Victim {
        name: "relay",
        child: relay,
        most: 0,
    };
    let url = format!("ws://127.0.0.1:{port}");
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
    let at = ["--no-stun", "--relay", &url];
    let (echo, of_echo) = Victim::start("echo", crosspeer, &[&["echo"][..], &at].concat()).await?;
    let (receive, of_receive) =
        Victim::start("receive", crosspeer, &[&["receive", "--dir", dir][..], &at].concat()).await?;
    let share = ["share", dir, "--listen", "127.0.0.1:0", "--token", "right"];
    let (share, of_share) = Victim::start("share", crosspeer, &share).await?;
    let uuid = |of: &Value| of["uuid"].as_str().and_then(|text| text.parse::<Uuid>().ok());
    let targets = [uuid(&of_echo), uuid(&of_receive)].map(Option::unwrap_or_default);
    let page = of_share["url"].as_str().unwrap_or_default();
    let page = page
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap_or_default()
        .to_owned();

    for target in targets {
        tokio::spawn(empty_offers(url.clone(), target));
        tokio::spawn(many_candidates(url.clone(), target));
        tokio::spawn(thefts(url.clone(), target));
        for size in [100_000, 1 << 20, 4 << 20] {
            tokio::spawn(floods(url.clone(), target, size));
        }
        tokio::spawn(full_hands(url.clone(), target));
    }
    tokio::spawn(idle_sockets(url.clone()));
    tokio::spawn(nonsense(url.clone()));
    tokio::spawn(idle_sockets(format!("ws://{page}/relay?token=right")));
    tokio::spawn(guesses(page.clone()));
    tokio::spawn(half_requests(page));

    let mut victims = [relay, echo, receive, share];
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(seconds) {
        slowest = slowest.max(honest(&url, targets[0]).await?);
        for victim in &mut victims {
            victim.measure()?;
        }
        sleep(Duration::from_millis(500)).await;
    }
    let mut wrong = Vec::new();
    println!("slowest honest connection: {} ms", slowest.as_millis());
    if slowest > longest {
        wrong.push(format!("an honest peer took {slowest:?}"));
    }
    for Victim { name, most, .. } in &victims {
        println!("{name}: {} MiB at most", most >> 20);
        if *most > most_bytes {
            wrong.push(format!("{name} grew to {} MiB", most >> 20));
        }
    }
    for victim in &mut victims {
        victim.child.kill().await?;
    }
    std::fs::remove_dir_all(&folder)?;
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("; ").into()),
    }
}

fn config() -> Config {
    let config = Config::default().with_ice_servers([]).with_proxy(Proxy::None);
    config.with_connect_timeout(Duration::from_secs(20))
}

/// How long an honest peer takes to connect and hear its echo.
async fn honest(url: &str, target: Uuid) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let peer = PeerManager::join(url, config()).await?;
    let connection = peer.connect(target).await?;
    let took = begun.elapsed();
    if !connection.is_verified() {
        return Err("it is not verified".into());
    }
    connection.send("honest").await?;
    timeout(Duration::from_secs(20), connection.recv()).await??;
    peer.close().await?;
    Ok(took)
}

/// A client of the relay with an id of its own, registered.
async fn registered(
    url: &str,
    uuid: Uuid,
) -> Option<tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<TcpStream>>> {
    let (mut socket, _) = connect_async(url).await.ok()?;
    let text = format!(r#"{{"name": "x", "uuid": "{uuid}", "message_type": "relay_registration"}}"#);
    socket.send(Message::text(text)).await.ok()?;
    socket.next().await?.ok()?;
    Some(socket)
}

async fn offer(url: &str, target: Uuid, more: &str) -> Option<()> {
    let source_uuid = Uuid::new_v4();
    let mut socket = registered(url, source_uuid).await?;
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sctp-port:5000\r\n\
         a=ice-ufrag:{}\r\na=ice-pwd:0123456789abcdef0123456789abcdef\r\na=setup:actpass\r\n\
         a=fingerprint:sha-256 {}\r\n{more}",
        &source_uuid.simple().to_string()[..8],
        ["AB"; 32].join(":"),
    );
    let sdp_type = SdpType::Offer;
    let message = PeerConnectionMessage {
        source_uuid,
        source_name: "x".into(),
        peer_uuid: target,
        description_type: DescriptionType::Offer,
        description: Description::Session(SessionDescription { sdp_type, sdp }).encode(),
        error: None,
    };
    let text = RelayMessage::PeerConnection(message).encode();
    socket.send(Message::text(text)).await.ok()
}

async fn empty_offers(url: String, target: Uuid) {
    loop {
        offer(&url, target, "").await;
        sleep(Duration::from_millis(30)).await;
    }
}

async fn many_candidates(url: String, target: Uuid) {
    let candidates: String = (0..1000)
        .map(|n| {
            format!(
                "a=candidate:{n} 1 udp 1 127.0.{}.{} 9 typ host\r\n",
                n / 250,
                1 + n % 250
            )
        })
        .collect();
    loop {
        offer(&url, target, &candidates).await;
        sleep(Duration::from_millis(200)).await;
    }
}

/// Registers the target's own id.
async fn thefts(url: String, target: Uuid) {
    loop {
        let _ = registered(&format!("{url}/?resume=thief"), target).await;
        sleep(Duration::from_millis(100)).await;
    }
}

/// Connects, and sends large messages without reading what comes back.
async fn floods(url: String, target: Uuid, size: usize) {
    loop {
        if let Ok(peer) = PeerManager::join(&url, config()).await {
            let message = vec![0x1b; size];
            while peer.send(target, message.clone()).await.is_ok() {}
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Connects as often as it may, and has each connection hold all that it can.
async fn full_hands(url: String, target: Uuid) {
    let mut kept = Vec::new();
    while kept.len() < 24 {
        if let Ok(peer) = PeerManager::join(&url, config()).await {
            let message = vec![0x1b; 300_000];
            while let Ok(Ok(())) = timeout(Duration::from_secs(2), peer.send(target, message.clone())).await {}
            kept.push(peer);
        }
    }
    std::future::pending().await
}

/// From another address than the honest peer's: the relay's limits are for each.
async fn from_elsewhere(url: &str) -> Result<tokio_tungstenite::WebSocketStream<TcpStream>, Failure> {
    let host = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 2], 0).into())?;
    let stream = socket.connect(host.parse()?).await?;
    Ok(tokio_tungstenite::client_async(url, stream).await?.0)
}

/// Sockets that never register.
async fn idle_sockets(url: String) {
    let mut kept = VecDeque::new();
    loop {
        match from_elsewhere(&url).await {
            Ok(socket) => kept.push_back(socket),
            Err(_) => drop(kept.pop_front()),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Long names, and what is no message.
async fn nonsense(url: String) {
    let name = "x".repeat(1 << 20);
    let long = format!(
        r#"{{"name": "{name}", "uuid": "{}", "message_type": "relay_registration"}}"#,
        Uuid::new_v4()
    );
    loop {
        for text in [&long, "{", "\u{1b}[2J\n"] {
            if let Ok((mut socket, _)) = connect_async(&url).await {
                let _ = socket.send(Message::text(text)).await;
                let _ = timeout(Duration::from_secs(1), socket.next()).await;
            }
        }
    }
}

async fn guesses(page: String) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(&page).await {
            let request = format!(
                "GET /config.json?token={} HTTP/1.1\r\nHost: {page}\r\n\r\n",
                Uuid::new_v4()
            );
            let _ = stream.write_all(request.as_bytes()).await;
            let mut answer = [0; 64];
            let _ = timeout(
                Duration::from_secs(1),
                tokio::io::AsyncReadExt::read(&mut stream, &mut answer),
            )
            .await;
        }
    }
}

/// Requests that are never finished.
async fn half_requests(page: String) {
    let mut kept = VecDeque::new();
    loop {
        if let Ok(mut stream) = TcpStream::connect(&page).await {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await;
            kept.push_back(stream);
        }
        if kept.len() > 500 {
            kept.pop_front();
        }
        sleep(Duration::from_millis(20)).await;
    }
}
