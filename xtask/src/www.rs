//! The page of `crosspeer share`: `cargo xtask www` builds it into `www/dist`, which the command's build puts into the
//! binary.

use crate::npm;
use crate::run::{Run, root, target};
use anyhow::Result;

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
