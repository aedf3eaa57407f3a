//! `cargo xtask hostile`: a stranger's worst against what is meant to run unattended.

use crate::run::{Run, target};
use anyhow::Result;

/// In release mode: what is measured is what users have.
pub(crate) fn hostile(seconds: u64) -> Result<()> {
    let build = Run::cargo().args(["build", "--release", "-p", "crosspeer-cli", "-p", "crosspeer-tests"]);
    build.args(["--bin", "crosspeer", "--bin", "hostile-mix"]).status()?;
    let built = target().join("release");
    Run::new(built.join("hostile-mix"))
        .args([built.join("crosspeer")])
        .args([seconds.to_string()])
        .status()
}
