//! Names that peers send, made safe for any file system.
//!
//! What could lead out of the folder is an error; what merely cannot be stored everywhere is mended.

use crate::printable::is_unprintable;

/// Bytes of one component at most: the limit of ext4, APFS and NTFS alike (of its UTF-16 form there).
const MAX_COMPONENT: usize = 255;
const MAX_PATH: usize = 4096;
const MAX_DEPTH: usize = 64;
/// An extension longer than this is not one, and is cut like the rest.
const MAX_EXTENSION: usize = 32;

/// Why a name cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing, or nothing between two slashes.
    #[error("the name, or a part of its path, is empty")]
    Empty,
    /// `/etc/passwd`, `C:\x`.
    #[error("the name is an absolute path")]
    Absolute,
    /// `.` or `..`.
    #[error("the name contains `.` or `..` as a part of its path")]
    Relative,
    /// Over 4096 bytes, or 64 folders deep.
    #[error("the name is too long or too deep")]
    TooLong,
}

/// A relative path, with `/`, that is safe to create below a folder on any system.
///
/// Control characters, bidirectional overrides and what Windows forbids become `_`; Windows' device names get a `_` in
/// front; trailing dots and spaces go; components are cut to 255 bytes, keeping the extension. Different names may
/// become the same one, or already exist: see [`numbered`]. Links on the disk are the caller's to check.
///
/// # Errors
/// Empty, absolute, with `.` or `..`, or absurdly long.
pub fn sanitise(name: &str) -> Result<String, NameError> {
    if name.len() > MAX_PATH {
        return Err(NameError::TooLong);
    }
    if is_absolute(name) {
        return Err(NameError::Absolute);
    }
    if name.split(['/', '\\']).any(|part| matches!(part.trim(), "." | "..")) {
        return Err(NameError::Relative);
    }
    let parts = name.split('/').map(component).collect::<Result<Vec<_>, _>>()?;
    if parts.len() > MAX_DEPTH {
        return Err(NameError::TooLong);
    }
    Ok(parts.join("/"))
}

/// `folder/file.txt` as `folder/file (1).txt`, for when the first is taken. `path` must have been [`sanitise`]d.
pub fn numbered(path: &str, number: u32) -> String {
    let (folder, file) = match path.rfind('/') {
        Some(slash) => path.split_at(slash + 1),
        None => ("", path),
    };
    let (stem, extension) = split_extension(file);
    let suffix = format!(" ({number}){extension}");
    let stem = cut(stem, MAX_COMPONENT - suffix.len());
    format!("{folder}{stem}{suffix}")
}

fn is_absolute(name: &str) -> bool {
    let drive = |b: &[u8]| b.len() >= 3 && b[0].is_ascii_alphabetic() && b[1] == b':' && matches!(b[2], b'/' | b'\\');
    name.starts_with(['/', '\\']) || drive(name.as_bytes())
}

fn component(raw: &str) -> Result<String, NameError> {
    if raw.is_empty() {
        return Err(NameError::Empty);
    }
    let bad = |c| is_unprintable(c) || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '/');
    let mended: String = raw.chars().map(|c| if bad(c) { '_' } else { c }).collect();
    let mut name = shorten(trim(&mended));
    // With other spaces around it, too, it is read as this folder somewhere.
    if matches!(name.trim(), "" | "." | "..") || is_device(&name) {
        name.insert(0, '_');
        name = trim(&shorten(&name)).to_owned();
    }
    Ok(name)
}

fn trim(name: &str) -> &str {
    name.trim_end_matches(['.', ' '])
}

fn shorten(name: &str) -> String {
    if name.len() <= MAX_COMPONENT {
        return name.to_owned();
    }
    let (stem, extension) = split_extension(name);
    format!("{}{extension}", trim(cut(stem, MAX_COMPONENT - extension.len())))
}

/// `("file", ".txt")`; a leading dot begins no extension.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= MAX_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|&i| text.is_char_boundary(i));
    &text[..end.unwrap_or(0)]
}

