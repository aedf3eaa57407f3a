//! Processes of the built command, ended with the test.
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot be set up has failed

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

pub const PEER: &str = "22222222-2222-4222-8222-222222222222";

pub fn crosspeer() -> Command {
    Command::new(env!("CARGO_BIN_EXE_crosspeer"))
}

pub fn run(args: &[&str]) -> Output {
    crosspeer().args(args).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is in a folder.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// The JSON lines of this type.
pub fn events(output: &Output, kind: &str) -> Vec<Value> {
    let lines = stdout(output);
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["type"] == kind).collect()
}

/// A process whose stdout is read line by line.
pub struct Running {
    pub child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(args: &[&str]) -> Self {
        Self::of(crosspeer().args(args))
    }

    pub fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// All lines to the end.
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        rest
    }

    /// The next JSON line of this type.
    pub fn event(&mut self, kind: &str) -> Value {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "it ended without a {kind}");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["type"] == kind {
                return event;
            }
        }
    }

    #[cfg(unix)]
    pub fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A relay on a free port, and its URL.
pub fn relay() -> (Running, String) {
    let mut relay = Running::start(&["relay", "--host", "127.0.0.1", "--port", "0"]);
    loop {
        let line = relay.line();
        assert!(!line.is_empty(), "the relay ended");
        if let Some(at) = line.find("ws://127.0.0.1:") {
            let url = line[at..].split_whitespace().next().unwrap().to_owned();
            return (relay, url);
        }
    }
}

/// `receive` into this folder, ready.
pub fn receive(relay: &str, dir: &Path, more: &[&str]) -> Running {
    let dir = dir.to_str().unwrap();
    let args = [
        "receive",
        "--json",
        "--no-stun",
        "--relay",
        relay,
        "--uuid",
        PEER,
        "--dir",
        dir,
    ];
    let mut receive = Running::start(&[&args, more].concat());
    assert_eq!(receive.event("ready")["uuid"], PEER);
    receive
}

/// `send` to that peer.
pub fn send(relay: &str, what: &[&str]) -> Output {
    let args = ["send", "--json", "--no-stun", "--relay", relay, "--peer", PEER];
    run(&[&args, what].concat())
}
