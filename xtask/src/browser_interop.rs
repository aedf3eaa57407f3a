//! The step `browser-interop` of `cargo xtask test`: pages that use the npm package, with native peers, Python
//! ProxyStore and each other.

use crate::run::{Counts, Run, build_programs, root, target};
use crate::{browsers, npm, python};
use anyhow::Result;

/// Builds what the pages meet, and runs `tests/browser/interop`.
pub(crate) fn test(counts: &mut Counts) -> Result<()> {
    npm::check_node()?;
    let package = target().join("npm/interop");
    npm::assemble(&package, "js", npm::Effort::Small)?;
    browsers::install()?;
    python::environment()?;
    build_programs()?;
    install_modules()?;
    let tests = root().join("tests/browser");
    let run = Run::new("node").args(["--test", "--test-reporter=tap", "--test-concurrency=2"]);
    let files = [
        "matrix",
        "lifecycle",
        "backpressure",
        "identity",
        "hostile",
        "sessions",
        "turn",
    ];
    let run = run.args(files.map(|file| tests.join(format!("interop/{file}.test.mjs"))));
    run.env("CARGO_TARGET_DIR", target())
        .env("CROSSPEER_PACKAGE", package)
        .tests(counts)
}

/// What drives the browsers.
pub(crate) fn install_modules() -> Result<()> {
    let install = Run::new("npm").args(["--prefix"]).args([root().join("tests/browser")]);
    install.args(["ci", "--no-audit", "--no-fund"]).status()
}
