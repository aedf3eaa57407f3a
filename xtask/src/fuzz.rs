//! `cargo xtask fuzz`: every target of `fuzz/` for a while.

use crate::run::Run;
use crate::tools;
use anyhow::{Result, bail};

pub(crate) fn fuzz(seconds: u64, only: Option<&str>) -> Result<()> {
    let tool = tools::cargo_tool("cargo-fuzz")?;
    let list = Run::new(&tool).args(["fuzz", "list"]).output()?;
    let targets: Vec<&str> = list
        .lines()
        .filter(|name| only.is_none_or(|only| only == *name))
        .collect();
    if targets.is_empty() {
        bail!(
            "no such fuzz target; there are: {}",
            list.split_whitespace().collect::<Vec<_>>().join(", ")
        );
    }
    // The address sanitizer needs nightly. Our code has no unsafe block, so a stable compiler without it will do.
    for name in targets {
        let run = Run::new(&tool)
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["fuzz", "run", "--sanitizer", "none"]);
        let run = run.args(["--target-dir", "target/fuzz", name]);
        run.args(["--", &format!("-max_total_time={seconds}"), "-print_final_stats=1"])
            .status()?;
    }
    Ok(())
}
