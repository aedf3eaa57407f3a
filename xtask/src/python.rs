//! Python environments: `target/venv` with real ProxyStore for the interop tests, `target/venv-tools` with ready-made
//! programs. What is in them is fixed by hashes.

use crate::run::{Run, target};
use crate::tools;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

const PROXYSTORE: &str = "tests/python/requirements.txt";
const PROGRAMS: &str = "xtask/tools/requirements.txt";
/// aioice needs it.
const OLDEST_MINOR: u32 = 11;

/// The environment with ProxyStore; its Python.
pub(crate) fn environment() -> Result<PathBuf> {
    venv(target().join("venv"), PROXYSTORE)
}

/// The folder of the ready-made programs.
pub(crate) fn programs() -> Result<PathBuf> {
    let venv = target().join("venv-tools");
    self::venv(venv.clone(), PROGRAMS)?;
    Ok(venv.join("bin"))
}

/// Makes or updates an environment when its requirements have changed; its Python.
fn venv(venv: PathBuf, file: &str) -> Result<PathBuf> {
    let requirements = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let python = venv.join("bin/python");
    let stamp = venv.join("requirements.installed");
    let current = std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements);
    if current && Run::new(&python).args(["--version"]).succeeds() {
        return Ok(python);
    }
    create(&venv, &python)?;
    let pip = Run::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--require-hashes", "--only-binary", ":all:", "--requirement", file])
        .status()
        .with_context(|| format!("cannot install {file}; it comes from PyPI, so this step needs the network"))?;
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
            "the tests run real Python ProxyStore, and programs from PyPI",
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
    if minor < OLDEST_MINOR {
        bail!(
            "the tests need Python 3.{OLDEST_MINOR} or newer for ProxyStore, and python3 is {}",
            version.trim()
        );
    }
    Run::new("python3")
        .args(["-m", "venv", "--clear"])
        .args([venv])
        .status()
}
