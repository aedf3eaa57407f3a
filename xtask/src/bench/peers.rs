//! The processes that are measured.

use super::ended::{Ended, output_of};
use super::paths::{self, Emulated, End, Path};
use super::rows::Row;
use super::stacks::Stack;
use crate::run::target;
use anyhow::{Context as _, Result};
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
        let host = host(path.as_ref(), End::Answerer);
        let start = |command: &Command| Ended::started(at(path.as_ref(), End::Answerer, command));
        let ours = start(Programs::rust("peer").args(["relay", "--host", host]))?;
        let python = match programs.python {
            Some(_) => {
                let (line, process) = start(programs.python("relay.py")?.arg(host))?;
                let port = line.strip_prefix("port ").context("proxystore-relay did not start")?;
                Some((format!("ws://{host}:{port}"), process))
            }
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
        let output = output_of(at(path, End::Caller, &call))?;
        serde_json::from_str(output.trim()).with_context(|| format!("not a result: {output}"))
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
