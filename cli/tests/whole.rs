//! What is sent arrives as it is, or the sender knows: no exit code 0 for what was lost.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;
use common::{PEER, Running, crosspeer, events, names, receive, relay, send};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::tempdir;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn two_files_of_one_name_both_arrive_in_a_folder_that_is_overwritten() {
    let (source, target) = (tempdir().unwrap(), tempdir().unwrap());
    for (dir, name) in [("a", "x.txt"), ("b", "x.txt"), ("c", "x:y"), ("d", "x?y")] {
        fs::create_dir(source.path().join(dir)).unwrap();
        fs::write(source.path().join(dir).join(name), dir).unwrap();
    }
    fs::write(target.path().join("x.txt"), "old").unwrap();
    let (_relay, url) = relay();
    let mut receiver = receive(&url, target.path(), &["--overwrite", "--count", "4"]);
    let paths = ["a/x.txt", "b/x.txt", "c/x:y", "d/x?y"].map(|p| source.path().join(p).to_str().unwrap().to_owned());
    let sent = send(&url, &paths.each_ref().map(String::as_str));
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    assert_eq!(receiver.exit_code(), Some(0));
    assert_eq!(names(target.path()), ["x (1).txt", "x.txt", "x_y", "x_y (1)"]);
    assert_eq!(fs::read(target.path().join("x.txt")).unwrap(), b"a");
    assert_eq!(fs::read(target.path().join("x (1).txt")).unwrap(), b"b");
}

#[test]
#[cfg(target_os = "linux")] // `/proc`
fn what_has_no_length_arrives_whole() {
    let (source, target) = (tempdir().unwrap(), tempdir().unwrap());
    let fifo = source.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let big: Vec<u8> = (0..700_000u32).map(|i| (i * 7 + i / 256) as u8).collect();
    let (_relay, url) = relay();
    let mut receiver = receive(&url, target.path(), &["--count", "3"]);
    let mut command = crosspeer();
    command.args(["send", "--json", "--no-stun", "--relay", &url, "--peer", PEER]);
    command
        .args(["--stdin-name", "in.bin", "-", "/proc/version"])
        .arg(&fifo);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut sender = command.spawn().unwrap();
    let writer = std::thread::spawn({
        let content = big.clone();
        move || fs::write(fifo, content).unwrap()
    });
    sender.stdin.take().unwrap().write_all(&big).unwrap();
    let sent = sender.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    assert_eq!(receiver.exit_code(), Some(0));
    assert_eq!(fs::read(target.path().join("in.bin")).unwrap(), big);
    assert_eq!(fs::read(target.path().join("pipe")).unwrap(), big);
    assert_eq!(
        fs::read(target.path().join("version")).unwrap(),
        fs::read("/proc/version").unwrap()
    );
    assert!(events(&sent, "sent").iter().any(|event| event["size"] == 700_000));
}

/// The files are listed before the relay is asked: this one answers when the file has changed.
#[test]
fn a_file_that_changes_after_it_was_listed_arrives_as_it_is() {
    for content in ["longer than it was", "s", ""] {
        let (source, target) = (tempdir().unwrap(), tempdir().unwrap());
        let path = source.path().join("a");
        fs::write(&path, "12345").unwrap();
        let (_relay, url) = relay();
        let mut receiver = receive(&url, target.path(), &["--once"]);
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let through = format!("ws://{}", door.local_addr().unwrap());
        let path = path.to_str().unwrap();
        let args = ["send", "--json", "--no-stun", "--relay", &through, "--peer", PEER, path];
        let mut sender = Running::start(&args);
        let (inside, _) = door.accept().unwrap();
        fs::write(path, content).unwrap();
        let outside = TcpStream::connect(url.strip_prefix("ws://").unwrap().trim_end_matches('/')).unwrap();
        for (mut from, mut to) in [
            (inside.try_clone().unwrap(), outside.try_clone().unwrap()),
            (outside, inside),
        ] {
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
        assert_eq!(sender.event("sent")["size"], content.len());
        assert_eq!(sender.exit_code(), Some(0));
        assert_eq!(receiver.exit_code(), Some(0));
        assert_eq!(fs::read(target.path().join("a")).unwrap(), content.as_bytes());
    }
}

#[test]
fn the_output_gets_what_is_received_and_nothing_else() {
    let source = tempdir().unwrap();
    let path = source.path().join("a.bin");
    let content: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    fs::write(&path, &content).unwrap();
    let (_relay, url) = relay();
    let mut command = crosspeer();
    command.args(["receive", "--no-stun", "--relay", &url, "--uuid", PEER, "--stdout"]);
    let mut receiver = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 36];
    std::io::Read::read_exact(receiver.stderr.as_mut().unwrap(), &mut first).unwrap();
    assert_eq!(std::str::from_utf8(&first).unwrap(), PEER);
    let reader = std::thread::spawn(move || receiver.wait_with_output().unwrap());
    let sent = send(&url, &[path.to_str().unwrap()]);
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    let received = reader.join().unwrap();
    assert_eq!(received.status.code(), Some(0), "{received:?}");
    assert!(received.stdout == content);
}

