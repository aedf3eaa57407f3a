//! Names on the disk, and what visitors call them: the same, except that a byte that is not UTF-8 becomes `\xFF`.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

/// What visitors call this name; `None` where it cannot be told in text.
#[cfg(unix)]
pub(super) fn shown(name: &OsStr) -> Option<String> {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        let valid = chunk.valid();
        for (at, c) in valid.char_indices() {
            // What looks like such a byte, and is none, is told apart.
            match c == '\\' && escaped_byte(&valid.as_bytes()[at..]).is_some() {
                true => text.push_str("\\x5C"),
                false => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02X}"); // to a string: cannot fail
        }
    }
    Some(text)
}

/// What visitors call this name; `None` where it cannot be told in text.
#[cfg(not(unix))]
pub(super) fn shown(name: &OsStr) -> Option<String> {
    name.to_str().map(str::to_owned)
}

/// The path that visitors call this, with `/`; no part of it is empty, `.` or `..`, or holds a separator.
#[cfg(unix)]
pub(super) fn on_disk(path: &str) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let mut found = PathBuf::new();
    for part in path.split('/') {
        let name = unescape(part.as_bytes());
        if matches!(&name[..], b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(io::ErrorKind::NotFound.into());
        }
        found.push(OsStr::from_bytes(&name));
    }
    Ok(found)
}

/// The path that visitors call this, with `/`; no part of it is empty, `.` or `..`, or holds a separator.
#[cfg(not(unix))]
pub(super) fn on_disk(path: &str) -> io::Result<PathBuf> {
    let wrong = |part: &str| matches!(part, "" | "." | "..") || part.contains(['\\', ':', '\0']);
    match path.split('/').any(wrong) {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(path.split('/').collect()),
    }
}

#[cfg(unix)]
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let escaped = escaped_byte(&text[at..]);
        bytes.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 4 } else { 1 };
    }
    bytes
}

/// The byte of a `\xFF` at the beginning.
#[cfg(unix)]
fn escaped_byte(text: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = text else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn every_name_is_shown_as_text_and_found_by_it() {
        for (name, text) in [
            (&b"plain \xc3\xbc.txt"[..], "plain ü.txt"),
            (b"a\\b", "a\\b"),
            (b"caf\xe9.txt", "caf\\xE9.txt"),
            (b"\\xE9", "\\x5CxE9"),
            (b"\\\xff\\x", "\\\\xFF\\x"),
            (b"\\x4\xff", "\\x4\\xFF"),
            (b"\xe2\x82", "\\xE2\\x82"),
        ] {
            let name = OsStr::from_bytes(name);
            assert_eq!(shown(name).as_deref(), Some(text));
            assert_eq!(on_disk(text).unwrap(), name);
        }
    }

    #[test]
    fn nothing_leads_out_by_an_escape() {
        for path in ["", "a//b", "..", "a/\\x2E\\x2e", "\\x2e", "a\\x2Fb", "\\x00", "/a"] {
            assert!(on_disk(path).is_err(), "{path}");
        }
        assert_eq!(on_disk("a/b..c").unwrap(), PathBuf::from("a/b..c"));
    }
}
