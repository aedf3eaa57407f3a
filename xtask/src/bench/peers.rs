//! The processes that are measured.

use super::ended::{Ended, output_of};
use super::pages;
use super::paths::{self, Emulated, End, Path};
use super::rows::Row;
use super::stacks::Stack;
use crate::run::target;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

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

    fn our_relay() -> Command {
        let mut command = Self::rust("peer");
        command.arg("relay").arg("--host");
        command
    }

    fn python(&self, script: &str) -> Result<Command> {
        let mut command = Command::new(self.python.as_ref().context("Python was not set up")?);
        command.arg(format!("bench/python/{script}"));
        Ok(command)
    }
}

/// Where two peers meet: this host or a path, with both relays.
pub(crate) struct Ground {
    milliseconds: u32,
    ours: (String, Ended),
    python: Option<(String, Ended)>,
    /// Last, so that what runs there ends first.
    path: Option<Emulated>,
}

impl Ground {
    pub(crate) fn new(programs: &Programs, path: Option<&Path>) -> Result<Self> {
        let milliseconds = path.map_or(0, |path| path.milliseconds);
        let path = path.map(Emulated::new).transpose()?;
        let relay = |command: Command| relay(command, path.as_ref());
        let ours = relay(Programs::our_relay())?;
        let python = match programs.python {
            Some(_) => Some(relay(programs.python("relay.py")?)?),
            None => None,
        };
        Ok(Self {
            milliseconds,
            ours,
            python,
            path,
        })
    }

    /// Measures one row of one stack, once.
    pub(crate) fn run(&self, programs: &Programs, stack: &Stack, row: &Row) -> Result<Value> {
        let output = match row.what {
            "forward" | "crowd" => load(programs, stack, row)?,
            _ if row.is_page() => output_of(pages::command(stack, row))?,
            _ => self.call(programs, stack, row)?,
        };
        serde_json::from_str(output.trim()).with_context(|| format!("not a result: {output}"))
    }

    fn call(&self, programs: &Programs, stack: &Stack, row: &Row) -> Result<String> {
        let path = self.path.as_ref();
        let serve = match stack.package {
            Some(package) => self.rust(package, stack, End::Answerer, &["serve", stack.played]),
            None => self.python(programs, "serve", &[])?,
        };
        let (address, _answerer) = Ended::started(at(path, End::Answerer, &serve))?;
        let (size, seconds, count) = (row.size.to_string(), row.seconds.to_string(), row.count.to_string());
        let call = match stack.package {
            Some(package) => {
                let mut call = self.rust(package, stack, End::Caller, &["run", stack.played, &address, row.what]);
                call.args(["--size", &size, "--seconds", &seconds, "--count", &count]);
                call
            }
            None => self.python(programs, "run", &[&address, row.what, &size, &seconds, &count])?,
        };
        output_of(at(path, End::Caller, &call))
    }

    fn rust(&self, package: &str, stack: &Stack, end: End, args: &[&str]) -> Command {
        let mut command = Programs::rust(package);
        command.args(args);
        command.args(["--relay", &self.ours.0, "--host", host(self.path.as_ref(), end)]);
        command.args(["--round-trip", &self.milliseconds.to_string()]);
        if let Some(lanes) = stack.lanes {
            command.args(["--lanes", &lanes.to_string()]);
        }
        command
    }

    fn python(&self, programs: &Programs, word: &str, args: &[&str]) -> Result<Command> {
        let (relay, _) = self.python.as_ref().context("proxystore-relay was not started")?;
        let mut command = programs.python("peer.py")?;
        command.args([word, relay]).args(args);
        Ok(command)
    }
}

/// A relay on a free port: its URL. The command lacks the host.
fn relay(mut command: Command, path: Option<&Emulated>) -> Result<(String, Ended)> {
    let host = host(path, End::Answerer);
    command.arg(host);
    let (line, process) = Ended::started(at(path, End::Answerer, &with_many_files(&command)))?;
    match line.split_once(' ') {
        None if line.starts_with("ws://") => Ok((line, process)),
        Some(("port", port)) => Ok((format!("ws://{host}:{port}"), process)),
        _ => bail!("the relay did not start: {line}"),
    }
}

/// Loads a relay that has done nothing before; what the load prints.
fn load(programs: &Programs, stack: &Stack, row: &Row) -> Result<String> {
    let command = match stack.package {
        Some(_) => Programs::our_relay(),
        None => programs.python("relay.py")?,
    };
    let (url, relay) = relay(command, None)?;
    let mut load = Programs::rust("peer");
    load.args(["load", row.what, "--relay", &url]);
    for (name, value) in [
        ("--process", relay.number().to_string()),
        ("--size", row.size.to_string()),
        ("--seconds", row.seconds.to_string()),
        ("--count", row.count.to_string()),
    ] {
        load.args([name, &value]);
    }
    output_of(with_many_files(&load))
}

/// The same command, with as many files as it may open: a socket is one.
fn with_many_files(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n $(ulimit -H -n); exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

fn host(path: Option<&Emulated>, end: End) -> &'static str {
    path.map_or("127.0.0.1", |_| paths::address(end))
}

/// The same command where this end is.
fn at(path: Option<&Emulated>, end: End, command: &Command) -> Command {
    match path {
        Some(path) => path.at(end, command),
        None => {
            let mut here = Command::new(command.get_program());
            here.args(command.get_args());
            here
        }
    }
}
