//! Known peers in a file, which several programs may change at once.

use crosspeer::known::KnownPeers;
use crosspeer::{Error, Result};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of the longest file.
const MAX_FILE: u64 = 8 << 20;

/// The peers in a file; none where there is no file.
///
/// # Errors
/// [`Error::InvalidInput`] for a file that others may write to, that is none of known peers, or that cannot be read.
pub fn load_known_peers(path: impl AsRef<Path>) -> Result<KnownPeers> {
    let path = path.as_ref();
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(KnownPeers::default()),
        Err(error) => return Err(refuse(path, &error)),
    };
    text.parse().map_err(|error: Error| refuse(path, &error))
}

/// Changes the peers in a file, which is made if there is none and appears whole. Whoever else changes it waits.
///
/// # Errors
/// Those of the change, which then has no effect; and as [`load_known_peers`].
pub fn update_known_peers<T>(path: impl AsRef<Path>, change: impl FnOnce(&mut KnownPeers) -> Result<T>) -> Result<T> {
    let path = path.as_ref();
    let _lock = lock(path).map_err(|error| refuse(path, &error))?;
    let before = load_known_peers(path)?;
    let mut known = before.clone();
    let result = change(&mut known)?;
    if known != before {
        write(path, &known.to_string()).map_err(|error| refuse(path, &error))?;
    }
    Ok(result)
}

fn read(path: &Path) -> std::io::Result<String> {
    let file = File::open(path)?;
    check_own(&file)?;
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(unix)]
fn check_own(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match file.metadata()?.permissions().mode() & 0o022 {
        0 => Ok(()),
        _ => Err(std::io::Error::other(
            "others may write to it: `chmod 600` it, and look at what it says",
        )),
    }
}

#[cfg(not(unix))]
fn check_own(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// Held until it is dropped. The file itself is replaced, so that another one is locked.
fn lock(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let file = private().create(true).truncate(false).open(beside(path, ".lock"))?;
    file.lock()?;
    Ok(file)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let part = beside(path, ".new");
    let mut file = private().create(true).truncate(true).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(part, path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn beside(path: &Path, end: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn refuse(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::InvalidInput(format!("the file of known peers {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crosspeer::Fingerprint;

    #[test]
    fn changes_of_many_at_once_are_all_kept_and_a_file_of_others_is_not_believed() {
        let folder = std::env::temp_dir().join(format!("crosspeer-known-{}", uuid::Uuid::new_v4().simple()));
        let path = folder.join("sub/known");
        assert_eq!(load_known_peers(&path), Ok(KnownPeers::default()));
        let add = |number: u8| {
            let id = Fingerprint::new([number; 32]).uuid();
            update_known_peers(&path, |known| known.remember(format!("p{number}").parse()?, id, false))
        };
        std::thread::scope(|scope| {
            (0..16).for_each(|number| drop(scope.spawn(move || add(number).unwrap())));
        });
        let known = load_known_peers(&path).unwrap();
        assert_eq!(known.iter().count(), 16);
        assert!(
            add(0).is_ok() && update_known_peers(&path, |_| Err::<(), _>(Error::InvalidInput("no".into()))).is_err()
        );
        assert_eq!(load_known_peers(&path).unwrap(), known);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o660)).unwrap();
            let refused = load_known_peers(&path).unwrap_err().to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
