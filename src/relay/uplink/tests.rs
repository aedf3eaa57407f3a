use super::UplinkOutput::{CloseSocket, Hopeless, Lost, Message, Open, Refused, Registered, Retrying, Send};
use super::*;
use crate::relay::DescriptionType;
use proptest::prelude::*;

const SUCCESS: &str = r#"{"message_type": "relay_response"}"#;
const S0: SocketId = SocketId(0);
const S1: SocketId = SocketId(1);

/// A uplink and its clock.
struct World {
    uplink: Uplink,
    now: Instant,
}

impl World {
    #[allow(clippy::disallowed_methods)] // some time has to be the first; everything else is added to it
    fn started() -> Self {
        let registration = Registration {
            name: "alice".into(),
            uuid: Uuid::from_u128(1),
        };
        let mut world = Self {
            uplink: Uplink::new(registration, Reconnect::default(), 7),
            now: Instant::now(),
        };
        world.uplink.start(world.now);
        assert_eq!(world.outputs(), [Open(S0)]);
        world
    }

    fn registered() -> Self {
        let mut world = Self::started();
        assert_eq!(world.register(S0), [Send(S0, world.registration()), Registered]);
        world
    }

    /// Registered once, lost, and about to open the second socket.
    fn lost() -> Self {
        let mut world = Self::registered();
        world.closed(S0, Some(1001), "restart");
        assert_eq!(world.at_deadline(), [Open(S1)]);
        world
    }

    fn registration(&self) -> String {
        RelayMessage::Registration(self.uplink.registration.clone()).encode()
    }

    fn register(&mut self, socket: SocketId) -> Vec<UplinkOutput> {
        self.uplink.on_event(self.now, socket, SocketEvent::Open);
        self.event(socket, SocketEvent::Text(SUCCESS.into()))
    }

    fn event(&mut self, socket: SocketId, event: SocketEvent) -> Vec<UplinkOutput> {
        self.uplink.on_event(self.now, socket, event);
        self.outputs()
    }

    fn closed(&mut self, socket: SocketId, code: Option<u16>, reason: &str) -> Vec<UplinkOutput> {
        self.event(socket, ended(code, reason, None))
    }

    fn after(&mut self, time: Duration) -> Vec<UplinkOutput> {
        self.now += time;
        self.uplink.on_timeout(self.now);
        self.outputs()
    }

    /// Waits as long as the uplink asks to.
    fn at_deadline(&mut self) -> Vec<UplinkOutput> {
        self.now = self.uplink.next_deadline().expect("a deadline");
        self.after(Duration::ZERO)
    }

    fn outputs(&mut self) -> Vec<UplinkOutput> {
        std::iter::from_fn(|| self.uplink.poll_output()).collect()
    }
}

fn ended(code: Option<u16>, reason: &str, http_status: Option<u16>) -> SocketEvent {
    SocketEvent::Closed {
        code,
        reason: reason.into(),
        http_status,
    }
}

fn offer(peer: u128) -> PeerConnectionMessage {
    PeerConnectionMessage {
        source_uuid: Uuid::from_u128(1),
        source_name: "alice".into(),
        peer_uuid: Uuid::from_u128(peer),
        description_type: DescriptionType::Offer,
        description: "{}".into(),
        error: None,
    }
}

fn text(message: PeerConnectionMessage) -> String {
    RelayMessage::PeerConnection(message).encode()
}

fn wait(outputs: &[UplinkOutput]) -> Duration {
    match outputs.last() {
        Some(Retrying { wait, .. }) => *wait,
        other => panic!("{other:?}"),
    }
}

#[test]
fn registers_and_carries_messages_both_ways() {
    let mut world = World::registered();
    assert!(world.uplink.is_registered());
    assert_eq!(world.uplink.next_deadline(), None);
    assert!(world.uplink.send(offer(2)));
    assert_eq!(world.outputs(), [Send(S0, text(offer(2)))]);
    assert_eq!(world.event(S0, SocketEvent::Text(text(offer(1)))), [Message(offer(1))]);
}

#[test]
fn messages_wait_for_the_registration_in_order() {
    let mut world = World::started();
    for peer in [2, 3, 2] {
        assert!(world.uplink.send(offer(peer)));
    }
    world.uplink.cancel(Uuid::from_u128(3));
    assert_eq!(world.outputs(), []);
    let outputs = world.register(S0);
    assert_eq!(
        outputs[1..],
        [Registered, Send(S0, text(offer(2))), Send(S0, text(offer(2)))]
    );
}

