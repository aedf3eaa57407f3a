//! `cargo xtask bench`: crosspeer beside other stacks, on this machine, in one run.
//!
//! Each measurement is two fresh processes (`bench/peer`, `bench/python`), through a relay where the stack has one; or a
//! relay with its load, or a browser. The stacks take turns, row by row, so that a busy machine disturbs all of them alike: trust the ratios.

mod ended;
mod pages;
mod paths;
mod peers;
mod report;
mod rows;
mod stacks;
mod targets;

use crate::python;
use crate::run::{Run, target};
use anyhow::{Context as _, Result, bail};
use peers::{Ground, Programs};
use rows::{ROWS, Row, Samples};
use stacks::{STACKS, Stack};
use std::fs;
use std::path::Path;
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
    /// The emulated paths too: with delay, with loss, with both, at 100 Mbit/s. They need root. With all rows, all stacks
    /// and all rounds the page docs/performance.md is written
    #[arg(long)]
    paths: bool,
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
            .for_each(|row| println!("row    {:<17} {}", row.name, row.title));
        STACKS
            .iter()
            .for_each(|stack| println!("stack  {:<17} {}", stack.name, stack.title));
        return Ok(());
    }
    let mut stacks = chosen(STACKS, &options.stacks, |stack| (stack.name, stack.default))?;
    let rows = rows(options, &stacks)?;
    stacks.retain(|stack| rows.iter().any(|row| row.has(stack)));
    let programs = prepare(&stacks, &rows)?;
    let rounds = if options.quick { 1 } else { options.rounds.max(1) };
    let start = Instant::now();
    let samples = measure(&programs, &rows, &stacks, rounds)?;
    let whole = options.paths && options.rows.is_empty() && options.stacks.is_empty() && !options.quick;
    finish(&samples, &rows, &stacks, start.elapsed(), whole)
}

/// The rows asked for that any of these stacks has, without those that this machine cannot have.
fn rows(options: &Options, stacks: &[&Stack]) -> Result<Vec<&'static Row>> {
    let mut rows = chosen(ROWS, &options.rows, |row| {
        (row.name, row.default || options.paths && row.path.is_some())
    })?;
    rows.retain(|row| stacks.iter().any(|stack| row.has(stack)));
    if rows.iter().any(|row| row.is_page())
        && let Err(error) = pages::prepare()
    {
        println!("note: pages are left out: {error:#}");
        rows.retain(|row| !row.is_page());
    }
    if rows.iter().any(|row| row.path.is_some())
        && let Some(missing) = paths::missing()
    {
        println!("note: {missing}");
        rows.retain(|row| row.path.is_none());
    }
    Ok(rows)
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

fn prepare(stacks: &[&Stack], rows: &[&Row]) -> Result<Programs> {
    build("peer")?;
    if rows.iter().any(|row| row.path.is_some()) {
        build("delay")?;
    }
    let mut failed = Vec::new();
    for stack in stacks {
        // One that does not build here must not stop the others.
        if let Some(package) = stack.package.filter(|package| *package != "peer")
            && let Err(error) = needed(stack).and_then(|()| build(package))
        {
            println!("note: {} is left out: {error:#}", stack.name);
            failed.push(stack.name);
        }
    }
    let mut python = None;
    for stack in stacks.iter().filter(|stack| stack.package.is_none()) {
        match python::environment() {
            Ok(found) => python = Some(found),
            Err(error) => {
                println!("note: {} is left out: {error:#}", stack.name);
                failed.push(stack.name);
            }
        }
    }
    Ok(Programs { python, failed })
}

/// Checks for what the stack's package is built with beside Rust.
fn needed(stack: &Stack) -> Result<()> {
    let missing = |(what, _): &&(&str, &str)| match what.strip_prefix('/') {
        Some(_) => !Path::new(what).exists(),
        None => !Run::new(what).args(["--version"]).succeeds(),
    };
    let packages: Vec<_> = stack
        .needs
        .iter()
        .filter(missing)
        .map(|(_, package)| *package)
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    bail!("it needs Debian's {}", packages.join(" "))
}

fn build(package: &str) -> Result<()> {
    Run::cargo()
        .args(["build", "--release", "--locked", "--manifest-path"])
        .args([format!("bench/{package}/Cargo.toml")])
        .args(["--target-dir".as_ref(), target().as_os_str()])
        .status()
}

fn measure(programs: &Programs, rows: &[&Row], stacks: &[&Stack], rounds: usize) -> Result<Samples> {
    let here = Ground::new(programs, None)?;
    let mut samples = Samples::default();
    for round in 1..=rounds {
        for row in rows.iter().filter(|row| round <= row.rounds) {
            let away = match row.path.map(|path| Ground::new(programs, Some(path))).transpose() {
                Ok(away) => away,
                Err(error) => {
                    println!("{round}/{rounds} {:<9} cannot be measured here: {error:#}", row.name);
                    continue;
                }
            };
            let ground = away.as_ref().unwrap_or(&here);
            let built = |stack: &&&Stack| !programs.failed.contains(&stack.name);
            for stack in stacks.iter().filter(built).filter(|stack| row.has(stack)) {
                let shown = format!("{round}/{rounds} {:<9} {:<17}", row.name, stack.name);
                match ground.run(programs, stack, row) {
                    Ok(result) => println!("{shown} {}", samples.add(row, stack.name, &result)),
                    Err(error) => println!("{shown} failed: {error:#}"),
                }
            }
        }
    }
    Ok(samples)
}

fn finish(samples: &Samples, rows: &[&Row], stacks: &[&Stack], took: Duration, whole: bool) -> Result<()> {
    let tables = format!("{}\n{}", report::targets(samples), report::table(samples, rows, stacks));
    println!("\n{tables}");
    let dir = target().join("bench");
    fs::create_dir_all(&dir)?;
    let (json, plot) = (report::json(samples, rows), report::plot(samples, rows, stacks));
    fs::write(dir.join("results.json"), serde_json::to_string_pretty(&json)?)?;
    fs::write(dir.join("plot.svg"), &plot)?;
    println!("\n{:.0?}; all values in {}", took, dir.join("results.json").display());
    if whole {
        let page = fs::read_to_string(PAGE).with_context(|| format!("cannot read {PAGE}"))?;
        fs::write(PAGE, report::insert(&page, &tables, &report::machine())?)?;
        fs::write("docs/performance.svg", &plot)?;
        println!("{PAGE} is up to date");
    }
    Ok(())
}
