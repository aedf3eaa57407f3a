//! Two hosts on the Internet, behind routers of several kinds: what connects, and what a connection survives.

use crosspeer_tests::lab::{Lab, Nat, STUN, Site, TURN, folder};
use std::fs;

/// Two peers ping each other with these options; gives the set-up time in milliseconds.
async fn ping(relay: &str, options: &str, echoing: &Site, pinging: &Site) -> f64 {
    let mut echo = echoing.crosspeer(format!("echo --relay {relay} {options}"));
    let uuid = echo.uuid().await;
    let ping = pinging.crosspeer(format!(
        "ping --relay {relay} --peer {uuid} --count 3 --interval 20 {options}"
    ));
    let events = ping.succeeds().await;
    let connected = events
        .iter()
        .find(|event| event["type"] == "connected")
        .expect("it has connected");
    let took = connected["ms"].as_f64().expect("milliseconds");
    println!(
        "connected in {took} ms with {options}: {}",
        events.last().expect("statistics")
    );
    took
}

/// A file goes from one host to the other, byte for byte.
async fn send_file(relay: &str, options: &str, receiving: &Site, sending: &Site, bytes: usize) {
    let folder = folder(&format!("file-{bytes}"));
    let (file, received) = (folder.join("file.bin"), folder.join("received"));
    let content: Vec<u8> = (0..bytes).map(|i| (i * 31 % 251) as u8).collect();
    fs::write(&file, &content).expect("the file can be written");
    let mut receive = receiving.crosspeer(format!(
        "receive --relay {relay} --dir {} --once {options}",
        received.display()
    ));
    let uuid = receive.uuid().await;
    let started = std::time::Instant::now();
    sending
        .crosspeer(format!(
            "send --relay {relay} --peer {uuid} {options} {}",
            file.display()
        ))
        .succeeds()
        .await;
    receive.succeeds().await;
    println!(
        "{bytes} bytes in {:?}, start and end of the processes included",
        started.elapsed()
    );
    assert!(
        fs::read(received.join("file.bin")).expect("it was received") == content,
        "the file has changed"
    );
    fs::remove_dir_all(folder).expect("it can be removed");
}

#[tokio::test]
async fn peers_behind_cone_nats_meet_by_stun() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Cone), lab.site(Nat::Cone));
    ping(&relay, STUN, &a, &b).await;
}

#[tokio::test]
async fn peers_behind_symmetric_nats_send_a_file_through_a_turn_server() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Symmetric), lab.site(Nat::Symmetric));
    ping(&relay, TURN, &a, &b).await;
    send_file(&relay, TURN, &a, &b, 1 << 20).await;
}

#[tokio::test]
async fn a_turn_server_on_one_side_is_enough() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Symmetric), lab.site(Nat::Cone));
    let mut echo = a.crosspeer(format!("echo --relay {relay} {TURN}"));
    let uuid = echo.uuid().await;
    b.crosspeer(format!(
        "ping --relay {relay} --peer {uuid} --count 3 --interval 20 {STUN}"
    ))
    .succeeds()
    .await;
}

#[tokio::test]
async fn peers_without_an_answer_from_stun_meet_all_the_same() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::StunBlocked), lab.site(Nat::None));
    ping(&relay, "--no-stun", &a, &b).await;
    ping(&relay, STUN, &a, &b).await;
    ping(&relay, "--stun stun:203.0.113.99:3478", &a, &b).await;
}

#[tokio::test]
async fn peers_with_ipv6_only_meet() {
    let Some(mut lab) = Lab::new() else { return };
    lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Ipv6Only), lab.site(Nat::Ipv6Only));
    ping("ws://[2001:db8::1]:8700", "--no-stun", &a, &b).await;
    ping("ws://[2001:db8::1]:8700", "--stun stun:[2001:db8::1]:3478", &a, &b).await;
    ping("ws://[2001:db8::1]:8700", STUN, &a, &b).await;
}

#[tokio::test]
async fn peers_of_one_host_without_a_network_meet() {
    let Some(mut lab) = Lab::new() else { return };
    let mut host = lab.site(Nat::Loopback);
    let relay = host.relay().await;
    ping(&relay, "--no-stun", &host, &host).await;
    ping(&relay, STUN, &host, &host).await;
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
async fn both_notice_that_the_line_is_cut_and_not_that_the_relay_is_gone() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    let (a, b) = (lab.site(Nat::None), lab.site(Nat::None));
    let mut echo = a.crosspeer(format!("echo --relay {relay} --no-stun"));
    let uuid = echo.uuid().await;
    let mut ping = b.crosspeer(format!(
        "ping --relay {relay} --peer {uuid} --count 1000 --interval 20 --no-stun"
    ));
    ping.event("pong").await;
    lab.end_relay();
    for _ in 0..50 {
        ping.event("pong").await;
    }
    let cut = std::time::Instant::now();
    b.unplug();
    let lost = ping.fails().await;
    println!("ping: {lost} after {:?}", cut.elapsed());
    let closed = echo.event("peer-closed").await;
    println!("echo: {closed} after {:?}", cut.elapsed());
}
