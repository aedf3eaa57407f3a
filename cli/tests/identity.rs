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

/// `receive` at a terminal, which is what `script` gives it; what it says, and `answer` is typed when it asks.
#[cfg(target_os = "linux")]
fn at_a_terminal(answer: &str, more: &str) -> Option<(String, bool)> {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let (_relay, url) = relay();
    let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = from.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let line = format!(
        "{} receive --no-stun --relay {url} --dir {} {more}",
        env!("CARGO_BIN_EXE_crosspeer"),
        dir.path().display()
    );
    let mut script = Command::new("script");
    let script = script
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut script = script.spawn().ok()?;
    let mut typed = script.stdin.take().unwrap();
    let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
    let uuid = lines.next().unwrap().unwrap().trim().to_owned();
    let send = std::thread::spawn(move || {
        run(&[
            "send",
            "--no-stun",
            "--relay",
            &url,
            "--peer",
            &uuid,
            file.to_str().unwrap(),
        ])
    });
    let mut said = String::new();
    for line in lines.map_while(Result::ok) {
        said += &line;
        if line.contains("[y/N]") {
            writeln!(typed, "{answer}").unwrap();
        }
        if line.contains("not stored") || line.contains("(1 B)") || line.contains("file (") {
            break;
        }
    }
    let sent = send.join().unwrap().status.success();
    let _ = script.kill();
    let _ = script.wait();
    Some((said, sent))
}

#[cfg(target_os = "linux")]
#[test]
fn somebody_at_a_terminal_is_asked_before_a_strangers_file_is_taken() {
    let Some((said, sent)) = at_a_terminal("n", "") else {
        return println!("skipped: there is no `script` here");
    };
    assert!(said.contains("(verified) wants to send something") && !sent, "{said}");
    let (said, sent) = at_a_terminal("y", "").unwrap();
    assert!(said.contains("[y/N]") && sent, "{said}");
    let (said, sent) = at_a_terminal("", "--yes").unwrap();
    assert!(!said.contains("[y/N]") && sent, "{said}");
}
