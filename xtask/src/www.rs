//! The page of `crosspeer share`: `cargo xtask www` builds it into `www/dist`, which the command's build puts into the
//! binary. The step `share` of `cargo xtask test` tries it in Chromium and Firefox.

use crate::run::{Counts, Run, build_programs, root, target};
use crate::{browsers, npm};
use anyhow::Result;
use std::ffi::OsString;

/// Builds the package with file transfer, checks the page's types, and bundles it.
pub(crate) fn www() -> Result<()> {
    npm::check_node()?;
    let package = target().join("www/crosspeer");
    npm::assemble(&package, "transfer")?;
    let www = root().join("www");
    let npm = || Run::new("npm").args(["--prefix"]).args([&www]);
    npm().args(["ci", "--no-audit", "--no-fund"]).status()?;
    npm().args(["run", "--silent", "check"]).status()?;
    npm().args(["run", "--silent", "build", "--"]).args([&package]).status()
}

/// What people do on the page, and what goes wrong meanwhile, in real browsers. Pictures go to `target/screenshots`, or
/// where `CROSSPEER_SCREENSHOTS` says: the README's are `docs/screenshots`.
pub(crate) fn test(counts: &mut Counts) -> Result<()> {
    www()?;
    browsers::install()?;
    build_programs()?;
    let tests = root().join("tests/browser");
    let install = Run::new("npm").args(["--prefix"]).args([&tests]);
    install.args(["ci", "--no-audit", "--no-fund"]).status()?;
    let pictures =
        std::env::var_os("CROSSPEER_SCREENSHOTS").map_or_else(|| target().join("screenshots"), |dir| root().join(dir));
    let run = Run::new("node").args(["--test", "--test-reporter=tap", "--test-concurrency=1"]);
    let run = run.args(["chromium", "frame", "firefox"].map(|browser| tests.join(format!("{browser}.test.mjs"))));
    let program: OsString = target().join("debug/crosspeer").into();
    run.env("CROSSPEER", program)
        .env("CROSSPEER_SCREENSHOTS", pictures)
        .tests(counts)
}
