//! Faults once found in the rules, each as the smallest world that showed it.

use super::*;
use crate::platform::{RtcCommand, RtcId, SdpType, SessionDescription};
use crate::relay::*;
use crate::request::Target;
use bytes::Bytes;
const S: Duration = Duration::from_secs(1);
fn pair(seed: u64, channels: u16, ordered: bool) -> (World, NodeId, NodeId) {
    let mut w = World::new(Instant::now(), seed, Weather::default());
    let c = Config {
        channels,
        ordered,
        ..Config::default()
    };
    let a = w.add(1, c.clone(), false);
    let b = w.add(2, c, false);
    w.run_for(S);
    (w, a, b)
}
fn connect(w: &mut World, a: NodeId, b: NodeId) {
    w.send(a, b, "connect");
    assert!(w.run_until(S * 60, |w| w.received(b).len() == 1));
}
fn count(f: impl Fn(u64) -> Result<(), String>) {
    let bad: Vec<_> = (0..30).filter_map(|s| f(s).err().map(|e| (s, e))).collect();
    assert!(bad.is_empty(), "{}/30 {:?}", bad.len(), bad[0]);
}
#[test]
fn closing_twice_still_delivers_everything() {
    count(|s| {
        let (mut w, a, b) = pair(s, 1, true);
        connect(&mut w, a, b);
        let t: Vec<_> = (0..10).map(|_| w.send(a, b, vec![1; 10_000])).collect();
        let u = w.uuid(b);
        let c = w.request(a, Request::Close(Target::Peer(u)));
        w.request(a, Request::CloseAll);
        w.run_for(S * 60);
        let ok = t.iter().filter(|t| matches!(w.reply(**t), Some(Ok(_)))).count();
        if w.received(b).len() != 11 {
            return Err(format!(
                "sends ok {ok}, arrived {}, close {:?}",
                w.received(b).len() - 1,
                w.reply(c)
            ));
        }
        Ok(())
    })
}
#[test]
fn closing_just_after_the_peer_did_loses_nothing() {
    count(|s| {
        let (mut w, a, b) = pair(s, 1, true);
        connect(&mut w, a, b);
        let u = w.uuid(b);
        let ca = w.request(a, Request::Close(Target::Peer(u)));
        w.run_for(Duration::from_millis(s % 15));
        let t = w.send(b, a, "tail");
        let u = w.uuid(a);
        w.run_until(S, |w| {
            w.received(b).len() > 5 || w.nodes[b.0].router.links.values().any(|l| l.is_closing())
        });
        let c = w.request(b, Request::Close(Target::Peer(u)));
        w.run_for(S * 60);
        let tail = w.received(a).len() == 1;
        let want = matches!(w.reply(t), Some(Ok(_)));
        if (want && !tail) || !matches!(w.reply(ca), Some(Ok(_))) {
            return Err(format!(
                "send {:?} arrived {tail} a.close {:?} b.close {:?}",
                w.reply(t),
                w.reply(ca),
                w.reply(c)
            ));
        }
        Ok(())
    })
}
#[test]
fn a_send_right_after_close_goes_over_a_new_connection() {
    count(|s| {
        let (mut w, a, b) = pair(s, 1, true);
        connect(&mut w, a, b);
        w.set_reads(b, false);
        let n = 17;
        let t: Vec<_> = (0..n).map(|_| w.send(a, b, vec![1; 1_000_000])).collect();
        let u = w.uuid(b);
        let c = w.request(a, Request::Close(Target::Peer(u)));
        w.run_for(Duration::from_millis(20 + s * 10));
        let said = w.nodes[a.0].router.links.values().any(|l| l.is_closing());
        let again = w.send(a, b, "again");
        w.run_for(S / 2);
        w.set_reads(b, true);
        w.run_for(S * 60);
        let ok = t.iter().filter(|t| matches!(w.reply(**t), Some(Ok(_)))).count();
        if w.received(b).len() != n + 2 {
            return Err(format!(
                "said {said} sends ok {ok}, arrived {}, close {:?} again {:?}",
                w.received(b).len() - 1,
                w.reply(c),
                w.reply(again)
            ));
        }
        Ok(())
    })
}
#[test]
fn a_close_with_a_full_inbox_ends_well() {
    count(|s| {
        let (mut w, a, b) = pair(s, 1, true);
        connect(&mut w, a, b);
        w.set_reads(a, false);
        for _ in 0..64 {
            w.send(b, a, vec![1; 1_000_000]);
        }
        w.run_for(S * 5);
        let u = w.uuid(b);
        let c = w.request(a, Request::Close(Target::Peer(u)));
        let quick = w.run_until(S * 5, |w| w.reply(c).is_some());
        w.run_for(S * 60);
        if !quick || !matches!(w.reply(c), Some(Ok(_))) {
            return Err(format!("quick {quick} {:?}", w.reply(c)));
        }
        Ok(())
    })
}
#[test]
fn an_answerer_whose_caller_gave_up_learns_it_at_once() {
    count(|s| {
        let (mut w, a, b) = pair(s, 1, true);
        let u = w.uuid(b);
        w.request(
            a,
            Request::Ready {
                target: Target::Peer(u),
                timeout: None,
            },
        );
        w.run_for(Duration::from_millis(60 + s));
        w.request(a, Request::Close(Target::Peer(u)));
        w.run_for(S / 5);
        let t = w.send(b, a, "hi");
        let quick = w.run_until(S * 8, |w| w.reply(t).is_some());
        w.run_for(S * 60);
        if !quick {
            return Err(format!("{:?}", w.reply(t)));
        }
        Ok(())
    })
}
#[test]
fn an_answer_lost_with_the_relay_socket_is_repeated() {
    count(|s| {
        let (mut w, a, b) = pair(s, 1, true);
        let t = w.send(a, b, "hi");
        // until b has given its answer to its socket
        w.run_until(S, |w| {
            w.nodes[b.0]
                .router
                .links
                .values()
                .any(|l| l.is_answerer() && l.state() == State::Connecting && !l.needs_relay())
        });
        let socket = w.relay.socket_of(b).unwrap();
        w.relay.drop_node(b);
        w.event_soon(
            b,
            Event::Socket(
                socket,
                SocketEvent::Closed {
                    code: None,
                    reason: "reset".into(),
                    http_status: None,
                },
            ),
            Duration::ZERO,
        );
        w.run_for(S * 10);
        let early = w.reply(t).cloned();
        w.run_for(S * 60);
        if w.received(b).len() != 1 || early.is_none() {
            return Err(format!("10 s: {early:?}, at last {:?}", w.reply(t)));
        }
        Ok(())
    })
}
#[test]
fn later_sends_cannot_starve_a_close() {
    count(|s| {
        let (mut w, a, b) = pair(s, 1, true);
        connect(&mut w, a, b);
        for _ in 0..20 {
            w.send(a, b, vec![1; 1_000_000]);
        }
        let u = w.uuid(b);
        let c = w.request(a, Request::Close(Target::Peer(u)));
        let mut n = 0;
        w.set_reads(b, false);
        while w.reply(c).is_none() && n < 400 {
            n += 1;
            w.send(a, b, vec![1; 400_000]);
            w.set_reads(b, true);
            w.set_reads(b, false);
            w.run_for(Duration::from_millis(100));
        }
        w.set_reads(b, true);
        w.run_for(S * 60);
        if n > 100 {
            return Err(format!("close after {n} sends: {:?}", w.reply(c)));
        }
        Ok(())
    })
}
#[test]
fn a_send_that_joins_an_old_attempt_has_its_own_time() {
    let (mut w, a, b) = pair(1, 1, true);
    w.kill(b, false);
    w.send(a, b, "first");
    w.run_for(S * 28);
    let t = w.send(a, b, "second");
    w.run_for(S * 3);
    assert!(w.reply(t).is_none(), "after 3 s: {:?}", w.reply(t));
}
#[test]
fn a_peer_that_comes_up_late_is_still_reached() {
    let (mut w, a, b) = pair(1, 1, true);
    w.kill(b, false);
    w.send(a, b, "first");
    w.run_for(Duration::from_millis(28_000));
    w.restart(b);
    w.run_for(Duration::from_millis(1_900));
    let t = w.send(b, a, "second");
    w.run_for(S * 5);
    assert!(
        matches!(w.reply(t), Some(Ok(_))) && w.received(a).len() == 1,
        "after 5 s: {:?}",
        w.reply(t)
    );
}
#[test]
fn what_is_unread_counts_over_reconnects() {
    let (mut w, a, b) = pair(1, 1, true);
    w.set_reads(a, false);
    for _ in 0..10 {
        for _ in 0..15 {
            w.send(b, a, vec![1; 1_000_000]);
        }
        let u = w.uuid(a);
        let c = w.request(b, Request::Close(Target::Peer(u)));
        w.run_until(S * 60, |w| w.reply(c).is_some());
        w.run_for(S);
    }
    assert!(w.unread_bytes(a) < 64 << 20, "{}", w.unread_bytes(a));
}
#[test]
fn the_longest_durations_are_taken() {
    let (mut w, a, b) = pair(1, 1, true);
    let u = w.uuid(b);
    w.request(
        a,
        Request::Send {
            target: Target::Peer(u),
            message: "x".into(),
            timeout: Some(Duration::MAX),
        },
    );
}
struct Bench {
    r: Router,
    now: Instant,
    link: LinkId,
    rtc: RtcId,
}
fn manual(channels: u16, words: &str) -> Bench {
    let now = Instant::now();
    let me = Registration {
        name: "x".into(),
        uuid: Uuid::from_u128(1),
    };
    let mut r = Router::new(Mode::Manual, "ws://x", me, Config::default(), 1);
    r.start(now);
    let s = crate::platform::SocketId(0);
    r.handle(now, Input::Event(Event::Socket(s, SocketEvent::Open)));
    let ok = r#"{"success": true, "message": null, "error": false, "message_type": "relay_response"}"#;
    r.handle(now, Input::Event(Event::Socket(s, SocketEvent::Text(ok.into()))));
    let link = LinkId(0);
    r.handle(now, Input::Request(RequestId(1), Request::Adopt { link, channels }));
    r.handle(
        now,
        Input::Request(
            RequestId(2),
            Request::Offer {
                link,
                peer: Uuid::from_u128(2),
            },
        ),
    );
    let rtc = RtcId(0);
    let sdp = |w: &str| {
        format!(
            "v=0\r\n{w}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:u\r\na=candidate:1 1 udp 1 1.1.1.1 1 typ host\r\n"
        )
    };
    let ev = |e| Input::Event(Event::Rtc(rtc, e));
    r.handle(
        now,
        ev(RtcEvent::LocalDescription(SessionDescription {
            sdp_type: SdpType::Offer,
            sdp: sdp(""),
        })),
    );
    let description = crate::description::Description::Session(SessionDescription {
        sdp_type: SdpType::Answer,
        sdp: sdp(words),
    })
    .encode();
    let message = PeerConnectionMessage {
        source_uuid: Uuid::from_u128(2),
        source_name: "y".into(),
        peer_uuid: Uuid::from_u128(1),
        description_type: DescriptionType::Answer,
        description,
        error: None,
    };
    r.handle(
        now,
        Input::Request(RequestId(3), Request::HandleMessage { link, message }),
    );
    for channel in 0..channels {
        r.handle(
            now,
            ev(RtcEvent::ChannelOpen {
                channel,
                label: "p2p".into(),
            }),
        );
    }
    let mut open = false;
    while let Some(o) = r.poll_output() {
        open |= matches!(o, Output::State(_, State::Connected, _));
    }
    assert!(open);
    Bench { r, now, link, rtc }
}
#[test]
fn a_connection_closed_by_hand_wants_no_more_time() {
    let Bench { mut r, now, link, rtc } = manual(1, "");
    r.handle(now, Input::Request(RequestId(4), Request::Close(Target::Link(link))));
    r.handle(now, Input::Event(Event::Rtc(rtc, RtcEvent::Flushed)));
    let later = now + Duration::from_secs(31);
    r.handle(later, Input::Timeout);
    assert!(
        r.next_deadline().is_none_or(|at| at > later),
        "deadline in the past after Timeout: spins; links {}",
        r.links.len()
    );
}
#[test]
fn a_dropped_connection_made_by_hand_is_forgotten() {
    let Bench { mut r, now, link, rtc } = manual(1, "");
    r.handle(now, Input::Request(RequestId(4), Request::Forget(link)));
    r.handle(now, Input::Event(Event::Rtc(rtc, RtcEvent::Flushed)));
    let later = now + Duration::from_secs(31);
    r.handle(later, Input::Timeout);
    assert!(
        r.links.values().next().is_none(),
        "kept; deadline past: {}",
        r.next_deadline().is_some_and(|at| at <= later)
    );
}
#[test]
fn dropping_a_connection_and_its_client_delivers_the_tail() {
    let Bench { mut r, now, link, .. } = manual(1, "");
    r.handle(
        now,
        Input::Request(
            RequestId(4),
            Request::Send {
                target: Target::Link(link),
                message: "tail".into(),
                timeout: None,
            },
        ),
    );
    r.handle(now, Input::Request(RequestId(5), Request::Forget(link)));
    r.handle(now, Input::Request(RequestId(6), Request::CloseAll));
    let mut closed = false;
    while let Some(o) = r.poll_output() {
        closed |= matches!(o, Output::Rtc(_, RtcCommand::Close));
    }
    assert!(!closed, "transport closed before Flushed");
}
#[test]
fn the_first_closed_channel_does_not_end_the_others() {
    let Bench { mut r, now, rtc, .. } = manual(2, "");
    r.handle(
        now,
        Input::Event(Event::Rtc(rtc, RtcEvent::ChannelClosed { channel: 1 })),
    );
    let h = crate::chunk::Header {
        kind: crate::chunk::Kind::Bytes,
        stream_id: 0,
        seq_id: 0,
        seq_len: 1,
    };
    let data = crate::chunk::encode(&h, b"last").freeze();
    r.handle(
        now,
        Input::Event(Event::Rtc(
            rtc,
            RtcEvent::Frame {
                channel: 0,
                data,
                binary: true,
            },
        )),
    );
    let mut got = false;
    while let Some(o) = r.poll_output() {
        got |= matches!(o, Output::Deliver(..));
    }
    assert!(got);
}
#[test]
fn padding_is_not_kept_in_memory() {
    let h = crate::chunk::Header {
        kind: crate::chunk::Kind::Bytes,
        stream_id: 0,
        seq_id: 1,
        seq_len: 3,
    };
    let mut f = crate::chunk::encode(&h, b"x");
    f.extend_from_slice(&vec![0; 262_000]);
    let frame = crate::chunk::Frame::decode(f.freeze()).unwrap();
    let payload: Bytes = frame.payload;
    assert_eq!(payload.len(), 1);
    let cap = payload.try_into_mut().unwrap().capacity();
    assert!(cap < 1000, "holds {cap} bytes, accounted 1");
}
#[test]
fn two_receivers_get_two_messages() {
    use crate::mailroom::{Caller, Mailroom, Shared};
    use futures_util::FutureExt;
    use std::sync::Arc;
    let mailroom = Mailroom::new(1 << 20);
    let (caller, _c) = Caller::channel();
    let shared = Arc::new(Shared::new(LinkId(0), None, false, 1));
    let (mut f, mut g) = (
        Box::pin(mailroom.recv_from(&shared, &caller)),
        Box::pin(mailroom.recv_from(&shared, &caller)),
    );
    assert!((&mut f).now_or_never().is_none() && (&mut g).now_or_never().is_none());
    mailroom.deliver(&shared, "1".into());
    mailroom.deliver(&shared, "2".into());
    assert!((&mut f).now_or_never().is_some());
    drop(f);
    assert!(
        (&mut g).now_or_never().is_some(),
        "message 2 waits, its receiver sleeps"
    );
}
fn slow(seed: u64, path: u64) -> (World, NodeId, NodeId) {
    let mut w = World::new(
        Instant::now(),
        seed,
        Weather {
            relay_delay: Duration::from_millis(5),
            path_delay: Duration::from_millis(path),
            disorder: false,
        },
    );
    let a = w.add(1, Config::default(), false);
    let b = w.add(2, Config::default(), false);
    w.run_for(S);
    connect(&mut w, a, b);
    (w, a, b)
}
#[test]
fn a_new_offer_does_not_overtake_the_tail() {
    count(|s| {
        let (mut w, a, b) = slow(s, 300);
        let t: Vec<_> = (0..20).map(|_| w.send(a, b, vec![1; 10_000])).collect();
        let u = w.uuid(b);
        let c = w.request(a, Request::Close(Target::Peer(u)));
        let again = w.send(a, b, "again");
        w.run_for(S * 60);
        let ok = t.iter().filter(|t| matches!(w.reply(**t), Some(Ok(_)))).count();
        if w.received(b).len() != 22 {
            return Err(format!(
                "sends ok {ok}, arrived {}, close {:?} again {:?}",
                w.received(b).len() - 1,
                w.reply(c),
                w.reply(again)
            ));
        }
        Ok(())
    })
}
#[test]
fn a_close_under_steady_sends_ends_in_time() {
    let (mut w, a, b) = slow(1, 300);
    let t: Vec<_> = (0..10).map(|_| w.send(a, b, vec![1; 1_000_000])).collect();
    let u = w.uuid(b);
    let c = w.request(a, Request::Close(Target::Peer(u)));
    let mut n = 0;
    while w.reply(c).is_none() && n < 400 {
        n += 1;
        w.send(a, b, vec![1; 2_000_000]);
        w.run_for(Duration::from_millis(100));
    }
    assert!(
        n < 50,
        "close answered after {} s of later sends: {:?}; first sends {:?}",
        n / 10,
        w.reply(c),
        w.reply(t[9])
    );
}

