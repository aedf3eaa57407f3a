//! What `crosspeer doctor` tells in networks of several kinds.

use crosspeer_tests::lab::{Lab, Nat, Site, TURN};

async fn doctor(relay: &str, site: &Site) {
    let stun = "--stun stun:203.0.113.1:3478 --stun stun:203.0.113.2:3478";
    let turn = TURN.replace("--no-stun", "");
    let (code, events) = site
        .crosspeer(format!("doctor --relay {relay} --timeout 1 {stun} {turn}"))
        .end()
        .await;
    println!("ended with {code}");
    for event in events {
        println!("   {event}");
    }
}

#[tokio::test]
async fn doctor_names_the_network() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    for nat in [
        Nat::None,
        Nat::Cone,
        Nat::Symmetric,
        Nat::UdpBlocked,
        Nat::StunBlocked,
        Nat::Loopback,
        Nat::Ipv6Only,
    ] {
        println!("{nat:?}");
        let site = lab.site(nat);
        doctor(&relay, &site).await;
    }
}
