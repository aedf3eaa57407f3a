//! The folder that `receive` stores into. Nothing gets out of it, and nothing in it is replaced unless told.

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use crosspeer::transfer::numbered;
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// A name this often taken is given up on.
const MAX_NUMBER: u32 = 10_000;
/// Descriptors that must be free beyond a new file's own.
const SPARE: usize = 8;
/// Of a file whose sender tells none.
const DEFAULT_MODE: u32 = 0o666;

/// A folder; paths in it are relative and already sanitised. Links that lead out of it are refused by `cap-std`.
#[derive(Debug)]
pub(crate) struct Store {
    dir: Arc<Dir>,
    path: PathBuf,
    overwrite: bool,
}

/// The files that one peer has stored. They are never replaced by further ones of the same peer: its names may be equal,
/// or become so when made safe, or be equal to this file system alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written(Arc<Mutex<HashSet<Identity>>>);

/// What a file is, whatever it is called: device and number; where there are none, the name without its case.
#[derive(Debug, PartialEq, Eq, Hash)]
#[cfg_attr(unix, allow(dead_code))]
enum Identity {
    Number(u64, u64),
    Name(String),
}

impl Store {
    /// Makes the folder if it is not there, and removes what earlier processes that were killed have left in it.
    pub(crate) fn open(path: &Path, overwrite: bool) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        sweep(&dir);
        Ok(Self {
            dir: Arc::new(dir),
            path: path.to_owned(),
            overwrite,
        })
    }

    /// A file that has no name yet.
    pub(crate) fn create(&self, name: &str) -> io::Result<Partial> {
        self.create_for(name, None, &Written::default())
    }

    /// The same, with no more than these permission bits, for the peer that has stored those files.
    pub(crate) fn create_for(&self, name: &str, mode: Option<u32>, written: &Written) -> io::Result<Partial> {
        let parent = Path::new(name).parent().unwrap_or(Path::new("")).to_owned();
        self.create_parent(&parent)?;
        if self.dir.metadata(name).is_ok_and(|there| there.is_dir()) && self.overwrite {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mode = mode.unwrap_or(DEFAULT_MODE);
        let (temporary, file) = temporary(&self.dir, Path::new(""), mode)?;
        let partial = Partial {
            dir: self.dir.clone(),
            file: Some(file),
            temporary,
            name: file_name(name)?,
            parent,
            mode,
            overwrite: self.overwrite,
            written: written.clone(),
        };
        // Giving names takes descriptors too: the last ones are for files that are whole.
        (0..SPARE)
            .map(|_| self.dir.try_clone())
            .collect::<io::Result<Vec<_>>>()?;
        Ok(partial)
    }

    /// A folder that things are stored into, unless it is there. A link that leads out shows now, not when all is written.
    fn create_parent(&self, parent: &Path) -> io::Result<()> {
        if parent.as_os_str().is_empty() {
            return Ok(());
        }
        match self.dir.metadata(parent) {
            Ok(there) if there.is_dir() => Ok(()),
            Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => match self.dir.create_dir_all(parent) {
                // It says so too if it could not look, having no descriptor.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match self.dir.metadata(parent)?.is_dir() {
                    true => Ok(()),
                    false => Err(e),
                },
                made => made,
            },
            Err(e) => Err(e),
        }
    }

    /// An empty folder, unless it is there; others get no more of it than these bits allow.
    pub(crate) fn create_folder(&self, name: &str, mode: Option<u32>) -> io::Result<()> {
        self.create_parent(Path::new(name).parent().unwrap_or(Path::new("")))?;
        match self.dir.create_dir_with(name, &folder_builder(mode)) {
            // It was there, or another peer has made it at this moment.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match self.dir.metadata(name)?.is_dir() {
                true => Ok(()),
                false => Err(e),
            },
            made => made,
        }
    }

    /// Stores a whole message; returns its path.
    pub(crate) fn store(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        let mut partial = self.create_for(name, None, &Written::default())?;
        partial.write(content)?;
        let stored = partial.commit(None)?;
        Ok(self.path.join(stored))
    }

    /// Where a committed file is, for people.
    pub(crate) fn path_of(&self, relative: &Path) -> PathBuf {
        self.path.join(relative)
    }
}

/// A file being written, removed when dropped before [`Partial::commit`]. It is locked as long as this process lives, and
/// lies in the store's own folder, so that a later process finds it if this one is killed. One descriptor each.
#[derive(Debug)]
pub(crate) struct Partial {
    dir: Arc<Dir>,
    /// `None` once committed.
    file: Option<File>,
    temporary: PathBuf,
    parent: PathBuf,
    name: String,
    mode: u32,
    overwrite: bool,
    written: Written,
}

