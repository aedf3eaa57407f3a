//! What `crosspeer doctor` tells in networks of several kinds.

use crosspeer_tests::lab::{Event, Lab, Nat, SERVERS, TURN_PASSWORD, TURN_USER};

/// The exit code and the events of `crosspeer doctor`, which is given a relay, two STUN servers and a TURN server.
async fn doctor(nat: Nat, turn_password: &str) -> Option<(i32, Vec<Event>)> {
    let mut lab = Lab::new()?;
    let relay = lab.relay().await;
    lab.turn().await;
    let [first, second] = SERVERS;
    let servers = format!("--stun stun:{first} --stun stun:{second} --turn turn:{first}");
    let credentials = format!("--turn-user {TURN_USER} --turn-password {turn_password}");
    let host = lab.site(nat);
    let doctor = host.crosspeer(format!("doctor --timeout 1 --relay {relay} {servers} {credentials}"));
    let (code, events) = doctor.end().await;
    println!("{nat:?} ended with {code}");
    events.iter().for_each(|event| println!("    {event}"));
    Some((code, events))
}

fn all_of<'a>(events: &'a [Event], kind: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

fn advice(events: &[Event]) -> String {
    let texts = all_of(events, "advice")
        .into_iter()
        .filter_map(|event| event["text"].as_str());
    texts.collect::<Vec<_>>().join("; ")
}

async fn names(nat: Nat, kind: &str, advised: &str) {
    let Some((code, events)) = doctor(nat, TURN_PASSWORD).await else {
        return;
    };
    assert_eq!(code, 0);
    assert_eq!(all_of(&events, "nat")[0]["kind"], kind);
    assert_eq!(all_of(&events, "turn")[0]["ok"], true);
    assert!(advice(&events).contains(advised), "{}", advice(&events));
}

#[tokio::test]
async fn a_public_address_is_no_nat() {
    names(Nat::None, "No NAT", "reachable as it is").await;
}

#[tokio::test]
async fn a_cone_nat_has_an_endpoint_independent_mapping() {
    names(Nat::Cone, "Endpoint-independent mapping", "likely to work").await;
}

#[tokio::test]
async fn a_symmetric_nat_has_an_address_dependent_mapping() {
    names(Nat::Symmetric, "Address-dependent mapping", "through the TURN server").await;
}

#[tokio::test]
async fn blocked_udp_is_told_where_the_relay_is_reached() {
    let Some((code, events)) = doctor(Nat::UdpBlocked, TURN_PASSWORD).await else {
        return;
    };
    assert_eq!(code, 1);
    assert_eq!(all_of(&events, "relay")[0]["ok"], true);
    assert!(all_of(&events, "stun").iter().all(|stun| stun["ok"] == false));
    assert!(advice(&events).contains("UDP is blocked"), "{}", advice(&events));
}

#[tokio::test]
async fn a_relays_turn_server_is_checked_by_each_of_its_ways() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay_with("--turn").await;
    let server = SERVERS[0];
    for (nat, udp, advised) in [(Nat::Cone, true, ""), (Nat::UdpBlocked, false, "by TCP")] {
        let host = lab.site(nat);
        let stun = format!("--stun stun:{server}:8700");
        let doctor = host.crosspeer(format!("doctor --timeout 1 --relay {relay} {stun}"));
        let (code, events) = doctor.end().await;
        assert_eq!(code, i32::from(!udp), "the STUN server was named: {events:#?}");
        let ways: Vec<_> = all_of(&events, "turn")
            .iter()
            .map(|turn| (turn["transport"].clone(), turn["ok"].clone()))
            .collect();
        assert_eq!(ways, [("UDP".into(), udp.into()), ("TCP".into(), true.into())]);
        assert!(advice(&events).contains(advised), "{}", advice(&events));
    }
}

#[tokio::test]
async fn a_wrong_turn_password_is_told() {
    let Some((code, events)) = doctor(Nat::Cone, "wrong").await else {
        return;
    };
    assert_eq!(code, 1);
    let error = all_of(&events, "turn")[0]["error"].as_str().expect("an error");
    assert!(error.contains("password is wrong"), "{error}");
}

#[tokio::test]
async fn a_host_without_a_network_is_told_so() {
    let Some((code, events)) = doctor(Nat::Loopback, TURN_PASSWORD).await else {
        return;
    };
    assert_eq!(code, 3);
    assert!(
        advice(&events).contains("only loopback addresses"),
        "{}",
        advice(&events)
    );
}
