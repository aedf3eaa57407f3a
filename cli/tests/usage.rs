//! What the command says when it cannot do what it is asked.

#![allow(clippy::unwrap_used)]

mod common;
use common::{PEER, events, relay, run, stderr, stdout};

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
