//! Set-ups that cannot succeed: the error names the stage and what to do, no later than it was given time.

use crosspeer_tests::lab::{Lab, Nat, STUN, TURN};

/// What a peer is told that cannot reach another over these networks.
async fn failure(networks: [Nat; 2], options: &str) -> Option<String> {
    let mut lab = Lab::new()?;
    let relay = lab.relay().await;
    lab.turn().await;
    let [echoing, pinging] = networks.map(|nat| lab.site(nat));
    let mut echo = echoing.crosspeer(format!("echo --relay {relay} --timeout 3 {options}"));
    let peer = echo.uuid().await;
    let ping = pinging.crosspeer(format!(
        "ping --relay {relay} --peer {peer} --timeout 3 --count 1 {options}"
    ));
    Some(ping.fails().await)
}

fn assert_ice_and_turn_are_named(message: &str) {
    assert!(message.contains("at the ICE stage"), "{message}");
    assert!(message.contains("configure a TURN server"), "{message}");
}

#[tokio::test]
async fn peers_behind_symmetric_nats_are_told_to_configure_a_turn_server() {
    let networks = [Nat::Symmetric, Nat::Symmetric];
    let Some(message) = failure(networks, STUN).await else {
        return;
    };
    assert_ice_and_turn_are_named(&message);
}

#[tokio::test]
async fn a_symmetric_nat_and_a_port_restricted_one_need_a_turn_server_too() {
    let networks = [Nat::Cone, Nat::Symmetric];
    let Some(message) = failure(networks, STUN).await else {
        return;
    };
    assert_ice_and_turn_are_named(&message);
}

#[tokio::test]
async fn a_wrong_turn_password_is_a_failure_of_ice() {
    let wrong = TURN.replace("correct", "wrong");
    let networks = [Nat::Symmetric, Nat::Symmetric];
    let Some(message) = failure(networks, &wrong).await else {
        return;
    };
    assert_ice_and_turn_are_named(&message);
    let named = "turn:203.0.113.1:3478: it refused the user name or password (401";
    assert!(message.contains(named), "{message}");
}

#[tokio::test]
async fn a_network_that_lets_no_udp_through_is_a_failure_of_ice() {
    let networks = [Nat::None, Nat::UdpBlocked];
    for (options, named) in [
        (STUN, ""),
        (TURN, "turn:203.0.113.1:3478: no answer"),
        (
            "--no-stun --turn turn:203.0.113.1:9?transport=tcp --turn-user u --turn-password p",
            "turn:203.0.113.1:9?transport=tcp: Connection refused",
        ),
    ] {
        let Some(message) = failure(networks, options).await else {
            return;
        };
        assert!(message.contains("at the ICE stage"), "{message}");
        assert!(message.contains(named), "{message}");
    }
}
