//! Who peers are: identity files, and what is said of who is verified.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Running, events, relay, run, stderr, stdout};

fn echo(relay: &str, more: &[&str]) -> (Running, String) {
    let mut echo = Running::start(&[&["echo", "--json", "--no-stun", "--relay", relay], more].concat());
    let uuid = echo.event("ready")["uuid"].as_str().unwrap().to_owned();
    (echo, uuid)
}

#[test]
fn an_identity_file_keeps_the_id_which_others_verify() {
    let (_relay, url) = relay();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("me.pem");
    let file = file.to_str().unwrap();
    let id = run(&["id", "--identity", file]);
    let (uuid, text) = (stdout(&id).trim().to_owned(), stderr(&id));
    assert_eq!(uuid.as_bytes()[14], b'8', "{uuid}");
    assert!(text.contains("SHA-256") && text.contains(file), "{text}");
    for _ in 0..2 {
        let (_echo, of_echo) = echo(&url, &["--identity", file]);
        assert_eq!(of_echo, uuid);
        let ping = [
            "ping",
            "--json",
            "--no-stun",
            "--relay",
            &url,
            "--peer",
            &uuid,
            "--count",
            "1",
        ];
        let ping = run(&[&ping[..], &["--require-verified"]].concat());
        assert!(ping.status.success(), "{}", stdout(&ping));
        assert_eq!(events(&ping, "connected")[0]["verified"], true);
    }
}

#[test]
fn who_cannot_be_verified_is_said_and_can_be_refused() {
    let (_relay, url) = relay();
    let (mut echo, uuid) = echo(&url, &["--uuid", common::PEER]);
    let ping = ["ping", "--no-stun", "--relay", &url, "--peer", &uuid, "--count", "1"];
    let open = run(&ping);
    assert!(stderr(&open).contains("(not verified)"), "{}", stderr(&open));
    assert_eq!(
        echo.event("connected")["verified"],
        true,
        "it was called by one with a key"
    );
    let strict = run(&[&ping[..], &["--require-verified"]].concat());
    assert_eq!(strict.status.code(), Some(8));
    assert!(stderr(&strict).contains("cannot be verified"), "{}", stderr(&strict));
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("me.pem");
    let path = file.to_str().unwrap();
    assert!(run(&["id", "--identity", path]).status.success());
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let refused = run(&["id", "--identity", path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("chmod 600"), "{}", stderr(&refused));
}
