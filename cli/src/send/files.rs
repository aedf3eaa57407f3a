//! What is to be sent: files, and folders with everything below.

use crosspeer::transfer::Offer;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// One file to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) offer: Offer,
}

/// What was found, and what was left out with the reason.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) files: Vec<Source>,
    pub(super) skipped: Vec<(PathBuf, &'static str)>,
}

/// Lists a file, or a folder's files as `folder/…`. Links below a folder are left out: they may lead anywhere, or in
/// circles. A path that is named itself may be one.
pub(super) fn list(path: &Path, sources: &mut Sources) -> io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    // `.` and `..` have names too.
    let absolute = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize()?,
    };
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if metadata.is_dir() {
        walk(path, &name, sources)
    } else if metadata.is_file() {
        sources.files.push(source(path, name, &metadata));
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "neither a file nor a folder",
        ))
    }
}

fn walk(dir: &Path, name: &str, sources: &mut Sources) -> io::Result<()> {
    let mut entries = std::fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let own = entry.file_name().to_string_lossy().into_owned();
        let name = if name.is_empty() { own } else { format!("{name}/{own}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&path, &name, sources)?;
        } else if kind.is_file() {
            let metadata = entry.metadata()?;
            sources.files.push(source(&path, name, &metadata));
        } else {
            let reason = if kind.is_symlink() { "a link" } else { "not a file" };
            sources.skipped.push((path, reason));
        }
    }
    Ok(())
}

fn source(path: &Path, name: String, metadata: &std::fs::Metadata) -> Source {
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.and_then(|since| u64::try_from(since.as_millis()).ok());
    let size = metadata.len();
    Source {
        path: path.to_owned(),
        offer: Offer { name, size, modified },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_is_listed_with_relative_names_and_without_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::write(root.join("a.txt"), "12345").unwrap();
        fs::write(root.join("b/c/d"), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/", root.join("b/link")).unwrap();
        let mut sources = Sources::default();
        list(&root, &mut sources).unwrap();
        let found: Vec<_> = sources
            .files
            .iter()
            .map(|s| (s.offer.name.as_str(), s.offer.size))
            .collect();
        assert_eq!(found, [("root/a.txt", 5), ("root/b/c/d", 0)]);
        assert!(sources.files[0].offer.modified.is_some());
        assert_eq!(sources.skipped.len(), usize::from(cfg!(unix)));
    }

    #[test]
    fn a_single_file_keeps_only_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("x")).unwrap();
        fs::write(dir.path().join("x/a"), "1").unwrap();
        let mut sources = Sources::default();
        list(&dir.path().join("x/a"), &mut sources).unwrap();
        assert_eq!(sources.files[0].offer.name, "a");
        assert!(list(&dir.path().join("missing"), &mut sources).is_err());
    }
}
