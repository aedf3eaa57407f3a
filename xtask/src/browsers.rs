//! Tests in real browsers and under Node: the tools for them, and the step `browsers` of `cargo xtask test`.

use crate::examples::{Ended, free_port, wait_for};
use crate::run::{Counts, Run, build_programs, root, target};
use crate::tools;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGES: [&str; 4] = ["chromium", "chromium-driver", "firefox-esr", "fonts-dejavu-core"];
/// Seconds for all tests of one file. The default is 20.
const PATIENCE: &str = "300";

/// Chromium and Firefox with their drivers.
pub(crate) fn install() -> Result<()> {
    let there = ["chromium", "chromedriver", "firefox-esr"]
        .iter()
        .all(|program| Run::new(program).args(["--version"]).succeeds());
    match there {
        true => Ok(()),
        false => tools::debian(&PACKAGES, "the tests run in real browsers"),
    }
}

/// `xtask/bindgen`: makes the glue of a module. The command line tool of wasm-bindgen would take ten times as long to compile.
pub(crate) fn bindgen() -> Result<Run> {
    let (version, manifest) = (locked("wasm-bindgen")?, "xtask/bindgen/Cargo.toml");
    if !fs::read_to_string(manifest)?.contains(&format!("\"={version}\"")) {
        bail!("Cargo.lock has wasm-bindgen {version}: name the same version in {manifest}");
    }
    let folder = target().join("bindgen");
    let build = Run::cargo().args([
        "build",
        "--quiet",
        "--locked",
        "--manifest-path",
        manifest,
        "--target-dir",
    ]);
    build.args([&folder]).status()?;
    Ok(Run::new(folder.join("debug/bindgen")))
}

/// The test runner of `wasm-bindgen`, of exactly the version in Cargo.lock, built when it is missing.
fn test_runner() -> Result<PathBuf> {
    let version = locked("wasm-bindgen")?;
    let right = |program: &Path| {
        let shown = Run::new(program).args(["--version"]).output();
        shown.is_ok_and(|shown| shown.trim().ends_with(&version))
    };
    let dir = target().join("tools/bin");
    let runner = dir.join("wasm-bindgen-test-runner");
    if right(&runner) {
        return Ok(runner);
    }
    println!("wasm-bindgen {version} is missing: building it once, under target/tools (some minutes)");
    let install = |locked: &[&str]| {
        let install = Run::cargo().args(["install", "--root"]).args([target().join("tools")]);
        install
            .args(locked)
            .args(["wasm-bindgen-cli", "--version", &version])
            .status()
    };
    // Some versions cannot be built with what they are locked to.
    install(&["--locked"]).or_else(|_| install(&[]))?;
    Ok(runner)
}

/// The version of a package in Cargo.lock.
fn locked(name: &str) -> Result<String> {
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{name}\""));
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = \""));
    let version = version.with_context(|| format!("Cargo.lock names no {name}"))?;
    Ok(version.trim_end_matches('"').to_owned())
}

/// A relay of our own, which ends when this is dropped.
pub(crate) struct Relay {
    pub(crate) url: String,
    _process: Ended,
}

impl Relay {
    pub(crate) fn start() -> Result<Self> {
        build_programs()?;
        let port = free_port()?;
        let mut relay = Command::new(target().join("debug/crosspeer-relay"));
        relay
            .args(["--host", "127.0.0.1", "--log-level", "warning", "--port"])
            .arg(port.to_string());
        let process = Ended(relay.stdin(Stdio::null()).spawn().context("cannot start the relay")?);
        wait_for(port)?;
        let url = format!("ws://127.0.0.1:{port}");
        Ok(Self { url, _process: process })
    }
}

/// The tests of `wasm/tests`: two peers in one page in both browsers, and the simulator's worlds under Node.
pub(crate) fn test(counts: &mut Counts) -> Result<()> {
    install()?;
    let runner = test_runner()?;
    let geckodriver = tools::cargo_tool("geckodriver")?;
    let relay = Relay::start()?;
    let run = |file: &str, driver: &str, program: &Path, counts: &mut Counts| {
        let test = Run::cargo().args([
            "test",
            "--package",
            "crosspeer-wasm",
            "--target",
            "wasm32-unknown-unknown",
        ]);
        test.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", &runner)
            .env("CROSSPEER_TEST_RELAY", &relay.url)
            .env("WASM_BINDGEN_TEST_TIMEOUT", PATIENCE)
            .env(driver, program)
            .args(["--test", file])
            .tests(counts)
    };
    run("in_page", "CHROMEDRIVER", Path::new("chromedriver"), counts)?;
    run("in_page", "GECKODRIVER", &geckodriver, counts)?;
    run("worlds", "NODE", Path::new("node"), counts)
}
