//! `cargo xtask …`: the only place that knows how to fetch tools and to glue steps together.
//!
//! `test` is the project's one test command, `demo` shows what it is for; the others are parts of them or run on demand.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line speaks on its terminal

mod bench;
mod browser_interop;
mod browsers;
mod circles;
mod demo;
mod dependencies;
mod examples;
mod fuzz;
mod guards;
mod hostile;
mod lints;
mod npm;
mod operations;
mod packages;
mod python;
mod run;
mod test;
mod tools;
mod workflows;
mod www;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tests, demo and tools of crosspeer")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing, then run every check and test, the interop tests with real Python ProxyStore included
    Test(test::Options),
    /// Build and run `crosspeer share`: a folder on a web page, open it in two windows
    Demo {
        /// The folder to share; without it one of samples is made
        dir: Option<PathBuf>,
        /// Where the page listens
        #[arg(long, default_value = "127.0.0.1:8700")]
        listen: String,
    },
    /// Measure crosspeer beside other stacks, on this machine
    Bench(bench::Options),
    /// Check that the README's examples are the files they name, and run them
    Examples {
        /// Only compare, run nothing
        #[arg(long)]
        check: bool,
    },
    /// Attack `echo`, `receive`, `share` and the relay in every way at once: they stay small, and others get through
    Hostile {
        /// For so many seconds
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Run every fuzz target for a while
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Minutes for each target
        #[arg(long, conflicts_with = "seconds")]
        minutes: Option<u64>,
        /// Only this target
        target: Option<String>,
    },
    /// Build the page of `crosspeer share` into www/dist; then build the command again
    Www,
    /// Put the page of `crosspeer share` where the command's package holds it: before `cargo publish`
    Page,
    /// Check licences, sources and advisories of all dependencies (installs cargo-deny when it is missing)
    Deny,
    /// Check docs/dependencies.md against the manifests
    Dependencies,
    /// Build and pack the npm package `crosspeer`, and print its sizes (installs wasm-pack, wasm-bindgen and binaryen
    /// under target/tools when they are missing)
    Npm,
    /// Only install what the tests need: Rust target and components, Debian packages, the Python environment
    Setup,
}

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<()> {
    std::env::set_current_dir(run::root())?;
    match command {
        Command::Test(options) => test::test(&options),
        Command::Demo { dir, listen } => demo::demo(dir, &listen),
        Command::Bench(options) => bench::bench(&options),
        Command::Examples { check: true } => examples::check(),
        Command::Examples { check: false } => examples::check().and_then(|()| examples::run()),
        Command::Hostile { seconds } => hostile::hostile(seconds),
        Command::Fuzz {
            seconds,
            minutes,
            target,
        } => fuzz::fuzz(minutes.map_or(seconds, |minutes| minutes * 60), target.as_deref()),
        Command::Deny => tools::cargo_deny().and_then(|tool| run::Run::new(tool).args(["check"]).status()),
        Command::Dependencies => dependencies::check(),
        Command::Npm => npm::check_node().and_then(|()| npm::npm()).map(drop),
        Command::Www => www::www(),
        Command::Page => www::www().and_then(|()| packages::put_page()),
        Command::Setup => tools::setup(),
    }
}