#[test]
fn a_displaced_peer_is_told_and_its_connections_go_on() {
    let mut world = World::new(Instant::now(), 5, Weather::default());
    let alice = world.add(1, Config::default(), false);
    let bob = world.add(2, Config::default(), false);
    world.run_for(Duration::from_secs(1));
    let before = world.send(alice, bob, "before");
    assert!(world.run_until(Duration::from_secs(5), |world| world.received(bob).len() == 1));
    assert_eq!(world.reply(before), Some(&Ok(Reply::Done)));
    let waiting = world.request(alice, Request::Registered { timeout: None });
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.reply(waiting), Some(&Ok(Reply::Done)));

    world.add(1, Config::default(), false); // registers alice's UUID
    world.run_for(Duration::from_secs(1));
    for request in [
        Request::Registered { timeout: None },
        Request::Reconnect,
        Request::Ready {
            target: Target::Peer(Uuid::from_u128(9)),
            timeout: None,
        },
    ] {
        let ticket = world.request(alice, request);
        world.run_for(Duration::from_millis(1));
        assert_eq!(world.reply(ticket), Some(&Err(Error::Displaced)));
    }
    let after = world.send(alice, bob, "after");
    let came = world.run_until(Duration::from_secs(5), |world| world.received(bob).len() == 2);
    assert!(
        came,
        "{:?} {:?}",
        world.reply(after),
        world.ends(alice).collect::<Vec<_>>()
    );
    assert_eq!(world.reply(after), Some(&Ok(Reply::Done)));
    assert_eq!(world.live_links(alice), 1);
}

#[test]
fn a_relay_that_is_back_is_reached_at_once_when_asked() {
    let mut config = Config::default();
    config.reconnect.initial = Duration::from_secs(3600);
    config.reconnect.max = Duration::from_secs(3600);
    let mut world = World::new(Instant::now(), 6, Weather::default());
    let alice = world.add(1, config, false);
    world.run_for(Duration::from_secs(1));
    world.set_relay_up(false);
    world.run_for(Duration::from_secs(1));
    world.set_relay_up(true);
    let back = world.request(alice, Request::Reconnect);
    assert!(world.run_until(Duration::from_secs(2), |world| world.reply(back).is_some()));
    assert_eq!(world.reply(back), Some(&Ok(Reply::Done)));
}