#[test]
fn a_receiver_whose_output_nobody_reads_tells_its_sender() {
    let source = tempdir().unwrap();
    let path = source.path().join("a.bin");
    fs::write(&path, vec![7; 5_000_000]).unwrap();
    let (_relay, url) = relay();
    let mut command = crosspeer();
    command.args(["receive", "--no-stun", "--relay", &url, "--uuid", PEER, "--stdout"]);
    let mut receiver = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(receiver.stdout.take());
    let mut first = [0; 36];
    std::io::Read::read_exact(receiver.stderr.as_mut().unwrap(), &mut first).unwrap();
    let sent = send(&url, &[path.to_str().unwrap()]);
    assert_eq!(sent.status.code(), Some(1), "{sent:?}");
    let reason = events(&sent, "not-sent")[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("whoever reads the output has gone"), "{reason}");
    assert_eq!(receiver.wait_with_output().unwrap().status.code(), Some(1));
}

#[test]
fn modes_times_and_empty_folders_are_kept() {
    let (source, target) = (tempdir().unwrap(), tempdir().unwrap());
    let tree = source.path().join("tree");
    fs::create_dir_all(tree.join("private/empty")).unwrap();
    for (name, bits) in [("key", 0o600), ("run.sh", 0o755), ("private/a", 0o640)] {
        fs::write(tree.join(name), name).unwrap();
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(bits)).unwrap();
    }
    fs::set_permissions(tree.join("run.sh"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(tree.join("private"), fs::Permissions::from_mode(0o700)).unwrap();
    let (_relay, url) = relay();
    let mut receiver = receive(&url, target.path(), &["--count", "3"]);
    let sent = send(&url, &[tree.to_str().unwrap()]);
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    assert_eq!(receiver.exit_code(), Some(0));
    let arrived = target.path().join("tree");
    assert!(arrived.join("private/empty").is_dir());
    let modes = ["key", "run.sh", "private", "private/a"].map(|name| mode(&arrived.join(name)) & !0o022);
    assert_eq!(modes, [0o600, 0o755, 0o700, 0o640]);
    let modified = |dir: &Path| fs::metadata(dir.join("key")).unwrap().modified().unwrap();
    let apart = modified(&tree).duration_since(modified(&arrived)).unwrap();
    assert!(apart.as_millis() < 1, "{apart:?}");
}

#[test]
fn a_sender_that_is_interrupted_tells_the_receiver_so() {
    let (source, target) = (tempdir().unwrap(), tempdir().unwrap());
    let path = source.path().join("huge");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let (_relay, url) = relay();
    let mut receiver = receive(&url, target.path(), &[]);
    let args = [
        "send",
        "--no-stun",
        "--relay",
        &url,
        "--peer",
        PEER,
        path.to_str().unwrap(),
    ];
    let mut sender = Running::start(&args);
    receiver.event("offered");
    sender.interrupt();
    assert_eq!(sender.exit_code(), Some(130));
    let event = receiver.event("not-stored");
    assert_eq!(event["reason"], "the sender was interrupted", "{event}");
    assert_eq!(event["code"], "cancelled");
}

#[test]
fn a_receiver_that_was_killed_leaves_nothing_for_longer_than_to_its_next_start() {
    let (source, target) = (tempdir().unwrap(), tempdir().unwrap());
    let path = source.path().join("sub/huge");
    fs::create_dir(source.path().join("sub")).unwrap();
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let (_relay, url) = relay();
    let mut receiver = receive(&url, target.path(), &[]);
    let folder = source.path().join("sub");
    let args = [
        "send",
        "--no-stun",
        "--timeout",
        "5",
        "--relay",
        &url,
        "--peer",
        PEER,
        folder.to_str().unwrap(),
    ];
    let mut sender = Running::start(&args);
    receiver.event("progress");
    let _ = receiver.child.kill();
    receiver.exit_code();
    assert_eq!(sender.exit_code(), Some(1), "its file has not arrived");
    assert!(names(target.path()).iter().any(|name| name.ends_with(".part")));
    let _receiver = receive(&url, target.path(), &[]);
    assert_eq!(names(target.path()), ["sub"]);
    assert_eq!(names(&target.path().join("sub")), [""; 0]);
}

#[test]
fn more_files_than_descriptors_wait_for_one() {
    let (source, target) = (tempdir().unwrap(), tempdir().unwrap());
    let all = source.path().join("all");
    fs::create_dir(&all).unwrap();
    for i in 0..64 {
        fs::write(all.join(format!("{i}")), vec![i as u8; 300_000]).unwrap();
    }
    let (_relay, url) = relay();
    let script = "ulimit -n 80; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args([
        "-c",
        script,
        env!("CARGO_BIN_EXE_crosspeer"),
        "receive",
        "--json",
        "--no-stun",
        "--relay",
        &url,
    ]);
    command
        .args(["--uuid", PEER, "--count", "512", "--dir"])
        .arg(target.path());
    let mut receiver = Running::of(&mut command);
    receiver.event("ready");
    let receiver = std::thread::spawn(move || {
        receiver.rest();
        receiver.exit_code()
    });
    let senders = [(); 8].map(|()| {
        let args = [
            "send",
            "--json",
            "--no-stun",
            "--relay",
            &url,
            "--peer",
            PEER,
            all.to_str().unwrap(),
        ];
        Running::start(&args)
    });
    for mut sender in senders {
        let ended = sender.rest();
        assert_eq!(sender.exit_code(), Some(0), "{ended}");
    }
    assert_eq!(receiver.join().unwrap(), Some(0));
    assert_eq!(names(&target.path().join("all")).len(), 512);
}

