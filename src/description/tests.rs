use super::*;
use proptest::prelude::*;

/// A real offer of aiortc 1.16, with LF line ends (see [`crlf`]), fingerprints shortened.
const AIORTC_OFFER: &str = "\
v=0
o=- 4004330936 4004330936 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic:WMS *
m=application 33867 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 192.0.2.2
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
a=candidate:f957a2332b1715da3b0ef8ba684454eb 1 udp 2130706431 192.0.2.2 33867 typ host
a=candidate:d0bcf3d9c29a2bc887618212a1623bfa 1 udp 2130706431 fd00::2 54116 typ host
a=end-of-candidates
a=ice-ufrag:SFOs
a=ice-pwd:K8RdhJmMsV0KIBHb52tA9U
a=fingerprint:sha-256 48:F2
a=setup:actpass
";

/// As the native engine writes it: twice the candidates, an unfit size; and as a browser: mDNS names.
const ENGINE_OFFER: &str = "\
v=0
s=-
a=fingerprint:sha-256 48:F2
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
a=mid:0
a=max-message-size:1073741823
a=candidate:1 1 udp 2130706431 192.0.2.2 5000 typ host
a=candidate:1 2 udp 2130706431 192.0.2.2 5000 typ host
a=candidate:2 1 udp 2113937151 2f1c-4e.LOCAL 5001 typ host generation 0
a=candidate:1 1 udp 2130706431 192.0.2.2 5000 typ host
a=end-of-candidates
a=ice-ufrag:abcd
a=sctp-port:5000
";

fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

fn session(sdp_type: SdpType, sdp: impl Into<String>) -> Description {
    Description::Session(SessionDescription {
        sdp_type,
        sdp: sdp.into(),
    })
}

