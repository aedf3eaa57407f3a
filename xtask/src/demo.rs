//! `cargo xtask demo`: the page of `crosspeer share`, with a folder of samples.

use crate::run::{Run, target};
use crate::{npm, tools, www};
use anyhow::{Result, bail};
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// Builds page and binary, and shares the folder until Ctrl-C.
pub(crate) fn demo(dir: Option<PathBuf>, listen: &str) -> Result<()> {
    npm::check_node()?;
    tools::rust()?;
    let dir = match dir {
        Some(dir) => dir,
        None => sample(&target().join("demo/samples"))?,
    };
    if let Err(error) = TcpListener::bind(listen) {
        bail!("cannot listen on {listen}: {error}; try another one with --listen");
    }
    say("Building the page");
    let page = target().join("demo/page");
    www::quick(&page)?;
    say("Building the `crosspeer` command (the first time takes a few minutes)");
    let build = Run::cargo().args(["build", "--profile", "demo", "--package", "crosspeer-cli"]);
    build.env("CROSSPEER_PAGE", &page).status()?;
    say("Open this address in two windows: both see the folder, and each other");
    let share = Run::new(target().join("demo/crosspeer")).args(["share", "--listen", listen]);
    share.args([dir]).status()
}

/// Made once: what visitors put into it stays.
fn sample(dir: &Path) -> Result<PathBuf> {
    if dir.exists() {
        return Ok(dir.to_path_buf());
    }
    fs::create_dir_all(dir.join("folder"))?;
    fs::write(dir.join("hello.txt"), "Hello from the other peer.\n")?;
    fs::write(dir.join("folder/ünïcödé 漢字.txt"), "héllo ✓ 漢字\n")?;
    fs::write(dir.join("empty.txt"), "")?;
    noise(&dir.join("noise, 8 MiB.bin"), 8)?;
    noise(&dir.join("noise, 1 GiB.bin"), 1024)?;
    Ok(dir.to_path_buf())
}

/// Bytes that do not repeat: a linear congruential generator's.
fn noise(path: &Path, mebibytes: usize) -> Result<()> {
    let mut file = fs::File::create(path)?;
    let mut state = 1_u64;
    let mut block = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        for word in block.chunks_exact_mut(8) {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            word.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes());
        }
        file.write_all(&block)?;
    }
    Ok(())
}

fn say(text: &str) {
    println!("\n==> {text}");
}
