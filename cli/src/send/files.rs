//! What is to be sent: files, folders with everything below, and streams.

use crosspeer::transfer::Offer;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The path that stands for this command's own input.
const STDIN: &str = "-";

/// One thing to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) offer: Offer,
    pub(super) kind: Kind,
}

/// How it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A pipe or a device: it may keep its reader waiting, and ends when it likes.
    Stream,
    /// This command's own input.
    Stdin,
}

/// What was found; what is left out since it is not meant to be sent; and what cannot be read.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Before all files, that those may fill them.
    pub(super) folders: Vec<Source>,
    pub(super) files: Vec<Source>,
    pub(super) skipped: Vec<(PathBuf, &'static str)>,
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

/// Lists a file, a stream, or a folder's files as `folder/…`. Links below a folder are left out: they may lead anywhere,
/// or in circles. A path that is named itself may be one. `-` is this command's input, under the name `stdin`.
pub(super) fn list(path: &Path, stdin: &str, sources: &mut Sources) -> io::Result<()> {
    if path == Path::new(STDIN) {
        let read_already = sources.files.iter().any(|source| source.kind == Kind::Stdin);
        if read_already {
            let reason = "the input can be sent only once";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        sources.files.push(stream(path, stdin.to_owned(), Kind::Stdin));
        return Ok(());
    }
    let metadata = std::fs::metadata(path)?;
    // `.` and `..` have names too.
    let absolute = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize()?,
    };
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if metadata.is_dir() {
        walk(path, &name, Some(&metadata), sources);
    } else if metadata.is_file() {
        sources.files.push(source(path, name, &metadata));
    } else {
        sources.files.push(stream(path, name, Kind::Stream));
    }
    Ok(())
}

fn walk(dir: &Path, name: &str, metadata: Option<&Metadata>, sources: &mut Sources) {
    let mut entries = match std::fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => return sources.unreadable.push((dir.to_owned(), error)),
    };
    if !name.is_empty() {
        sources.folders.push(folder(dir, name.to_owned(), metadata));
    }
    entries.sort_by_key(DirEntry::file_name);
    for entry in entries {
        if let Err(error) = add(&entry, name, sources) {
            sources.unreadable.push((entry.path(), error));
        }
    }
}

fn add(entry: &DirEntry, parent: &str, sources: &mut Sources) -> io::Result<()> {
    let path = entry.path();
    let own = entry.file_name().to_string_lossy().into_owned();
    let name = if parent.is_empty() {
        own
    } else {
        format!("{parent}/{own}")
    };
    let kind = entry.file_type()?;
    if kind.is_dir() {
        walk(&path, &name, entry.metadata().ok().as_ref(), sources);
    } else if kind.is_file() {
        sources.files.push(source(&path, name, &entry.metadata()?));
    } else {
        let reason = if kind.is_symlink() { "a link" } else { "not a file" };
        sources.skipped.push((path, reason));
    }
    Ok(())
}

fn source(path: &Path, name: String, metadata: &Metadata) -> Source {
    let modified = metadata.modified().ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let offer = Offer {
        name,
        size: metadata.len(),
        modified: since.and_then(|since| u64::try_from(since.as_millis()).ok()),
        mode: mode(metadata),
        estimate: true,
        ..Offer::default()
    };
    let (path, kind) = (path.to_owned(), Kind::File);
    Source { path, offer, kind }
}

fn stream(path: &Path, name: String, kind: Kind) -> Source {
    let offer = Offer {
        name,
        estimate: true,
        ..Offer::default()
    };
    let path = path.to_owned();
    Source { path, offer, kind }
}

fn folder(path: &Path, name: String, metadata: Option<&Metadata>) -> Source {
    let offer = Offer {
        name,
        mode: metadata.and_then(mode),
        folder: true,
        ..Offer::default()
    };
    let (path, kind) = (path.to_owned(), Kind::Folder);
    Source { path, offer, kind }
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(metadata.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode(_metadata: &Metadata) -> Option<u32> {
    None
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
        list(&root, "stdin", &mut sources).unwrap();
        let found: Vec<_> = sources
            .files
            .iter()
            .map(|s| (s.offer.name.as_str(), s.offer.size))
            .collect();
        assert_eq!(found, [("root/a.txt", 5), ("root/b/c/d", 0)]);
        assert!(sources.files[0].offer.modified.is_some());
        let folders: Vec<_> = sources.folders.iter().map(|s| s.offer.name.as_str()).collect();
        assert_eq!(folders, ["root", "root/b", "root/b/c"]);
        assert_eq!(sources.skipped.len(), usize::from(cfg!(unix)));
    }

    #[test]
    fn a_single_file_keeps_only_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("x")).unwrap();
        fs::write(dir.path().join("x/a"), "1").unwrap();
        let mut sources = Sources::default();
        list(&dir.path().join("x/a"), "stdin", &mut sources).unwrap();
        assert_eq!(sources.files[0].offer.name, "a");
        assert!(list(&dir.path().join("missing"), "stdin", &mut sources).is_err());
    }
}
