//! Two hosts of an emulated Internet, behind routers of several kinds: what connects, and what a connection survives.

use crosspeer_tests::lab::{Event, Lab, Nat, SERVERS, STUN, Site, TURN, certificate, folder};
use std::fs;
use std::time::Instant;

/// One peer pings another, each with these options for its servers.
async fn ping(relay: &str, (echoing, its): (&Site, &str), (pinging, own): (&Site, &str)) {
    let mut echo = echoing.crosspeer(format!("echo --relay {relay} {its}"));
    let peer = echo.uuid().await;
    let ping = pinging.crosspeer(format!(
        "ping --relay {relay} --peer {peer} --count 3 --interval 20 {own}"
    ));
    let events = ping.succeeds().await;
    println!("{own}: {} {}", events[0], events.last().expect("statistics"));
}

/// A file goes from one host to another, byte for byte.
async fn send_file(relay: &str, options: &str, receiving: &Site, sending: &Site, bytes: usize) {
    let folder = folder(&format!("file-{bytes}"));
    let (file, received) = (folder.join("file.bin"), folder.join("received"));
    let content: Vec<u8> = (0..bytes).map(|i| (i * 31 % 251) as u8).collect();
    fs::write(&file, &content).expect("the file can be written");
    let (path, dir) = (file.display(), received.display());
    let mut receive = receiving.crosspeer(format!("receive --relay {relay} --dir {dir} --once {options}"));
    let peer = receive.uuid().await;
    let started = Instant::now();
    let mut send = sending.crosspeer(format!("send --relay {relay} --peer {peer} {options} {path}"));
    send.event("sent").await;
    println!("{bytes} bytes in {:?}, set-up included", started.elapsed());
    send.succeeds().await;
    receive.succeeds().await;
    assert!(
        fs::read(received.join("file.bin")).expect("it was received") == content,
        "the file has changed"
    );
    fs::remove_dir_all(folder).expect("it can be removed");
}

/// How each is reached from each, when all that anyone is told is the relay's URL.
#[tokio::test]
async fn a_relays_url_is_enough_wherever_both_are() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay_with("--turn").await;
    let kinds = [
        Nat::None,
        Nat::FullCone,
        Nat::AddressRestricted,
        Nat::Cone,
        Nat::Symmetric,
        Nat::UdpBlocked,
        Nat::UdpBlocked,
    ];
    let mut sites = Vec::new();
    for kind in kinds {
        let site = lab.site(kind);
        let mut echo = site.crosspeer(format!("echo --relay {relay}"));
        let peer = echo.uuid().await;
        sites.push((kind, site, echo, peer));
    }
    let mut pings = Vec::new();
    for (at, (from, site, ..)) in sites.iter().enumerate() {
        for (to, .., peer) in &sites[at + 1..] {
            let ping = site.crosspeer(format!("ping --relay {relay} --peer {peer} --count 3 --interval 20"));
            pings.push((*from, *to, ping));
        }
    }
    for (from, to, ping) in pings {
        let events = ping.succeeds().await;
        println!("{from:?} to {to:?}: {} in {} ms", events[0]["path"], events[0]["ms"]);
        let relayed = to == Nat::UdpBlocked || (from, to) == (Nat::Cone, Nat::Symmetric);
        assert_eq!(
            events[0]["path"],
            if relayed { "relayed" } else { "direct" },
            "{from:?} to {to:?}"
        );
    }
}

/// The first event of a ping that is told nothing but the relay's URL, and these options.
async fn connected(relay: &str, echoing: &Site, pinging: &Site, options: &str) -> Event {
    let mut echo = echoing.crosspeer(format!("echo --relay {relay} {options}"));
    let peer = echo.uuid().await;
    let ping = pinging.crosspeer(format!(
        "ping --relay {relay} --peer {peer} --count 3 --interval 20 {options}"
    ));
    ping.succeeds().await.swap_remove(0)
}

/// Nothing gets out but HTTPS; so the relay is at its port, with a certificate.
#[tokio::test]
async fn tls_to_port_443_is_enough_on_both_sides() {
    let Some(mut lab) = Lab::new() else { return };
    let folder = folder("certificate");
    let pem = certificate(&folder);
    lab.relay_with(&format!("--turn --port 443 --certfile {pem}")).await;
    let relay = format!("wss://{}", SERVERS[0]);
    let (a, b) = (lab.site(Nat::OnlyHttps), lab.site(Nat::OnlyHttps));
    let event = connected(&relay, &a, &b, &format!("--ca {pem}")).await;
    assert_eq!(event["path"], "relayed", "{event}");
    fs::remove_dir_all(folder).expect("it can be removed");
}

