//! Three nodes that act as one relay, over a real NATS server: the relay's own tests through a plain load balancer, and
//! what may go wrong between nodes.
#![allow(clippy::duplicate_mod)] // the other test programs, as they are
#![allow(clippy::expect_used, clippy::panic)] // clippy sees only `#[test]` functions as tests

#[path = "limits.rs"]
mod limits;
#[path = "protocol.rs"]
mod protocol;

mod common;
#[path = "cluster/crowd.rs"]
mod crowd;

use common::nodes::{Link, Nats, bind, local, nats_server};
use common::{Client, Server, clustered, error_in, offer, registration};
use crosspeer_relay::Relay;
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;

/// Three nodes, each with a way to NATS that can be cut.
struct Trio {
    nats: Nats,
    links: Vec<Link>,
    addresses: Vec<std::net::SocketAddr>,
    hubs: Vec<crosspeer_relay::Hub>,
}

impl Trio {
    async fn start() -> Self {
        let nats = Nats::start().await;
        let mut links = Vec::new();
        for _ in 0..3 {
            links.push(Link::to(nats.port).await);
        }
        let urls: Vec<String> = links.iter().map(|link| link.url.clone()).collect();
        let relays = bind(&local(), &urls).await;
        let trio = Self {
            nats,
            links,
            addresses: relays.iter().map(Relay::local_addr).collect(),
            hubs: relays.iter().map(|relay| relay.hub().clone()).collect(),
        };
        for relay in relays {
            tokio::spawn(relay.serve(std::future::pending()));
        }
        trio
    }

    async fn client(&self, node: usize, n: u8) -> Client {
        Client::registered_at(self.addresses[node], n).await
    }

