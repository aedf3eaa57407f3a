//! Paths that carry less than Ethernet's 1,500 bytes: tunnels, VPNs, mobile networks, and one that changes meanwhile.

use crosspeer_tests::lab::{Lab, Nat, STUN, Site, folder};
use std::fs;

const LARGEST: usize = 4 << 20;

/// Some files go from one site to another; `meanwhile` happens once the first has.
async fn files_arrive([receiving, sending]: [&Site; 2], relay: &str, options: &str, meanwhile: impl FnOnce()) {
    let folder = folder(&format!("mtu-{}", number()));
    let received = folder.join("received");
    let sizes = [1, 900, 1_200, 62_000, 200_000, LARGEST];
    let content: Vec<u8> = (0..LARGEST).map(|i| (i * 31 % 251) as u8).collect();
    let mut paths = String::new();
    for size in sizes {
        let path = folder.join(format!("{size}.bin"));
        fs::write(&path, &content[..size]).expect("the file can be written");
        paths += &format!(" {}", path.display());
    }
    let dir = received.display();
    let mut receive = receiving.crosspeer(format!("receive --relay {relay} --dir {dir} {options}"));
    let peer = receive.uuid().await;
    let mut send = sending.crosspeer(format!("send --relay {relay} --peer {peer} {options}{paths}"));
    send.event("sent").await;
    meanwhile();
    send.succeeds().await;
    drop(receive);
    for size in sizes {
        let file = fs::read(received.join(format!("{size}.bin"))).expect("it was received");
        assert!(file == content[..size], "the file of {size} bytes has changed");
    }
    fs::remove_dir_all(folder).expect("it can be removed");
}

fn number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Relaxed)
}

#[tokio::test]
async fn every_path_mtu_from_1500_to_1000_carries_everything() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Cone), lab.site(Nat::Cone));
    for mtu in [1500, 1280, 1257, 1240, 1200, 1000] {
        println!("{mtu}");
        a.set_mtu(mtu);
        b.set_mtu(mtu);
        files_arrive([&a, &b], &relay, STUN, || {}).await;
        files_arrive([&b, &a], &relay, STUN, || {}).await;
    }
}

#[tokio::test]
async fn a_host_whose_own_link_carries_less_sends_everything() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    let (a, b) = (lab.site(Nat::None), lab.site(Nat::None));
    for mtu in [1280, 1240, 1000] {
        a.set_mtu(mtu);
        b.set_mtu(mtu);
        files_arrive([&a, &b], &relay, "--no-stun", || {}).await;
    }
}

#[tokio::test]
async fn ipv6s_smallest_mtu_carries_everything() {
    let Some(mut lab) = Lab::new() else { return };
    lab.relay().await;
    let relay = "ws://[2001:db8::1]:8700";
    let (a, b) = (lab.site(Nat::Ipv6Only), lab.site(Nat::Ipv6Only));
    a.set_mtu(1280);
    b.set_mtu(1280);
    files_arrive([&a, &b], relay, "--no-stun", || {}).await;
}

#[tokio::test]
async fn a_path_whose_mtu_falls_during_a_transfer_goes_on() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Cone), lab.site(Nat::Cone));
    files_arrive([&a, &b], &relay, STUN, || {
        a.set_mtu(1000);
        b.set_mtu(1000);
    })
    .await;
}
