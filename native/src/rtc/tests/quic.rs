//! QUIC in place of data channels.

use super::*;
use crosspeer::platform::QUIC_LABEL;

fn quic_config() -> Config {
    let mut config = config();
    config.quic = true;
    config
}

/// Two sides that describe themselves to each other; what `change` makes of each description arrives.
async fn describe_quic(configs: [&Config; 2], quic: bool, change: impl Fn(String) -> String) -> (Side, Side) {
    let (mut a, mut b) = (Side::new(configs[0]), Side::new(configs[1]));
    let to = Receiver {
        send_buffer: SEND_BUFFER,
        prompt: true,
        quic,
    };
    let (channels, ordered) = (1, true);
    a.rtc.execute(RtcCommand::Offer { channels, ordered });
    let offer = change(a.description(SdpType::Offer).await);
    b.rtc.execute(RtcCommand::Answer { offer, to });
    let answer = change(b.description(SdpType::Answer).await);
    a.rtc.execute(RtcCommand::Complete { answer, to });
    (a, b)
}

async fn connect_quic() -> (Side, Side) {
    let config = quic_config();
    let (mut a, mut b) = describe_quic([&config; 2], true, |sdp| sdp).await;
    for side in [&mut a, &mut b] {
        let labels = side.opened(1).await;
        assert_eq!(labels[&0], QUIC_LABEL);
    }
    (a, b)
}