impl Partial {
    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(data),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Lets others do no more with it than these permission bits allow.
    pub(crate) fn restrict(&self, mode: u32) -> io::Result<()> {
        #[cfg(unix)]
        if let Some(file) = &self.file {
            use std::os::unix::fs::PermissionsExt;
            let bits = file.metadata()?.permissions().mode() & mode & 0o777;
            file.set_permissions(std::fs::Permissions::from_mode(bits))?;
        }
        #[cfg(not(unix))]
        let _ = mode;
        Ok(())
    }

    /// Gives it its name, or the next free one ("name (1)"); returns the path below the folder.
    /// After an error it may be tried again.
    pub(crate) fn commit(&mut self, modified_ms: Option<u64>) -> io::Result<PathBuf> {
        match self.take_name(modified_ms) {
            // Something else is mounted there.
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
                self.move_beside()?;
                self.take_name(modified_ms)
            }
            result => result,
        }
        .map(|name| {
            self.file = None;
            self.parent.join(name)
        })
    }

    fn take_name(&mut self, modified_ms: Option<u64>) -> io::Result<String> {
        if let (Some(file), Some(ms)) = (&self.file, modified_ms)
            && let Some(time) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))
        {
            let _ = file.set_modified(time); // a nicety that not every file system has
        }
        let target = self.parent.join(&self.name);
        let own = self.identity(&target);
        let name = if self.overwrite && !self.was_written(&target) {
            self.dir.rename(&self.temporary, &self.dir, &target)?;
            self.name.clone()
        } else {
            self.take_free_name()?
        };
        if self.overwrite
            && let Some(own) = own
        {
            let mut written = self.written.0.lock().unwrap_or_else(PoisonError::into_inner);
            written.insert(own);
        }
        Ok(name)
    }

    #[cfg(unix)]
    fn identity(&self, _target: &Path) -> Option<Identity> {
        use std::os::unix::fs::MetadataExt;
        let metadata = self.file.as_ref()?.metadata().ok()?;
        Some(Identity::Number(metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn identity(&self, target: &Path) -> Option<Identity> {
        Some(Identity::Name(target.to_string_lossy().to_lowercase()))
    }

    /// Whether what stands under this name is a file that the same peer has stored.
    fn was_written(&self, target: &Path) -> bool {
        #[cfg(unix)]
        let there = {
            use cap_std::fs::MetadataExt;
            let metadata = self.dir.symlink_metadata(target).ok();
            metadata.map(|metadata| Identity::Number(metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let there = self.identity(target);
        let written = self.written.0.lock().unwrap_or_else(PoisonError::into_inner);
        there.is_some_and(|there| written.contains(&there))
    }

    fn take_free_name(&self) -> io::Result<String> {
        for number in 0..MAX_NUMBER {
            let name = match number {
                0 => self.name.clone(),
                n => numbered(&self.name, n),
            };
            match self.rename_to_new(&self.parent.join(&name)) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map(|()| name),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Never over an existing file, not even one made at this moment. A file system without hard links gets an empty
    /// file of that name first, which is ours to replace.
    fn rename_to_new(&self, target: &Path) -> io::Result<()> {
        match self.dir.hard_link(&self.temporary, &self.dir, target) {
            Ok(()) => {
                let _ = self.dir.remove_file(&self.temporary); // it has its name: whatever remains is swept later
                Ok(())
            }
            Err(e) if lacks_descriptor(&e) => Err(e),
            Err(e) if matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::CrossesDevices) => Err(e),
            Err(_) => {
                self.dir
                    .open_with(target, OpenOptions::new().write(true).create_new(true))?;
                let renamed = self.dir.rename(&self.temporary, &self.dir, target);
                if renamed.is_err() {
                    let _ = self.dir.remove_file(target);
                }
                renamed
            }
        }
    }

    /// The same content in a new file on the device where its place is.
    fn move_beside(&mut self) -> io::Result<()> {
        let (beside, mut file) = temporary(&self.dir, &self.parent, self.mode)?;
        let old = std::mem::replace(&mut self.temporary, beside);
        let content = self.dir.open(&old);
        let _ = self.dir.remove_file(&old);
        io::copy(&mut content?.into_std(), &mut file)?;
        self.file = Some(file);
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = self.dir.remove_file(&self.temporary);
        }
    }
}

/// A new, locked file of no more than this mode, for this process alone.
fn temporary(dir: &Dir, parent: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    cap_std::fs::OpenOptionsExt::mode(&mut options, mode & 0o777);
    #[cfg(not(unix))]
    let _ = mode;
    loop {
        let path = parent.join(format!(".crosspeer-{}.part", Uuid::new_v4().simple()));
        let file = dir.open_with(&path, &options)?.into_std();
        match file.try_lock() {
            // Another process's sweep was here before the lock.
            Err(TryLockError::WouldBlock) => continue,
            // Not every file system has locks.
            Err(TryLockError::Error(_)) => return Ok((path, file)),
            Ok(()) if dir.symlink_metadata(&path).is_err() => continue,
            Ok(()) => return Ok((path, file)),
        }
    }
}

/// Removes files of ours that no living process holds.
fn sweep(dir: &Dir) {
    let Ok(entries) = dir.entries() else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        if !name.to_str().is_some_and(is_temporary) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        // Some file systems lock only what is open for writing.
        let file = dir.open_with(&name, OpenOptions::new().write(true));
        let file = file.or_else(|_| dir.open(&name)).map(cap_std::fs::File::into_std);
        if file.is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = dir.remove_file(&name);
        }
    }
}

fn is_temporary(name: &str) -> bool {
    let middle = name
        .strip_prefix(".crosspeer-")
        .and_then(|rest| rest.strip_suffix(".part"));
    middle.is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The owner may always use a folder: what belongs into it comes later.
fn folder_builder(mode: Option<u32>) -> cap_std::fs::DirBuilder {
    #[allow(unused_mut)]
    let mut builder = cap_std::fs::DirBuilder::new();
    #[cfg(unix)]
    cap_std::fs::DirBuilderExt::mode(&mut builder, mode.map_or(0o777, |mode| mode & 0o777 | 0o700));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// Whether this process, or the system, has too many files open at this moment.
pub(crate) fn lacks_descriptor(error: &io::Error) -> bool {
    const ENFILE: i32 = 23; // the same on every Unix
    const EMFILE: i32 = 24;
    cfg!(unix) && matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
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

    #[test]
    fn one_peer_never_replaces_what_it_has_stored_itself() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.txt"), "old").unwrap();
        let store = Store::open(dir.path(), true).unwrap();
        let written = Written::default();
        for content in ["one", "two", "three"] {
            let mut partial = store.create_for("a.txt", None, &written).unwrap();
            partial.write(content.as_bytes()).unwrap();
            partial.commit(None).unwrap();
        }
        assert_eq!(names(dir.path()), ["a (1).txt", "a (2).txt", "a.txt"]);
        assert_eq!(fs::read(dir.path().join("a.txt")).unwrap(), b"one");
        let mut partial = store.create_for("a.txt", None, &Written::default()).unwrap();
        partial.write(b"another's").unwrap();
        partial.commit(None).unwrap();
        assert_eq!(fs::read(dir.path().join("a.txt")).unwrap(), b"another's");
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let stale = format!(".crosspeer-{}.part", Uuid::new_v4().simple());
        for (name, content) in [(stale.as_str(), "half"), (".crosspeer-mine.part", "x"), ("a.part", "x")] {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let store = Store::open(dir.path(), false).unwrap();
        assert_eq!(names(dir.path()), [".crosspeer-mine.part", "a.part"]);
        let mut living = store.create("b/c").unwrap();
        living.write(b"half").unwrap();
        Store::open(dir.path(), false).unwrap();
        living.commit(None).unwrap();
        assert_eq!(fs::read(dir.path().join("b/c")).unwrap(), b"half");
    }

    #[cfg(unix)]
    #[test]
    fn modes_are_never_wider_than_the_senders_and_hold_no_setuid() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), true).unwrap();
        for (mode, kept) in [(0o600, 0o600), (0o400, 0o400), (0o4700, 0o700), (0o777, 0o755)] {
            let mut partial = store.create_for("a", Some(mode), &Written::default()).unwrap();
            partial.commit(None).unwrap();
            let found = fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found & !0o022, kept, "{mode:o}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_written_takes_one_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), true).unwrap();
        let open = || fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let before = open();
        let partials: Vec<_> = (0..10).map(|i| store.create(&format!("sub/{i}")).unwrap()).collect();
        // Other tests of this process may open some.
        assert!(before == 0 || open() < before + 2 * partials.len());
    }
}
