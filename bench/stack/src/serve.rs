//! The answering side.

use crate::usage::usage;
use crate::{Link, Place, Stack};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

/// Connections that are set up at the same time.
pub const AT_ONCE: usize = 10;

/// Answers everybody until standard input ends.
pub async fn serve<S: Stack>(place: &Place) -> Result<()> {
    let stack = Arc::new(S::open(place).await?);
    println!("{}", stack.address());
    // Several at once, since some stacks take a second for each.
    for _ in 0..AT_ONCE {
        let stack = Arc::clone(&stack);
        tokio::spawn(async move {
            while let Ok(link) = stack.accept().await {
                tokio::spawn(async move {
                    if let Err(error) = answer(&link).await {
                        eprintln!("bench: {error:#}");
                    }
                });
            }
        });
    }
    input_ends().await;
    std::process::exit(0)
}

/// Whoever started us wants us to end.
pub async fn input_ends() {
    let _ = tokio::io::stdin().read(&mut [0]).await;
}

async fn answer<L: Link>(link: &L) -> Result<()> {
    let (mut echo, mut received, mut expected) = (false, 0, None);
    loop {
        // The other side ends when it has what it wants.
        let Ok(message) = link.recv().await else { return Ok(()) };
        if message.first() != Some(&b'{') {
            received += message.len() as u64;
            if echo {
                link.send(message).await?;
            }
        } else {
            let word: Value = serde_json::from_slice(&message)?;
            match word["do"].as_str().context("no word")? {
                "hello" => say(link, json!({})).await?,
                "usage" => say(link, usage(word["reset"] == true)).await?,
                "echo" => echo = true,
                "end" => expected = word["bytes"].as_u64(),
                other => anyhow::bail!("{other}?"),
            }
        }
        if expected.is_some_and(|bytes| received >= bytes) {
            (received, expected) = (0, None);
            say(link, usage(false)).await?;
        }
    }
}

/// Sends a word of control.
pub async fn say<L: Link>(link: &L, word: Value) -> Result<()> {
    link.send(Bytes::from(word.to_string())).await
}
