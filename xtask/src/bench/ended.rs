//! Processes that end with us.

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A measurement that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(240);

/// A process that ends with this value; its standard input is held open meanwhile, and its output where it was piped.
pub(crate) struct Ended {
    process: Child,
    _output: Option<BufReader<ChildStdout>>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ended {
    /// The number that the kernel has given it.
    pub(crate) fn number(&self) -> u32 {
        self.process.id()
    }

    fn new(command: &mut Command) -> Result<Self> {
        let process = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let _output = None;
        Ok(Self { process, _output })
    }

    /// Starts a program and waits for its first line.
    pub(crate) fn started(mut command: Command) -> Result<(String, Self)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Self::new(&mut command)?;
        let mut output = BufReader::new(process.process.stdout.take().context("no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        process._output = Some(output);
        if line.is_empty() {
            bail!("{command:?} ended");
        }
        Ok((line.trim().to_owned(), process))
    }
}

/// Runs a program to its end, for its output: a line or so, which fits into the pipe.
#[allow(clippy::disallowed_methods)] // a limit of real time
pub(crate) fn output_of(mut command: Command) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Ended::new(&mut command)?;
    let start = Instant::now();
    while process.process.try_wait()?.is_none() {
        if start.elapsed() > LONGEST {
            bail!("it took longer than {LONGEST:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut output = String::new();
    let mut pipe = process.process.stdout.take().context("no output")?;
    pipe.read_to_string(&mut output)?;
    Ok(output)
}
