//! The shared folder: what visitors see of it, take out of it and put into it. Nothing gets out or in by `..`, links or
//! absolute paths; names that begin with a dot stay where they are unless told.

use crate::intake::plain;
use crate::store::{Partial, Store};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirEntry, Metadata};
use crosspeer::transfer::catalog::{Entry, MAX_ENTRIES, check_path};
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;

/// One folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: Dir,
    store: Store,
    hidden: bool,
    readonly: bool,
}

/// One part of a listing, and whether more follows.
pub(super) type Part = (Vec<Entry>, bool);

impl Folder {
    pub(super) fn open(path: &Path, hidden: bool, readonly: bool) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        let store = Store::open(path, false)?;
        Ok(Self {
            dir,
            store,
            hidden,
            readonly,
        })
    }

    pub(super) fn readonly(&self) -> bool {
        self.readonly
    }

    /// The files and folders of a folder, by name, from behind `after`. Links and devices are left out.
    pub(super) fn list(&self, path: &str, after: Option<&str>) -> io::Result<Part> {
        let dir = self.folder(path)?;
        let mut found = Vec::new();
        for entry in dir.entries()? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let new = after.is_none_or(|after| name.as_str() > after);
            if new && self.is_shown(&name) && !name.contains('\\') && is_ordinary(&entry) {
                found.push((name, entry));
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let more = found.len() > MAX_ENTRIES;
        found.truncate(MAX_ENTRIES);
        // A file that has gone meanwhile is left out.
        let entries = found
            .into_iter()
            .filter_map(|(name, entry)| Some(describe(name, &entry.metadata().ok()?)));
        Ok((entries.collect(), more))
    }

    /// Changes when the folder's first part does.
    pub(super) fn fingerprint(&self, path: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        match self.list(path, None) {
            Ok((entries, more)) => {
                more.hash(&mut hasher);
                for entry in entries {
                    (entry.name, entry.size, entry.modified).hash(&mut hasher);
                }
            }
            Err(error) => error.kind().hash(&mut hasher),
        }
        hasher.finish()
    }

    /// What is known of a file before it is read.
    pub(super) fn describe(&self, path: &str) -> io::Result<Entry> {
        self.check(path)?;
        let metadata = self.dir.symlink_metadata(path)?;
        match (metadata.is_file(), path.rsplit('/').next()) {
            (true, Some(name)) if !name.is_empty() => Ok(describe(name.to_owned(), &metadata)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Opens a file for reading. Only ordinary ones: a pipe would never open.
    pub(super) fn read(&self, path: &str) -> io::Result<File> {
        self.describe(path)?;
        Ok(self.dir.open(path)?.into_std())
    }

    /// A new file of this (sanitised) name.
    pub(super) fn create(&self, name: &str) -> io::Result<Partial> {
        if self.readonly {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if !name.split('/').all(|part| self.is_shown(part)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.store.create(name)
    }

    /// A new, empty folder of this (sanitised) name, unless it is there.
    pub(super) fn create_folder(&self, name: &str, mode: Option<u32>) -> io::Result<()> {
        if self.readonly {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if !name.split('/').all(|part| self.is_shown(part)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.store.create_folder(name, mode)
    }

    fn folder(&self, path: &str) -> io::Result<Dir> {
        self.check(path)?;
        match path {
            "" => self.dir.try_clone(),
            path => self.dir.open_dir(path),
        }
    }

    fn check(&self, path: &str) -> io::Result<()> {
        check_path(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        match path.is_empty() || path.split('/').all(|part| self.is_shown(part)) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn is_shown(&self, name: &str) -> bool {
        let partial = name.starts_with(".crosspeer-") && name.ends_with(".part");
        !partial && (self.hidden || !name.starts_with('.'))
    }
}

fn is_ordinary(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_file() || kind.is_dir())
}

fn describe(name: String, metadata: &Metadata) -> Entry {
    let modified = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    Entry {
        name,
        size: metadata.is_file().then_some(metadata.len()),
        modified: since.and_then(|since| u64::try_from(since.as_millis()).ok()),
    }
}

/// What a visitor is told: without this side's paths.
pub(super) fn explain(error: &io::Error) -> (&'static str, String) {
    let code = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "not-found",
        io::ErrorKind::PermissionDenied => "not-allowed",
        _ => "failed",
    };
    (code, plain(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn shared() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::write(root.join("a.txt"), "12345").unwrap();
        fs::write(root.join(".secret"), "x").unwrap();
        fs::write(dir.path().join("outside"), "x").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(dir.path().join("outside"), root.join("link")).unwrap();
            std::os::unix::fs::symlink(dir.path(), root.join("up")).unwrap();
        }
        let folder = Folder::open(&root, false, false).unwrap();
        (dir, folder)
    }

    #[test]
    fn only_ordinary_files_and_folders_are_listed() {
        let (_dir, folder) = shared();
        let (entries, more) = folder.list("", None).unwrap();
        let seen: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.size)).collect();
        assert_eq!((seen, more), (vec![("a.txt", Some(5)), ("b", None)], false));
        assert_eq!(folder.list("", Some("a.txt")).unwrap().0.len(), 1);
    }

    #[test]
    fn nothing_outside_can_be_read_or_listed() {
        let (_dir, folder) = shared();
        for path in [
            "../outside",
            "link",
            "up/outside",
            ".secret",
            "/etc/passwd",
            "b/../a.txt",
            "b",
            "",
            "missing",
        ] {
            assert!(folder.read(path).is_err(), "{path}");
        }
        for path in ["..", "up", "/", "b/../..", "a.txt"] {
            assert!(folder.list(path, None).is_err(), "{path}");
        }
        assert!(folder.read("a.txt").is_ok());
    }

    #[test]
    fn nothing_is_written_outside_or_hidden_or_to_a_folder_that_is_read_only() {
        let (dir, folder) = shared();
        for name in ["up/x", ".bashrc", "b/.ssh/x"] {
            assert!(folder.create(name).is_err(), "{name}");
        }
        folder.create("b/new").unwrap().commit(None).unwrap();
        assert!(dir.path().join("root/b/new").exists());
        let readonly = Folder::open(&dir.path().join("root"), false, true).unwrap();
        assert!(readonly.create("x").is_err());
    }

    #[test]
    fn a_file_being_received_is_not_seen() {
        let (_dir, folder) = shared();
        let before = folder.fingerprint("");
        let mut partial = folder.create("new").unwrap();
        assert_eq!(folder.fingerprint(""), before);
        partial.commit(None).unwrap();
        assert_ne!(folder.fingerprint(""), before);
    }

    #[test]
    fn a_large_folder_is_listed_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..MAX_ENTRIES + 3 {
            fs::write(dir.path().join(format!("{number:05}")), "").unwrap();
        }
        let folder = Folder::open(dir.path(), false, false).unwrap();
        let (first, more) = folder.list("", None).unwrap();
        assert!(more && first.len() == MAX_ENTRIES);
        let (rest, more) = folder.list("", first.last().map(|e| e.name.as_str())).unwrap();
        assert_eq!((rest.len(), more), (3, false));
    }
}
