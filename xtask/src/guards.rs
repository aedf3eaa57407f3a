//! What no lint can say: `src/` knows no platform (the compiler finds most of it; this names it), no crate's modules import
//! each other in a circle, and the map names what is there.

use crate::circles;
use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Words that common code must not use, and what to do instead.
const BANNED: &[(&str, &str)] = &[
    ("tokio", "belongs in native/"),
    ("web_sys", "belongs in wasm/"),
    ("wasm_bindgen", "belongs in wasm/"),
    (
        "cfg(target",
        "one code for both targets; differences go behind `Platform`",
    ),
    (
        "cfg_attr(target",
        "one code for both targets; differences go behind `Platform`",
    ),
    (
        "+ Send",
        "handles are Send by what they hold; futures are spawned at the edge",
    ),
];

/// The page that says where is what.
const MAP: &str = "docs/ARCHITECTURE.md";

/// Longer files get a note, no more.
const LONG: usize = 400;

pub(crate) fn check() -> Result<()> {
    let mut faults = Vec::new();
    for path in rust_files(Path::new("src"))? {
        faults.extend(faults_of(&path.display().to_string(), &fs::read_to_string(&path)?));
    }
    for dir in ["src", "native", "wasm", "relay", "cli", "tests", "xtask"].map(Path::new) {
        for path in rust_files(dir)? {
            let lines = fs::read_to_string(&path)?.lines().count();
            if lines > LONG {
                println!("note: {} has {lines} lines; aim for {LONG}", path.display());
            }
        }
    }
    for src in ["src", "native/src", "relay/src", "cli/src"].map(Path::new) {
        circles::check(src, &rust_files(src)?)?;
    }
    let page = fs::read_to_string(MAP)?;
    let gone: Vec<_> = paths_of(&page).filter(|path| !Path::new(path).exists()).collect();
    if !gone.is_empty() {
        bail!("{MAP} names what is not there: {}", gone.join(", "));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("common code must not know its platform:\n  {}", faults.join("\n  "))
}

/// What a page names in backticks as a path.
fn paths_of(page: &str) -> impl Iterator<Item = &str> {
    let quoted = page.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains('/') && !text.contains([' ', ':', '*', '<']) && !text.starts_with('/'))
}

fn faults_of(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (word, instead) in BANNED {
            if code.contains(word) {
                faults.push(format!("{path}:{}: `{word}`: {instead}", number + 1));
            }
        }
    }
    faults
}

fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !dir.is_dir() {
        return Ok(files);
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let skipped = path.ends_with("target") || path.ends_with("node_modules");
        if path.is_dir() && !skipped {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{faults_of, paths_of};

    #[test]
    fn paths_in_backticks_are_found_and_words_are_not() {
        let page = "| `src/a.rs` | `Link::b`, `cargo x/y` | see `docs/`";
        assert_eq!(paths_of(page).collect::<Vec<_>>(), ["src/a.rs", "docs/"]);
    }

    #[test]
    fn code_is_searched_and_comments_are_not() {
        assert_eq!(
            faults_of("a.rs", "fn f() {} // no tokio here\n/// tokio\n"),
            Vec::<String>::new()
        );
        assert_eq!(faults_of("a.rs", "\nuse tokio::x;").len(), 1);
        assert_eq!(faults_of("a.rs", "fn f(x: impl Future + Send)").len(), 1);
    }
}
