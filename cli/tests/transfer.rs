//! Two processes and a relay: files, folders and messages.

#![allow(clippy::unwrap_used)]

mod common;
use common::{PEER, Running, events, names, receive, relay, run, send};
use std::fs;
use std::path::Path;

/// A file of this content in a new folder; its path.
fn file(dir: &Path, name: &str, content: &[u8]) -> String {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn texts_files_and_folders_arrive_whole() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let big: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 + i / 256) as u8).collect();
    let single = file(source.path(), "héllo ✓.bin", &big);
    file(source.path(), "tree/empty", b"");
    file(source.path(), "tree/sub/small.txt", b"small");
    let tree = source.path().join("tree");

    let (_relay, url) = relay();
    let mut receiver = receive(&url, target.path(), &["--count", "4"]);
    let sent = send(&url, &["--text", "héllo ✓", &single, tree.to_str().unwrap()]);
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");

    assert_eq!(receiver.event("message")["text"], "héllo ✓");
    let mut received: Vec<_> = (0..3).map(|_| receiver.event("file")).collect();
    assert_eq!(receiver.exit_code(), Some(0));
    assert_eq!(fs::read(target.path().join("héllo ✓.bin")).unwrap(), big);
    assert_eq!(fs::read(target.path().join("tree/sub/small.txt")).unwrap(), b"small");
    assert_eq!(fs::read(target.path().join("tree/empty")).unwrap(), b"");
    let checksums = |events: &mut Vec<serde_json::Value>| {
        events.sort_by_key(|event| event["name"].to_string());
        let pairs = events
            .iter()
            .map(|event| (event["name"].clone(), event["blake3"].clone()));
        pairs.collect::<Vec<_>>()
    };
    assert_eq!(checksums(&mut events(&sent, "sent")), checksums(&mut received));
}

#[test]
fn an_existing_file_is_kept_unless_told_otherwise() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    file(target.path(), "a.txt", b"old");
    let path = file(source.path(), "a.txt", b"new");
    let (_relay, url) = relay();

    let mut receiver = receive(&url, target.path(), &["--once"]);
    assert_eq!(send(&url, &[&path]).status.code(), Some(0));
    assert_eq!(receiver.exit_code(), Some(0));
    assert_eq!(names(target.path()), ["a (1).txt", "a.txt"]);
    assert_eq!(fs::read(target.path().join("a.txt")).unwrap(), b"old");

    let mut receiver = receive(&url, target.path(), &["--once", "--overwrite"]);
    assert_eq!(send(&url, &[&path]).status.code(), Some(0));
    assert_eq!(receiver.exit_code(), Some(0));
    assert_eq!(fs::read(target.path().join("a.txt")).unwrap(), b"new");
}

#[cfg(unix)]
#[test]
fn a_link_in_the_folder_does_not_lead_out_of_it() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [source, target, outside] = &dirs;
    std::os::unix::fs::symlink(outside.path(), target.path().join("link")).unwrap();
    file(source.path(), "link/evil", b"x");
    let tree = source.path().join("link");
    let (_relay, url) = relay();

    let mut receiver = receive(&url, target.path(), &[]);
    let sent = send(&url, &[tree.to_str().unwrap()]);
    assert_eq!(sent.status.code(), Some(6), "{sent:?}");
    assert_eq!(events(&sent, "not-sent")[0]["code"], "refused");
    // The folder itself, and then what is in it.
    let refused = [(); 2].map(|()| receiver.event("not-stored")["name"].clone());
    assert_eq!(refused, ["link", "link/evil"]);
    assert_eq!(names(outside.path()), [""; 0]);
    receiver.interrupt();
    assert_eq!(receiver.exit_code(), Some(0));
}

#[cfg(unix)]
#[test]
fn an_interrupted_transfer_leaves_nothing_behind() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Holes take no disk; it is far too large to arrive before the interruption.
    let path = file(source.path(), "huge", b"");
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let (_relay, url) = relay();

    let mut receiver = receive(&url, target.path(), &[]);
    let mut sender = Running::start(&["send", "--no-stun", "--relay", &url, "--peer", PEER, &path]);
    receiver.event("offered");
    sender.interrupt();
    assert_eq!(sender.exit_code(), Some(130));
    assert_eq!(receiver.event("not-stored")["name"], "huge");
    assert_eq!(names(target.path()), [""; 0]);
}

#[test]
fn ping_measures_an_echo_and_times_out_without_one() {
    let (_relay, url) = relay();
    let mut echo = Running::start(&["echo", "--no-stun", "--relay", &url, "--uuid", PEER]);
    assert_eq!(echo.line(), PEER);
    let args = [
        "ping",
        "--json",
        "--no-stun",
        "--relay",
        &url,
        "--peer",
        PEER,
        "--count",
        "3",
        "--interval",
        "1",
    ];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(events(&output, "pong").len(), 3);
    assert_eq!(events(&output, "statistics")[0]["count"], 3);
    let source = tempfile::tempdir().unwrap();
    let path = file(source.path(), "a", b"x");
    let sent = send(&url, &["--timeout", "2", &path]);
    assert_eq!(sent.status.code(), Some(5), "an echo takes no files: {sent:?}");
    drop(echo);

    let target = tempfile::tempdir().unwrap();
    let _silent = receive(&url, target.path(), &[]);
    let output = run(&[&args[..], &["--timeout", "2"]].concat());
    assert_eq!(output.status.code(), Some(5), "{output:?}");
}
