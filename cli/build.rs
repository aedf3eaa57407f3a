//! Puts the built page (`cargo xtask www`) into the binary: from `www/dist` in the repository, from `page/` in the package
//! as it is published, or from where `CROSSPEER_PAGE` says. Without it `crosspeer share` says how to build it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let dist = page(Path::new(&env::var("CARGO_MANIFEST_DIR")?));
    println!("cargo::rerun-if-env-changed=CROSSPEER_PAGE");
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    if dist.is_dir() {
        collect(&dist, &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for path in files {
        let name = path.strip_prefix(&dist)?.to_string_lossy().replace('\\', "/");
        writeln!(table, "({name:?}, include_bytes!({:?})),", path.canonicalize()?)?;
    }
    table.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("www.rs"), table)?;
    Ok(())
}

fn page(package: &Path) -> PathBuf {
    if let Some(page) = env::var_os("CROSSPEER_PAGE") {
        return page.into();
    }
    let www = package.join("../www");
    // A page left in the repository's `page/` may be of yesterday.
    match www.join("build.mjs").exists() {
        true => www.join("dist"),
        false => package.join("page"),
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() {
            collect(&path, files)?;
        } else if !hidden {
            files.push(path);
        }
    }
    Ok(())
}
