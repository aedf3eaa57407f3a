//! `docs/dependencies.md` names every direct dependency and why it is there; this keeps it true.

use crate::run::Run;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;

const PAGE: &str = "docs/dependencies.md";

pub(crate) fn check() -> Result<()> {
    let page = std::fs::read_to_string(PAGE).with_context(|| format!("cannot read {PAGE}"))?;
    let metadata = Run::cargo()
        .args(["metadata", "--no-deps", "--format-version=1"])
        .output()?;
    let faults = compare(&read_manifests(&serde_json::from_str(&metadata)?), &read_page(&page));
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{PAGE} does not match the manifests:\n  {}", faults.join("\n  "))
}

/// From `cargo metadata`: every crate from elsewhere that a member names.
fn read_manifests(metadata: &Value) -> BTreeSet<String> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let all = list(metadata, "packages")
        .into_iter()
        .flat_map(|package| list(&package, "dependencies"));
    let external = all.filter(|dependency| dependency["path"].is_null());
    external
        .filter_map(|dependency| Some(dependency["name"].as_str()?.to_owned()))
        .collect()
}

/// From the page's table rows: `| crate | why |`.
fn read_page(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| {
        let (name, why) = line.strip_prefix("| `")?.strip_suffix('|')?.split_once("` |")?;
        (!why.trim().is_empty()).then(|| name.to_owned())
    });
    rows.collect()
}

fn compare(manifests: &BTreeSet<String>, page: &BTreeSet<String>) -> Vec<String> {
    let missing = manifests
        .difference(page)
        .map(|name| format!("add:    | `{name}` | why it is needed |"));
    let gone = page.difference(manifests).map(|name| format!("remove: | `{name}` | …"));
    missing.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::{compare, read_manifests, read_page};

    #[test]
    fn missing_and_gone_dependencies_are_named() {
        let metadata = serde_json::json!({"packages": [{"name": "a", "dependencies": [
            {"name": "one"}, {"name": "two"}, {"name": "b", "path": "/b"}]}]});
        let page = read_page("| crate | why |\n|---|---|\n| `two` | x |\n| `three` | y |\n| `one` | |");
        let faults = compare(&read_manifests(&metadata), &page);
        assert_eq!(
            faults,
            ["add:    | `one` | why it is needed |", "remove: | `three` | …"]
        );
    }
}
