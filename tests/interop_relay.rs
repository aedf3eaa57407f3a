//! Both relays are told the same and must say the same, byte for byte; ours without ProxyStore's bugs.

use crosspeer_tests::{
    ProxyStoreClient, ProxyStoreManager, RawClient, Received, Relay, RelayKind, through_both_relays,
};
use serde_json::json;
use uuid::Uuid;

through_both_relays! {
    a_message_is_forwarded_in_canonical_form,
    an_unknown_peer_brings_the_message_back_with_an_error,
    nothing_can_be_sent_before_registration,
    a_second_socket_with_the_same_uuid_replaces_the_first,
    what_is_no_relay_message_closes_the_socket,
    a_frame_over_1_mib_closes_the_socket,
    python_relay_clients_exchange_messages_and_errors,
    python_peer_managers_meet,
}

const ALICE: Uuid = Uuid::from_u128(0x1111_1111_1111_4111_8111_1111_1111_1111);
const BOB: Uuid = Uuid::from_u128(0x2222_2222_2222_4222_8222_2222_2222_2222);

/// A description as JSON inside JSON.
const DESCRIPTION: &str = r#""{\"sdp\": \"v=0\\r\\n\"}""#;

/// A description on its way, as ProxyStore's encoder writes it.
fn offer(source: Uuid, name: &str, peer: Uuid, error: Option<&str>) -> String {
    let error = json!(error);
    format!(
        r#"{{"source_uuid": "{source}", "source_name": "{name}", "peer_uuid": "{peer}", "description_type": "offer", "description": {DESCRIPTION}, "error": {error}, "message_type": "peer_connection"}}"#
    )
}

fn unknown(peer: Uuid) -> String {
    format!(
        "Cannot forward peer connection message to peer {peer} because this peer is not registered this relay server."
    )
}

async fn a_message_is_forwarded_in_canonical_form(kind: RelayKind) {
    let relay = Relay::start(kind).await;
    let mut alice = RawClient::register(&relay.url(), "alice", ALICE).await;
    let mut bob = RawClient::register(&relay.url(), "bob", BOB).await;
    let bob_otherwise = BOB.simple().to_string().to_uppercase();
    let reordered = format!(
        r#"{{"message_type":"peer_connection","description":{DESCRIPTION},"description_type":"offer","peer_uuid":"{bob_otherwise}","source_name":"álice","source_uuid":"{}"}}"#,
        ALICE.urn(),
    );
    alice.send(reordered).await;
    assert_eq!(bob.next().await, Received::Text(offer(ALICE, "\\u00e1lice", BOB, None)));
}

async fn an_unknown_peer_brings_the_message_back_with_an_error(kind: RelayKind) {
    let relay = Relay::start(kind).await;
    let mut alice = RawClient::register(&relay.url(), "alice", ALICE).await;
    alice.send(offer(ALICE, "alice", BOB, None)).await;
    assert_eq!(
        alice.next().await,
        Received::Text(offer(ALICE, "alice", BOB, Some(&unknown(BOB))))
    );
}

async fn nothing_can_be_sent_before_registration(kind: RelayKind) {
    let relay = Relay::start(kind).await;
    let mut stranger = RawClient::connect(&relay.url()).await;
    stranger.send(offer(ALICE, "alice", BOB, None)).await;
    let reason = "ForbiddenError: Client has not registered and authenticated with the relay server.";
    assert_eq!(stranger.next().await, Received::Closed(4002, reason.into()));
}

async fn a_second_socket_with_the_same_uuid_replaces_the_first(kind: RelayKind) {
    let relay = Relay::start(kind).await;
    let mut first = RawClient::register(&relay.url(), "alice", ALICE).await;
    let url = relay.url();
    let (mut second, replaced) = tokio::join!(RawClient::register(&url, "alice", ALICE), first.next());
    let reason = "Relay received a registration with the same ID. \
                  This might mean that the endpoint is running in multiple locations.";
    assert_eq!(replaced, Received::Closed(4004, reason.into()));
    second.send(offer(ALICE, "alice", ALICE, None)).await;
    assert_eq!(second.next().await, Received::Text(offer(ALICE, "alice", ALICE, None)));
}