    /// Waits until all know all again.
    async fn acquainted(&self) {
        for hub in &self.hubs {
            while hub.cluster_state() != (3, true) {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Sends until it arrives; whatever does not is answered by the error for unknown peers. Earlier messages may come late.
async fn until_it_arrives(from: (&mut Client, u8), to: (&mut Client, u8)) {
    let ((a, a_id), (b, b_id)) = (from, to);
    for n in 0.. {
        let text = offer(a_id, b_id, format!("try {n}"));
        a.send(text.clone()).await;
        loop {
            tokio::select! {
                arrived = b.text() => if arrived == text { return },
                error = a.text() => {
                    assert!(error_in(&error).contains("not registered"), "{error}");
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn messages_go_from_node_to_node_in_order_and_the_unknown_are_unknown_at_once() {
    let Some(_) = nats_server() else { return };
    let trio = Trio::start().await;
    let (mut a, mut b) = (trio.client(0, 1).await, trio.client(1, 2).await);
    for n in 0..200 {
        a.send(offer(1, 2, format!("{n}"))).await;
    }
    a.send(offer(1, 9, "nobody")).await;
    for n in 0..200 {
        assert_eq!(b.text().await, offer(1, 2, format!("{n}")));
    }
    assert!(error_in(&a.text().await).contains("not registered"));
    b.send(offer(2, 1, "x".repeat((1 << 20) - offer(2, 1, "").len()))).await;
    assert_eq!(
        a.text().await.len(),
        1 << 20,
        "the largest message fits into the link's"
    );
    drop(b);
    until_gone(&mut a, 1, 2).await;
}

/// Sends until the peer is unknown.
async fn until_gone(client: &mut Client, own: u8, peer: u8) {
    loop {
        client.send(offer(own, peer, "still there?")).await;
        let answer = tokio::time::timeout(std::time::Duration::from_secs(1), client.text()).await;
        if answer.is_ok_and(|text| error_in(&text).contains("not registered")) {
            return;
        }
    }
}

#[tokio::test]
async fn of_two_that_claim_a_uuid_at_once_at_two_nodes_one_has_it() {
    let Some(_) = nats_server() else { return };
    let trio = Trio::start().await;
    let mut caller = trio.client(2, 100).await;
    for n in 1..=20 {
        let (mut a, mut b) = (Client::at(trio.addresses[0]).await, Client::at(trio.addresses[1]).await);
        tokio::join!(a.send(registration(n)), b.send(registration(n)));
        // One is closed as replaced, maybe after it was told that it is registered; the other stays.
        let (ended, mut winner) = tokio::select! {
            ended = a.closed() => (ended, b),
            ended = b.closed() => (ended, a),
        };
        assert_eq!(ended.0, 4004, "{ended:?}");
        caller.send(offer(100, n, "who is it?")).await;
        loop {
            match winner.text().await {
                text if text == common::SUCCESS => {}
                text => break assert_eq!(text, offer(100, n, "who is it?")),
            }
        }
        let registered: usize = trio.hubs.iter().map(crosspeer_relay::Hub::registered).sum();
        assert_eq!(registered, 2, "the caller and one of them");
        drop(winner);
        until_gone(&mut caller, 100, n).await;
    }
}

#[tokio::test]
async fn a_node_that_is_cut_off_loses_nothing_in_silence_and_finds_back() {
    let Some(_) = nats_server() else { return };
    let trio = Trio::start().await;
    let (mut a, mut b) = (trio.client(0, 1).await, trio.client(1, 2).await);
    let mut near_b = trio.client(1, 3).await;
    until_it_arrives((&mut a, 1), (&mut b, 2)).await;
    trio.links[1].cut();
    until_gone(&mut a, 1, 2).await;
    b.send(offer(2, 3, "at home")).await;
    assert_eq!(
        near_b.text().await,
        offer(2, 3, "at home"),
        "its own clients are served"
    );
    until_gone(&mut b, 2, 1).await;
    // Meanwhile the third comes back elsewhere: when both halves meet, the later registration stands.
    let mut moved = trio.client(0, 3).await;
    trio.links[1].mend();
    assert_eq!(near_b.closed().await.0, 4004);
    trio.acquainted().await;
    until_it_arrives((&mut a, 1), (&mut b, 2)).await;
    until_it_arrives((&mut b, 2), (&mut moved, 3)).await;
}

#[tokio::test]
async fn nodes_find_each_other_again_after_nats_was_restarted() {
    let Some(_) = nats_server() else { return };
    let mut trio = Trio::start().await;
    let (mut a, mut b) = (trio.client(0, 1).await, trio.client(1, 2).await);
    until_it_arrives((&mut a, 1), (&mut b, 2)).await;
    trio.nats.kill().await;
    until_gone(&mut a, 1, 2).await;
    let mut late = trio.client(2, 3).await; // is registered, and known once the link is up
    trio.nats = Nats::at(trio.nats.port).await;
    trio.acquainted().await;
    until_it_arrives((&mut a, 1), (&mut b, 2)).await;
    until_it_arrives((&mut b, 2), (&mut late, 3)).await;
}

#[tokio::test]
async fn secrets_hold_between_nodes() {
    let Some(_) = nats_server() else { return };
    let trio = Trio::start().await;
    let with = async |node: usize, secret: &str, n: u8| {
        let url = format!("ws://{}/?resume={secret}", trio.addresses[node]);
        let stream = tokio::net::TcpStream::connect(trio.addresses[node])
            .await
            .expect("connects");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("opens");
        let mut client = Client { socket };
        client.send(registration(n)).await;
        client
    };
    let mut owner = with(0, "own", 1).await;
    assert_eq!(owner.text().await, common::SUCCESS);
    let reading = tokio::spawn(async move {
        loop {
            match owner.socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    for node in [1, 2] {
        assert_eq!(with(node, "other", 1).await.closed().await.0, 4002, "the owner answers");
    }
    let mut again = with(1, "own", 1).await;
    assert_eq!(again.text().await, common::SUCCESS);
    assert_eq!(reading.await.expect("ends"), 4004);
    // Nobody reads `again` any more: it does not answer.
    let mut other = with(2, "other", 1).await;
    assert_eq!(other.text().await, common::SUCCESS);
    assert_eq!(again.closed().await.0, 4004);
}

#[tokio::test]
async fn nats_may_want_tls_and_a_key() {
    let Some(_) = nats_server() else { return };
    let folder = std::env::temp_dir().join(format!("crosspeer-nats-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("writes");
        path
    };
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (cert, key) = (
        write("cert.pem", &certified.cert.pem()),
        write("key.pem", &certified.signing_key.serialize_pem()),
    );
    // A pair of NATS' documentation.
    let seed = write("seed", "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n");
    let user = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    let wanted = format!(
        "tls {{ cert_file: {cert:?}, key_file: {key:?} }}\nauthorization {{ users: [ {{ nkey: {user} }} ] }}\n"
    );
    let wanted = write("nats.conf", &wanted);
    let port = common::nodes::free_port();
    let _nats = Nats::with(port, &["--config", wanted.to_str().expect("UTF-8")]).await;
    let mut config = local();
    config.cluster.ca = Some(cert);
    config.cluster.nkey = Some(seed);
    let url = format!("tls://127.0.0.1:{port}");
    let relays = bind(&config, &[url.clone(), url.clone()]).await; // they have found each other
    config.cluster.nkey = None;
    config.cluster.servers = vec![url];
    let stranger = Relay::bind(config).await.expect("it goes on trying");
    assert_eq!(stranger.hub().cluster_state(), (1, false));
    assert_eq!(relays[0].hub().cluster_state(), (2, true));
    let mut wrong = local();
    wrong.cluster.servers = vec!["nats://me:secret@host:port".into()];
    let error = Relay::bind(wrong).await.expect_err("no URL").to_string();
    assert!(error.contains("NATS") && !error.contains("secret"), "{error}");
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test]
async fn the_load_balancer_spreads_clients() {
    if !clustered() {
        return;
    }
    let relay = Server::start().await;
    let mut clients = Vec::new();
    for n in 1..=6 {
        clients.push(relay.client(n).await);
    }
    assert!(relay.hubs.iter().all(|hub| hub.registered() == 2));
}
