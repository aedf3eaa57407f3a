//! Who peers are: identity files, and what is said of who is verified.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Running, events, relay, run, stderr, stdout};
use std::path::Path;
use std::process::Output;

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

/// What `id` says: the UUID.
fn id(file: &Path, more: &[&str]) -> String {
    let id = run(&[&["id", "--identity", file.to_str().unwrap()][..], more].concat());
    assert!(id.status.success(), "{}", stderr(&id));
    stdout(&id).trim().to_owned()
}

fn ping(url: &str, identity: &Path, more: &[&str]) -> Output {
    let identity = identity.to_str().unwrap();
    let ping = [
        "ping",
        "--no-stun",
        "--relay",
        url,
        "--identity",
        identity,
        "--count",
        "1",
    ];
    run(&[&ping[..], more].concat())
}

#[test]
fn a_name_stands_for_one_key_until_the_user_says_otherwise() {
    let (_relay, url) = relay();
    let dir = tempfile::tempdir().unwrap();
    let me = dir.path().join("me.pem");
    let (_one, first) = echo(&url, &[]);
    let (_two, second) = echo(&url, &[]);
    let unknown = ping(&url, &me, &["--peer", "alice"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("--as alice"), "{}", stderr(&unknown));
    let met = ping(&url, &me, &["--peer", &first, "--as", "alice"]);
    assert!(
        met.status.success() && stderr(&met).contains("known as alice from now on"),
        "{}",
        stderr(&met)
    );
    let again = ping(&url, &me, &["--peer", "alice"]);
    let said = stderr(&again);
    assert!(
        again.status.success() && said.contains(&format!("{first} (verified, known as alice)")),
        "{said}"
    );
    let changed = ping(&url, &me, &["--peer", &second, "--as", "alice"]);
    assert_eq!(changed.status.code(), Some(8));
    let said = stderr(&changed);
    assert!(
        said.contains("alice is known as") && said.contains(&first) && said.contains("somebody else"),
        "{said}"
    );
    let confirmed = ping(&url, &me, &["--peer", &second, "--as", "alice", "--changed-id"]);
    assert!(
        confirmed.status.success() && stderr(&confirmed).contains("WARNING"),
        "{}",
        stderr(&confirmed)
    );
    assert!(ping(&url, &me, &["--peer", "alice"]).status.success());
    let former = ping(&url, &me, &["--peer", &first]);
    assert_eq!(former.status.code(), Some(8), "{}", stderr(&former));
    assert!(stderr(&former).contains("given it up"), "{}", stderr(&former));
    // Whom nobody can verify has no name.
    let (_three, third) = echo(&url, &["--uuid", common::PEER]);
    let nameless = ping(&url, &me, &["--peer", &third, "--as", "carol"]);
    assert_eq!(nameless.status.code(), Some(8), "{}", stderr(&nameless));
}

#[test]
fn an_old_key_vouches_for_the_next_one_and_for_nothing_after() {
    let (_relay, url) = relay();
    let (dir, inbox) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [alice, bob] = ["alice.pem", "bob.pem"].map(|name| dir.path().join(name));
    let (first, of_bob) = (id(&alice, &[]), id(&bob, &[]));
    std::fs::write(dir.path().join("bob.pem.known"), format!("alice {first}\n")).unwrap();
    std::fs::write(dir.path().join("alice.pem.known"), format!("bob {of_bob}\n")).unwrap();
    let rotate = [
        "id",
        "--json",
        "--identity",
        alice.to_str().unwrap(),
        "--rotate",
        "--no-stun",
        "--relay",
        &url,
    ];
    let alone = run(&[&rotate[..], &["--timeout", "2"]].concat());
    assert_eq!(alone.status.code(), Some(4), "bob is not there: {}", stdout(&alone));
    assert_eq!(id(&alice, &[]), first);

    let args = [
        "receive",
        "--json",
        "--no-stun",
        "--relay",
        &url,
        "--identity",
        bob.to_str().unwrap(),
        "--from",
        "alice",
    ];
    let mut receive = Running::start(&[&args[..], &["--dir", inbox.path().to_str().unwrap()]].concat());
    receive.event("ready");
    let send = |identity: &Path| {
        let identity = identity.to_str().unwrap();
        run(&[
            "send",
            "--no-stun",
            "--relay",
            &url,
            "--identity",
            identity,
            "--peer",
            &of_bob,
            "--text",
            "hello",
        ])
    };
    assert!(send(&alice).status.success());
    let told = run(&rotate);
    assert!(told.status.success(), "{}", stdout(&told));
    assert_eq!(events(&told, "told")[0]["name"], "bob");
    let second = id(&alice, &[]);
    let heard = receive.event("successor");
    assert!(
        second != first && heard["name"] == "alice" && heard["uuid"] == second,
        "{heard}"
    );
    assert!(send(&alice).status.success(), "the next key is alice's");
    // The old one has no say any more.
    let old = dir.path().join("alice.pem.old");
    assert_eq!(id(&old, &[]), first);
    assert_eq!(send(&old).status.code(), Some(6));
    std::fs::copy(
        dir.path().join("alice.pem.known"),
        dir.path().join("alice.pem.old.known"),
    )
    .unwrap();
    let thief = [
        "id",
        "--json",
        "--identity",
        old.to_str().unwrap(),
        "--rotate",
        "--no-stun",
        "--relay",
        &url,
    ];
    assert_eq!(run(&thief).status.code(), Some(4));
    assert!(
        receive.event("successor-refused")["message"]
            .as_str()
            .unwrap()
            .contains("given its own one up")
    );
    assert!(
        std::fs::read_to_string(dir.path().join("bob.pem.known"))
            .unwrap()
            .contains(&format!("alice {second} {first}"))
    );
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
