//! One peer of the bench, by crosspeer and by what it is made of; and crosspeer's relay in a process of its own, with a
//! load for it or another.

mod crosspeer_stack;
mod engine;
mod load;
mod raw;

use anyhow::{Result, bail};
use bench_stack::{Command, play};
use clap::Parser;
use std::net::IpAddr;

#[derive(Parser)]
enum Cli {
    /// crosspeer's relay on a free port, which is printed as a URL
    Relay {
        /// The address that it listens at
        #[arg(long, default_value = "127.0.0.1")]
        host: IpAddr,
    },
    Load(load::Load),
    /// One peer, by the stack `crosspeer`, `raw` or `engine`
    #[command(flatten)]
    Peer(Command),
}

fn main() -> Result<()> {
    bench_stack::run(async {
        match Cli::parse() {
            Cli::Relay { host } => relay(host).await,
            Cli::Load(load) => load::load(load).await,
            Cli::Peer(command) => match command.stack() {
                // crosspeer as its users get it.
                "crosspeer" => play::<crosspeer_stack::Crosspeer>(command).await,
                // Its native layer alone: engine, reader and writer tasks, no link, no driver.
                "engine" => play::<engine::Engine>(command).await,
                // The `webrtc` crate with the same settings, and nothing of ours.
                "raw" => play::<raw::Raw>(command).await,
                other => bail!("there is no stack `{other}` here"),
            },
        }
    })
}

async fn relay(host: IpAddr) -> Result<()> {
    let mut config = crosspeer_relay::RelayConfig::default();
    (config.host, config.port) = (Some(host.to_string()), 0);
    let relay = crosspeer_relay::Relay::bind(config).await?;
    println!("ws://{}", relay.local_addr());
    relay.serve(bench_stack::input_ends()).await;
    Ok(())
}
