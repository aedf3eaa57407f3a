//! The processes that are measured.

use super::rows::Row;
use crate::run::target;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One way to connect.
pub(crate) struct Stack {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The crate below bench/ that plays it; none is Python.
    pub(crate) package: Option<&'static str>,
    pub(crate) default: bool,
}

pub(crate) const STACKS: &[Stack] = &[
    rust("crosspeer", "crosspeer, through crosspeer-relay", "peer", true),
    rust(
        "engine",
        "crosspeer's native layer alone: no link, no driver, no relay",
        "peer",
        false,
    ),
    rust(
        "raw",
        "the `webrtc` 0.21 crate with the same settings, nothing of ours",
        "peer",
        true,
    ),
    Stack {
        name: "proxystore",
        title: "ProxyStore's PeerManager on uvloop, through proxystore-relay on uvloop",
        package: None,
        default: true,
    },
];

const fn rust(name: &'static str, title: &'static str, package: &'static str, default: bool) -> Stack {
    Stack {
        name,
        title,
        package: Some(package),
        default,
    }
}

/// A measurement that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(90);

/// What was built.
pub(crate) struct Programs {
    pub(crate) python: Option<PathBuf>,
    /// Stacks that could not be built.
    pub(crate) failed: Vec<&'static str>,
}

impl Programs {
    fn rust(package: &str) -> Command {
        Command::new(target().join("release").join(format!("bench-{package}")))
    }

    fn python(&self, script: &str) -> Result<Command> {
        let mut command = Command::new(self.python.as_ref().context("Python was not set up")?);
        command.arg(format!("bench/python/{script}"));
        Ok(command)
    }
}

/// A process that ends with this value; its standard input is held open meanwhile.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both relays.
pub(crate) struct Relays {
    ours: (String, Ended),
    python: Option<(String, Ended)>,
}

impl Relays {
    pub(crate) fn start(programs: &Programs) -> Result<Self> {
        let mut ours = Programs::rust("peer");
        ours.arg("relay");
        let ours = started(ours)?;
        let python = match programs.python {
            Some(_) => {
                let (line, process) = started(programs.python("relay.py")?)?;
                let port = line.strip_prefix("port ").context("proxystore-relay did not start")?;
                Some((format!("ws://127.0.0.1:{port}"), process))
            }
            None => None,
        };
        Ok(Self { ours, python })
    }
}

/// Starts a program and waits for its first line.
fn started(mut command: Command) -> Result<(String, Ended)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Ended(command.spawn().with_context(|| format!("cannot start {command:?}"))?);
    let mut lines = BufReader::new(process.0.stdout.take().context("no output")?);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    if line.is_empty() {
        bail!("{command:?} ended");
    }
    Ok((line.trim().to_owned(), process))
}

/// Measures one row of one stack, once.
pub(crate) fn run(programs: &Programs, relays: &Relays, stack: &Stack, row: &Row) -> Result<Value> {
    let (size, seconds, count) = (row.size.to_string(), row.seconds.to_string(), row.count.to_string());
    let (_answerer, caller) = match stack.package {
        Some(package) => {
            let relay = ["--relay", &relays.ours.0];
            let mut serve = Programs::rust(package);
            serve.args(["serve", stack.name]).args(relay);
            let (address, answerer) = started(serve)?;
            let mut caller = Programs::rust(package);
            caller.args(["run", stack.name, &address, row.what]).args(relay);
            caller.args(["--size", &size, "--seconds", &seconds, "--count", &count]);
            (answerer, caller)
        }
        None => {
            let (relay, _) = relays.python.as_ref().context("proxystore-relay was not started")?;
            let mut serve = programs.python("peer.py")?;
            serve.args(["serve", relay]);
            let (address, answerer) = started(serve)?;
            let mut caller = programs.python("peer.py")?;
            caller.args(["run", relay, &address, row.what, &size, &seconds, &count]);
            (answerer, caller)
        }
    };
    let output = output_of(caller)?;
    serde_json::from_str(output.trim()).with_context(|| format!("not a result: {output}"))
}

#[allow(clippy::disallowed_methods)] // a limit of real time
fn output_of(mut command: Command) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Ended(command.spawn()?);
    let start = Instant::now();
    // The result is one line: it fits into the pipe.
    while process.0.try_wait()?.is_none() {
        if start.elapsed() > LONGEST {
            bail!("it took longer than {LONGEST:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut output = String::new();
    process
        .0
        .stdout
        .take()
        .context("no output")?
        .read_to_string(&mut output)?;
    Ok(output)
}