async fn what_is_no_relay_message_closes_the_socket(kind: RelayKind) {
    let relay = Relay::start(kind).await;
    let valid = offer(ALICE, "alice", BOB, None);
    for text in [
        "not JSON".to_owned(),
        "{}".to_owned(),
        r#"{"message_type": "unknown"}"#.to_owned(),
        valid.replace("\"error\"", "\"extra\""),
        valid.replace(&BOB.to_string(), "not-a-uuid"),
        valid.replace("\"source_name\": \"alice\", ", ""),
    ] {
        let mut client = RawClient::register(&relay.url(), "alice", ALICE).await;
        client.send(&text).await;
        assert_eq!(
            client.next().await,
            Received::Closed(4000, "Unknown message type.".into()),
            "after {text}"
        );
    }
    let mut client = RawClient::register(&relay.url(), "alice", ALICE).await;
    client.send_binary(b"{}").await;
    assert_eq!(
        client.next().await,
        Received::Closed(4000, "Unknown message type.".into())
    );
}

async fn a_frame_over_1_mib_closes_the_socket(kind: RelayKind) {
    let relay = Relay::start(kind).await;
    let mut client = RawClient::register(&relay.url(), "alice", ALICE).await;
    client.send(" ".repeat((1 << 20) + 1)).await;
    let Received::Closed(code, _) = client.next().await else {
        panic!("not closed")
    };
    assert_eq!(code, 1009);
}

async fn python_relay_clients_exchange_messages_and_errors(kind: RelayKind) {
    let relay = Relay::start(kind).await;
    let alice = ProxyStoreClient::start(&relay.url()).await;
    let bob = ProxyStoreClient::start(&relay.url()).await;
    let message = offer(alice.uuid(), "python-client", bob.uuid(), None);
    alice.send(&message).await;
    assert_eq!(bob.recv().await, Ok(message));

    let nobody = Uuid::new_v4();
    alice.send(&offer(alice.uuid(), "python-client", nobody, None)).await;
    assert_eq!(
        alice.recv().await,
        Ok(offer(alice.uuid(), "python-client", nobody, Some(&unknown(nobody))))
    );

    // Its `recv` must be waiting when it is replaced. Called between the close frame and the end of the connection, with
    // either relay, ProxyStore's client registers anew: then it is the second one that is replaced.
    let goodbye = offer(alice.uuid(), "python-client", bob.uuid(), None);
    let (replaced, _second) = tokio::join!(biased; alice.recv(), async {
        alice.send(&goodbye).await; // Python begins what it is asked in order: once this is out, `recv` waits
        assert_eq!(bob.recv().await, Ok(goodbye));
        ProxyStoreClient::start_as(alice.uuid(), &relay.url()).await
    });
    let error = replaced.expect_err("it was replaced, which is the end of a Python process");
    println!("the replaced Python client: {error}");
    bob.close().await;
}

async fn python_peer_managers_meet(kind: RelayKind) {
    let relay = Relay::start(kind).await;
    let one = ProxyStoreManager::start(&relay.url(), 1).await;
    let two = ProxyStoreManager::start(&relay.url(), 4).await;
    one.send(two.uuid(), "hello").await;
    assert_eq!(two.recv().await, (one.uuid(), "hello".into()));
    two.send(one.uuid(), "hello hello").await;
    assert_eq!(one.recv().await, (two.uuid(), "hello hello".into()));
    one.close().await;
}

/// ProxyStore's relay forwards it as it is.
#[tokio::test(flavor = "multi_thread")]
async fn our_relay_refuses_a_source_that_is_not_the_senders_own() {
    let relay = Relay::start(RelayKind::Crosspeer).await;
    let mut mallory = RawClient::register(&relay.url(), "mallory", Uuid::new_v4()).await;
    let mut bob = RawClient::register(&relay.url(), "bob", BOB).await;
    mallory.send(offer(ALICE, "alice", BOB, None)).await;
    match mallory.next().await {
        Received::Text(text) => assert!(text.contains("error"), "{text}"),
        Received::Closed(code, _) => assert_eq!(code, 4002),
    }
    let mut alice = RawClient::register(&relay.url(), "alice", ALICE).await;
    alice.send(offer(ALICE, "alice", BOB, None)).await;
    assert_eq!(
        bob.next().await,
        Received::Text(offer(ALICE, "alice", BOB, None)),
        "the first that reaches bob"
    );
}

/// At ProxyStore's relay it stays registered, and messages to it vanish.
#[tokio::test(flavor = "multi_thread")]
async fn our_relay_forgets_a_client_that_it_closed() {
    let relay = Relay::start(RelayKind::Crosspeer).await;
    let mut bob = RawClient::register(&relay.url(), "bob", BOB).await;
    bob.send("not JSON").await;
    assert_eq!(bob.next().await, Received::Closed(4000, "Unknown message type.".into()));
    let mut alice = RawClient::register(&relay.url(), "alice", ALICE).await;
    alice.send(offer(ALICE, "alice", BOB, None)).await;
    assert_eq!(
        alice.next().await,
        Received::Text(offer(ALICE, "alice", BOB, Some(&unknown(BOB))))
    );
}