/// Each side has opened one data channel, and frames arrive over it.
async fn use_data_channels(a: &mut Side, b: &mut Side) {
    for side in [&mut *a, &mut *b] {
        assert_eq!(side.opened(1).await[&0], "p2p-0-1");
    }
    a.write(0, b"there");
    assert_eq!(b.frame().await.1, "there");
    b.write(0, b"back");
    assert_eq!(a.frame().await.1, "back");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_any_size_go_over_quic_both_ways() {
    let (mut a, mut b) = connect_quic().await;
    let sizes = [1, 19, 1160, 16 << 10, 64 << 10, 65_554];
    for _ in 0..2 {
        for (number, size) in sizes.into_iter().enumerate() {
            a.write(0, &pattern(size, number));
        }
        let mut received = Vec::new();
        for _ in sizes {
            received.push(b.frame().await.1.to_vec());
        }
        received.sort_by_key(Vec::len);
        for ((number, size), received) in sizes.into_iter().enumerate().zip(received) {
            assert!(received == pattern(size, number), "{size}");
        }
        std::mem::swap(&mut a, &mut b);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stages_of_quic_are_those_of_data_channels() {
    let config = quic_config();
    let (mut a, mut b) = describe_quic([&config; 2], true, |sdp| sdp).await;
    for side in [&mut a, &mut b] {
        let mut stages = Vec::new();
        side.until(|event| match event {
            RtcEvent::Progress(stage) => {
                stages.push(stage);
                None
            }
            RtcEvent::ChannelOpen { .. } => Some(()),
            _ => None,
        })
        .await;
        assert_eq!(stages, [Stage::Dtls, Stage::Channels]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_flushed_over_quic_is_not_lost_by_closing() {
    let (mut a, mut b) = connect_quic().await;
    for number in 0..200 {
        a.write(0, &pattern(32 << 10, number));
    }
    a.rtc.execute(RtcCommand::Flush);
    let reader = tokio::spawn(async move {
        let mut sum = 0;
        for _ in 0..200 {
            sum += b.frame().await.1.len();
        }
        assert_eq!(sum, 200 * (32 << 10));
        b.ended().await;
        // Nothing follows, since the actor has ended.
        assert!(timeout(HANG, b.events.next()).await.unwrap().is_none());
    });
    a.until(|event| matches!(event, RtcEvent::Flushed).then_some(())).await;
    a.rtc.execute(RtcCommand::Close);
    reader.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_handle_closes_quic_for_the_peer() {
    let (a, mut b) = connect_quic().await;
    drop(a);
    b.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_holds_the_writer_back_until_it_goes_on() {
    let (a, mut b) = connect_quic().await;
    let frames = 300;
    for number in 0..frames {
        a.write(0, &pattern(64 << 10, number));
    }
    let mut stalled = 0;
    let frame = |event| match event {
        RtcEvent::Frame { data, .. } => Some(data.len()),
        _ => None,
    };
    // So much comes without being consumed, and no more.
    while stalled < crosspeer::platform::READ_AHEAD_BYTES {
        stalled += b.until(frame).await;
    }
    let more = timeout(Duration::from_millis(300), b.until(frame)).await;
    assert!(more.is_err(), "{more:?} after {stalled}");
    b.rtc.execute(RtcCommand::Consumed { bytes: stalled });
    while stalled < frames * (64 << 10) {
        stalled += b.frame().await.1.len();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_noticed_over_quic_too() {
    let mut config = quic_config();
    config.dead_after = Duration::from_secs(2);
    let (mut a, mut b) = describe_quic([&config; 2], true, |sdp| sdp).await;
    a.opened(1).await;
    b.opened(1).await;
    b.rtc.gate.muted.store(true, Release);
    a.until(|event| matches!(event, RtcEvent::Silent(_)).then_some(()))
        .await;
    b.rtc.gate.muted.store(false, Release);
    a.until(|event| matches!(event, RtcEvent::Responsive).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_goes_on_beside_quic() {
    let (mut a, mut b) = connect_quic().await;
    // One that waits for DTLS in vain ends after eight seconds (docs/upstream/dtls-in-vain.md).
    let silence = timeout(Duration::from_secs(15), a.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    a.write(0, b"there");
    assert_eq!(b.frame().await.1, "there");
    b.write(0, b"back");
    assert_eq!(a.frame().await.1, "back");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_side_does_not_want_quic_there_are_data_channels() {
    let (with, without) = (quic_config(), config());
    for configs in [[&with, &without], [&without, &with], [&with, &with]] {
        let (mut a, mut b) = describe_quic(configs, false, |sdp| sdp).await;
        use_data_channels(&mut a, &mut b).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_quic_does_not_get_through_data_channels_are_used() {
    let config = quic_config();
    // Both ways, and one way alone.
    for blocked in [[true, true], [true, false], [false, true]] {
        let (mut a, mut b) = (Side::new(&config), Side::new(&config));
        for (side, blocked) in [&a, &b].into_iter().zip(blocked) {
            side.rtc.mux.as_ref().unwrap().blocked.store(blocked, Release);
        }
        let to = Receiver {
            send_buffer: SEND_BUFFER,
            prompt: true,
            quic: true,
        };
        let (channels, ordered) = (1, true);
        a.rtc.execute(RtcCommand::Offer { channels, ordered });
        let offer = a.description(SdpType::Offer).await;
        b.rtc.execute(RtcCommand::Answer { offer, to });
        let answer = b.description(SdpType::Answer).await;
        a.rtc.execute(RtcCommand::Complete { answer, to });
        use_data_channels(&mut a, &mut b).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_than_the_described_one_gets_nowhere() {
    let config = quic_config();
    let forge = |sdp: String| {
        let line = sdp.lines().find(|line| line.starts_with("a=fingerprint:")).unwrap();
        let (head, last) = line.split_at(line.len() - 2);
        let other = if last == "00" { "01" } else { "00" };
        sdp.replace(line, &format!("{head}{other}"))
    };
    let (mut a, mut b) = describe_quic([&config; 2], true, forge).await;
    for side in [&mut a, &mut b] {
        let failed = side.until(|event| match event {
            RtcEvent::Failed { stage, .. } => Some(stage),
            RtcEvent::ChannelOpen { label, .. } => panic!("open: {label}"),
            _ => None,
        });
        assert_eq!(failed.await, Stage::Dtls);
    }
}