#[test]
fn the_257th_waiting_message_is_dropped() {
    let mut world = World::started();
    for _ in 0..MAX_QUEUED {
        assert!(world.uplink.send(offer(2)));
    }
    assert!(!world.uplink.send(offer(2)));
    assert_eq!(world.register(S0).len(), 2 + MAX_QUEUED);
}

#[test]
fn a_socket_that_does_not_open_is_given_up_after_10_seconds() {
    let mut world = World::started();
    assert_eq!(world.after(Duration::from_millis(9_999)), []);
    let outputs = world.after(Duration::from_millis(1));
    assert_eq!(outputs[0], CloseSocket(S0));
    assert_eq!(
        world.uplink.last_failure(),
        Some("the connection did not open within 10s")
    );
    assert_eq!(world.at_deadline(), [Open(S1)]);
    // Late events of the first one change nothing.
    assert_eq!(world.register(S0), []);
    assert!(!world.uplink.is_registered());
}

#[test]
fn a_relay_that_does_not_answer_is_given_up_after_10_seconds() {
    let mut world = World::started();
    world.event(S0, SocketEvent::Open);
    assert_eq!(world.after(Duration::from_secs(9)), []);
    assert_eq!(world.after(Duration::from_secs(1))[0], CloseSocket(S0));
    assert_eq!(
        world.uplink.last_failure(),
        Some("the relay did not answer the registration within 10s")
    );
}

#[test]
fn waits_double_up_to_the_longest_with_jitter() {
    let mut world = World::started();
    for (attempt, nominal) in [1, 2, 4, 8, 15, 15, 15].into_iter().enumerate() {
        let outputs = world.closed(SocketId(attempt as u64), None, "refused");
        let (wait, nominal) = (wait(&outputs), Duration::from_secs(nominal));
        assert!(wait <= nominal && wait >= nominal * 3 / 4, "{wait:?} for {nominal:?}");
        assert_eq!(world.at_deadline(), [Open(SocketId(attempt as u64 + 1))]);
    }
}

#[test]
fn a_relay_that_accepts_and_closes_is_not_called_in_a_loop() {
    let mut world = World::registered();
    let mut waits = Vec::new();
    for attempt in 0..4 {
        let outputs = world.closed(SocketId(attempt), Some(1011), "");
        assert!(matches!(&outputs[0], Lost { reason } if reason == "closed with code 1011"));
        waits.push(wait(&outputs));
        world.at_deadline();
        world.register(SocketId(attempt + 1));
    }
    assert!(waits.is_sorted(), "{waits:?}");
    // A registration that held starts the waits again.
    world.after(STEADY_AFTER);
    assert!(wait(&world.closed(SocketId(4), Some(1001), "restart")) <= Duration::from_secs(1));
}

#[test]
fn unrecoverable_close_codes_end_the_session() {
    for code in [4001, 4002, 4004] {
        for mut world in [World::started(), World::registered()] {
            let error = match code {
                4004 => Error::Displaced,
                code => Error::RelayRefused {
                    code: Some(code),
                    reason: "why".into(),
                },
            };
            assert_eq!(world.closed(S0, Some(code), "why"), [Refused(error)]);
            assert_eq!(world.uplink.next_deadline(), None);
            assert!(!world.uplink.send(offer(2)));
        }
    }
}

#[test]
fn other_close_codes_are_tried_again() {
    for code in [1000, 1001, 1009, 1011, 4000, 4003] {
        let mut world = World::registered();
        assert!(wait(&world.closed(S0, Some(code), "why")) <= Duration::from_secs(1));
    }
}

#[test]
fn http_401_and_403_are_final_at_any_time() {
    for status in [401, 403] {
        for mut world in [World::started(), World::lost()] {
            let socket = world.uplink.socket().unwrap();
            let outputs = world.event(socket, ended(None, "Forbidden", Some(status)));
            let [Refused(Error::RelayRefused { code: None, reason })] = &outputs[..] else {
                panic!("{outputs:?}");
            };
            assert_eq!(*reason, format!("HTTP status {status} Forbidden"));
        }
    }
}

