//! The Python environment with real ProxyStore that the interop tests run: `target/venv`.

use crate::run::{Run, target};
use crate::tools;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

const REQUIREMENTS: &str = "tests/python/requirements.txt";

/// Makes or updates the environment when its requirements have changed; its Python.
pub(crate) fn environment() -> Result<PathBuf> {
    let requirements = std::fs::read_to_string(REQUIREMENTS).with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    let venv = target().join("venv");
    let python = venv.join("bin/python");
    let stamp = venv.join("requirements.installed");
    let current = std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements);
    if current && Run::new(&python).args(["--version"]).succeeds() {
        return Ok(python);
    }
    create(&venv, &python)?;
    let pip = Run::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--requirement", REQUIREMENTS])
        .status()
        .context("cannot install ProxyStore; it comes from PyPI, so this step needs the network")?;
    std::fs::write(&stamp, requirements)?;
    Ok(python)
}

fn create(venv: &Path, python: &Path) -> Result<()> {
    if Run::new(python).args(["-m", "pip", "--version"]).succeeds() {
        return Ok(());
    }
    if !Run::new("python3").args(["-c", "import ensurepip, venv"]).succeeds() {
        tools::debian(
            &["python3", "python3-venv"],
            "the interop tests run real Python ProxyStore",
        )?;
    }
    let version = Run::new("python3")
        .args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        .output()?;
    let minor: u32 = version
        .trim()
        .strip_prefix("3.")
        .and_then(|minor| minor.parse().ok())
        .unwrap_or(0);
    if minor < 10 {
        bail!(
            "the interop tests need Python 3.10 or newer for ProxyStore, and python3 is {}",
            version.trim()
        );
    }
    Run::new("python3")
        .args(["-m", "venv", "--clear"])
        .args([venv])
        .status()
}
