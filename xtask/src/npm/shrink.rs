//! Makes what was built small: binaryen for the module, short names between it and its glue, esbuild for the
//! scripts.

use crate::run::{Run, target};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// npm's packages that do it. Debian's binaryen writes broken modules.
const TOOLS: [&str; 2] = ["binaryen@132.0.0", "esbuild@0.28.2"];
/// What wasm-opt may use: every browser of the last years has it.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];
/// What is smallest after brotli, which is not what has the fewest bytes: large functions that are inlined into their
/// only caller compress worse, and so does what `-Oz` does beyond `-O2`.
const PASSES: [&str; 7] = [
    "--flatten",
    "--rereloop",
    "-O2",
    "--skip-pass=simplify-locals",
    "--one-caller-inline-max-function-size=30",
    "--always-inline-max-function-size=5",
    "--minify-imports-and-exports-and-modules",
];
/// The same browsers for the scripts.
const SCRIPTS: [&str; 5] = [
    "--bundle",
    "--minify",
    "--format=esm",
    "--target=es2022",
    "--legal-comments=none",
];

/// Shrinks the module, and its glue accordingly.
pub(super) fn module(module: &Path, glue: &Path) -> Result<()> {
    let optimise = Run::new(tools()?.join("wasm-opt")).args(FEATURES).args(PASSES);
    let names = optimise.args([module]).args(["-o"]).args([module]).output()?;
    let names = serde_json::from_str(&names).context("wasm-opt tells the new names as JSON")?;
    fs::write(glue, rename(&fs::read_to_string(glue)?, &names)?)?;
    Ok(())
}

/// Shrinks a script with whatever it imports, in its place.
pub(super) fn bundle(script: &Path) -> Result<()> {
    let esbuild = Run::new(tools()?.join("esbuild")).args(SCRIPTS);
    let small = esbuild.args([script]).output()?;
    fs::write(script, small)?;
    Ok(())
}

/// The folder of the programs, installed when one is missing or another version.
fn tools() -> Result<PathBuf> {
    let dir = target().join("tools/npm-package");
    let stamp = dir.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == TOOLS.concat()) {
        return Ok(dir.join("node_modules/.bin"));
    }
    fs::create_dir_all(&dir)?;
    let install = Run::new("npm").args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]);
    install.args([&dir]).args(TOOLS).status()?;
    fs::write(stamp, TOOLS.concat())?;
    Ok(dir.join("node_modules/.bin"))
}

/// The glue with the names that wasm-opt chose. Imports are its members `name: …`, exports its members `wasm.name`.
fn rename(glue: &str, names: &Value) -> Result<String> {
    let (mut imports, mut exports, mut modules) = (HashMap::new(), HashMap::new(), HashMap::new());
    for import in names["imports"].as_array().context("no imports")? {
        let part = |at: usize| import[at].as_str().context("an import has a module and two names");
        modules.insert(part(0)?, "a");
        imports.insert(part(1)?, part(2)?);
    }
    for export in names["exports"].as_array().context("no exports")? {
        let part = |at: usize| export[at].as_str().context("an export has two names");
        exports.insert(part(0)?, part(1)?);
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let (mut out, mut rest) = (String::with_capacity(glue.len()), glue);
    while let Some(start) = rest.find(is_word) {
        let (before, word) = rest.split_at(start);
        let (word, after) = word.split_at(word.find(|c| !is_word(c)).unwrap_or(word.len()));
        out.push_str(before);
        let names = match (out.ends_with("wasm."), after.starts_with(':')) {
            (true, _) => &exports,
            (_, true) => &imports,
            _ => &HashMap::new(),
        };
        out.push_str(names.get(word).copied().unwrap_or(word));
        rest = after;
    }
    out.push_str(rest);
    for (module, short) in modules {
        out = out.replace(&format!("\"{module}\""), &format!("\"{short}\""));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_imported_and_exported_is_renamed() {
        let glue =
            "const wasm = 1; memory(wasm.memory, wasm.memory_2);\nreturn { \"./glue.js\": { now: () => now, x: x } };";
        let names = json!({
            "imports": [["./glue.js", "now", "$"]],
            "exports": [["memory", "Qa"]],
        });
        let renamed = "const wasm = 1; memory(wasm.Qa, wasm.memory_2);\nreturn { \"a\": { $: () => now, x: x } };";
        assert_eq!(rename(glue, &names).unwrap(), renamed);
    }
}
