//! The npm package `crosspeer`: `cargo xtask npm` builds and packs it, the step `npm` of `cargo xtask test` installs it
//! in fresh projects.

mod shrink;

use crate::browsers::{self, Relay};
use crate::run::{Counts, Run, root, target};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that the module with its glue and wrapper may have in brotli.
const BUDGET: u64 = 120_000;
/// The wrapper's files, beside the module and its glue.
const WRAPPER: [&str; 5] = ["crosspeer.js", "index.js", "index.d.ts", "node.js", "README.md"];
/// What `crosspeer.js` imports, besides the glue: it is one file in the package.
const BUNDLED: [&str; 8] = [
    "errors.js",
    "events.js",
    "identity.js",
    "load.js",
    "options.js",
    "outbox.js",
    "relay_message.js",
    "source.js",
];

/// Builds and packs the package, and prints its sizes, which must be within the budget; the tarball.
pub(crate) fn npm() -> Result<PathBuf> {
    let package = target().join("npm/package");
    assemble(&package, "js", Effort::Small)?;
    shrink::bundle(&package.join("crosspeer.js"))?;
    for file in BUNDLED.into_iter().chain(["crosspeer_wasm.js"]) {
        fs::remove_file(package.join(file))?;
    }
    check_sizes(&package)?;
    let pack = Run::new("npm").args(["pack", "--json", "--pack-destination"]);
    let listing: Value = serde_json::from_str(&pack.args([&target().join("npm")]).args([&package]).output()?)?;
    let name = listing[0]["filename"].as_str().context("npm pack names no file")?;
    let tarball = target().join("npm").join(name);
    println!("{}", tarball.display());
    Ok(tarball)
}

/// How much is done for a small download.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As it is published.
    Small,
    /// What a page of this machine does not need is left out: link-time optimisation, binaryen.
    Quick,
}

/// Builds the package into this folder, with these features of `crosspeer-wasm`.
pub(crate) fn assemble(package: &Path, features: &str, effort: Effort) -> Result<()> {
    let _ = fs::remove_dir_all(package);
    fs::create_dir_all(package)?;
    compile(package, features, effort)?;
    let source = root().join("wasm/js");
    for file in WRAPPER.into_iter().chain(BUNDLED) {
        fs::copy(source.join(file), package.join(file)).with_context(|| file.to_owned())?;
    }
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(root().join(licence), package.join(licence))?;
    }
    // As text: the order of `exports` matters.
    let manifest = fs::read_to_string(source.join("package.json"))?;
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    let manifest = manifest.replace("\"version\": \"0.0.0\"", &version);
    fs::write(package.join("package.json"), manifest)?;
    Ok(())
}

/// The module and its glue.
fn compile(out: &Path, features: &str, effort: Effort) -> Result<()> {
    let profile = match effort {
        Effort::Small => "wasm-release",
        Effort::Quick => "wasm-demo",
    };
    let build = Run::cargo()
        .env("RUSTFLAGS", flags())
        .args(["build", "--lib", "--package", "crosspeer-wasm"]);
    let build = build.args(["--target", "wasm32-unknown-unknown", "--profile", profile]);
    build.args(["--features", features]).status()?;
    let built = target().join(format!("wasm32-unknown-unknown/{profile}/crosspeer_wasm.wasm"));
    browsers::bindgen()?
        .args([&built])
        .args([out])
        .args(["crosspeer_wasm"])
        .status()?;
    if effort == Effort::Small {
        shrink::module(&out.join("crosspeer_wasm_bg.wasm"), &out.join("crosspeer_wasm.js"))?;
    }
    Ok(())
}

/// Panic messages name source files: not those of this machine. And structs are moved by `memory.copy` instead of field
/// by field, which saves 3 kB.
fn flags() -> String {
    let home = |name: &str| std::env::var(name).unwrap_or_default();
    let cargo = match home("CARGO_HOME") {
        none if none.is_empty() => home("HOME") + "/.cargo",
        some => some,
    };
    let root = root();
    let sources = "registry/src";
    format!(
        "--remap-path-prefix={cargo}/{sources}=crates --remap-path-prefix={}=crosspeer -Cllvm-args=-max-store-memcpy=1",
        root.display()
    )
}

fn check_sizes(package: &Path) -> Result<()> {
    const SCRIPT: &str = "const z = require('zlib'), fs = require('fs');
for (const file of process.argv.slice(1)) {
  const bytes = fs.readFileSync(file);
  console.log(bytes.length, z.gzipSync(bytes, { level: 9 }).length, z.brotliCompressSync(bytes).length);
}";
    let files = ["crosspeer_wasm_bg.wasm", "crosspeer.js", "index.js"];
    let list = Run::new("node")
        .args(["-e", SCRIPT])
        .args(files.map(|file| package.join(file)));
    let output = list.output()?;
    let mut sum = [0_u64; 3];
    println!("{:30} {:>9} {:>9} {:>9}", "bytes", "raw", "gzip", "brotli");
    for (file, line) in files.iter().zip(output.lines()) {
        let sizes: Vec<u64> = line.split(' ').filter_map(|size| size.parse().ok()).collect();
        println!("{file:30} {:>9} {:>9} {:>9}", sizes[0], sizes[1], sizes[2]);
        sum.iter_mut().zip(sizes).for_each(|(sum, size)| *sum += size);
    }
    println!("{:30} {:>9} {:>9} {:>9}", "all", sum[0], sum[1], sum[2]);
    if sum[2] > BUDGET {
        bail!(
            "the package has {} bytes in brotli, more than the {BUDGET} that pages should have to download",
            sum[2]
        );
    }
    Ok(())
}

/// Installs the tarball in fresh projects, and passes messages in all of them.
pub(crate) fn test(counts: &mut Counts) -> Result<()> {
    let tarball = npm()?;
    browsers::install()?;
    let dir = target().join("npm/test");
    let _ = fs::remove_dir_all(&dir);
    copy(&root().join("wasm/js/test"), &dir)?;
    fs::copy(root().join("docs/examples/hello.mjs"), dir.join("hello.mjs"))?;
    let install = Run::new("npm").args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix"]);
    install.args([&dir]).args([&tarball]).status()?;
    let relay = Relay::start()?;
    let test = Run::new("node")
        .args(["--test", "--test-reporter=tap"])
        .args(["all", "loading", "gone", "token"].map(|file| dir.join(format!("{file}.test.mjs"))));
    test.env("CROSSPEER_TEST_RELAY", &relay.url).tests(counts)
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Node and npm, which nothing here installs.
pub(crate) fn check_node() -> Result<()> {
    if Run::new("npm").args(["--version"]).succeeds() && Run::new("node").args(["--version"]).succeeds() {
        return Ok(());
    }
    bail!("the npm package is built and tested with Node.js 20 or newer: install it, and run this again")
}
