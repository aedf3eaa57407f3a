//! Identities that are kept: made, read, and in files that nobody else can read.

use crate::rtc::Certificate;
use crosspeer::{Error, Fingerprint, Identity, Result};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// Bytes of the longest identity file; ours have some 800.
const MAX_FILE: u64 = 64 << 10;

/// A new identity: a certificate and its private key.
///
/// # Errors
/// [`Error::Platform`] where no key can be made.
pub fn generate_identity() -> Result<Identity> {
    Certificate::generate()?.identity()
}

/// The fingerprint of an identity's certificate; [`Fingerprint::uuid`] is the id of the peer that has it.
///
/// # Errors
/// [`Error::InvalidInput`] for what is no identity.
pub fn fingerprint_of(identity: &Identity) -> Result<Fingerprint> {
    Ok(Certificate::read(identity)?.fingerprint)
}

/// The identity in a file, which is made with a new one where there is none. Only its owner may read the file.
///
/// # Errors
/// [`Error::InvalidInput`] for a file that others may read or that is no identity, or that cannot be read or made.
pub fn load_identity(path: impl AsRef<Path>) -> Result<Identity> {
    let path = path.as_ref();
    match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(refuse(path, &error.to_string())),
        Ok(text) => {
            let identity = Identity::from_pem(text);
            fingerprint_of(&identity).map_err(|error| refuse(path, &error.to_string()))?;
            return Ok(identity);
        }
    }
    let identity = generate_identity()?;
    match create(path, identity.as_pem()) {
        Ok(()) => Ok(identity),
        // Another program was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => load_identity(path),
        Err(error) => Err(refuse(path, &error.to_string())),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let file = File::open(path)?;
    check_private(&file)?;
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(unix)]
fn check_private(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match file.metadata()?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(std::io::Error::other(
            "others may read it, or write to it: `chmod 600` it, or make a new one if they may have",
        )),
    }
}

#[cfg(not(unix))]
fn check_private(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// The file appears whole, and never in place of another.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}", fresh_number()));
    let part = Path::new(&name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(part)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(part, path));
    std::fs::remove_file(part)?;
    written
}

fn fresh_number() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1
}

fn refuse(path: &Path, why: &str) -> Error {
    Error::InvalidInput(format!("the identity file {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("crosspeer-identity-{name}-{:016x}", fresh_number()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn an_identity_survives_its_file_which_only_its_owner_may_read() {
        let folder = folder("kept");
        let path = folder.join("sub/id.pem");
        let made = load_identity(&path).unwrap();
        assert_eq!(load_identity(&path).unwrap(), made);
        assert_eq!(fingerprint_of(&made).unwrap().uuid().get_version_num(), 8);
        assert_eq!(
            std::fs::read_dir(folder.join("sub")).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
            let refused = load_identity(&path).unwrap_err().to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_identity_is_refused_and_kept() {
        let folder = folder("bad");
        let path = folder.join("id.pem");
        let good = generate_identity().unwrap();
        let half = good
            .as_pem()
            .split_inclusive("-----END PRIVATE KEY-----\n")
            .next()
            .unwrap();
        for text in [
            "",
            "nonsense",
            half,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            create(&path, text).unwrap();
            assert!(load_identity(&path).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn two_programs_that_make_one_at_once_have_the_same() {
        let folder = folder("race");
        let path = folder.join("id.pem");
        let load = || fingerprint_of(&load_identity(&path).unwrap()).unwrap();
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| *one == all[0]));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
