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

/// What the tests on emulated networks need. They print that they were skipped where it is not to be had.
fn lab() -> Result<()> {
    let programs = [("ip", "-V"), ("nft", "-v"), ("turnserver", "--version")];
    let there = programs
        .iter()
        .all(|(name, version)| Run::new(name).args([version]).succeeds());
    if there || !is_root() || !has_apt() {
        return Ok(());
    }
    debian(&["iproute2", "nftables", "coturn"], "tests emulate networks with NATs")
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

/// A cargo tool of the right name, from PATH or from `target/tools`; built there when it is in neither.
pub(crate) fn cargo_tool(name: &str) -> Result<PathBuf> {
    if Run::new(name).args(["--version"]).succeeds() {
        return Ok(name.into());
    }
    let tools = target().join("tools");
    let path = tools.join("bin").join(name);
    if !path.exists() {
        println!("{name} is missing: building it once, under target/tools (some minutes)");
        // None of them has hard work to do: compiling them is what takes time.
        Run::cargo()
            .args(["install", "--debug", "--locked", "--root"])
            .args([&tools])
            .args([name])
            .status()?;
    }
    Ok(path)
}

/// cargo-deny.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    cargo_tool("cargo-deny")
}

/// Whether nextest is here. It is faster, but `cargo test` does as well, so it is not installed.
pub(crate) fn has_nextest() -> bool {
    Run::cargo().args(["nextest", "--version"]).succeeds()
}