#[test]
fn what_cannot_be_stored_is_named_with_what_really_is_in_the_way() {
    let (source, target) = (tempdir().unwrap(), tempdir().unwrap());
    fs::write(source.path().join("x"), "x").unwrap();
    fs::write(source.path().join(".bashrc"), "x").unwrap();
    fs::create_dir(target.path().join("x")).unwrap();
    let (_relay, url) = relay();
    let _receiver = receive(&url, target.path(), &["--overwrite"]);
    let paths = ["x", ".bashrc"].map(|name| source.path().join(name).to_str().unwrap().to_owned());
    let sent = send(&url, &paths.each_ref().map(String::as_str));
    assert_eq!(sent.status.code(), Some(6), "{sent:?}");
    let reasons: Vec<Value> = events(&sent, "not-sent")
        .iter()
        .map(|event| event["reason"].clone())
        .collect();
    assert!(
        reasons[0].as_str().unwrap().contains("a folder of that name"),
        "{reasons:?}"
    );
    assert!(reasons[1].as_str().unwrap().contains("--hidden"), "{reasons:?}");
    let error = &events(&sent, "error")[0];
    assert!(
        error["message"].as_str().unwrap().starts_with("2 things were"),
        "{error}"
    );
}

#[test]
fn a_text_that_cannot_be_stored_is_known_to_its_sender() {
    let target = tempdir().unwrap();
    let (_relay, url) = relay();
    let receiver = receive(&url, &target.path().join("gone"), &[]);
    assert_eq!(send(&url, &["--text", "one", "--text", "two"]).status.code(), Some(0));
    fs::remove_dir_all(target.path().join("gone")).unwrap();
    let sent = send(&url, &["--text", "three"]);
    assert_eq!(sent.status.code(), Some(1), "{sent:?}");
    assert_eq!(events(&sent, "not-sent")[0]["name"], "text 1");
    drop(receiver);
}

#[test]
fn only_named_peers_are_welcome_and_others_are_told() {
    let (source, target) = (tempdir().unwrap(), tempdir().unwrap());
    let path = source.path().join("a");
    fs::write(&path, "x").unwrap();
    let (_relay, url) = relay();
    let friend = "33333333-3333-4333-8333-333333333333";
    let mut receiver = receive(&url, target.path(), &["--from", friend, "--once"]);
    let sent = send(&url, &[path.to_str().unwrap()]);
    assert_eq!(sent.status.code(), Some(6), "{sent:?}");
    assert!(
        events(&sent, "not-sent")[0]["reason"]
            .as_str()
            .unwrap()
            .contains("--from")
    );
    assert_eq!(
        send(&url, &["--uuid", friend, path.to_str().unwrap()]).status.code(),
        Some(0)
    );
    assert_eq!(receiver.exit_code(), Some(0));
    assert_eq!(names(target.path()), ["a"]);
}
