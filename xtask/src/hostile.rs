//! `cargo xtask hostile`: a stranger's worst against what is meant to run unattended.

use crate::run::{Run, build_programs, target};
use anyhow::Result;

/// As a test: memory for some seconds; others must get through, but how fast says nothing on a machine that does much else,
/// nor do the last MiB of programs that are not optimised.
pub(crate) fn test() -> Result<()> {
    build_programs()?;
    let built = target().join("debug");
    let (crosspeer, seconds, longest_ms, most_mib) = (built.join("crosspeer"), "12", "20000", "100");
    Run::new(built.join("hostile-mix"))
        .args([crosspeer])
        .args([seconds, longest_ms, most_mib])
        .status()
}

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
