//! `cargo xtask test`: the one test command.

use crate::run::{Counts, Run, build_programs};
use crate::{
    browser_interop, browsers, dependencies, examples, guards, hostile, lints, npm, operations, packages, tools,
    workflows, www,
};
use anyhow::{Result, bail};
use clap::Args;
use std::time::{Duration, Instant};

#[derive(Args)]
pub(crate) struct Options {
    /// Run only this step (may be given more than once)
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Leave this step out (may be given more than once)
    #[arg(long, value_name = "STEP")]
    skip: Vec<String>,
    /// List the steps and stop
    #[arg(long)]
    list: bool,
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Counts) -> Result<()>,
}

/// In this order: what fails fast and often comes first.
const STEPS: &[Step] = &[
    step(
        "setup",
        "install what is missing: wasm target, Debian packages, Python environment",
        |_| tools::setup(),
    ),
    step("format", "rustfmt", |_| {
        Run::cargo().args(["fmt", "--all", "--check"]).status()
    }),
    step("guards", "src/ stays free of platforms", |_| guards::check()),
    step(
        "dependencies",
        "docs/dependencies.md names every direct dependency",
        |_| dependencies::check(),
    ),
    step("readme", "the README's examples are the files they name", |_| {
        examples::check()
    }),
    step(
        "workflows",
        "the workflow files are as GitHub's schema wants them",
        |_| workflows::check(),
    ),
    step(
        "operations",
        "the files of docs/operations as their own checkers want them",
        |_| operations::check(),
    ),
    step(
        "clippy",
        "lints, native, each combination of features that goes out",
        |_| lints::native(),
    ),
    step("wasm", "lints of what runs in the browser, as it is downloaded", |_| {
        lints::wasm()
    }),
    step("beside", "fuzz targets and the bench compile", |_| lints::beside()),
    step("docs", "rustdoc without a warning", |_| docs()),
    step("tests", "unit, property, simulation and loopback tests", unit_tests),
    step("doctests", "the examples in the documentation", |counts| {
        cargo_test("--doc", counts)
    }),
    step("interop", "against real Python ProxyStore, both relays", interop),
    step(
        "hostile",
        "a stranger's worst in any mix: echo, receive, share and the relay stay small",
        |_| hostile::test(),
    ),
    step(
        "browsers",
        "two peers in a page of Chromium and of Firefox; simulated worlds on wasm",
        browsers::test,
    ),
    step(
        "npm",
        "the npm package in fresh Vite, webpack, TypeScript and Node projects",
        |counts| npm::check_node().and_then(|()| npm::test(counts)),
    ),
    step(
        "browser-interop",
        "pages of Chromium and Firefox with native peers, Python ProxyStore and each other",
        browser_interop::test,
    ),
    step(
        "share",
        "the page of `crosspeer share` in Chromium and Firefox",
        |counts| npm::check_node().and_then(|()| www::test(counts)),
    ),
    step("examples", "the README's examples run", |_| examples::run()),
    step(
        "packages",
        "the packages, installed from their packed form, run in a fresh folder",
        |_| packages::test(),
    ),
    step(
        "deny",
        "licences, sources and, where their database can be had, advisories",
        |_| deny(),
    ),
];

const fn step(name: &'static str, about: &'static str, run: fn(&mut Counts) -> Result<()>) -> Step {
    Step { name, about, run }
}

pub(crate) fn test(options: &Options) -> Result<()> {
    if let Some(name) = options.only.iter().chain(&options.skip).find(|name| !is_step(name)) {
        bail!("there is no step `{name}`; `cargo xtask test --list` shows them");
    }
    if options.list {
        STEPS
            .iter()
            .for_each(|step| println!("{:13} {}", step.name, step.about));
        return Ok(());
    }
    let wanted = |step: &&Step| {
        let named = |list: &[String]| list.iter().any(|name| name == step.name);
        (options.only.is_empty() || named(&options.only)) && !named(&options.skip)
    };
    run_steps(STEPS.iter().filter(wanted))
}

fn is_step(name: &str) -> bool {
    STEPS.iter().any(|step| step.name == name)
}

fn run_steps(steps: impl Iterator<Item = &'static Step>) -> Result<()> {
    let mut done: Vec<(&str, Duration)> = Vec::new();
    let mut counts = Counts::default();
    let mut result = Ok(());
    for step in steps {
        println!("\n==> {}: {}", step.name, step.about);
        let started = now();
        let outcome = (step.run)(&mut counts);
        done.push((step.name, started.elapsed()));
        if let Err(error) = outcome {
            result = Err(error.context(format!(
                "step `{}` failed (again: cargo xtask test --only {0})",
                step.name
            )));
            break;
        }
    }
    println!();
    for (index, (name, took)) in done.iter().enumerate() {
        let word = if result.is_err() && index + 1 == done.len() {
            "FAILED"
        } else {
            "ok"
        };
        println!("{name:13} {word:6} {:7.1} s", took.as_secs_f64());
    }
    println!(
        "\n{} passed, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    );
    result
}

#[allow(clippy::disallowed_methods)] // a build step is timed by the wall
fn now() -> Instant {
    Instant::now()
}

fn docs() -> Result<()> {
    let doc = Run::cargo().env("RUSTDOCFLAGS", "-Dwarnings");
    doc.args(["doc", "--workspace", "--no-deps", "--all-features"]).status()
}

/// Every run selects the whole workspace with all features, so that nothing is compiled twice.
fn unit_tests(counts: &mut Counts) -> Result<()> {
    if tools::nextest().is_some() {
        return nextest("not package(crosspeer-tests)", counts);
    }
    println!("cargo-nextest cannot be had: cargo test runs these and the interop tests together");
    build_programs()?;
    cargo_test("--tests", counts)
}

fn interop(counts: &mut Counts) -> Result<()> {
    if tools::nextest().is_some() {
        // The tests run the `crosspeer` command; none of them has the time to compile it.
        build_programs()?;
        return nextest("package(crosspeer-tests)", counts);
    }
    println!("ran with step `tests`");
    Ok(())
}

fn nextest(filter: &str, counts: &mut Counts) -> Result<()> {
    let Some(program) = tools::nextest() else {
        bail!("cargo-nextest has gone");
    };
    let nextest = Run::new(program).args(["nextest", "run", "--workspace", "--all-features", "--no-tests=pass"]);
    nextest.args(["-E", filter]).env("CROSSPEER_BUILT", "1").tests(counts)
}

fn cargo_test(what: &str, counts: &mut Counts) -> Result<()> {
    Run::cargo()
        .args(["test", "--workspace", "--all-features", what])
        .env("CROSSPEER_BUILT", "1")
        .tests(counts)
}

/// Licences, sources and what is banned always; advisories change without us, and their database is elsewhere.
fn deny() -> Result<()> {
    let tool = tools::cargo_deny()?;
    let deny = |what: &[&str]| Run::new(&tool).args(["--locked", "check"]).args(what);
    deny(&["bans", "licenses", "sources"]).status()?;
    if !Run::new(&tool).args(["--locked", "fetch", "db"]).succeeds() {
        println!("note: the database of advisories cannot be fetched from here, so none was looked up");
        return Ok(());
    }
    Run::new(&tool)
        .args(["--locked", "check", "--disable-fetch", "advisories"])
        .status()
}
