//! The page of `crosspeer share`: `cargo xtask www` builds it into `www/dist`, which the command's build puts into the
//! binary. The step `share` of `cargo xtask test` tries it in Chromium and Firefox.

use crate::npm::Effort;
use crate::run::{Counts, Run, build_programs, root, target};
use crate::{browsers, npm};
use anyhow::Result;
use std::ffi::OsString;
use std::path::Path;

/// Builds the package with file transfer, checks the page's types, and bundles it into `www/dist`.
pub(crate) fn www() -> Result<()> {
    npm::check_node()?;
    let npm = page(Effort::Small, &root().join("www/dist"))?;
    npm().args(["run", "--silent", "check"]).status()
}

/// The same without checks and without pains for its size, into this folder.
pub(crate) fn quick(dist: &Path) -> Result<()> {
    page(Effort::Quick, dist).map(drop)
}

/// Bundles the page into this folder; npm in `www`.
fn page(effort: Effort, dist: &Path) -> Result<impl Fn() -> Run + use<>> {
    let package = target().join("www/crosspeer");
    npm::assemble(&package, "transfer", effort)?;
    let www = root().join("www");
    let npm = move || Run::new("npm").args(["--prefix"]).args([&www]);
    npm().args(["ci", "--no-audit", "--no-fund"]).status()?;
    let build = npm().args(["run", "--silent", "build", "--"]);
    build.args([&package]).args([dist]).status()?;
    Ok(npm)
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
    let run = run.args(
        ["chromium", "folders", "visitors", "access", "frame", "firefox"]
            .map(|browser| tests.join(format!("{browser}.test.mjs"))),
    );
    let program: OsString = target().join("debug/crosspeer").into();
    run.env("CROSSPEER", program)
        .env("CROSSPEER_SCREENSHOTS", pictures)
        .tests(counts)
}
