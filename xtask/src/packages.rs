//! The packages as they are published, in the step `packages` of `cargo xtask test`: packed, unpacked into a fresh folder,
//! built against each other, and run by a program that knows nothing of this repository.

use crate::examples::{Ended, free_port, wait_for};
use crate::npm::copy;
use crate::run::{Run, root, target};
use crate::www;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// In the order of publishing: each depends on some before it.
const PACKAGES: [&str; 5] = [
    "crosspeer",
    "crosspeer-relay",
    "crosspeer-native",
    "crosspeer-wasm",
    "crosspeer-cli",
];
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What every package must hold.
const EVERYWHERE: [&str; 4] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.toml"];
/// A user's program. Its tokio has the features of this repository's programs: the dependencies are not compiled anew.
const USER: &str = r#"[package]
name = "user"
version = "0.0.0"
edition = "2024"

[dependencies]
crosspeer-native = "VERSION"
tokio = { version = "1", features = ["io-std", "io-util", "macros", "process", "rt-multi-thread"] }
"#;

/// Packs, unpacks, builds and runs.
pub(crate) fn test() -> Result<()> {
    let fresh = target().join("packages/fresh");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh)?;
    pack(&fresh)?;
    workspace(&fresh)?;
    let cargo = |what: &str| {
        let cargo = Run::cargo()
            .args([what, "--manifest-path"])
            .args([fresh.join("Cargo.toml")]);
        // Programs of their own, dependencies that are compiled already.
        let cargo = cargo.args(["--target-dir"]).args([fresh.join("target")]);
        cargo.env("CARGO_BUILD_BUILD_DIR", target())
    };
    cargo("build")
        .args(["-p", "crosspeer-cli", "-p", "crosspeer-relay", "-p", "user"])
        .status()?;
    let wasm = ["--features", "transfer", "--target", "wasm32-unknown-unknown"];
    cargo("check").args(["-p", "crosspeer-wasm"]).args(wasm).status()?;
    run(&fresh.join("target/debug"), &fresh)
}

/// Packs all of them, and unpacks them into this folder.
fn pack(fresh: &Path) -> Result<()> {
    put_page()?;
    // What nobody has committed is packed too: the step is for work in progress.
    let pack = Run::cargo().args(["package", "--no-verify", "--allow-dirty", "--quiet"]);
    let pack = pack.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    pack.args(["--target-dir"]).args([target()]).status()?;
    for package in PACKAGES {
        let name = format!("{package}-{VERSION}");
        let file = target().join(format!("package/{name}.crate"));
        Run::new("tar")
            .args(["-xzf"])
            .args([&file])
            .args(["-C"])
            .args([fresh])
            .status()?;
        for needed in EVERYWHERE {
            if !fresh.join(&name).join(needed).exists() {
                bail!("the package {package} has no {needed}");
            }
        }
    }
    Ok(())
}

/// A workspace of the unpacked crates and a user's program, where the registry's crosspeer is this one.
fn workspace(fresh: &Path) -> Result<()> {
    let folders = PACKAGES.map(|package| format!("{package}-{VERSION}"));
    let mut manifest = String::from("[workspace]\nresolver = \"3\"\nmembers = [\"*-*\", \"user\"]\n");
    manifest += "[patch.crates-io]\n";
    for (package, folder) in PACKAGES.iter().zip(&folders) {
        manifest += &format!("{package} = {{ path = \"{folder}\" }}\n");
    }
    // As this repository's, so that what is compiled can be used.
    manifest += "[profile.dev.package.\"*\"]\nopt-level = 2\ndebug = false\n";
    fs::write(fresh.join("Cargo.toml"), manifest)?;
    fs::copy("Cargo.lock", fresh.join("Cargo.lock"))?;
    fs::create_dir_all(fresh.join("user/src"))?;
    fs::write(fresh.join("user/Cargo.toml"), USER.replace("VERSION", VERSION))?;
    fs::copy("native/examples/hello.rs", fresh.join("user/src/main.rs"))?;
    Ok(())
}

/// The README's example through the packed relay, and the page of the packed command.
fn run(programs: &Path, fresh: &Path) -> Result<()> {
    let port = free_port()?;
    let _relay = start(
        programs,
        &["relay", "--host", "127.0.0.1", "--port", &port.to_string()],
        port,
    )?;
    Run::new(programs.join("user"))
        .args([format!("ws://127.0.0.1:{port}")])
        .status()?;
    let port = free_port()?;
    let folder = fresh.join("user").display().to_string();
    let _share = start(
        programs,
        &["share", "--listen", &format!("127.0.0.1:{port}"), &folder],
        port,
    )?;
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    write!(
        socket,
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    )?;
    let mut page = String::new();
    socket.read_to_string(&mut page)?;
    if !page.starts_with("HTTP/1.1 200") || !page.contains("main.js") {
        bail!(
            "the packed `crosspeer share` has no page: {}",
            page.lines().next().unwrap_or_default()
        );
    }
    Ok(())
}

fn start(programs: &Path, args: &[&str], port: u16) -> Result<Ended> {
    let mut program = Command::new(programs.join("crosspeer"));
    program.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    let program = Ended(program.spawn().context("cannot start the packed command")?);
    wait_for(port)?;
    Ok(program)
}

/// Puts the built page where the command's package has it: `cli/page`.
pub(crate) fn put_page() -> Result<()> {
    let (dist, page) = (root().join("www/dist"), root().join("cli/page"));
    if !dist.join("index.html").exists() {
        www::www()?;
    }
    let _ = fs::remove_dir_all(&page);
    copy(&dist, &page)?;
    let _ = fs::remove_file(page.join(".gitignore"));
    Ok(())
}
