//! The workflow files in `.github/`. They cannot be run here: at least they are as GitHub's own schema wants them.

use crate::python;
use crate::run::Run;
use anyhow::{Result, bail};
use std::fs;

const FOLDER: &str = ".github/workflows";

/// By `check-jsonschema`, which brings the schemas along: nothing is fetched.
pub(crate) fn check() -> Result<()> {
    let checker = python::programs()?.join("check-jsonschema");
    let mut faults = Vec::new();
    let mut files = Vec::new();
    for entry in fs::read_dir(FOLDER)? {
        let path = entry?.path();
        faults.extend(unpinned(&path.display().to_string(), &fs::read_to_string(&path)?));
        files.push(path);
    }
    if !faults.is_empty() {
        bail!("actions are named by a whole version:\n  {}", faults.join("\n  "));
    }
    let by = |schema: &str| Run::new(&checker).args(["--builtin-schema", schema]);
    by("vendor.github-workflows").args(files).status()?;
    by("vendor.dependabot").args([".github/dependabot.yml"]).status()
}

/// Lines that use an action by a tag that moves, such as `@v4` or `@main`.
fn unpinned(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let used = line.trim_start().trim_start_matches("- ").strip_prefix("uses: ");
        let Some(used) = used.filter(|used| !used.starts_with("./")) else {
            continue;
        };
        let version = used.split_once("@v").map_or("", |(_, version)| version);
        let parts: Vec<_> = version.split('.').collect();
        if parts.len() != 3 || parts.iter().any(|part| part.parse::<u32>().is_err()) {
            faults.push(format!("{path}:{}: {used}", number + 1));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::unpinned;

    #[test]
    fn tags_that_move_are_named() {
        let text =
            "steps:\n  - uses: actions/checkout@v4\n  - uses: a/b@v1.2.3\n  - uses: c/d@main\n  - uses: ./.github/x\n";
        assert_eq!(unpinned("w", text), ["w:2: actions/checkout@v4", "w:4: c/d@main"]);
    }
}
