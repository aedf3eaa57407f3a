//! `cargo xtask bench`: crosspeer beside other stacks, on this machine, in one run.
//!
//! Each measurement is two fresh processes (`bench/peer`, `bench/python`), through a relay where the stack has one. The
//! stacks take turns, row by row, so that a busy machine disturbs all of them alike: trust the ratios.

mod peers;
mod report;
mod rows;

use crate::python;
use crate::run::{Run, target};
use anyhow::{Context as _, Result, bail};
use peers::{Programs, Relays, STACKS, Stack};
use rows::{ROWS, Row, Samples};
use std::fs;
use std::time::{Duration, Instant};

/// Where the page with the table is.
const PAGE: &str = "docs/performance.md";

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these rows, by name
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only these stacks, by name
    #[arg(long, value_delimiter = ',')]
    stacks: Vec<String>,
    /// One round instead of five
    #[arg(long)]
    quick: bool,
    /// How many rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Show the names of rows and stacks
    #[arg(long)]
    list: bool,
}

#[allow(clippy::disallowed_methods)] // it measures
pub(crate) fn bench(options: &Options) -> Result<()> {
    if options.list {
        ROWS.iter()
            .for_each(|row| println!("row    {:<9} {}", row.name, row.title));
        STACKS
            .iter()
            .for_each(|stack| println!("stack  {:<11} {}", stack.name, stack.title));
        return Ok(());
    }
    let rows = chosen(ROWS, &options.rows, |row| (row.name, row.default))?;
    let stacks = chosen(STACKS, &options.stacks, |stack| (stack.name, stack.default))?;
    let programs = prepare(&stacks)?;
    let rounds = if options.quick { 1 } else { options.rounds.max(1) };
    let start = Instant::now();
    let samples = measure(&programs, &rows, &stacks, rounds)?;
    let whole = options.rows.is_empty() && options.stacks.is_empty() && !options.quick;
    finish(&samples, &rows, &stacks, start.elapsed(), whole)
}

/// Those named, or those that are measured by default.
fn chosen<T>(all: &'static [T], names: &[String], of: impl Fn(&T) -> (&str, bool)) -> Result<Vec<&'static T>> {
    for name in names {
        if !all.iter().any(|one| of(one).0 == name) {
            bail!("there is no row or stack `{name}`: see `cargo xtask bench --list`");
        }
    }
    let wanted = |one: &&T| match names {
        [] => of(one).1,
        names => names.iter().any(|name| of(one).0 == name),
    };
    Ok(all.iter().filter(wanted).collect())
}

fn prepare(stacks: &[&Stack]) -> Result<Programs> {
    let rust = |package: &str| {
        Run::cargo()
            .args(["build", "--release", "--locked", "--manifest-path"])
            .args([format!("bench/{package}/Cargo.toml")])
            .args(["--target-dir".as_ref(), target().as_os_str()])
            .status()
    };
    rust("peer")?;
    let mut failed = Vec::new();
    for stack in stacks {
        // One that does not build here must not stop the others.
        if let Some(package) = stack.package.filter(|package| *package != "peer")
            && let Err(error) = rust(package)
        {
            println!("note: {} is left out: {error:#}", stack.name);
            failed.push(stack.name);
        }
    }
    let python = match stacks.iter().any(|stack| stack.package.is_none()) {
        true => Some(python::environment().context("ProxyStore is needed; or leave it out by --stacks")?),
        false => None,
    };
    Ok(Programs { python, failed })
}

fn measure(programs: &Programs, rows: &[&Row], stacks: &[&Stack], rounds: usize) -> Result<Samples> {
    let relays = Relays::start(programs)?;
    let mut samples = Samples::default();
    for round in 1..=rounds {
        for row in rows.iter().filter(|row| round <= row.rounds) {
            for stack in stacks.iter().filter(|stack| !programs.failed.contains(&stack.name)) {
                if row.leaves_out.contains(&stack.name) {
                    continue;
                }
                let shown = format!("{round}/{rounds} {:<9} {:<11}", row.name, stack.name);
                match peers::run(programs, &relays, stack, row) {
                    Ok(result) => println!("{shown} {}", samples.add(row, stack.name, &result)),
                    Err(error) => println!("{shown} failed: {error:#}"),
                }
            }
        }
    }
    Ok(samples)
}

fn finish(samples: &Samples, rows: &[&Row], stacks: &[&Stack], took: Duration, whole: bool) -> Result<()> {
    let table = report::table(samples, rows, stacks);
    println!("\n{table}");
    let dir = target().join("bench");
    fs::create_dir_all(&dir)?;
    let (json, plot) = (report::json(samples, rows), report::plot(samples, rows, stacks));
    fs::write(dir.join("results.json"), serde_json::to_string_pretty(&json)?)?;
    fs::write(dir.join("plot.svg"), &plot)?;
    println!("\n{:.0?}; all values in {}", took, dir.join("results.json").display());
    if whole {
        let page = fs::read_to_string(PAGE).with_context(|| format!("cannot read {PAGE}"))?;
        fs::write(PAGE, report::insert(&page, &table, &report::machine())?)?;
        fs::write("docs/performance.svg", &plot)?;
        println!("{PAGE} is up to date");
    }
    Ok(())
}
