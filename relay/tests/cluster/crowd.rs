//! A crowd of clients in calls with each other while nodes die and are restarted.

use crate::common::nodes::{Balancer, Nats, Process, nats_server};
use crate::common::{SUCCESS, error_in};
use crosspeer::relay::{DescriptionType, PeerConnectionMessage, Registration, RelayMessage};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

const CLIENTS: usize = 1000;
/// The time after which a call that got no answer, no error and no lost connection counts as lost in silence.
const SILENCE: Duration = Duration::from_secs(30);

/// What the crowd has seen.
#[derive(Default)]
struct Seen {
    registered: AtomicUsize,
    registrations: AtomicUsize,
    answered: AtomicUsize,
    unknown: AtomicUsize,
    silent: AtomicUsize,
}

fn id(n: usize) -> Uuid {
    Uuid::from_u128(1 + n as u128)
}

fn message(from: usize, to: Uuid, description_type: DescriptionType) -> Message {
    let message = PeerConnectionMessage {
        source_uuid: id(from),
        source_name: String::new(),
        peer_uuid: to,
        description_type,
        description: "x".repeat(200),
        error: None,
    };
    Message::text(RelayMessage::PeerConnection(message).encode())
}

/// Registers, calls others one after the other, answers; and comes back when it is lost, as clients do.
async fn client(n: usize, relay: SocketAddr, seen: Arc<Seen>, mut end: watch::Receiver<bool>) {
    while !*end.borrow() {
        tokio::select! {
            _ = visit(n, relay, &seen) => sleep(Duration::from_millis(50 + n as u64 % 200)).await, // its backoff
            _ = end.changed() => return,
        }
    }
}

/// One connection, until it is lost.
async fn visit(n: usize, relay: SocketAddr, seen: &Seen) -> Option<()> {
    let stream = TcpStream::connect(relay).await.ok()?;
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{relay}/"), stream)
        .await
        .ok()?;
    let (name, uuid) = (String::new(), id(n));
    let registration = RelayMessage::Registration(Registration { name, uuid }).encode();
    socket.send(Message::text(registration)).await.ok()?;
    while !matches!(socket.next().await?.ok()?, Message::Text(text) if text.as_str() == SUCCESS) {}
    seen.registrations.fetch_add(1, Ordering::Relaxed);
    seen.registered.fetch_add(1, Ordering::Relaxed);
    let _ = calls(n, &mut socket, seen).await;
    seen.registered.fetch_sub(1, Ordering::Relaxed);
    None
}

async fn calls(n: usize, socket: &mut WebSocketStream<TcpStream>, seen: &Seen) -> Option<()> {
    for turn in 1.. {
        let peer = (n + turn * 331) % CLIENTS;
        if peer == n {
            continue;
        }
        socket.send(message(n, id(peer), DescriptionType::Offer)).await.ok()?;
        let answer = timeout(SILENCE, answer(n, peer, socket)).await;
        match answer {
            Ok(answer) if answer? => seen.answered.fetch_add(1, Ordering::Relaxed),
            Ok(_) => seen.unknown.fetch_add(1, Ordering::Relaxed),
            Err(_) => seen.silent.fetch_add(1, Ordering::Relaxed),
        };
        // Whoever has called takes calls for a while.
        let _ = timeout(Duration::from_millis(200), answer_others(n, socket)).await;
    }
    None
}

/// Whether the peer answered; others' offers are answered meanwhile. `None`: the connection is lost.
async fn answer(n: usize, peer: usize, socket: &mut WebSocketStream<TcpStream>) -> Option<bool> {
    loop {
        let Message::Text(text) = socket.next().await?.ok()? else {
            continue;
        };
        let Ok(RelayMessage::PeerConnection(message)) = RelayMessage::decode(&text) else {
            continue;
        };
        match message {
            sent_back if sent_back.source_uuid == id(n) => {
                assert!(error_in(&text).contains("not registered"), "{text}");
                if sent_back.description_type == DescriptionType::Offer && sent_back.peer_uuid == id(peer) {
                    return Some(false);
                }
            }
            answer if answer.description_type == DescriptionType::Answer => return Some(true),
            offer => {
                let reply = self::message(n, offer.source_uuid, DescriptionType::Answer);
                socket.send(reply).await.ok()?;
            }
        }
    }
}

async fn answer_others(n: usize, socket: &mut WebSocketStream<TcpStream>) -> Option<bool> {
    loop {
        answer(n, CLIENTS, socket).await?;
    }
}

/// Waits until everyone is registered and so many more calls were answered.
async fn busy(seen: &Seen, calls: usize) {
    let before = seen.answered.load(Ordering::Relaxed);
    loop {
        let everyone = seen.registered.load(Ordering::Relaxed) == CLIENTS;
        if everyone && seen.answered.load(Ordering::Relaxed) >= before + calls {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_loses_no_call_in_silence_while_a_node_dies_and_others_are_restarted() {
    let Some(_) = nats_server() else { return };
    let program = Path::new(env!("CARGO_BIN_EXE_crosspeer-relay"));
    let nats = Nats::start().await;
    let start = || Process::start(program, &nats.url, &["--drain", "1"]);
    let mut nodes = vec![start().await, start().await, start().await];
    for node in &nodes {
        while TcpStream::connect(node.address).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    let balancer = Balancer::start(nodes.iter().map(|node| node.address).collect()).await;
    let (seen, (over, end)) = (Arc::<Seen>::default(), watch::channel(false));
    let crowd: Vec<_> = (0..CLIENTS)
        .map(|n| tokio::spawn(client(n, balancer.address, seen.clone(), end.clone())))
        .collect();
    busy(&seen, CLIENTS).await;
    let first = seen.registrations.load(Ordering::Relaxed);

    nodes[0].kill().await;
    busy(&seen, CLIENTS).await;
    let second = seen.registrations.load(Ordering::Relaxed);
    assert!(second > first, "its clients came to others");

    // A rolling restart: each node is replaced by a new one.
    for n in [1, 2] {
        let new = start().await;
        while TcpStream::connect(new.address).await.is_err() {
            tokio::task::yield_now().await;
        }
        balancer.nodes.lock().expect("not poisoned")[n] = new.address;
        let mut old = std::mem::replace(&mut nodes[n], new);
        old.terminate().await;
        busy(&seen, CLIENTS / 2).await;
    }
    over.send_replace(true);
    for client in crowd {
        client.await.expect("ends");
    }
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert_eq!(count(&seen.silent), 0, "calls were lost in silence");
    println!(
        "{} calls answered, {} to peers that were away, {} registrations",
        count(&seen.answered),
        count(&seen.unknown),
        count(&seen.registrations)
    );
}