#[tokio::test]
async fn with_ipv6_only_a_turn_server_is_reached_too() {
    let Some(mut lab) = Lab::new() else { return };
    lab.relay_with("--turn").await;
    let relay = "ws://[2001:db8::1]:8700";
    let (a, b) = (lab.site(Nat::Ipv6Only), lab.site(Nat::Ipv6Only));
    assert_eq!(connected(relay, &a, &b, "").await["path"], "direct");
    assert_eq!(connected(relay, &a, &b, "--relay-only").await["path"], "relayed");
}

/// coturn, of whose secret the relay knows.
#[tokio::test]
async fn another_turn_server_takes_the_relays_credentials() {
    let Some(mut lab) = Lab::new() else { return };
    let folder = folder("secret");
    let secret = folder.join("secret");
    fs::write(&secret, "north\n").expect("writable");
    lab.turn_with("--use-auth-secret --static-auth-secret=north").await;
    let url = format!("turn:{}:3478?transport", SERVERS[0]);
    let relay = lab
        .relay_with(&format!(
            "--turn-secret-file {} --turn-url {url}=udp --turn-url {url}=tcp",
            secret.display()
        ))
        .await;
    let (open, closed) = (lab.site(Nat::Symmetric), lab.site(Nat::UdpBlocked));
    assert_eq!(connected(&relay, &open, &closed, "").await["path"], "relayed");
    fs::remove_dir_all(folder).expect("it can be removed");
}

#[tokio::test]
async fn peers_behind_cone_nats_meet_by_stun() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Cone), lab.site(Nat::Cone));
    ping(&relay, (&a, STUN), (&b, STUN)).await;
}

#[tokio::test]
async fn peers_behind_symmetric_nats_send_a_file_through_a_turn_server() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Symmetric), lab.site(Nat::Symmetric));
    ping(&relay, (&a, TURN), (&b, TURN)).await;
    send_file(&relay, TURN, &a, &b, 1 << 20).await;
}

#[tokio::test]
async fn a_turn_server_of_one_side_is_enough() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Symmetric), lab.site(Nat::Cone));
    ping(&relay, (&a, TURN), (&b, STUN)).await;
    ping(&relay, (&a, STUN), (&b, TURN)).await;
}

#[tokio::test]
async fn peers_meet_when_no_stun_server_answers() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    let (a, b) = (lab.site(Nat::StunBlocked), lab.site(Nat::None));
    ping(&relay, (&b, "--no-stun"), (&a, "--no-stun")).await;
    ping(&relay, (&b, "--no-stun"), (&a, STUN)).await;
    ping(&relay, (&b, STUN), (&a, STUN)).await;
}

#[tokio::test]
async fn hosts_with_ipv6_only_meet() {
    let Some(mut lab) = Lab::new() else { return };
    lab.relay().await;
    let relay = "ws://[2001:db8::1]:8700";
    let (a, b) = (lab.site(Nat::Ipv6Only), lab.site(Nat::Ipv6Only));
    ping(relay, (&a, "--no-stun"), (&b, "--no-stun")).await;
    ping(relay, (&a, STUN), (&b, STUN)).await;
}

#[tokio::test]
async fn peers_of_one_host_without_a_network_meet() {
    let Some(mut lab) = Lab::new() else { return };
    let mut host = lab.site(Nat::Loopback);
    let relay = host.relay().await;
    ping(&relay, (&host, STUN), (&host, STUN)).await;
}

#[tokio::test]
async fn a_file_arrives_whole_where_packets_are_lost() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Lossy(2)), lab.site(Nat::None));
    send_file(&relay, STUN, &a, &b, 4 << 20).await;
}

#[tokio::test]
async fn it_is_noticed_that_the_link_is_down_but_not_that_the_relay_is_gone() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    let (a, b) = (lab.site(Nat::None), lab.site(Nat::None));
    let mut echo = a.crosspeer(format!("echo --relay {relay} --no-stun"));
    let peer = echo.uuid().await;
    let mut ping = b.crosspeer(format!(
        "ping --relay {relay} --peer {peer} --count 1000000 --interval 20 --no-stun"
    ));
    ping.event("pong").await;
    lab.end_relay();
    for _ in 0..50 {
        ping.event("pong").await;
    }
    b.take_down();
    let lost = ping.fails().await;
    assert!(
        lost.starts_with("connection lost: the path to the peer is lost"),
        "{lost}"
    );
}
