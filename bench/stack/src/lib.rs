//! What every peer of the bench shares. `serve` answers and prints its address; `run` calls that address, measures one
//! row and prints it as one JSON object. Both peers must be of one stack.
//!
//! The protocol is the same for every stack, and for bench/python/peer.py: a message that begins with `{` is a word
//! of control, in JSON; any other is data (zeros), counted by bytes, since some stacks cut messages into pieces.

mod place;
mod rows;
mod serve;
pub mod signal;
mod usage;

pub use place::{Place, enlarge_buffers};
pub use serve::{input_ends, say};
pub use usage::usage_of;

use anyhow::Result;
use bytes::Bytes;
use clap::{Parser, Subcommand, ValueEnum};
use std::time::Duration;

/// Bytes of the pieces in which stacks without messages of any size get large ones.
pub const PIECE: usize = 64 << 10;

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
    /// An end that can call and be called.
    fn open(place: &Place) -> impl Future<Output = Result<Self>> + Send;
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

/// What a peer does.
#[derive(Subcommand)]
pub enum Command {
    /// Answer, until standard input ends
    Serve {
        stack: String,
        #[command(flatten)]
        place: Place,
    },
    /// Call and measure
    Run {
        stack: String,
        address: String,
        row: Row,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        options: Options,
    },
}

impl Command {
    /// The stack it is about.
    pub fn stack(&self) -> &str {
        let (Self::Serve { stack, .. } | Self::Run { stack, .. }) = self;
        stack
    }
}

/// What is measured.
#[derive(Clone, Copy, ValueEnum)]
pub enum Row {
    /// From calling to the first answer
    Setup,
    /// 64 bytes there and back
    Trip,
    /// Messages one way
    Bulk,
    /// Many connections that do nothing
    Idle,
}

/// How it is measured.
#[derive(clap::Args)]
pub struct Options {
    /// Bytes of a message
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// How long messages are sent
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// How many times, how many connections, or how many messages at least
    #[arg(long, default_value_t = 1)]
    pub count: usize,
    /// How many sends are waited for at once
    #[arg(long, default_value_t = 1)]
    pub at_once: usize,
}

/// A whole program that knows one stack.
pub fn main<S: Stack>() -> Result<()> {
    run(async { play::<S>(Cli::parse().command).await })
}

/// Runs this to its end, as most programs would: what runs in `main` itself is woken by another thread each time.
pub fn run(program: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { tokio::spawn(program).await? })
}

/// Does what was asked, by this stack.
pub async fn play<S: Stack>(command: Command) -> Result<()> {
    match command {
        Command::Serve { place, .. } => serve::serve::<S>(&place).await,
        Command::Run {
            address,
            row,
            place,
            options,
            ..
        } => {
            println!("{}", rows::run::<S>(&place, &address, row, &options).await?);
            // What was measured is measured; closing is another matter.
            tokio::time::sleep(Duration::from_millis(20)).await;
            std::process::exit(0)
        }
    }
}
