//! Set-ups that cannot succeed: the error names the stage and what to do.

use crosspeer_tests::lab::{Lab, Nat, STUN, Site, TURN};

async fn failure(relay: &str, options: &str, echoing: &Site, pinging: &Site) -> String {
    let mut echo = echoing.crosspeer(format!("echo --relay {relay} --timeout 5 {options}"));
    let uuid = echo.uuid().await;
    let started = std::time::Instant::now();
    let message = pinging
        .crosspeer(format!(
            "ping --relay {relay} --peer {uuid} --timeout 5 --count 1 {options}"
        ))
        .fails()
        .await;
    println!("after {:?}", started.elapsed());
    message
}

#[tokio::test]
async fn symmetric_nats_without_turn_fail_at_ice_and_name_turn() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Symmetric), lab.site(Nat::Symmetric));
    let message = failure(&relay, STUN, &a, &b).await;
    assert!(
        message.contains("ICE stage") && message.contains("configure a TURN server"),
        "{message}"
    );
}

#[tokio::test]
async fn blocked_udp_fails_at_ice() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::UdpBlocked), lab.site(Nat::Cone));
    let message = failure(&relay, TURN, &a, &b).await;
    assert!(message.contains("ICE stage"), "{message}");
}

#[tokio::test]
async fn a_wrong_turn_password_is_told() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let (a, b) = (lab.site(Nat::Symmetric), lab.site(Nat::Symmetric));
    let message = failure(&relay, &TURN.replace("correct", "wrong"), &a, &b).await;
    assert!(message.contains("ICE stage"), "{message}");
}
