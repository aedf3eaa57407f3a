//! What others write, made fit for a line on a screen and in a log. Errors are built with it, so that whoever shows one
//! need not think of it.

/// Bytes of what somebody else wrote that go into an error; a close reason has 123.
const MAX_REASON: usize = 300;

/// A name or another text for one line on a screen: control characters, line breaks among them, and those that reorder or
/// hide text become `U+FFFD`.
pub fn printable(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// The same of a reason that a peer or relay gives, which is not long.
pub(crate) fn reason(text: &str) -> String {
    printable(&text[..text.floor_char_boundary(MAX_REASON)])
}

/// The character, or what stands for it on a screen.
pub(crate) fn shown(c: char) -> char {
    if is_unprintable(c) { '\u{fffd}' } else { c }
}

/// Control characters, and those that reorder or hide text on a screen.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_without_escapes_and_short() {
        let hostile = "\u{1b}]52;c;ZXZpbA==\u{7}\r\nERROR forged\u{202e}".to_owned() + &"é".repeat(1000);
        let shown = reason(&hostile);
        assert!(!shown.chars().any(is_unprintable), "{shown}");
        assert!(shown.starts_with("\u{fffd}]52;") && shown.len() <= 3 * MAX_REASON);
    }
}
