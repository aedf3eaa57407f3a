//! The files of `docs/operations/` that people copy: looked at by the checkers of those who will read them.

use crate::python;
use crate::run::{Run, target};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;

const FOLDER: &str = "docs/operations/files";
/// Keys of files that are longer than 80 characters are no fault.
const YAML: &str = "{extends: default, rules: {line-length: {max: 120}}}";
/// What every name of the relay's metrics begins with.
const METRICS: &str = "crosspeer_relay_";

pub(crate) fn check() -> Result<()> {
    let programs = python::programs()?;
    let file = |name: &str| Path::new(FOLDER).join(name);
    let by = |program: &str| Run::new(programs.join(program));
    by("hadolint").args([file("Dockerfile")]).status()?;
    let yaml = ["compose.yaml", "kubernetes.yaml"].map(file);
    by("yamllint").args(["--strict", "-d", YAML]).args(&yaml).status()?;
    by("kubernetes-validate")
        .args(["--strict"])
        .args([file("kubernetes.yaml")])
        .status()?;
    let compose = by("check-jsonschema").args(["--builtin-schema", "vendor.compose-spec"]);
    compose.args([file("compose.yaml")]).status()?;
    dashboard(&file("grafana.json"))?;
    systemd(&file("crosspeer-relay.service"))
}

/// Each query is about a metric that the relay has.
fn dashboard(path: &Path) -> Result<()> {
    let dashboard: serde_json::Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let source = fs::read_to_string("relay/src/metrics.rs")?;
    let panels = dashboard["panels"].as_array().context("a dashboard has panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    for query in targets.filter_map(|target| target["expr"].as_str()) {
        for name in query.split(METRICS).skip(1) {
            let name: String = name
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect();
            let name = name.trim_end_matches("_total").trim_end_matches("_bucket");
            if !source.contains(&format!("\"{name}\"")) {
                bail!("{}: the relay has no metric {METRICS}{name}", path.display());
            }
        }
    }
    Ok(())
}

/// systemd looks for the program too: any other will do.
fn systemd(path: &Path) -> Result<()> {
    if !Run::new("systemd-analyze").args(["--version"]).succeeds() {
        println!("note: systemd is not here, so {} was not verified", path.display());
        return Ok(());
    }
    let unit = fs::read_to_string(path)?.replace("/usr/local/bin/crosspeer-relay", "/bin/true");
    let copy = target().join("crosspeer-relay.service");
    fs::write(&copy, unit)?;
    Run::new("systemd-analyze").args(["verify"]).args([copy]).status()
}
