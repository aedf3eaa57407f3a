//! Processes inside a namespace, and what they tell in lines.

use crate::{target, within};
use serde_json::Value;
use std::process::Stdio;
use std::sync::Once;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Stands for the binary's path in commands.
pub(super) const CROSSPEER: &str = "crosspeer";

/// One line of `crosspeer --json`.
pub type Event = Value;

/// Builds the `crosspeer` command, unless whoever runs the tests says that it has: they do not, and an old one would be
/// tested.
pub(super) fn build() {
    if std::env::var_os("CROSSPEER_BUILT").is_some() {
        return;
    }
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = ["build", "--quiet", "--workspace", "--all-features", "--bin", CROSSPEER];
        let built = std::process::Command::new(cargo).args(build).status();
        assert!(
            built.expect("cargo can be started").success(),
            "the command does not build"
        );
    });
}

/// A running process; it ends when this is dropped.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
    seen: Vec<Event>,
}

impl Process {
    pub(super) fn spawn(namespace: &str, command: &[&str]) -> Self {
        let mut start = Command::new("ip");
        start.args(["netns", "exec", namespace]);
        match command {
            [CROSSPEER, args @ ..] => start.arg(target().join("debug").join(CROSSPEER)).args(args),
            // coturn complains of each protocol that it cannot have.
            command => start.args(command).stderr(Stdio::null()),
        };
        start.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = start.spawn().expect("`ip` can be started");
        let stdout = child.stdout.take().expect("stdout is piped");
        Self {
            what: command.join(" "),
            child,
            lines: Some(BufReader::new(stdout).lines()),
            seen: Vec::new(),
        }
    }

    /// Whether it runs this program.
    pub(super) fn is(&self, program: &str) -> bool {
        self.what.starts_with(program)
    }

    /// Starts a server and waits until it says `ready`.
    pub(super) async fn spawn_ready(namespace: &str, command: &[&str], ready: &str) -> Self {
        let mut server = Self::spawn(namespace, command);
        server.line_with(ready).await;
        // Unread, its log would block it in the end.
        if let Some(mut lines) = server.lines.take() {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        }
        server
    }

    async fn line_with(&mut self, text: &str) {
        while let Some(line) = self.line().await {
            if line.contains(text) {
                return;
            }
        }
        panic!("`{}` ended without saying `{text}`", self.what);
    }

    async fn line(&mut self) -> Option<String> {
        let lines = self.lines.as_mut()?;
        within(&self.what, lines.next_line()).await.expect("readable output")
    }

    async fn next(&mut self) -> Option<Event> {
        let line = self.line().await?;
        let event: Event = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        self.seen.push(event.clone());
        Some(event)
    }

    /// It stands still, as on a computer that sleeps, until [`Process::wake`].
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// The end of [`Process::freeze`].
    pub fn wake(&self) {
        self.signal("-CONT");
    }

    /// It ends without a word.
    pub fn kill(&self) {
        self.signal("-KILL");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        super::run("kill", &[signal, &pid], "");
    }

    /// The next event of this `type`.
    pub async fn event(&mut self, kind: &str) -> Event {
        while let Some(event) = self.next().await {
            if event["type"] == kind {
                return event;
            }
        }
        panic!("`{}` ended without `{kind}`: {:#?}", self.what, self.seen);
    }

    /// The UUID that `echo` and `receive` begin with.
    pub async fn uuid(&mut self) -> String {
        self.event("ready").await["uuid"].as_str().expect("a UUID").to_owned()
    }

    /// Waits for its end: the exit code, and all events.
    pub async fn end(mut self) -> (i32, Vec<Event>) {
        while self.next().await.is_some() {}
        let ended = within(&self.what, self.child.wait())
            .await
            .expect("it can be waited for");
        (ended.code().unwrap_or(-1), self.seen)
    }

    /// Waits for its success.
    pub async fn succeeds(self) -> Vec<Event> {
        let what = self.what.clone();
        let (code, events) = self.end().await;
        assert_eq!(code, 0, "`{what}`: {events:#?}");
        events
    }

    /// Waits for its failure, and gives the message.
    pub async fn fails(self) -> String {
        let what = self.what.clone();
        let (code, events) = self.end().await;
        let error = events.iter().find(|event| event["type"] == "error");
        let message = error.and_then(|event| event["message"].as_str());
        println!("`{what}` ended with {code}: {}", message.unwrap_or_default());
        assert_ne!(code, 0, "`{what}` was to fail: {events:#?}");
        message.expect("an error says why").to_owned()
    }
}
