//! `cargo xtask demo`: a relay and two peers in one terminal, sharing a real folder's files.

use crate::examples::{Ended, free_port, wait_for};
use crate::run::{Run, target};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) fn demo(dir: Option<PathBuf>) -> Result<()> {
    let work = target().join("demo");
    let from = match dir {
        Some(dir) => dir,
        None => sample(&work.join("from"))?,
    };
    let to = work.join("to");
    if to.exists() {
        fs::remove_dir_all(&to)?;
    }
    fs::create_dir_all(&to)?;
    let files = files_of(&from)?;
    if files.is_empty() {
        bail!("{} holds no files to share", from.display());
    }
    println!(
        "Sharing {} files of {} with a second peer, then comparing.",
        files.len(),
        from.display()
    );
    say("Building the `crosspeer` command (the first time takes some minutes)");
    Run::cargo()
        .args(["build", "--release", "--package", "crosspeer-cli"])
        .status()?;
    share(&target().join("release/crosspeer"), &from, files.len(), &to)?;
    say("Comparing both folders");
    let name = from
        .canonicalize()?
        .file_name()
        .context("a folder without a name")?
        .to_owned();
    compare(&from, &files, &to.join(name))
}

/// Relay, receiver and sender; all are gone when this returns.
fn share(crosspeer: &Path, from: &Path, files: usize, to: &Path) -> Result<()> {
    let port = free_port()?;
    let url = format!("ws://127.0.0.1:{port}");
    say(&format!("A relay at {url}: it only introduces peers to each other"));
    let mut relay = Command::new(crosspeer);
    relay.args([
        "relay",
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--log-level",
        "warning",
    ]);
    let _relay = Ended(relay.stdin(Stdio::null()).spawn().context("cannot start the relay")?);
    wait_for(port)?;

    say(&format!("A peer that receives, into {}", to.display()));
    let mut receiver = Command::new(crosspeer);
    receiver
        .args([
            "receive",
            "--relay",
            &url,
            "--no-stun",
            "--count",
            &files.to_string(),
            "--dir",
        ])
        .arg(to);
    let mut receiver = Ended(receiver.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let mut output = BufReader::new(receiver.0.stdout.take().context("no output")?);
    let mut first = String::new();
    output.read_line(&mut first)?;
    let uuid = first.trim();
    println!("its UUID, which is all that the other needs: {uuid}");

    say("A peer that sends, straight to the other");
    let send = Run::new(crosspeer).args(["send", "--relay", &url, "--no-stun", "--peer", uuid]);
    send.args([from]).status()?;
    if !receiver.0.wait()?.success() {
        bail!("the receiving peer failed, see above");
    }
    Ok(())
}

fn sample(dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("hello.txt"), "Hello from the other peer.\n")?;
    fs::create_dir_all(dir.join("folder"))?;
    fs::write(dir.join("folder/ünïcödé 漢字.txt"), "héllo ✓ 漢字\n")?;
    fs::write(dir.join("empty.txt"), "")?;
    // Any 8 MiB that do not repeat: a linear congruential generator's.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    fs::write(dir.join("noise.bin"), noise.take(8 << 20).collect::<Vec<u8>>())?;
    Ok(dir.to_path_buf())
}

/// The files in `dir` and below, sorted, as paths from `dir` on.
fn files_of(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = dir.join(&folder);
        for entry in fs::read_dir(&path).with_context(|| format!("cannot read the folder {}", path.display()))? {
            let entry = entry?;
            let list = if entry.file_type()?.is_dir() {
                &mut folders
            } else {
                &mut files
            };
            list.push(folder.join(entry.file_name()));
        }
    }
    files.retain(|file| {
        dir.join(file)
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_file())
    });
    files.sort();
    Ok(files)
}

fn compare(from: &Path, files: &[PathBuf], to: &Path) -> Result<()> {
    let mut bytes = 0;
    for file in files {
        let sent = fs::read(from.join(file))?;
        let received = fs::read(to.join(file)).with_context(|| format!("{} did not arrive", file.display()))?;
        if sent != received {
            bail!("{} arrived changed", file.display());
        }
        bytes += sent.len();
        println!("  same: {} ({} bytes)", file.display(), sent.len());
    }
    println!("\n{} files, {bytes} bytes: the two folders are the same.", files.len());
    Ok(())
}

fn say(text: &str) {
    println!("\n==> {text}");
}