#[test]
fn a_status_that_says_no_relay_is_here_ends_the_first_attempt_only() {
    for status in [200, 301, 400, 404, 407, 426] {
        let mut world = World::started();
        let outputs = world.event(S0, ended(None, "", Some(status)));
        assert!(
            matches!(&outputs[..], [Hopeless(reason)] if reason.contains(&format!("HTTP status {status}"))),
            "{outputs:?}"
        );
        assert_eq!(world.uplink.next_deadline(), None);
        assert!(!world.uplink.send(offer(2)));
        // A relay that was there once may come back.
        wait(&World::lost().event(S1, ended(None, "", Some(status))));
    }
    for status in [408, 425, 429, 500, 502, 503] {
        let mut world = World::started();
        let outputs = world.event(S0, ended(None, "", Some(status)));
        assert!(matches!(&outputs[..], [Retrying { reason, .. }] if *reason == format!("HTTP status {status}")));
    }
}

#[test]
fn what_can_never_be_opened_ends_the_first_attempt_only() {
    let unusable = || SocketEvent::Unusable("untrusted".into());
    let mut world = World::started();
    assert_eq!(world.event(S0, unusable()), [Hopeless("untrusted".into())]);
    assert_eq!(world.uplink.next_deadline(), None);
    // Tried before in vain, as while the relay starts.
    let mut world = World::started();
    world.closed(S0, None, "refused");
    world.at_deadline();
    assert_eq!(world.event(S1, unusable()), [Hopeless("untrusted".into())]);
    wait(&World::lost().event(S1, unusable()));
}

#[test]
fn who_asks_need_not_wait_for_the_next_attempt() {
    let mut world = World::started();
    for attempt in 0..6 {
        world.closed(SocketId(attempt), None, "refused");
        world.uplink.reconnect_now(world.now);
        assert_eq!(world.outputs(), [Open(SocketId(attempt + 1))]);
    }
    // And the waits start again.
    assert!(wait(&world.closed(SocketId(6), None, "refused")) <= Duration::from_secs(1));
}

#[test]
fn an_attempt_that_hangs_is_begun_anew_and_a_young_one_is_not() {
    let mut world = World::started();
    world.uplink.reconnect_now(world.now);
    assert_eq!(world.after(Duration::from_millis(1_999)), []);
    world.uplink.reconnect_now(world.now);
    assert_eq!(world.outputs(), []);
    world.after(Duration::from_millis(1));
    world.uplink.reconnect_now(world.now);
    assert_eq!(world.outputs(), [CloseSocket(S0), Open(S1)]);
    // One that is registered, or has ended, is left alone.
    world.register(S1);
    world.uplink.reconnect_now(world.now);
    assert_eq!(world.outputs(), []);
    world.closed(S1, Some(4001), "no");
    world.uplink.reconnect_now(world.now);
    assert_eq!(world.outputs(), []);
}

#[test]
fn a_refused_registration_is_final() {
    let mut world = World::started();
    world.event(S0, SocketEvent::Open);
    world.outputs();
    let reply =
        r#"{"success": false, "message": "BadRequestError: x", "error": true, "message_type": "relay_response"}"#;
    let error = Error::RelayRefused {
        code: None,
        reason: "BadRequestError: x".into(),
    };
    assert_eq!(
        world.event(S0, SocketEvent::Text(reply.into())),
        [CloseSocket(S0), Refused(error)]
    );
}

#[test]
fn nonsense_from_the_relay_is_ignored() {
    let mut world = World::registered();
    let before = world.uplink.state;
    for text in ["", "[]", r#"{"message_type": "x"}"#, &world.registration()] {
        assert_eq!(world.event(S0, SocketEvent::Text(text.into())), []);
    }
    assert_eq!(world.event(S0, SocketEvent::Binary), []);
    assert_eq!(world.uplink.state, before);
    // An error reported after the registration is only logged.
    let mut world = World::registered();
    let report = r#"{"success": false, "message": "x", "error": true, "message_type": "relay_response"}"#;
    assert_eq!(world.event(S0, SocketEvent::Text(report.into())), []);
    assert!(world.uplink.is_registered());
}

#[test]
fn who_answers_a_first_registration_with_nonsense_is_no_relay() {
    // The last as a server does that sends back whatever comes.
    for text in [
        "hello",
        "[]",
        r#"{"message_type": "x"}"#,
        &World::started().registration(),
    ] {
        let mut world = World::started();
        world.event(S0, SocketEvent::Open);
        let outputs = world.event(S0, SocketEvent::Text(text.into()));
        assert!(
            matches!(&outputs[..], [CloseSocket(S0), Hopeless(reason)] if reason.contains("not a relay")),
            "{outputs:?}"
        );
        let mut world = World::lost();
        world.event(S1, SocketEvent::Open);
        assert_eq!(world.event(S1, SocketEvent::Text(text.into())), []);
    }
}

