//! What goes out is linted and tested as it goes out: every combination of features, on both targets; and whatever stands
//! beside the workspace at least compiles.

use crate::run::Run;
use anyhow::Result;

/// The features of `crosspeer` in what goes out: none, and the simulator for whoever tests against it.
const CORE: [&str; 2] = ["", "sim"];
/// The features of `crosspeer-wasm`: for Rust programs in pages, for the npm package, for the page of `share`.
const PAGES: [&str; 3] = ["", "js", "transfer"];
const WASM: &str = "wasm32-unknown-unknown";
/// Workspaces of their own that are checked. `bench/datachannel` compiles a C++ library, so `cargo xtask bench` has it alone.
const BESIDE: [&str; 7] = [
    "fuzz",
    "bench/peer",
    "bench/delay",
    "bench/upstream",
    "bench/quinn",
    "bench/str0m",
    "bench/webrtc17",
];

/// All of the workspace with all features, and the rules as each of those who have them.
pub(crate) fn native() -> Result<()> {
    let all = Run::cargo().args(["clippy", "--workspace", "--all-targets", "--all-features"]);
    denied(all)?;
    for features in CORE {
        denied(clippy("crosspeer", features).args(["--all-targets"]))?;
    }
    Ok(())
}

/// Pages, as they are downloaded, and their tests.
pub(crate) fn wasm() -> Result<()> {
    for features in PAGES {
        denied(clippy("crosspeer-wasm", features).args(["--target", WASM]))?;
    }
    denied(clippy("crosspeer-wasm", "").args(["--target", WASM, "--tests"]))
}

/// Fuzz targets and the bench compile. In the same target folder: what is alike is compiled once.
pub(crate) fn beside() -> Result<()> {
    for workspace in BESIDE {
        let check = Run::cargo().args(["check", "--all-targets", "--locked", "--manifest-path"]);
        let check = check.args([format!("{workspace}/Cargo.toml")]);
        check.args(["--target-dir"]).args([crate::run::target()]).status()?;
    }
    Ok(())
}

fn clippy(package: &str, features: &str) -> Run {
    Run::cargo().args(["clippy", "--package", package, "--features", features])
}

fn denied(clippy: Run) -> Result<()> {
    clippy.args(["--", "-D", "warnings"]).status()
}
