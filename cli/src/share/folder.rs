//! The shared folder: what visitors see of it, take out of it and put into it. Nothing gets out or in by `..`, links or
//! absolute paths; names that begin with a dot stay where they are unless told.

use super::names;
use crate::intake::{Told, plain};
use crate::store::{Partial, Store};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata};
use crosspeer::transfer::catalog::{Entry, MAX_ENTRIES, check_path};
use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// One folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: Dir,
    store: Store,
    hidden: bool,
    readonly: bool,
}

/// A name in a folder, and what is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// As visitors call it.
    pub(super) name: String,
    /// Why it is not shared, if it is not.
    omitted: Option<&'static str>,
}

const HIDDEN: &str = "names that begin with a dot are not shared here, unless the owner starts it with --hidden";

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

    /// What is in a folder, by name. Links and devices are not shared. With `all` they are told of, and names may hold
    /// a backslash.
    pub(super) fn list(&self, path: &str, all: bool) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in self.folder(path)?.entries()? {
            let entry = entry?;
            let file_name = entry.file_name();
            if !self.is_shown(&file_name) {
                continue;
            }
            let name = names::shown(&file_name);
            let omitted = match (&name, entry.file_type()) {
                (None, _) => Some("its name cannot be told in text"),
                (_, Ok(kind)) if kind.is_file() || kind.is_dir() => None,
                (_, Ok(kind)) if kind.is_symlink() => Some("it is a link"),
                _ => Some("it is neither a file nor a folder"),
            };
            let name = name.unwrap_or_else(|| file_name.to_string_lossy().into_owned());
            if all || (omitted.is_none() && !name.contains('\\')) {
                found.push(Found { name, omitted });
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// What is known of some of a folder's names. A file that has gone meanwhile is left out.
    pub(super) fn describe_all(&self, path: &str, names: &[Found]) -> io::Result<Vec<Entry>> {
        let dir = self.folder(path)?;
        let describe = |found: &Found| match found.omitted {
            Some(why) => Some(Entry {
                name: found.name.clone(),
                size: None,
                modified: None,
                omitted: Some(why.to_owned()),
            }),
            None => {
                let metadata = dir.symlink_metadata(names::on_disk(&found.name).ok()?).ok()?;
                Some(describe(found.name.clone(), &metadata))
            }
        };
        Ok(names.iter().filter_map(describe).collect())
    }

    /// Changes when names come or go, or what is known of the first of them.
    pub(super) fn fingerprint(&self, path: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        let listed = self.list(path, true);
        let first = |names: &[Found]| self.describe_all(path, &names[..names.len().min(MAX_ENTRIES)]);
        match listed.and_then(|names| Ok((first(&names)?, names))) {
            Ok((entries, names)) => {
                for found in names {
                    found.name.hash(&mut hasher);
                }
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
        let metadata = self.dir.symlink_metadata(self.find(path)?)?;
        match (metadata.is_file(), path.rsplit('/').next()) {
            (true, Some(name)) => Ok(describe(name.to_owned(), &metadata)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Opens a file for reading. Only ordinary ones: a pipe would never open.
    pub(super) fn read(&self, path: &str) -> io::Result<File> {
        self.describe(path)?;
        Ok(self.dir.open(self.find(path)?)?.into_std())
    }

    /// A new file of this (sanitised) name.
    pub(super) fn create(&self, name: &str) -> io::Result<Partial> {
        self.check_new(name)?;
        self.store.create(name)
    }

    /// A new, empty folder of this (sanitised) name, unless it is there.
    pub(super) fn create_folder(&self, name: &str, mode: Option<u32>) -> io::Result<()> {
        self.check_new(name)?;
        self.store.create_folder(name, mode)
    }

    fn check_new(&self, name: &str) -> io::Result<()> {
        if self.readonly {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if !name.split('/').all(|part| self.is_shown(OsStr::new(part))) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, Told(HIDDEN)));
        }
        Ok(())
    }

    fn folder(&self, path: &str) -> io::Result<Dir> {
        match path {
            "" => self.dir.try_clone(),
            path => self.dir.open_dir(self.find(path)?),
        }
    }

    /// Where this is on the disk. What is not shared is not there.
    fn find(&self, path: &str) -> io::Result<PathBuf> {
        check_path(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let found = names::on_disk(path)?;
        match found.iter().all(|part| self.is_shown(part)) {
            true => Ok(found),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn is_shown(&self, name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        let partial = name.starts_with(b".crosspeer-") && name.ends_with(b".part");
        !partial && (self.hidden || !name.starts_with(b"."))
    }
}

fn describe(name: String, metadata: &Metadata) -> Entry {
    let modified = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    Entry {
        name,
        size: metadata.is_file().then_some(metadata.len()),
        modified: since.and_then(|since| u64::try_from(since.as_millis()).ok()),
        omitted: None,
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
        let entries = folder.describe_all("", &folder.list("", false).unwrap()).unwrap();
        let seen: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.size)).collect();
        assert_eq!(seen, [("a.txt", Some(5)), ("b", None)]);
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
            assert!(folder.list(path, true).is_err(), "{path}");
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

    #[cfg(unix)]
    #[test]
    fn odd_names_are_listed_and_read_and_what_is_not_shared_is_told() {
        use std::os::unix::ffi::OsStrExt;
        let (dir, folder) = shared();
        let root = dir.path().join("root");
        let odd = [&b"back\\slash"[..], b"latin\xe9", b"\\x2Esecret"];
        for name in odd {
            fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
        }
        let listed = folder.list("", true).unwrap();
        let names: Vec<_> = listed
            .iter()
            .filter(|f| f.omitted.is_none())
            .map(|f| &f.name[..])
            .collect();
        let shown = ["\\x5Cx2Esecret", "a.txt", "b", "back\\slash", "latin\\xE9"];
        assert_eq!(names, shown);
        for (name, content) in [(shown[3], odd[0]), (shown[4], odd[1]), (shown[0], odd[2])] {
            let mut read = Vec::new();
            io::Read::read_to_end(&mut folder.read(name).unwrap(), &mut read).unwrap();
            assert_eq!(read, content, "{name}");
        }
        let links: Vec<_> = listed
            .iter()
            .filter(|f| f.omitted.is_some())
            .map(|f| &f.name[..])
            .collect();
        assert_eq!(links, ["link", "up"]);
        assert!(folder.read("\\x2Esecret").is_err(), "a hidden name by another spelling");
    }

    #[test]
    fn a_hidden_name_is_refused_with_its_reason() {
        let (_dir, folder) = shared();
        let error = folder.create("b/.bashrc").unwrap_err();
        assert!(explain(&error).1.contains("begin with a dot"), "{error}");
    }
}