#[test]
fn closing_ends_everything() {
    let mut world = World::registered();
    world.uplink.send(offer(2));
    world.uplink.close();
    assert_eq!(world.outputs(), [Send(S0, text(offer(2))), CloseSocket(S0)]);
    world.uplink.close();
    world.uplink.start(world.now);
    assert_eq!(world.closed(S0, Some(1000), ""), []);
    assert_eq!(world.after(Duration::from_secs(100)), []);
}

#[test]
fn closing_while_waiting_stops_the_attempts() {
    let mut world = World::started();
    world.closed(S0, None, "refused");
    world.uplink.close();
    assert_eq!(world.uplink.next_deadline(), None);
    assert_eq!(world.after(Duration::from_secs(100)), []);
}

fn any_event() -> impl Strategy<Value = SocketEvent> {
    prop_oneof![
        Just(SocketEvent::Open),
        Just(SocketEvent::Text(SUCCESS.into())),
        any::<String>().prop_map(SocketEvent::Text),
        Just(SocketEvent::Binary),
        (any::<Option<u16>>(), any::<String>(), any::<Option<u16>>())
            .prop_map(|(code, reason, status)| ended(code, &reason, status)),
        any::<String>().prop_map(SocketEvent::Unusable),
    ]
}

proptest! {
    #[test]
    fn there_is_never_more_than_one_socket(
        steps in prop::collection::vec((any_event(), 0..4u64, 0..20_000u64), 0..60),
    ) {
        let mut world = World::started();
        let mut open = Some(S0);
        for (event, age, ms) in steps {
            let socket = SocketId(world.uplink.next_socket.saturating_sub(1 + age));
            if matches!(event, SocketEvent::Closed { .. } | SocketEvent::Unusable(_)) && open == Some(socket) {
                open = None;
            }
            let mut outputs = world.event(socket, event);
            outputs.extend(world.after(Duration::from_millis(ms)));
            if ms % 7 == 0 {
                world.uplink.reconnect_now(world.now);
                outputs.extend(world.outputs());
            }
            for output in outputs {
                match output {
                    Open(socket) => prop_assert_eq!(open.replace(socket), None),
                    CloseSocket(socket) => prop_assert_eq!(open.take(), Some(socket)),
                    Send(socket, _) => prop_assert_eq!(open, Some(socket)),
                    _ => {}
                }
            }
            prop_assert_eq!(open, world.uplink.socket());
        }
    }
}