/// Windows opens a device for these, whatever the extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        _ => ["COM", "LPT"].iter().any(|port| {
            let digit = stem.strip_prefix(port).unwrap_or_default();
            let mut digits = digit.chars();
            matches!(digits.next(), Some('0'..='9' | '¹' | '²' | '³')) && digits.next().is_none()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_folders_own_name_does_not_appear_by_mending() {
        let mended = sanitise(".\u{a0}.").unwrap();
        assert_eq!(mended, "_.\u{a0}");
        assert_eq!(sanitise(&mended).as_deref(), Ok(&*mended));
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in [
            "a",
            "a.txt",
            "a/b/c.tar.gz",
            ".hidden",
            "héllo ✓ 漢字.txt",
            "a..b",
            "COM10",
            "console.log",
            "-rf",
        ] {
            assert_eq!(sanitise(name).as_deref(), Ok(name));
        }
    }

    #[test]
    fn what_leads_out_of_the_folder_is_an_error() {
        for (name, error) in [
            ("", NameError::Empty),
            ("a//b", NameError::Empty),
            ("a/", NameError::Empty),
            ("/etc/passwd", NameError::Absolute),
            ("\\\\server\\share", NameError::Absolute),
            ("C:\\x", NameError::Absolute),
            ("c:/x", NameError::Absolute),
            ("..", NameError::Relative),
            (".", NameError::Relative),
            ("../x", NameError::Relative),
            ("a/../../x", NameError::Relative),
            ("a\\..\\..\\x", NameError::Relative),
            ("a/.. /x", NameError::Relative),
        ] {
            assert_eq!(sanitise(name), Err(error), "{name:?}");
        }
        assert_eq!(sanitise(&"a/".repeat(100)[..199]), Err(NameError::TooLong));
        assert_eq!(sanitise(&"a".repeat(5000)), Err(NameError::TooLong));
    }

    #[test]
    fn what_cannot_be_stored_everywhere_is_mended() {
        for (name, mended) in [
            ("a\0b", "a_b"),
            ("a\nb\u{1b}[2J", "a_b_[2J"),
            ("a\\b", "a_b"),
            ("C:x", "C_x"),
            ("what?*", "what__"),
            ("a. . ", "a"),
            ("...", "_"),
            (" ", "_"),
            ("nul", "_nul"),
            ("CON.txt", "_CON.txt"),
            ("lpt¹", "_lpt¹"),
            ("com0.tar.gz", "_com0.tar.gz"),
            ("exe\u{202e}txt.a", "exe_txt.a"),
        ] {
            assert_eq!(sanitise(name).as_deref(), Ok(mended), "{name:?}");
        }
    }

    #[test]
    fn long_names_are_cut_and_keep_their_extension() {
        let name = sanitise(&format!("{}.jpeg", "é".repeat(300))).unwrap();
        assert!(name.len() <= 255 && name.ends_with("é.jpeg"), "{name}");
    }

    #[test]
    fn a_taken_name_gets_a_number_before_its_extension() {
        assert_eq!(numbered("a/b.txt", 1), "a/b (1).txt");
        assert_eq!(numbered("b", 12), "b (12)");
        assert_eq!(numbered(".profile", 1), ".profile (1)");
        assert_eq!(numbered(&"x".repeat(255), 1).len(), 255);
    }

    proptest! {
        #[test]
        fn sanitised_names_never_escape(name in r#"([a-z.:\\/ \PC]|\.\.|NUL|\u{202e}|\x00){0,40}"#) {
            if let Ok(safe) = sanitise(&name) {
                for part in safe.split('/') {
                    prop_assert!(!part.is_empty() && part.len() <= 255);
                    prop_assert!(!part.ends_with(['.', ' ']) && !is_device(part));
                    let forbidden = ['\\', ':', '\0', '\u{202e}'];
                    prop_assert!(!part.contains(forbidden));
                }
                prop_assert_eq!(sanitise(&safe), Ok(safe.clone()), "safe names stay");
                prop_assert_eq!(sanitise(&numbered(&safe, 3)), Ok(numbered(&safe, 3)));
            }
        }
    }
}
