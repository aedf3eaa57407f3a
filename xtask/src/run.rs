//! Running other programs: shown before they run, an error when they fail, their test counts read as they pass by.

use anyhow::{Context as _, Result, bail};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// Where everything goes that is built or fetched.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A program about to be run.
pub(crate) struct Run {
    command: Command,
    shown: String,
}

/// How many tests ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Run {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.stdin(Stdio::null());
        Self {
            command,
            shown: program.as_ref().to_string_lossy().into_owned(),
        }
    }

    /// The cargo that runs this xtask.
    pub(crate) fn cargo() -> Self {
        let mut run = Self::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        run.shown = "cargo".into();
        run
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.shown += &format!(" {}", arg.as_ref().to_string_lossy());
            self.command.arg(arg);
        }
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{key}={} {}", value.as_ref().to_string_lossy(), self.shown);
        self.command.env(key, value);
        self
    }

    /// Runs it with its output going where ours goes.
    pub(crate) fn status(mut self) -> Result<()> {
        println!("$ {}", self.shown);
        let status = self
            .command
            .status()
            .with_context(|| format!("cannot start `{}`", self.shown))?;
        self.judge(status.success())
    }

    /// Runs it silently; its standard output, or an error holding its standard error.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self
            .command
            .output()
            .with_context(|| format!("cannot start `{}`", self.shown))?;
        if !output.status.success() {
            bail!(
                "`{}` failed: {}",
                self.shown,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether it can be started and succeeds; its output is dropped.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.command.status().is_ok_and(|status| status.success())
    }

    /// Runs a test runner: its output is passed on, and the tests it reports are counted.
    pub(crate) fn tests(mut self, counts: &mut Counts) -> Result<()> {
        println!("$ {}", self.shown);
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.shown))?;
        let out = child
            .stdout
            .take()
            .map(|pipe| thread::spawn(|| pass_on(pipe, &mut std::io::stdout())));
        let err = child
            .stderr
            .take()
            .map(|pipe| thread::spawn(|| pass_on(pipe, &mut std::io::stderr())));
        for reader in [out, err].into_iter().flatten() {
            counts.add(reader.join().unwrap_or_default());
        }
        let success = child.wait()?.success();
        self.judge(success)
    }

    fn judge(&self, success: bool) -> Result<()> {
        if success {
            return Ok(());
        }
        bail!("`{}` failed, see above", self.shown)
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Reads a closing line of `cargo test`, nextest or `node --test`; any other line counts nothing.
    fn read(line: &str) -> Self {
        let line = plain(line);
        let node = |word: &str| line.strip_prefix(word)?.trim().parse().ok();
        if let Some(passed) = node("# pass ") {
            return Self {
                passed,
                ..Self::default()
            };
        }
        if let Some(failed) = node("# fail ") {
            return Self {
                failed,
                ..Self::default()
            };
        }
        // Nextest shows the tests' own closing lines too, indented: they are counted in its summary.
        if !line.starts_with("test result: ") && !line.trim_start().starts_with("Summary [") {
            return Self::default();
        }
        let before = |word: &str| {
            let words: Vec<&str> = line
                .split([' ', ',', ';', '\n'])
                .filter(|word| !word.is_empty())
                .collect();
            let at = words.iter().position(|found| *found == word)?;
            words.get(at.checked_sub(1)?)?.parse().ok()
        };
        Self {
            passed: before("passed").unwrap_or(0),
            failed: before("failed").unwrap_or(0) + before("timed").unwrap_or(0),
            skipped: before("ignored").unwrap_or(0),
        }
    }
}

fn pass_on(pipe: impl Read, sink: &mut impl std::io::Write) -> Counts {
    let mut counts = Counts::default();
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        let _ = sink.write_all(&line);
        counts.add(Counts::read(&String::from_utf8_lossy(&line)));
        line.clear();
    }
    let _ = sink.flush();
    counts
}

/// The line without terminal colours.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut parts = line.split('\u{1b}');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        text.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    text
}

/// Builds every program and example. One command for all steps: any other selection of packages would unify their
/// features in another way, and compile the whole engine again.
pub(crate) fn build_programs() -> Result<()> {
    Run::cargo()
        .args(["build", "--workspace", "--all-features", "--bins", "--examples"])
        .status()
}

#[cfg(test)]
mod tests {
    use super::Counts;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Counts {
        Counts {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn closing_lines_of_both_runners_are_counted() {
        let cargo =
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.10s";
        assert_eq!(Counts::read(cargo), counts(12, 3, 1));
        let nextest = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.005s] \u{1b}[1m5\u{1b}[0m tests run: \u{1b}[1m4\u{1b}[0m passed, 1 failed, 7 skipped";
        assert_eq!(Counts::read(nextest), counts(4, 1, 0));
        assert_eq!(
            Counts::read("    test result: ok. 1 passed; 0 failed; 0 ignored"),
            counts(0, 0, 0)
        );
        assert_eq!(Counts::read("# pass 6"), counts(6, 0, 0));
        assert_eq!(Counts::read("# fail 1"), counts(0, 1, 0));
    }
}