#[test]
fn what_a_relay_says_cannot_write_to_a_terminal() {
    let escapes = "\u{1b}[2J\u{1b}]0;title\u{7}\nroot# ";
    let json = crate::json::string(escapes);
    let refusal =
        format!(r#"{{"success": false, "message": {json}, "error": true, "message_type": "relay_response"}}"#);
    let mut refused = World::started();
    refused.uplink.on_event(refused.now, S0, SocketEvent::Open);
    let said = [
        refused.event(S0, SocketEvent::Text(refusal)),
        World::registered().closed(S0, Some(1001), escapes),
        World::registered().closed(S0, Some(4002), escapes),
        World::started().event(S0, ended(None, escapes, Some(404))),
    ];
    for outputs in said {
        let texts: Vec<_> = outputs
            .iter()
            .map(|output| match output {
                Refused(error) => error.to_string(),
                Lost { reason } | Retrying { reason, .. } | Hopeless(reason) => reason.clone(),
                _ => String::new(),
            })
            .collect();
        assert!(texts.iter().any(|text| text.contains("title")), "{texts:?}");
        assert!(!texts.iter().any(|text| text.contains(char::is_control)), "{texts:?}");
    }
}

/// A registration that is doubted, and the second socket beside it.
fn renewing() -> World {
    let mut world = World::registered();
    world.uplink.renew(world.now, Duration::from_secs(1));
    assert_eq!(world.outputs(), [], "it is too young to be doubted");
    world.now += Duration::from_secs(1);
    world.uplink.renew(world.now, Duration::from_secs(1));
    assert_eq!(world.outputs(), [Open(S1)]);
    world
}

#[test]
fn a_doubted_registration_stands_until_another_one_does() {
    let mut world = renewing();
    assert!(world.uplink.is_registered());
    let registration = world.registration();
    assert_eq!(world.event(S1, SocketEvent::Open), [Send(S1, registration)]);
    assert!(world.uplink.is_registered());
    let success = SocketEvent::Text(SUCCESS.into());
    assert_eq!(world.event(S1, success), [Registered]);
    let message = PeerConnectionMessage {
        source_uuid: Uuid::from_u128(2),
        source_name: "bob".into(),
        peer_uuid: Uuid::from_u128(1),
        description_type: DescriptionType::Offer,
        description: "{}".into(),
        error: None,
    };
    let on_its_way = SocketEvent::Text(RelayMessage::PeerConnection(message.clone()).encode());
    assert_eq!(world.event(S0, on_its_way), [Message(message)]);
    assert_eq!(world.closed(S0, Some(4004), "replaced"), []);
    assert_eq!(world.uplink.next_deadline(), None);
    assert!(world.uplink.is_registered());
}

#[test]
fn the_relay_may_close_the_old_socket_before_it_answers_the_new_one() {
    let mut world = renewing();
    world.event(S1, SocketEvent::Open);
    assert_eq!(world.closed(S0, Some(4004), "replaced"), []);
    assert_eq!(world.event(S1, SocketEvent::Text(SUCCESS.into())), [Registered]);
}

#[test]
fn a_second_socket_that_fails_changes_nothing() {
    let mut world = renewing();
    assert_eq!(world.closed(S1, None, "refused"), []);
    assert!(world.uplink.is_registered());
    assert_eq!(world.uplink.next_deadline(), None);
    world.uplink.renew(world.now, Duration::from_secs(1));
    assert_eq!(world.outputs(), [Open(SocketId(2))]);
    assert_eq!(world.at_deadline(), [CloseSocket(SocketId(2))]);
    assert!(world.uplink.is_registered());
}

#[test]
fn a_second_socket_that_takes_long_is_begun_anew_when_asked_again() {
    let mut world = renewing();
    world.uplink.renew(world.now, Duration::from_secs(2));
    assert_eq!(world.outputs(), []);
    world.now += Duration::from_secs(2);
    world.uplink.renew(world.now, Duration::from_secs(2));
    assert_eq!(world.outputs(), [CloseSocket(S1), Open(SocketId(2))]);
}

#[test]
fn where_the_old_socket_breaks_the_second_one_goes_on_alone() {
    let mut world = renewing();
    let reason = "the connection was lost".to_owned();
    let lost = world.event(
        S0,
        SocketEvent::Closed {
            code: None,
            reason: reason.clone(),
            http_status: None,
        },
    );
    assert_eq!(lost, [Lost { reason }]);
    assert!(!world.uplink.is_registered());
    assert_eq!(world.register(S1), [Send(S1, world.registration()), Registered]);
    world.uplink.close();
    assert_eq!(world.outputs(), [CloseSocket(S1)]);
}

#[test]
fn who_was_replaced_by_a_second_socket_that_is_lost_comes_back() {
    let mut world = renewing();
    world.event(S1, SocketEvent::Open);
    assert_eq!(world.closed(S1, None, "reset"), []);
    let replaced = world.closed(S0, Some(4004), "replaced");
    assert!(matches!(replaced[..], [Lost { .. }, Retrying { .. }]), "{replaced:?}");
    assert_eq!(world.at_deadline(), [Open(SocketId(2))]);
    world.register(SocketId(2));
    // By somebody else.
    let displaced = world.closed(SocketId(2), Some(4004), "replaced");
    assert_eq!(displaced, [Refused(Error::Displaced)]);
}

#[test]
fn closing_closes_both_sockets() {
    let mut world = renewing();
    world.uplink.close();
    let closed = world.outputs();
    assert!(closed.contains(&CloseSocket(S0)) && closed.contains(&CloseSocket(S1)) && closed.len() == 2);
    assert_eq!(world.event(S1, SocketEvent::Open), []);
}

#[test]
fn whoever_asks_for_tokens_is_refused_for_good_only_twice_in_a_row() {
    let asking = |mut world: World| {
        world.uplink = world.uplink.asking(true);
        world
    };
    // A first refusal, when it has never been known.
    let refused = asking(World::started()).closed(S0, Some(4002), "expired");
    assert!(
        matches!(refused[..], [Refused(Error::RelayRefused { code: Some(4002), .. })]),
        "{refused:?}"
    );
    // Known, and refused when it comes back: once more, with another token.
    for end in [ended(Some(4002), "expired", None), ended(None, "", Some(401))] {
        let mut world = asking(World::lost());
        assert!(matches!(world.event(S1, end.clone())[..], [Retrying { .. }]));
        assert_eq!(world.at_deadline(), [Open(SocketId(2))]);
        assert!(matches!(world.event(SocketId(2), end)[..], [Refused(_)]));
    }
    // One that is taken makes up for it.
    let mut world = asking(World::lost());
    world.closed(S1, Some(4001), "no");
    world.at_deadline();
    world.register(SocketId(2));
    assert!(matches!(
        world.closed(SocketId(2), Some(4002), "revoked")[..],
        [Lost { .. }, Retrying { .. }]
    ));
    // Displaced is displaced.
    let mut world = asking(World::registered());
    assert_eq!(world.closed(S0, Some(4004), ""), [Refused(Error::Displaced)]);
    // Whoever has one token has no other.
    let mut world = World::lost();
    assert!(matches!(world.closed(S1, Some(4002), "expired")[..], [Refused(_)]));
}

#[test]
fn a_second_socket_brings_servers_and_stands_for_nothing_yet() {
    let mut world = renewing();
    world.event(S1, SocketEvent::Open);
    let (server, text) = ice_servers("new", 60);
    assert_eq!(world.event(S1, text), [UplinkOutput::IceServers(Some(server))]);
    assert!(world.uplink.is_registered());
    assert_eq!(world.event(S1, SocketEvent::Text(SUCCESS.into())), [Registered]);
}

fn ice_servers(username: &str, seconds: u64) -> (IceServer, SocketEvent) {
    let server = IceServer::new("turn:relay.example:8700").with_credentials(username, "secret");
    let message = IceServers {
        server: server.clone(),
        lifetime: Duration::from_secs(seconds),
    };
    (server, SocketEvent::Text(RelayMessage::IceServers(message).encode()))
}

#[test]
fn servers_are_known_before_the_registration_renewed_and_dropped_when_their_credentials_end() {
    let mut world = World::started();
    let (server, text) = ice_servers("one", 60);
    world.uplink.on_event(world.now, S0, SocketEvent::Open);
    assert_eq!(
        world.event(S0, text).last(),
        Some(&UplinkOutput::IceServers(Some(server)))
    );
    assert_eq!(world.event(S0, SocketEvent::Text(SUCCESS.into())), [Registered]);
    let ends = world.uplink.next_deadline().unwrap();
    assert_eq!(ends, world.now + Duration::from_secs(60) * 7 / 8);

    world.now += Duration::from_secs(30);
    let (server, text) = ice_servers("two", 60);
    assert_eq!(world.event(S0, text), [UplinkOutput::IceServers(Some(server))]);
    world.uplink.on_timeout(ends);
    assert_eq!(world.outputs(), [], "the first ones have been replaced");
    assert_eq!(world.at_deadline(), [UplinkOutput::IceServers(None)]);
    assert_eq!(world.uplink.next_deadline(), None);
}

#[test]
fn servers_outlive_a_lost_relay_and_end_with_the_uplink() {
    let mut world = World::registered();
    world.event(S0, ice_servers("one", 3600).1);
    world.closed(S0, Some(1001), "restart");
    assert_eq!(world.at_deadline(), [Open(S1)], "they are not given up");
    assert!(world.uplink.next_deadline().is_some());
    world.uplink.close();
    assert_eq!(world.uplink.next_deadline(), None);
}

#[test]
fn servers_that_are_not_wanted_or_of_no_use_do_not_count() {
    let mut world = World::registered();
    assert_eq!(world.event(S0, ice_servers("late", 0).1), []);
    let none =
        r#"{"urls": "http://x ", "username": "", "credential": "", "lifetime": 9, "message_type": "ice_servers"}"#;
    assert_eq!(world.event(S0, SocketEvent::Text(none.into())), []);
    let mut unwilling = World::registered();
    unwilling.uplink.wants_ice = false;
    assert_eq!(unwilling.event(S0, ice_servers("one", 60).1), []);
    // Longer than any clock can add, and than any list should be.
    let long = format!(
        r#"{{"urls": "{}", "username": "u", "credential": "c", "lifetime": 4294967295, "message_type": "ice_servers"}}"#,
        "turn:a ".repeat(500)
    );
    let outputs = world.event(S0, SocketEvent::Text(long));
    let [UplinkOutput::IceServers(Some(server))] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(server.urls.len(), 8);
    let huge = r#"{"urls": "turn:a", "username": "u", "credential": "c", "lifetime": 99999999999, "message_type": "ice_servers"}"#;
    assert_eq!(world.event(S0, SocketEvent::Text(huge.into())), []);
}
