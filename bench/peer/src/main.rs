//! One peer of the bench. `serve` answers and prints its address; `run` calls that address, measures one row and
//! prints it as one JSON object; `relay` is crosspeer's relay in a process of its own. Both peers must be of one stack.
//!
//! The protocol is the same for every stack, and for bench/python/peer.py: a message that begins with `{` is a word
//! of control, in JSON; any other is data (zeros), counted by bytes, since some stacks cut messages into pieces.

mod crosspeer_stack;
mod engine;
mod raw;
mod rows;
mod serve;
mod signal;
mod usage;

use anyhow::Result;
use bytes::Bytes;
use clap::{Parser, Subcommand, ValueEnum};
use std::time::Duration;

/// Messages to one peer, and from it.
pub trait Link: Send + Sync + 'static {
    /// Hands a message over.
    fn send(&self, message: Bytes) -> impl Future<Output = Result<()>> + Send;
    /// The next message, or piece of one.
    fn recv(&self) -> impl Future<Output = Result<Bytes>> + Send;
}

/// A way to connect.
pub trait Stack: Sized + Send + Sync + 'static {
    /// A connection.
    type Link: Link;
    /// An end that can call and be called; the relay is for stacks that have one.
    fn open(relay: &str) -> impl Future<Output = Result<Self>> + Send;
    /// What [`Stack::connect`] needs to reach this end.
    fn address(&self) -> String;
    /// The next connection that was made to this end.
    fn accept(&self) -> impl Future<Output = Result<Self::Link>> + Send;
    /// A connection to another end.
    fn connect(&self, address: &str) -> impl Future<Output = Result<Self::Link>> + Send;
}

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// crosspeer's relay on a free port, which is printed as a URL
    Relay,
    /// Answer, until standard input ends
    Serve {
        stack: Name,
        #[arg(long, default_value = "")]
        relay: String,
    },
    /// Call and measure
    Run {
        stack: Name,
        address: String,
        row: Row,
        #[arg(long, default_value = "")]
        relay: String,
        #[command(flatten)]
        options: Options,
    },
}

/// Which stack.
#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// crosspeer as its users get it
    Crosspeer,
    /// crosspeer's native layer alone: engine, reader and writer tasks, no link, no driver
    Engine,
    /// The `webrtc` crate with the same settings, and nothing of ours
    Raw,
}

/// What is measured.
#[derive(Clone, Copy, ValueEnum)]
enum Row {
    /// From calling to the first answer
    Setup,
    /// 64 bytes there and back
    Trip,
    /// Messages one way
    Bulk,
    /// Many connections that do nothing
    Idle,
}

#[derive(clap::Args)]
struct Options {
    /// Bytes of a message
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// How long messages are sent; one is sent at least
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How many times, or how many connections
    #[arg(long, default_value_t = 20)]
    count: usize,
    /// How many sends are waited for at once
    #[arg(long, default_value_t = 1)]
    at_once: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    // As in most programs: what runs in `main` itself is woken by another thread each time.
    tokio::spawn(execute()).await?
}

async fn execute() -> Result<()> {
    match Cli::parse().command {
        Command::Relay => relay().await,
        Command::Serve { stack, relay } => match stack {
            Name::Crosspeer => serve::serve::<crosspeer_stack::Crosspeer>(&relay).await,
            Name::Engine => serve::serve::<engine::Engine>(&relay).await,
            Name::Raw => serve::serve::<raw::Raw>(&relay).await,
        },
        Command::Run {
            stack,
            address,
            row,
            relay,
            options,
        } => {
            let result = match stack {
                Name::Crosspeer => rows::run::<crosspeer_stack::Crosspeer>(&relay, &address, row, &options).await,
                Name::Engine => rows::run::<engine::Engine>(&relay, &address, row, &options).await,
                Name::Raw => rows::run::<raw::Raw>(&relay, &address, row, &options).await,
            }?;
            println!("{result}");
            // What was measured is measured; closing is another matter.
            tokio::time::sleep(Duration::from_millis(20)).await;
            std::process::exit(0)
        }
    }
}

async fn relay() -> Result<()> {
    let mut config = crosspeer_relay::RelayConfig::default();
    (config.host, config.port) = (Some("127.0.0.1".into()), 0);
    let relay = crosspeer_relay::Relay::bind(config).await?;
    println!("ws://{}", relay.local_addr());
    relay.serve(serve::input_ends()).await;
    Ok(())
}