#[test]
fn descriptions_are_written_and_read_as_aiortc_writes_them() {
    let line = "candidate:abc 1 udp 2130706431 192.0.2.2 5000 typ host";
    let candidate = Description::Candidate {
        candidate: line.into(),
        mid: "0".into(),
    };
    let golden = [
        (
            session(SdpType::Offer, "v=0\r\no=- 1\r\n"),
            r#"{"sdp": "v=0\r\no=- 1\r\n", "type": "offer"}"#,
        ),
        (
            session(SdpType::Answer, "v=0\r\n"),
            r#"{"sdp": "v=0\r\n", "type": "answer"}"#,
        ),
        (
            candidate,
            r#"{"candidate": "candidate:abc 1 udp 2130706431 192.0.2.2 5000 typ host", "id": "0", "label": 0, "type": "candidate"}"#,
        ),
        (Description::Withdraw, r#"{"type": "bye"}"#),
    ];
    for (description, text) in golden {
        assert_eq!(description.encode(), text);
        assert_eq!(Description::decode(text), Ok(description));
    }
}

#[test]
fn what_is_not_printable_ascii_is_escaped_as_python_does() {
    let description = session(SdpType::Offer, "\u{7f}\0é🦀\"\\/\u{8}\u{c}\t\r\n");
    let text = r#"{"sdp": "\u007f\u0000\u00e9\ud83e\udd80\"\\/\b\f\t\r\n", "type": "offer"}"#;
    assert_eq!(description.encode(), text);
    assert_eq!(Description::decode(text), Ok(description));
}

#[test]
fn other_forms_of_the_same_are_read() {
    let text = r#"{"type":"offer","sdp":"é","x":[{}]}"#;
    assert_eq!(Description::decode(text), Ok(session(SdpType::Offer, "é")));
    for (more, mid) in [
        (r#""label":1"#, "1"),
        (r#""id":null"#, "0"),
        (r#""id":"data","label":{}"#, "data"),
    ] {
        let text = format!(r#"{{"candidate":"a=candidate:1 1 udp 1 ::1 9 typ host\r\n","type":"candidate",{more}}}"#);
        let candidate = "candidate:1 1 udp 1 ::1 9 typ host".into();
        assert_eq!(
            Description::decode(&text),
            Ok(Description::Candidate {
                candidate,
                mid: mid.into()
            })
        );
    }
}

#[test]
fn what_is_no_description_is_refused_with_the_reason() {
    let unknown = |name: &str| DescriptionError::UnknownType(name.into());
    let cases = [
        (
            r#"{"type": "offer"}"#,
            DescriptionError::Missing {
                of: "offer",
                key: "sdp",
            },
        ),
        (
            r#"{"type": "answer", "sdp": null}"#,
            DescriptionError::Missing {
                of: "answer",
                key: "sdp",
            },
        ),
        (
            r#"{"type": "candidate"}"#,
            DescriptionError::Missing {
                of: "candidate",
                key: "candidate",
            },
        ),
        (r#"{"type": "pranswer", "sdp": ""}"#, unknown("pranswer")),
        (
            r#"{"type": "candidate", "candidate": ""}"#,
            DescriptionError::BadCandidate(String::new()),
        ),
        (
            r#"{"type": "candidate", "candidate": "x"}"#,
            DescriptionError::BadCandidate("x".into()),
        ),
    ];
    for (text, error) in cases {
        assert_eq!(Description::decode(text), Err(error));
    }
    let two_lines = r#"{"type": "candidate", "candidate": "candidate:1\r\na=x"}"#;
    assert!(matches!(
        Description::decode(two_lines),
        Err(DescriptionError::BadCandidate(_))
    ));
    for text in [
        "",
        "null",
        "[]",
        "5",
        "\"offer\"",
        "{}",
        r#"{"type": 5}"#,
        r#"{"type": "offer", "sdp": 5}"#,
    ] {
        assert!(
            matches!(Description::decode(text), Err(DescriptionError::Malformed(_))),
            "{text}"
        );
    }
}

#[test]
fn a_hostile_description_cannot_fill_a_log() {
    let long = "é".repeat(100_000);
    for text in [
        format!(r#"{{"type": "{long}"}}"#),
        format!(r#"{{"type": "candidate", "candidate": "{long}"}}"#),
        format!(r#"{{"type": {{"{long}": 0}}}}"#),
        format!(r#""{long}""#),
    ] {
        assert!(Description::decode(&text).unwrap_err().to_string().len() < 200);
    }
}

#[test]
fn aiortcs_own_offer_needs_only_our_line_and_no_end_of_candidates() {
    let words = Words::from_iter(["ordered", "chunk=262144"]);
    let expected = AIORTC_OFFER
        .replace("a=end-of-candidates\n", "")
        .replace("a=max-message-size:262144\n", "")
        .replace("m=app", "a=x-crosspeer:1 chunk=262144 ordered\nm=app")
        + "a=max-message-size:262144\n";
    assert_eq!(prepare_local(AIORTC_OFFER, &words), crlf(&expected));
}

#[test]
fn the_engines_offer_is_mended() {
    let prepared = prepare_local(&crlf(ENGINE_OFFER), &Words::new());
    let expected = "\
v=0
s=-
a=fingerprint:sha-256 48:F2
a=x-crosspeer:1
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
a=mid:0
a=candidate:1 1 udp 2130706431 192.0.2.2 5000 typ host
a=candidate:2 1 udp 2113937151 2f1c-4e.LOCAL 5001 typ host generation 0
a=ice-ufrag:abcd
a=sctp-port:5000
a=max-message-size:262144
";
    assert_eq!(prepared, crlf(expected));
    assert_eq!(
        prepare_local(&prepared, &Words::new()),
        prepared,
        "preparing twice changes nothing"
    );
    assert_eq!(candidates(&split_mdns_candidates(&prepared).0).count(), 1);
}

#[test]
fn the_size_belongs_to_the_data_section_only() {
    let sdp = "v=0\nm=audio 9 RTP 0\na=mid:a\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:d\nm=video 9 RTP 0\na=mid:v\n";
    let prepared = prepare_local(sdp, &Words::new());
    assert!(prepared.contains("a=mid:d\r\na=max-message-size:262144\r\nm=video"));
    assert_eq!(prepared.matches("max-message-size").count(), 1);
    assert_eq!(prepared.matches("x-crosspeer").count(), 1);
}

#[test]
fn an_sdp_without_sections_gets_the_line_at_its_end() {
    assert_eq!(prepare_local("v=0\r\n", &Words::new()), "v=0\r\na=x-crosspeer:1\r\n");
    assert_eq!(prepare_local("", &Words::new()), "a=x-crosspeer:1\r\n");
}

#[test]
fn an_address_is_given_to_the_engine_once_whatever_else_is_said_of_it() {
    let line = |number: u32, kind: &str| format!("a=candidate:{number} 1 UDP {number} 192.0.2.1 5000 typ {kind}\r\n");
    let related = "a=candidate:9 1 udp 9 192.0.2.1 5001 typ srflx raddr 10.0.0.1 rport 1\r\n";
    let sdp = format!(
        "v=0\r\nm=application 9 X\r\n{}{}{related}{}",
        line(1, "host"),
        line(2, "srflx"),
        line(3, "host").replace("UDP", "udp")
    );
    let prepared = prepare_remote(&sdp);
    assert_eq!(
        prepared,
        format!("v=0\r\nm=application 9 X\r\n{}{related}", line(1, "host"))
    );
}

#[test]
fn a_remote_description_loses_its_end_of_candidates_only() {
    let expected = AIORTC_OFFER.replace("a=end-of-candidates\n", "");
    assert_eq!(prepare_remote(AIORTC_OFFER), crlf(&expected));
    assert_eq!(prepare_remote(&crlf(AIORTC_OFFER)), crlf(&expected));
}

#[test]
fn words_arrive_as_they_were_said() {
    let mut words = Words::from_iter(["ordered", "ping", "for=SF+/", "chunk=65536", "chunk=262144"]);
    assert_eq!(words.to_line(), "a=x-crosspeer:1 chunk=262144 for=SF+/ ordered ping");
    assert_eq!(
        Words::parse(&prepare_local(AIORTC_OFFER, &words)).as_ref(),
        Some(&words)
    );
    assert!(words.contains("ordered") && words.contains("for") && !words.contains("bye"));
    assert_eq!(
        (words.get("chunk"), words.get("ordered"), words.get("bye")),
        (Some("262144"), None, None)
    );
    assert!(words.insert("bye") && words.contains("bye"));
}

#[test]
fn what_cannot_stand_in_the_line_is_left_out() {
    let mut words = Words::from_iter(["a", "", "=x", "b c", "d\r\na=evil", "é"]);
    assert_eq!(words.to_line(), "a=x-crosspeer:1 a");
    assert!(words.insert("k=v"));
    assert!(!words.insert(&format!("k={}", "x".repeat(MAX_LINE_BYTES))));
    assert!(!words.insert(&"x".repeat(MAX_LINE_BYTES)));
    assert_eq!(words.to_line(), "a=x-crosspeer:1 a k=v");
}

#[test]
fn only_our_kind_has_words() {
    assert_eq!(Words::parse(AIORTC_OFFER), None);
    for line in [
        "a=x-crosspeer:",
        "a=x-crosspeer: ping",
        "a=x-crosspeer:x ping",
        "a=x-crosspeer",
        "a=X-CROSSPEER:1",
    ] {
        assert_eq!(Words::parse(line), None, "{line}");
    }
    assert_eq!(
        Words::parse("v=0\nm=application 9 UDP/DTLS/SCTP x\na=x-crosspeer:1 ping\n"),
        None
    );
    assert_eq!(
        Words::parse(&format!("a=x-crosspeer:1 {}", "x".repeat(MAX_LINE_BYTES))),
        None
    );
    assert_eq!(Words::parse("v=0\na=x-crosspeer:1\n"), Some(Words::new()));
}

#[test]
fn a_later_versions_words_are_read() {
    let words = Words::parse("a=x-crosspeer:12  ping  lanes=4 ping=no é\r\n");
    assert_eq!(words, Some(Words::from_iter(["ping", "lanes=4"])));
}

#[test]
fn facts_are_read_from_an_sdp() {
    for sdp in [AIORTC_OFFER.to_owned(), crlf(AIORTC_OFFER)] {
        assert_eq!(ice_ufrag(&sdp), Some("SFOs"));
        assert_eq!(max_message_size(&sdp), 262_144);
        assert!(has_data_section(&sdp));
        assert_eq!(candidates(&sdp).count(), 2);
        assert!(candidates(&sdp).all(|line| line.starts_with("candidate:") && line.ends_with("host")));
    }
    assert_eq!(
        (ice_ufrag(""), has_data_section(""), candidates("").count()),
        (None, false, 0)
    );
    assert_eq!(
        ice_ufrag("a=ice-ufrag:session\nm=application 9 DTLS/SCTP 5000\n"),
        Some("session")
    );
}

#[test]
fn the_message_size_has_its_defaults() {
    let size = |line: &str| max_message_size(&format!("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n{line}\n"));
    assert_eq!(size("a=mid:0"), 65_536);
    assert_eq!(size("a=max-message-size:0"), usize::MAX);
    assert_eq!(size("a=max-message-size:99999999999999999999999"), usize::MAX);
    assert_eq!(size("a=max-message-size:16384"), 16_384);
    for garbage in ["", "-1", "+5", "x"] {
        assert_eq!(size(&format!("a=max-message-size:{garbage}")), 65_536);
    }
    assert_eq!(
        max_message_size("a=max-message-size:5\nm=audio 9 RTP 0\na=max-message-size:6\n"),
        65_536
    );
}

#[test]
fn a_rejected_data_section_does_not_count() {
    assert!(has_data_section("m=application 9 UDP/DTLS/SCTP webrtc-datachannel"));
    assert!(has_data_section("m=application 9 DTLS/SCTP 5000\r\n"));
    assert!(has_data_section(
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\na=bundle-only\n"
    ));
    assert!(!has_data_section("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\n"));
    assert!(!has_data_section("m=audio 9 UDP/TLS/RTP/SAVPF 111\n"));
    assert!(!has_data_section("m=application"));
}

/// Text made of an SDP's parts, in any order.
fn any_sdp() -> impl Strategy<Value = String> {
    let known: Vec<String> = crlf(AIORTC_OFFER).split_inclusive('\n').map(str::to_owned).collect();
    let ours = Just("a=x-crosspeer:1 ping for=x\n".to_owned());
    let line = prop_oneof![prop::sample::select(known), ours, "\\PC{0,20}[\r\n]{0,2}"];
    prop::collection::vec(line, 0..30).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn any_description_survives(sdp: String, offer: bool) {
        let description = session(if offer { SdpType::Offer } else { SdpType::Answer }, sdp);
        let text = description.encode();
        prop_assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
        prop_assert_eq!(Description::decode(&text), Ok(description));
    }

    #[test]
    fn arbitrary_descriptions_never_panic(text: String) {
        let _ = Description::decode(&text);
        let _ = Description::decode(&format!(r#"{{"type": "candidate", "candidate": {text:?}}}"#));
    }

    #[test]
    fn any_sdp_is_read_and_mended_the_same_way_twice(sdp in any_sdp()) {
        let words = Words::from_iter(["bye"]);
        let local = prepare_local(&sdp, &words);
        prop_assert_eq!(&prepare_local(&local, &words), &local);
        prop_assert_eq!(Words::parse(&local), Some(words));
        let remote = split_mdns_candidates(&prepare_remote(&sdp)).0;
        prop_assert_eq!(&split_mdns_candidates(&prepare_remote(&remote)).0, &remote);
        prop_assert_eq!(has_data_section(&local), has_data_section(&sdp));
        prop_assert_eq!(ice_ufrag(&local), ice_ufrag(&sdp));
    }
}
