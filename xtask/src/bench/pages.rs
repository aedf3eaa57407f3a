//! Pages in Chromium, beside a plain data channel: measured by `tests/browser/interop/speed.mjs`.

use super::rows::Row;
use super::stacks::Stack;
use crate::run::{Run, target};
use crate::{browser_interop, npm};
use anyhow::{Result, bail};
use std::process::Command;

/// Builds the package that the pages load. An error says what this machine lacks.
pub(crate) fn prepare() -> Result<()> {
    npm::check_node()?;
    if !Run::new("chromium").args(["--version"]).succeeds() {
        bail!("they need Debian's chromium");
    }
    npm::npm()?;
    browser_interop::install_modules()
}

/// One measurement in a browser of its own.
pub(crate) fn command(stack: &Stack, row: &Row) -> Command {
    let mut node = Command::new("node");
    node.args(["tests/browser/interop/speed.mjs", &row.seconds.to_string(), "1"]);
    node.args([row.what, stack.name]);
    node.env("CARGO_TARGET_DIR", target());
    node.env("BENCH_PEER", target().join("release/bench-peer"));
    node
}
