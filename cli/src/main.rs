//! `crosspeer`: send and receive files and messages between peers, and find out why it does not work.

mod args;
mod doctor;
mod echo;
mod failure;
mod identity;
mod intake;
mod known;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod memory;
mod net;
mod outlet;
mod output;
mod ping;
mod receive;
mod send;
mod share;
mod store;
mod token;

use args::{Cli, Command};
use clap::Parser;
use failure::{Exit, Failure};
use output::Output;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    memory::set_up();
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&output, &Failure::local("no runtime", error)),
    };
    let result = runtime.block_on(run(cli, &output));
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&output, &failure),
    }
}

async fn run(cli: Cli, output: &Output) -> failure::Result<()> {
    if let Command::Relay(args) = cli.command {
        return crosspeer_relay::run(args)
            .await
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()));
    }
    if let Some(filter) = &cli.log {
        let filter = EnvFilter::try_new(filter).map_err(|e| Failure::new(Exit::Usage, format!("--log: {e}")))?;
        let lines = tracing_subscriber::fmt().with_env_filter(filter);
        let _ = lines.with_writer(std::io::stderr).try_init();
    }
    match cli.command {
        Command::Echo(args) => echo::run(args, output).await,
        Command::Send(args) => send::run(args, output).await,
        Command::Receive(args) => receive::run(args, output).await,
        Command::Share(args) => share::run(args, output).await,
        Command::Ping(args) => ping::run(args, output).await,
        Command::Id(args) => identity::run(&args, output).await,
        Command::Doctor(args) => doctor::run(args, output).await,
        Command::Relay(_) => Ok(()),
    }
}

fn fail(output: &Output, failure: &Failure) -> ExitCode {
    output.detail(failure.event(), format_args!("crosspeer: {failure}"));
    ExitCode::from(failure.exit as u8)
}
