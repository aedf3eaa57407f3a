//! The folder that `receive` stores into. Nothing gets out of it, and nothing in it is replaced unless told.

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use crosspeer::transfer::numbered;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// A name this often taken is given up on.
const MAX_NUMBER: u32 = 10_000;

/// A folder; paths in it are relative and already sanitised. Links that lead out of it are refused by `cap-std`.
#[derive(Debug)]
pub(crate) struct Store {
    dir: Dir,
    path: PathBuf,
    overwrite: bool,
}

impl Store {
    pub(crate) fn open(path: &Path, overwrite: bool) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self {
            dir: Dir::open_ambient_dir(path, ambient_authority())?,
            path: path.to_owned(),
            overwrite,
        })
    }

    /// A file that has no name yet, beside where it will be.
    pub(crate) fn create(&self, name: &str) -> io::Result<Partial> {
        let parent = Path::new(name).parent().unwrap_or(Path::new(""));
        let dir = match parent.as_os_str().is_empty() {
            true => self.dir.try_clone()?,
            false => {
                self.dir.create_dir_all(parent)?;
                self.dir.open_dir(parent)?
            }
        };
        let temporary = format!(".crosspeer-{}.part", Uuid::new_v4().simple());
        let file = dir.open_with(&temporary, OpenOptions::new().write(true).create_new(true))?;
        Ok(Partial {
            dir,
            file: Some(file.into_std()),
            temporary,
            parent: parent.to_owned(),
            name: file_name(name)?,
            overwrite: self.overwrite,
        })
    }

    /// Stores a whole message; returns its path.
    pub(crate) fn store(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        let mut partial = self.create(name)?;
        partial.write(content)?;
        let stored = partial.commit(None)?;
        Ok(self.path.join(stored))
    }

    /// Where a committed file is, for people.
    pub(crate) fn path_of(&self, relative: &Path) -> PathBuf {
        self.path.join(relative)
    }
}

/// A file being written, removed when dropped before [`Partial::commit`].
#[derive(Debug)]
pub(crate) struct Partial {
    dir: Dir,
    /// `None` once committed.
    file: Option<std::fs::File>,
    temporary: String,
    parent: PathBuf,
    name: String,
    overwrite: bool,
}

impl Partial {
    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(data),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Gives it its name, or the next free one ("name (1)"); returns the path below the folder.
    pub(crate) fn commit(mut self, modified_ms: Option<u64>) -> io::Result<PathBuf> {
        if let (Some(file), Some(ms)) = (&self.file, modified_ms)
            && let Some(time) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))
        {
            let _ = file.set_modified(time); // a nicety that not every file system has
        }
        let name = match self.overwrite {
            true => {
                self.dir.rename(&self.temporary, &self.dir, &self.name)?;
                self.name.clone()
            }
            false => self.take_free_name()?,
        };
        self.file = None;
        Ok(self.parent.join(name))
    }

    fn take_free_name(&self) -> io::Result<String> {
        for number in 0..MAX_NUMBER {
            let name = match number {
                0 => self.name.clone(),
                n => numbered(&self.name, n),
            };
            match self.rename_to_new(&name) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map(|()| name),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Never over an existing file, not even one made at this moment. A file system without hard links gets an empty
    /// file of that name first, which is ours to replace.
    fn rename_to_new(&self, name: &str) -> io::Result<()> {
        match self.dir.hard_link(&self.temporary, &self.dir, name) {
            Ok(()) => self.dir.remove_file(&self.temporary),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
            Err(_) => {
                self.dir
                    .open_with(name, OpenOptions::new().write(true).create_new(true))?;
                self.dir.rename(&self.temporary, &self.dir, name)
            }
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = self.dir.remove_file(&self.temporary);
        }
    }
}

fn file_name(name: &str) -> io::Result<String> {
    let name = Path::new(name).file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_taken_name_is_stored_beside() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), false).unwrap();
        for content in ["one", "two", "three"] {
            store.store("a/b.txt", content.as_bytes()).unwrap();
        }
        assert_eq!(names(&dir.path().join("a")), ["b (1).txt", "b (2).txt", "b.txt"]);
        assert_eq!(fs::read(dir.path().join("a/b.txt")).unwrap(), b"one");
    }

    #[test]
    fn overwrite_replaces_files_but_not_what_a_link_points_to() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = outside.path().join("target");
        fs::write(&target, "untouched").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&target, dir.path().join("a")).unwrap();
        let store = Store::open(dir.path(), true).unwrap();
        store.store("a", b"one").unwrap();
        store.store("a", b"two").unwrap();
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"two");
        assert_eq!(fs::read(&target).unwrap(), b"untouched");
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn a_dropped_partial_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), false).unwrap();
        store.create("a").unwrap().write(b"half").unwrap();
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out_of_the_folder() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("..", dir.path().join("up")).unwrap();
        let store = Store::open(dir.path(), true).unwrap();
        for name in ["link/a", "link/b/c", "up/a", "../a"] {
            assert!(store.create(name).is_err(), "{name}");
        }
        assert_eq!(names(outside.path()), [""; 0]);
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), false).unwrap();
        store.store("a", b"").unwrap();
        assert!(store.create("a/b").is_err());
    }
}
