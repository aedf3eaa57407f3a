//! Modules that import each other in a circle: none can then be understood, or tested, without the other.

use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module's path from its crate's root.
type Module = Vec<String>;
/// Under a parent: which of its modules uses which.
type Uses = BTreeMap<Module, BTreeMap<String, BTreeSet<String>>>;

/// Looks at the crate in this folder.
pub(crate) fn check(src: &Path, files: &[PathBuf]) -> Result<()> {
    let mut modules = BTreeMap::new();
    for file in files {
        if let Some(module) = module_of(src, file) {
            modules.insert(module, code_of(&std::fs::read_to_string(file)?));
        }
    }
    let circles = circles(&uses(&modules));
    if circles.is_empty() {
        return Ok(());
    }
    bail!(
        "modules of {} import each other in a circle:\n  {}",
        src.display(),
        circles.join("\n  ")
    )
}

/// `None`: tests, which may use everything.
fn module_of(src: &Path, file: &Path) -> Option<Module> {
    let below = file.strip_prefix(src).ok()?.with_extension("");
    let mut module: Module = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(module.last()?.as_str(), "mod" | "lib" | "main") {
        module.pop();
    }
    let tests = module.iter().any(|part| part == "tests" || part == "bin");
    (!tests).then_some(module)
}

/// Without comments, and without the tests at its end.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n");
    lines.collect()
}

fn uses(modules: &BTreeMap<Module, String>) -> Uses {
    let mut uses = Uses::new();
    for (module, code) in modules {
        for path in paths(code) {
            let Some(target) = resolve(module, &path, modules) else {
                continue;
            };
            let common = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if common < module.len() && common < target.len() {
                let siblings = uses.entry(module[..common].to_vec()).or_default();
                let used = siblings.entry(module[common].clone()).or_default();
                used.insert(target[common].clone());
            }
        }
    }
    uses
}

/// The module that a path from `crate` or `super` leads to, re-exports followed.
fn resolve(from: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Option<Module> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let (mut at, rest) = match path.first()?.as_str() {
        "crate" => (Module::new(), &path[1..]),
        "super" => (from[..from.len().checked_sub(supers)?].to_vec(), &path[supers..]),
        _ => return None,
    };
    for name in rest {
        at.push(name.clone());
        if modules.contains_key(&at) {
            continue;
        }
        at.pop();
        let reexports = modules.get(&at).map(|code| reexports(code)).unwrap_or_default();
        if let Some(home) = reexports.get(name) {
            at.push(home.clone());
        }
        break;
    }
    Some(at)
}

/// Names that `pub use home::…` makes known, and the home.
fn reexports(code: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for statement in code.split(';') {
        let statement = statement.trim();
        let Some((public, tree)) = statement.rsplit_once("use ") else {
            continue;
        };
        if !public.trim_end().ends_with("pub") && !public.trim_end().ends_with(')') {
            continue;
        }
        for path in expand(tree) {
            if let [home, .., name] = path.as_slice() {
                found.insert(name.clone(), home.clone());
            }
        }
    }
    found
}

/// Every path from `crate` or `super` in this code, those of `use` with braces taken apart.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let tree = code[at..].split([';', '(', ')', '<', '>', '=', '\'', '"']).next();
            found.extend(expand(tree.unwrap_or_default()));
        }
    }
    found
}

/// `a::{b, c::{d, e}}`: `a::b`, `a::c::d`, `a::c::e`.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split([' ', ',', '\n', '}']).next().unwrap_or_default();
        let parts = path.split("::").map(|part| part.trim().to_owned());
        return vec![parts.filter(|part| !part.is_empty()).collect()];
    };
    if head.contains([' ', '\n', ',']) {
        return expand(head);
    }
    let head: Vec<String> = head
        .split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let branches = branches(rest).into_iter().flat_map(|branch| expand(&branch));
    branches.map(|branch| [head.clone(), branch].concat()).collect()
}

/// What stands between commas up to the closing brace.
fn branches(text: &str) -> Vec<String> {
    let (mut found, mut branch, mut depth) = (Vec::new(), String::new(), 0);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(std::mem::take(&mut branch));
                continue;
            }
            _ => {}
        }
        branch.push(c);
    }
    found.push(branch);
    found.retain(|branch| !branch.trim().is_empty());
    found
}

fn circles(uses: &Uses) -> Vec<String> {
    let mut circles = BTreeSet::new();
    for (parent, siblings) in uses {
        for start in siblings.keys() {
            if let Some(mut way) = way(siblings, start, start) {
                way.sort();
                let parent = parent.join("::");
                circles.insert(format!(
                    "{}{}",
                    if parent.is_empty() {
                        String::new()
                    } else {
                        parent + ": "
                    },
                    way.join(" ↔ ")
                ));
            }
        }
    }
    circles.into_iter().collect()
}

/// The modules between two, if one leads to the other.
fn way(siblings: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> Option<Vec<String>> {
    let (mut open, mut seen) = (vec![vec![from.to_owned()]], BTreeSet::new());
    while let Some(way) = open.pop() {
        for next in siblings.get(way.last()?).into_iter().flatten() {
            if next == to {
                return Some(way);
            }
            if seen.insert(next.clone()) {
                open.push([way.clone(), vec![next.clone()]].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
        let modules = files.iter().map(|(path, code)| {
            let module = module_of(Path::new("src"), &Path::new("src").join(path));
            (module.expect("no test"), code_of(code))
        });
        circles(&uses(&modules.collect()))
    }

    #[test]
    fn a_circle_is_found_through_reexports_and_braces_and_over_three() {
        let lib = ("lib.rs", "mod a;\nmod b;\npub use b::{B, deep::C};\n");
        assert_eq!(
            circles_of(&[lib, ("a.rs", "use crate::{B, x};"), ("b/mod.rs", "")]),
            [""; 0]
        );
        let files = [
            lib,
            ("a.rs", "use crate::{B, x};"),
            ("b/mod.rs", "fn f() { crate::a::g() }"),
        ];
        assert_eq!(circles_of(&files), ["a ↔ b"]);
        let files = [
            ("lib.rs", ""),
            ("x/mod.rs", ""),
            ("x/a.rs", "use super::b;"),
            ("x/b.rs", "use crate::x::{c::D, y};"),
            ("x/c.rs", "use super::{a::A};"),
        ];
        assert_eq!(circles_of(&files), ["x: a ↔ b ↔ c"]);
    }

    #[test]
    fn parents_comments_and_tests_do_not_count() {
        let files = [
            ("lib.rs", ""),
            ("a/mod.rs", "use b::B;"),
            ("a/b.rs", "use super::A; // crate::c::D"),
            ("c.rs", "use crate::a;\n#[cfg(test)]\nmod tests {\nuse crate::c; }"),
        ];
        assert_eq!(circles_of(&files), [""; 0]);
        assert_eq!(module_of(Path::new("src"), Path::new("src/a/tests.rs")), None);
    }
}
