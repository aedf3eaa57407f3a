use super::*;
use crate::quic::network::{Network, Way, certificate};

const SECOND: Duration = Duration::from_secs(1);

/// Frames of many sizes, each of which tells which it is.
fn frames(count: usize, random: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let size = |random: &mut fastrand::Rng| match random.u8(..4) {
        0 => 65_554,
        1 => random.usize(4..65_554),
        _ => random.usize(4..300),
    };
    let frame = |number: usize, size: usize| {
        let mut frame = vec![number as u8; size];
        frame[..4].copy_from_slice(&(number as u32).to_be_bytes());
        frame
    };
    (0..count).map(|number| frame(number, size(random))).collect()
}

#[test]
fn every_frame_arrives_once_whole_and_in_order_whatever_the_network_does() {
    for seed in 0..5 {
        let bad = |delay: u64| {
            Way::new(delay).with(|way| {
                way.loss = 0.05;
                way.burst = 3;
                way.jitter = Duration::from_millis(7);
                way.rate = 4e6;
                way.queue = 100_000;
            })
        };
        let mut network = Network::new(seed, vec![bad(3), bad(20)]);
        let ends = network.connect([0, 1]);
        let mut random = fastrand::Rng::with_seed(seed);
        let sent = ends.map(|_| frames(120, &mut random));
        for (end, sent) in ends.into_iter().zip(&sent) {
            sent.iter().for_each(|frame| network.ends[end].give(frame));
            network.ends[end].carrier.flush();
        }
        let until = network.now + 60 * SECOND;
        let all = network.run_until(until, |network| network.ends.iter().all(|end| end.flushed));
        assert!(all, "seed {seed}: not flushed");
        for (end, sent) in [ends[1], ends[0]].into_iter().zip(sent) {
            let received = &network.ends[end].received;
            assert!(*received == sent, "seed {seed}");
        }
    }
}

#[test]
fn without_loss_frames_come_in_order() {
    let mut network = Network::new(1, vec![Way::new(5); 2]);
    let [a, b] = network.connect([0, 1]);
    let sent = frames(200, &mut fastrand::Rng::with_seed(1));
    sent.iter().for_each(|frame| network.ends[a].give(frame));
    network.run(10 * SECOND);
    assert!(network.ends[b].received == sent);
}

#[test]
fn who_does_not_read_is_sent_no_more_than_a_window() {
    let mut network = Network::new(1, vec![Way::new(2).with(|way| way.rate = 20e6); 2]);
    let [a, b] = network.connect([0, 1]);
    network.ends[b].reads = false;
    network.ends[b].keeps = false;
    network.ends[a].streams = Some(65_554);
    network.run(10 * SECOND);
    let written = network.ends[a].written_bytes;
    assert!(written <= WINDOWS.start() + AHEAD_BYTES * 2, "{written}");
    // And goes on where it stopped.
    network.ends[b].reads = true;
    network.run(2 * SECOND);
    assert!(network.ends[a].written_bytes > 4 * written);
    assert!(network.ends[b].bytes > 4 * written);
}

#[test]
fn a_long_path_gets_a_larger_window_but_no_more_than_the_largest() {
    let way = Way::new(150).with(|way| way.rate = 30e6);
    let mut network = Network::new(1, vec![way; 2]);
    let [a, b] = network.connect([0, 1]);
    network.ends[b].keeps = false;
    network.ends[a].streams = Some(65_554);
    network.run(5 * SECOND);
    let windows = |network: &Network, end: usize| {
        let Window { sent, received, .. } = network.ends[end].carrier.window;
        (sent, received)
    };
    assert!(windows(&network, a).0 > 8 << 20 && windows(&network, a).0 <= *WINDOWS.end());
    assert_eq!(windows(&network, b).1, *WINDOWS.end());
    assert!(network.ends[b].bytes > 40 << 20, "{}", network.ends[b].bytes);
}

#[test]
fn whoever_has_another_certificate_does_not_come_in_and_keeps_nobody_out() {
    let ((a, of_a), (b, of_b), (stranger, of_stranger)) = (certificate(), certificate(), certificate());
    let round_trip = Duration::from_millis(10);
    for (own, expected) in [(&stranger, of_b), (&a, of_stranger)] {
        let mut network = Network::new(1, vec![Way::new(5); 2]);
        let client = Carrier::client(network.now, own, expected, round_trip).unwrap();
        let server = Carrier::server(&b, of_a, round_trip).unwrap();
        let [client, server] = network.pair(client, server, [0, 1]);
        network.run(5 * SECOND);
        let ended = network.ends[client].carrier.ended().cloned();
        assert!(matches!(ended, Some(News::Failed(_))), "{ended:?}");
        assert!(network.ends[server].connected.is_none());
        assert_eq!(network.ends[server].carrier.ended(), None);
        // The right one, from the same address.
        network.ends[client].carrier = Carrier::client(network.now, &a, of_b, round_trip).unwrap();
        network.ends[client].connected = None;
        network.run(5 * SECOND);
        assert!(network.ends[client].connected.is_some() && network.ends[server].connected.is_some());
    }
}

#[test]
fn a_client_with_a_wrong_certificate_hears_nothing_and_is_not_heard() {
    // TLS 1.3 lets the client believe that it is connected before the server has seen its certificate.
    let ((_, of_a), (b, of_b), (stranger, _)) = (certificate(), certificate(), certificate());
    let round_trip = Duration::from_millis(10);
    let mut network = Network::new(1, vec![Way::new(5); 2]);
    let client = Carrier::client(network.now, &stranger, of_b, round_trip).unwrap();
    let server = Carrier::server(&b, of_a, round_trip).unwrap();
    let [client, server] = network.pair(client, server, [0, 1]);
    network.ends[client].give(b"secret");
    network.ends[server].give(b"secret");
    network.run(5 * SECOND);
    assert!(network.ends.iter().all(|end| end.received.is_empty()));
}

#[test]
fn garbage_is_survived() {
    let mut network = Network::new(1, vec![Way::new(1); 2]);
    let [a, b] = network.connect([0, 1]);
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..2000 {
        let first = [0xc0, 0xc3, 0x40, 0xff][round % 4];
        let mut garbage: Vec<u8> = (0..random.usize(0..1300)).map(|_| random.u8(..)).collect();
        garbage.insert(0, first);
        if first == 0xc0 && garbage.len() > 5 {
            garbage[1..5].copy_from_slice(&[0, 0, 0, 1]);
        }
        let now = network.now;
        for end in [a, b] {
            network.ends[end]
                .carrier
                .receive(now, BytesMut::from(&garbage[..]), None);
        }
    }
    network.ends[a].give(b"through");
    network.run(5 * SECOND);
    assert_eq!(network.ends[b].received, ["through"]);
}

#[test]
fn closing_is_heard_after_everything_that_came_before() {
    let mut network = Network::new(1, vec![Way::new(5); 2]);
    let [a, b] = network.connect([0, 1]);
    network.ends[b].reads = false;
    let sent = frames(20, &mut fastrand::Rng::with_seed(3));
    sent.iter().for_each(|frame| network.ends[a].give(frame));
    network.ends[a].carrier.flush();
    let until = network.now + 10 * SECOND;
    assert!(network.run_until(until, |network| network.ends[a].flushed));
    let now = network.now;
    network.ends[a].carrier.close(now);
    network.run(SECOND);
    assert_eq!(network.ends[b].carrier.ended(), Some(&News::Closed));
    network.ends[b].reads = true;
    network.run(SECOND);
    assert!(network.ends[b].received == sent);
}
