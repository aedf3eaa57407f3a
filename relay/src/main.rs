//! `crosspeer-relay`: the relay server as a program.

use clap::Parser;
use crosspeer_relay::RelayArgs;
use std::process::ExitCode;

/// The relay where crosspeer and ProxyStore peers meet.
#[derive(Parser)]
#[command(name = "crosspeer-relay", version)]
struct Cli {
    #[command(flatten)]
    args: RelayArgs,
}

#[tokio::main]
#[allow(clippy::print_stderr)] // a program's last word
async fn main() -> ExitCode {
    match crosspeer_relay::run(Cli::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crosspeer-relay: {error}");
            ExitCode::FAILURE
        }
    }
}
