//! The calling side: one row of the table.

use crate::serve::{AT_ONCE, say};
use crate::usage::usage;
use crate::{Link, Options, Place, Row, Stack};
use anyhow::Result;
use bytes::Bytes;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub async fn run<S: Stack>(place: &Place, address: &str, row: Row, options: &Options) -> Result<Value> {
    match row {
        Row::Setup => setup::<S>(place, address, options.count).await,
        Row::Idle => idle::<S>(place, address, options).await,
        Row::Trip => trip(&meet(&S::open(place).await?, address).await?, options).await,
        Row::Bulk => bulk(&meet(&S::open(place).await?, address).await?, options).await,
    }
}

/// A connection whose other side has answered.
async fn meet<S: Stack>(stack: &S, address: &str) -> Result<S::Link> {
    let link = stack.connect(address).await?;
    ask(&link, json!({"do": "hello"})).await?;
    Ok(link)
}

async fn ask<L: Link>(link: &L, word: Value) -> Result<Value> {
    say(link, word).await?;
    Ok(serde_json::from_slice(&link.recv().await?)?)
}

async fn setup<S: Stack>(place: &Place, address: &str, count: usize) -> Result<Value> {
    let mut times = Vec::new();
    for _ in 0..count {
        let stack = S::open(place).await?;
        let start = Instant::now();
        meet(&stack, address).await?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(json!({"seconds": times}))
}

async fn trip<L: Link>(link: &L, options: &Options) -> Result<Value> {
    say(link, json!({"do": "echo"})).await?;
    let message = Bytes::from(vec![0; options.size]);
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < options.seconds {
        let sent = Instant::now();
        link.send(message.clone()).await?;
        link.recv().await?;
        times.push(sent.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(json!({"p50": at(0.5), "p99": at(0.99), "count": times.len()}))
}

async fn bulk<L: Link>(link: &L, options: &Options) -> Result<Value> {
    let message = Bytes::from(vec![0; options.size]);
    let (own, other) = (usage(true), ask(link, json!({"do": "usage", "reset": true})).await?);
    let start = Instant::now();
    let mut count = 0u64;
    let mut sending = FuturesUnordered::new();
    while count < options.count.max(1) as u64 || start.elapsed().as_secs_f64() < options.seconds {
        count += 1;
        if options.at_once == 1 {
            link.send(message.clone()).await?;
            continue;
        }
        sending.push(link.send(message.clone()));
        if sending.len() == options.at_once {
            sending.next().await.transpose()?;
        }
    }
    while let Some(sent) = sending.next().await {
        sent?;
    }
    let bytes = count * options.size as u64;
    let other_after = ask(link, json!({"do": "end", "bytes": bytes})).await?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "bytes": bytes, "messages": count, "seconds": seconds,
        "sender": difference(&own, &usage(false)), "receiver": difference(&other, &other_after),
    }))
}

/// CPU spent between, and the resident bytes before and at the peak.
fn difference(before: &Value, after: &Value) -> Value {
    let cpu = after["cpu"].as_f64().unwrap_or(0.0) - before["cpu"].as_f64().unwrap_or(0.0);
    json!({"cpu": cpu, "idle": before["rss"], "peak": after["peak"]})
}

async fn idle<S: Stack>(place: &Place, address: &str, options: &Options) -> Result<Value> {
    let first = S::open(place).await?;
    let first = (meet(&first, address).await?, first);
    let (own, other) = (usage(false), ask(&first.0, json!({"do": "usage"})).await?);
    // Some at once: there are stacks that take a second for each.
    let opening = (0..options.count).map(|_| async {
        let stack = S::open(place).await?;
        anyhow::Ok((meet(&stack, address).await?, stack))
    });
    let links: Vec<_> = stream::iter(opening).buffer_unordered(AT_ONCE).try_collect().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (own_open, other_open) = (usage(false), ask(&first.0, json!({"do": "usage"})).await?);
    tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
    let (own_after, other_after) = (usage(false), ask(&first.0, json!({"do": "usage"})).await?);
    let of = |before: &Value, open: &Value, after: &Value| {
        let grown = |a: &Value, b: &Value, key: &str| {
            (b[key].as_f64().unwrap_or(0.0) - a[key].as_f64().unwrap_or(0.0)) / options.count as f64
        };
        json!({"bytes": grown(before, open, "rss"), "cpu": grown(open, after, "cpu") / options.seconds})
    };
    Ok(json!({
        "connections": links.len(),
        "caller": of(&own, &own_open, &own_after), "answerer": of(&other, &other_open, &other_after),
    }))
}
