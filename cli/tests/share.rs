//! `crosspeer share` as a process: who gets in, and what is stored.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Running, events, run, stderr};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

fn share(dir: &Path, more: &[&str]) -> (Running, Value) {
    let mut args = vec!["share", dir.to_str().unwrap(), "--json"];
    if !more.contains(&"--listen") {
        args.extend(["--listen", "127.0.0.1:0"]);
    }
    args.extend(more);
    let mut share = Running::start(&args);
    let ready = share.event("ready");
    (share, ready)
}

fn text<'a>(ready: &'a Value, key: &str) -> &'a str {
    ready[key].as_str().unwrap()
}

fn relay(ready: &Value) -> String {
    text(ready, "url").replace("http://", "ws://")
}

#[test]
fn nobody_registers_the_owners_uuid() {
    let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_share, ready) = share(dir.path(), &[]);
    let (relay, uuid) = (relay(&ready), text(&ready, "uuid"));
    let thief = [
        "receive",
        "--no-stun",
        "--relay",
        &relay,
        "--uuid",
        uuid,
        "--timeout",
        "5",
        "--dir",
    ];
    let thief = run(&[&thief[..], &[from.path().to_str().unwrap()]].concat());
    assert!(!thief.status.success(), "{}", stderr(&thief));
    let file = from.path().join("for the owner");
    fs::write(&file, "x").unwrap();
    let sent = run(&[
        "send",
        "--no-stun",
        "--relay",
        &relay,
        "--peer",
        uuid,
        file.to_str().unwrap(),
    ]);
    assert!(sent.status.success(), "{}", stderr(&sent));
    assert!(dir.path().join("for the owner").exists());
}

#[test]
fn a_name_that_begins_with_a_dot_is_refused_with_the_reason() {
    let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_share, ready) = share(dir.path(), &[]);
    let file = from.path().join(".bashrc");
    fs::write(&file, "x").unwrap();
    let to = [
        "send",
        "--json",
        "--no-stun",
        "--relay",
        &relay(&ready),
        "--peer",
        text(&ready, "uuid"),
    ];
    let sent = run(&[&to[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(sent.status.code(), Some(6));
    let told = String::from_utf8_lossy(&sent.stdout);
    assert!(told.contains("begin with a dot"), "{told} {:?}", events(&sent, "error"));
}

#[test]
fn beyond_this_computer_there_is_a_token_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_share, ready) = share(dir.path(), &["--listen", "0.0.0.0:0"]);
    assert!(text(&ready, "url").contains("#token="), "{ready}");
    let (_share, ready) = share(dir.path(), &["--listen", "0.0.0.0:0", "--no-token"]);
    assert!(!text(&ready, "url").contains("#token="), "{ready}");
}

#[test]
fn whoever_makes_no_whole_request_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let (_share, ready) = share(dir.path(), &[]);
    let address = text(&ready, "url")
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap();
    let streams = ["", "GET / HTTP/1.1\r\nHo"].map(|said| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        // So that this fails at all.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    });
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(!answer.contains("200 OK"), "{answer}");
    }
}
