//! The README's examples are files that compile and run; the README shows them word for word.
//!
//! A block of code that follows `<!-- file: PATH -->` must be that file, without its leading comment lines.

use crate::python;
use crate::run::{Run, build_programs, target};
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const README: &str = "README.md";
const MARK: &str = "<!-- file: ";

/// Compares the README with the files it names.
pub(crate) fn check() -> Result<()> {
    let readme = std::fs::read_to_string(README).with_context(|| format!("cannot read {README}"))?;
    let mut faults = Vec::new();
    for (path, block) in blocks(&readme) {
        let file = std::fs::read_to_string(path).with_context(|| format!("{README} shows {path}, cannot read it"))?;
        if without_head(&file) != block.trim_end() {
            faults.push(path);
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{README} shows other code than these files hold: {}", faults.join(", "))
}

/// The named blocks: path and content.
fn blocks(readme: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        let Some(path) = line
            .trim()
            .strip_prefix(MARK)
            .and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        let block: Vec<&str> = lines
            .by_ref()
            .skip(1)
            .take_while(|line| !line.starts_with("```"))
            .collect();
        found.push((path, block.join("\n")));
    }
    found
}

fn without_head(file: &str) -> &str {
    let comment = |line: &str| line.starts_with("//!") || line.starts_with("#!") || line.trim().is_empty();
    let head: usize = file
        .split_inclusive('\n')
        .take_while(|line| comment(line))
        .map(str::len)
        .sum();
    file[head..].trim_end()
}

/// A child process that ends with us.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the examples, each through a relay of our own.
pub(crate) fn run() -> Result<()> {
    build_programs()?;
    let debug = target().join("debug");
    let port = free_port()?;
    let mut relay = Command::new(debug.join("crosspeer"));
    relay.args([
        "relay",
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--log-level",
        "warning",
    ]);
    let _relay = Ended(relay.stdin(Stdio::null()).spawn().context("cannot start the relay")?);
    wait_for(port)?;
    let url = format!("ws://127.0.0.1:{port}");
    for name in ["hello", "connection"] {
        Run::new(debug.join("examples").join(name)).args([&url]).status()?;
    }
    let mut echo = Command::new(debug.join("crosspeer"));
    echo.args(["echo", "--relay", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut echo = Ended(echo.spawn().context("cannot start `crosspeer echo`")?);
    let mut uuid = String::new();
    BufReader::new(echo.0.stdout.take().context("no output")?).read_line(&mut uuid)?;
    Run::new(python::environment()?)
        .args(["docs/examples/hello.py", &url, uuid.trim()])
        .status()
}

/// A port nobody listens on now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until something listens there.
pub(crate) fn wait_for(port: u16) -> Result<()> {
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("nothing listens on port {port} after 10 s")
}

#[cfg(test)]
mod tests {
    use super::{blocks, without_head};

    #[test]
    fn named_blocks_are_found_and_heads_of_files_are_not_shown() {
        let readme = "# x\n<!-- file: a.rs -->\n```rust\nfn main() {\n}\n```\n```sh\nls\n```\n";
        assert_eq!(blocks(readme), [("a.rs", "fn main() {\n}".to_owned())]);
        assert_eq!(
            without_head("//! Head.\n//! More.\n\nfn main() {\n}\n"),
            "fn main() {\n}"
        );
    }
}
