//! What the command says when it cannot do what it is asked.

#![allow(clippy::unwrap_used)]

mod common;
use common::{PEER, Running, events, relay, run, stderr, stdout};

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &[][..],
        &["unknown"],
        &["send", "--relay", "ws://127.0.0.1:1", "--peer", PEER],
        &[
            "send",
            "--relay",
            "ws://127.0.0.1:1",
            "--peer",
            "not-a-uuid",
            "--text",
            "x",
        ],
        &["echo", "--relay", "ws://127.0.0.1:1", "--channels", "65"],
        &["echo", "--relay", "http://127.0.0.1:1"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}

/// An address of this computer that others have for it, if it has any. Nothing is sent.
fn address_for_others() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback())
}

#[test]
fn a_relay_is_for_this_computer_only_unless_told() {
    for (more, is_open) in [(&[][..], false), (&["--host", "0.0.0.0"], true)] {
        let mut relay = Running::start(&[&["relay", "--port", "0"], more].concat());
        let port = loop {
            let line = relay.line();
            assert!(!line.is_empty(), "it ended");
            if let Some((_, address)) = line.split_once("listening on ws://") {
                break address.trim().rsplit(':').next().unwrap().parse::<u16>().unwrap();
            }
        };
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        match address_for_others() {
            Some(ip) => assert_eq!(std::net::TcpStream::connect((ip, port)).is_ok(), is_open, "{ip}"),
            None => println!("skipped: this computer has no address for others"),
        }
    }
}

#[test]
fn help_documents_the_exit_codes() {
    for args in [&["--help"][..], &["send", "--help"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("3    the relay cannot be reached"), "{args:?}");
    }
}

#[test]
fn a_missing_file_is_told_before_anything_is_connected() {
    let output = run(&["send", "--relay", "ws://127.0.0.1:1", "--peer", PEER, "/does/not/exist"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/does/not/exist"), "{}", stderr(&output));
}

#[test]
fn an_unreachable_relay_exits_with_3_and_says_what_to_check() {
    let args = [
        "send",
        "--relay",
        "ws://127.0.0.1:1",
        "--timeout",
        "1",
        "--peer",
        PEER,
        "--text",
        "x",
    ];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("check the URL"), "{}", stderr(&output));

    let output = run(&[&args[..], &["--json"]].concat());
    assert_eq!(events(&output, "error")[0]["code"], "relay-unreachable");
}

#[test]
fn an_unknown_peer_exits_with_4_and_says_what_to_check() {
    let (_relay, url) = relay();
    let output = run(&["ping", "--no-stun", "--relay", &url, "--peer", PEER]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("check its UUID"), "{}", stderr(&output));
}
