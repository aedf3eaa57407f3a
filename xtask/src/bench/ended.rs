//! Processes that end with us.

use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A measurement that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(120);

/// A process that ends with this value; its standard input is held open meanwhile.
pub(crate) struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ended {
    /// Starts a program and waits for its first line.
    pub(crate) fn started(mut command: Command) -> Result<(String, Self)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Self(command.spawn().with_context(|| format!("cannot start {command:?}"))?);
        let mut lines = BufReader::new(process.0.stdout.take().context("no output")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
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
    let mut process = Ended(command.spawn()?);
    let start = Instant::now();
    while process.0.try_wait()?.is_none() {
        if start.elapsed() > LONGEST {
            bail!("it took longer than {LONGEST:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut output = String::new();
    let mut pipe = process.0.stdout.take().context("no output")?;
    pipe.read_to_string(&mut output)?;
    Ok(output)
}
