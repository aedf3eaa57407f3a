//! Two peers in one page, through a real relay: run by `cargo xtask test --only browsers` in Chromium and Firefox.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use crosspeer::relay::PeerConnectionMessage;
use crosspeer::{Error, Message, PeerConnection, Result, State};
use crosspeer_wasm::{Config, PeerManager, RelayClient};
use std::time::Duration;
use uuid::Uuid;
use wasm_bindgen::JsCast;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

const PATIENCE: Duration = Duration::from_secs(30);

/// A running relay's URL, given when this is compiled.
fn relay() -> &'static str {
    option_env!("CROSSPEER_TEST_RELAY").unwrap_or("ws://127.0.0.1:8700")
}

fn config() -> Config {
    let mut config = Config::default();
    config.ice_servers.clear();
    config.session_timeout = std::time::Duration::ZERO; // as the npm package has it
    config
}

async fn pair() -> (PeerManager, PeerManager) {
    let one = PeerManager::join(relay(), config()).await.unwrap();
    let two = PeerManager::join(relay(), config()).await.unwrap();
    (one, two)
}

async fn close(one: PeerManager, two: PeerManager) {
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[wasm_bindgen_test]
async fn the_seeds_example_runs() {
    seed_example().await.unwrap();
}

async fn seed_example() -> Result<()> {
    let client1 = RelayClient::connect(relay(), config()).await?;
    let connection1 = PeerConnection::new(&client1, 1)?;

    let client2 = RelayClient::connect(relay(), config()).await?;
    let connection2 = PeerConnection::new(&client2, 1)?;

    connection1.send_offer(client2.uuid()).await?;
    connection2.handle_server_message(client2.recv().await?).await?;
    connection1.handle_server_message(client1.recv().await?).await?;

    connection1.ready(PATIENCE).await?;
    connection2.ready(PATIENCE).await?;

    connection1.send("hello").await?;
    assert_eq!(connection2.recv().await?, "hello".into());
    connection2.send("hello hello").await?;
    assert_eq!(connection1.recv().await?, "hello hello".into());

    client1.close().await?;
    client2.close().await?;
    connection1.close().await?;
    connection2.close().await
}

/// From nothing over the edges of frames to many frames.
fn samples() -> Vec<Message> {
    let bytes = |size: usize| Message::from((0..size).map(|i| (i * 31 % 251) as u8).collect::<Vec<u8>>());
    let sizes = [0, 1, 32_767, 32_768, 32_769, 65_535, 262_144, 1 << 20, 4 << 20];
    let mut samples: Vec<Message> = sizes.into_iter().map(bytes).collect();
    samples.extend(["", "hello", "héllo ✓ 漢字"].map(Message::from));
    samples.push("漢字✓".repeat(100_000).into());
    samples
}

#[wasm_bindgen_test]
async fn every_size_and_kind_arrives_as_it_was_sent() {
    for channels in [1, 4] {
        let (mut one, mut two) = (config(), config());
        (one.channels, two.channels) = (channels, channels);
        let one = PeerManager::join(relay(), one).await.unwrap();
        let two = PeerManager::join(relay(), two).await.unwrap();
        for message in samples() {
            for (from, to) in [(&one, &two), (&two, &one)] {
                // Not `join!`: what could not be sent is never received.
                let both = futures_util::try_join!(from.send(to.uuid(), message.clone()), to.recv());
                let ((), got) = both.unwrap_or_else(|error| panic!("{} bytes: {error}", message.len()));
                assert!(got == (from.uuid(), message.clone()), "{} bytes", message.len());
            }
        }
        close(one, two).await;
    }
}

#[wasm_bindgen_test]
async fn close_delivers_what_was_sent_before() {
    let (one, two) = pair().await;
    let count = 40;
    for number in 0..count {
        one.send(two.uuid(), vec![number; 100_000]).await.unwrap();
    }
    let reading = async {
        for number in 0..count {
            let (_, message) = two.recv().await.unwrap();
            assert!(message == vec![number; 100_000].into(), "message {number}");
        }
    };
    let (closed, ()) = futures_util::join!(one.close(), reading);
    closed.unwrap();
    two.close().await.unwrap();
}

/// Firefox throws away what it has not handed to SCTP when a channel is closed. A peer that knows no word of ours, as
/// ProxyStore, cannot say that it has everything.
#[wasm_bindgen_test]
async fn close_delivers_what_was_sent_before_to_a_peer_without_words() {
    let eval = |code: &str| js_sys::eval(code).unwrap();
    eval(
        "globalThis.plainClose = RTCDataChannel.prototype.close; globalThis.early = 0; globalThis.ended = 0; \
         RTCDataChannel.prototype.close = function () { \
           if (this.readyState === 'open') { ended += 1; early += this.bufferedAmount > 0; } \
           plainClose.call(this); \
         }",
    );
    // Ids that are not made of their certificates: theirs must have words.
    let chosen = || {
        let mut chosen = config();
        chosen.uuid = Some(Uuid::new_v4());
        chosen
    };
    let client1 = RelayClient::connect(relay(), chosen()).await.unwrap();
    let client2 = RelayClient::connect(relay(), chosen()).await.unwrap();
    let one = PeerConnection::new(&client1, 1).unwrap();
    let two = PeerConnection::new(&client2, 1).unwrap();
    one.send_offer(client2.uuid()).await.unwrap();
    two.handle_server_message(without_words(client2.recv().await.unwrap()))
        .await
        .unwrap();
    one.handle_server_message(without_words(client1.recv().await.unwrap()))
        .await
        .unwrap();
    one.ready(PATIENCE).await.unwrap();
    two.ready(PATIENCE).await.unwrap();

    let count = 8;
    for number in 0..count {
        one.send(vec![number; 1 << 20]).await.unwrap();
    }
    let reading = async {
        for number in 0..count {
            assert!(
                two.recv().await.unwrap() == vec![number; 1 << 20].into(),
                "message {number}"
            );
        }
    };
    let (closed, ()) = futures_util::join!(one.close(), reading);
    eval("RTCDataChannel.prototype.close = plainClose");
    closed.unwrap();
    assert!(eval("ended").as_f64().unwrap() >= 1.0);
    assert_eq!(eval("early"), 0);
    two.close().await.unwrap();
    client1.close().await.unwrap();
    client2.close().await.unwrap();
}

/// As ProxyStore would have sent it.
fn without_words(mut message: PeerConnectionMessage) -> PeerConnectionMessage {
    message.description = message.description.replace("a=x-crosspeer:", "a=x-unknown:");
    message
}

#[wasm_bindgen_test]
async fn the_other_side_learns_of_a_close() {
    let (one, two) = pair().await;
    let there = one.connect(two.uuid()).await.unwrap();
    let here = two.connect(one.uuid()).await.unwrap();
    assert!(here.is_crosspeer() && there.is_crosspeer());
    assert_eq!(there.state(), State::Connected);
    there.close().await.unwrap();
    assert_eq!(here.on_close().await.code(), "closed");
    assert_eq!(here.state(), State::Closed);
    close(one, two).await;
}

#[wasm_bindgen_test]
async fn both_may_call_at_once() {
    let (one, two) = pair().await;
    let (sent, back) = futures_util::join!(one.send(two.uuid(), "from one"), two.send(one.uuid(), "from two"));
    sent.unwrap();
    back.unwrap();
    assert_eq!(two.recv().await.unwrap(), (one.uuid(), "from one".into()));
    assert_eq!(one.recv().await.unwrap(), (two.uuid(), "from two".into()));
    close(one, two).await;
}

#[wasm_bindgen_test]
async fn an_unknown_peer_is_said_to_be_unknown() {
    let one = PeerManager::join(relay(), config()).await.unwrap();
    let error = one.send(Uuid::new_v4(), "?").await.unwrap_err();
    assert_eq!(error.code(), "peer-unavailable");
    one.close().await.unwrap();
}

#[wasm_bindgen_test]
async fn a_relay_that_is_not_there_is_said_to_be_unreachable() {
    let mut config = config();
    config.connect_timeout = Duration::from_secs(2);
    let error = PeerManager::join("ws://127.0.0.1:9", config).await.unwrap_err();
    assert!(matches!(error, Error::RelayUnreachable { .. }), "{error}");
}

#[wasm_bindgen_test]
async fn a_malformed_ice_server_is_named() {
    let mut broken = config();
    broken.ice_servers.push(crosspeer::IceServer::new("http://not-stun"));
    let one = PeerManager::join(relay(), broken).await.unwrap();
    let two = PeerManager::join(relay(), config()).await.unwrap();
    let error = one.send(two.uuid(), "?").await.unwrap_err();
    assert_eq!(error.code(), "setup-failed");
    close(one, two).await;
}

/// Bytes of this module's memory, which never shrinks.
fn memory() -> f64 {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    let size = js_sys::Reflect::get(&memory.buffer(), &"byteLength".into());
    size.unwrap().as_f64().unwrap()
}

/// Chromium refuses the 501st peer connection that is not closed, and each cycle takes two.
#[wasm_bindgen_test]
async fn connections_come_and_go_and_leave_nothing() {
    let (one, two) = pair().await;
    let mut early = 0.0;
    for number in 0..260_u16 {
        let message: Message = number.to_string().into();
        one.send(two.uuid(), message.clone()).await.unwrap();
        assert_eq!(two.recv().await.unwrap().1, message);
        one.close_connection(two.uuid()).await.unwrap();
        if number == 60 {
            early = memory();
        }
    }
    assert!(memory() == early, "the last 200 cycles needed more memory");
    close(one, two).await;
}

/// Chromium tells of a channel that the other side made before its own threads have opened it. What is sent in between is
/// lost, and whoever listens in between may find it `connecting` for good.
#[wasm_bindgen_test]
async fn nothing_is_sent_on_a_channel_that_is_open_in_name_only() {
    let eval = |code: &str| js_sys::eval(code).unwrap();
    eval(
        "globalThis.plainConnection = RTCPeerConnection; globalThis.lost = 0; globalThis.carried = 0; \
         globalThis.RTCPeerConnection = class extends plainConnection { \
           ordered = false; \
           setConfiguration(configuration) { super.setConfiguration(configuration); this.ordered = true; } \
           constructor(configuration) { \
             super(configuration); \
             this.addEventListener('datachannel', ({ channel }) => { \
               let opened = false, stuck = false; \
               const of = (key) => Object.getOwnPropertyDescriptor(RTCDataChannel.prototype, key).get.bind(channel); \
               const [id, state] = [of('id'), of('readyState')]; \
               const listen = channel.addEventListener.bind(channel), send = channel.send.bind(channel); \
               Object.defineProperty(channel, 'id', { get: () => { opened ||= this.ordered; return id(); } }); \
               Object.defineProperty(channel, 'readyState', { get: () => (stuck ? 'connecting' : state()) }); \
               channel.addEventListener = (...of) => { stuck ||= !opened; listen(...of); }; \
               channel.send = (data) => { if (opened) { carried += 1; send(data); } else lost += 1; }; \
             }); \
           } \
         }",
    );
    let (one, two) = pair().await;
    let connection = one.connect(two.uuid()).await.unwrap();
    let answered = two.send(one.uuid(), "not lost").await;
    let received = connection.recv().await;
    close(one, two).await;
    eval("globalThis.RTCPeerConnection = plainConnection");
    answered.unwrap();
    assert_eq!(received.unwrap(), "not lost".into());
    assert_eq!(eval("lost"), 0);
    assert!(eval("carried").as_f64().unwrap() >= 2.0);
}

#[wasm_bindgen_test]
async fn a_displaced_peer_hears_of_it_and_its_connections_go_on() {
    let mut same = config();
    same.uuid = Some(Uuid::new_v4());
    let relay = format!("{}?resume=ours", relay());
    let relay = || relay.as_str();
    let first = PeerManager::join(relay(), same.clone()).await.unwrap();
    let friend = PeerManager::join(relay(), config()).await.unwrap();
    let connection = first.connect(friend.uuid()).await.unwrap();
    let second = PeerManager::join(relay(), same).await.unwrap();
    assert_eq!(first.recv().await.unwrap_err(), Error::Displaced);
    assert_eq!(first.reconnect_now().await.unwrap_err(), Error::Displaced);
    connection.send("goes on").await.unwrap();
    assert_eq!(friend.recv().await.unwrap().1, "goes on".into());
    close(first, friend).await;
    second.close().await.unwrap();
}

#[wasm_bindgen_test]
async fn the_relay_is_tried_at_once_when_the_network_is_back() {
    let eval = |code: &str| js_sys::eval(code).unwrap();
    eval(
        "globalThis.plainSocket = WebSocket; globalThis.opened = 0; \
         globalThis.WebSocket = class extends plainSocket { constructor(url) { super(url); opened += 1; } }",
    );
    let mut patient = config();
    patient.reconnect.initial = Duration::from_secs(3600);
    patient.reconnect.max = Duration::from_secs(3600);
    // Nobody listens there.
    let (manager, driver) =
        crosspeer::PeerManager::new(crosspeer_wasm::Web::new(), "ws://127.0.0.1:45871", patient).unwrap();
    wasm_bindgen_futures::spawn_local(driver.run());
    let state = manager.relay_changed(&crosspeer::RelayState::Connecting(None)).await;
    assert!(state.error().is_some(), "{state:?}");
    assert_eq!(eval("opened"), 1);
    eval("dispatchEvent(new Event('online'))");
    while eval("opened") != 2 {
        gloo_timers::future::TimeoutFuture::new(1).await;
    }
    eval("globalThis.WebSocket = plainSocket");
    manager.close().await.unwrap();
}

#[wasm_bindgen_test]
async fn a_url_that_no_browser_opens_is_told_at_once() {
    let url = relay().replace("ws://", "ws://user:pass@");
    let mut patient = config();
    patient.connect_timeout = Duration::from_secs(3600);
    match PeerManager::join(&url, patient).await {
        Err(Error::RelayUnreachable { reason, url }) => {
            assert!(reason.contains("password") && !url.contains("pass@"), "{reason} {url}");
        }
        other => panic!("{other:?}"),
    }
}
