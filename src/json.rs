//! The little JSON that the wire has: objects are read with their values as they came ([`Members`]), strings are written
//! as Python's `json.dumps` does.

mod read;

pub(crate) use read::{Members, text};

/// A JSON string in ASCII, with the escapes Python's encoder chooses.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let is_special = |c: char| !(' '..='~').contains(&c) || c == '"' || c == '\\';
    let mut rest = text;
    while let Some((plain, special)) = rest.find(is_special).and_then(|at| rest.split_at_checked(at)) {
        out.push_str(plain);
        let mut chars = special.chars();
        if let Some(c) = chars.next() {
            write_escape(out, c);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Whether [`write_string`] would write this JSON string as it is, seen at a glance: it may, too, where this is `false`.
pub(crate) fn is_canonical(json: &str) -> bool {
    let printable = |block: &[u8]| block.iter().fold(true, |all, byte| all & (b' '..=b'~').contains(byte));
    json.starts_with('"') && json.as_bytes().chunks(64).all(printable) && !json.contains("\\u") && !json.contains("\\/")
}

fn write_escape(out: &mut String, c: char) {
    let short = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(char::from(b"0123456789abcdef"[usize::from(*unit >> shift & 0xf)]));
                }
            }
            return;
        }
    };
    out.push_str(short);
}

/// [`write_string`] by itself.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16 + 2);
    write_string(&mut out, text);
    out
}
