//! Reading JSON objects whose values are mostly passed on as they came.
//!
//! By hand, since it is all the JSON that the connection code reads: with numbers and generic visitors a JSON library is
//! an eighth of what a page downloads. It takes exactly RFC 8259's grammar. Nesting costs no stack.

/// Where a text stops being a JSON object, in bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unexpected text, or its end, at byte {0}")]
pub(crate) struct Unexpected(usize);

/// The members of an object that have not been taken yet. The last of a repeated key counts.
#[derive(Debug)]
pub(crate) struct Members<'a>(Vec<(String, &'a str)>);

impl<'a> Members<'a> {
    /// Reads a text that is one object and nothing else.
    pub(crate) fn read(text: &'a str) -> Result<Self, Unexpected> {
        let mut reader = Reader { text, at: 0 };
        match reader.object() {
            Some(members) if reader.peek().is_none() => Ok(Self(members)),
            _ => Err(Unexpected(reader.at)),
        }
    }

    /// A member's value, as it was written.
    pub(crate) fn take(&mut self, key: &str) -> Option<&'a str> {
        let value = self.0.iter().rfind(|(other, _)| other == key)?.1;
        self.0.retain(|(other, _)| other != key);
        Some(value)
    }

    /// The key of a member that is left.
    pub(crate) fn left(&self) -> Option<&str> {
        self.0.first().map(|(key, _)| key.as_str())
    }
}

/// The text of a value that [`Members`] gave, if it is a string; `None` for any other, and for a string that is not Unicode (a lone surrogate).
pub(crate) fn text(value: &str) -> Option<String> {
    let mut rest = value.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::with_capacity(rest.len());
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        rest = unescape(&mut out, escape)?;
    }
    out.push_str(rest);
    Some(out)
}

/// Takes what follows a backslash; the text after it.
fn unescape<'a>(out: &mut String, escape: &'a str) -> Option<&'a str> {
    let (&kind, mut rest) = (escape.as_bytes().first()?, escape.get(1..)?);
    out.push(match kind {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let mut units = vec![unit(&mut rest)?];
            if (0xd800..0xdc00).contains(&units[0]) {
                rest = rest.strip_prefix("\\u")?;
                units.push(unit(&mut rest)?);
            }
            char::decode_utf16(units).next()?.ok()?
        }
        same => char::from(same),
    });
    Some(rest)
}

/// Four hexadecimal digits.
fn unit(rest: &mut &str) -> Option<u16> {
    let (digits, after) = rest.split_at_checked(4)?;
    *rest = after;
    u16::from_str_radix(digits, 16).ok()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn object(&mut self) -> Option<Vec<(String, &'a str)>> {
        let mut members = Vec::new();
        self.eat(b'{')?;
        if self.eat(b'}').is_some() {
            return Some(members);
        }
        loop {
            let key = text(self.key()?)?;
            members.push((key, self.value()?));
            if self.eat(b',').is_none() {
                self.eat(b'}')?;
                return Some(members);
            }
        }
    }

    /// A key with the colon after it.
    fn key(&mut self) -> Option<&'a str> {
        self.peek()?;
        let start = self.at;
        self.string()?;
        let key = self.text.get(start..self.at)?;
        self.eat(b':')?;
        Some(key)
    }

    /// Steps over any value.
    fn value(&mut self) -> Option<&'a str> {
        self.peek()?;
        let start = self.at;
        let mut open = Vec::new();
        loop {
            match self.peek()? {
                b'{' => {
                    self.at += 1;
                    if self.eat(b'}').is_none() {
                        self.key()?;
                        open.push(b'}');
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    if self.eat(b']').is_none() {
                        open.push(b']');
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.number()?,
            }
            // That was a value: what follows it belongs to what it is in.
            while let Some(&close) = open.last() {
                if self.eat(b',').is_some() {
                    if close == b'}' {
                        self.key()?;
                    }
                    break;
                }
                self.eat(close)?;
                open.pop();
            }
            if open.is_empty() {
                return self.text.get(start..self.at);
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.byte(b'"')?;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let mut special = rest
                .iter()
                .enumerate()
                .skip_while(|(_, byte)| !matches!(byte, b'"' | b'\\' | 0..b' '));
            let (plain, byte) = special.next()?;
            self.at += plain + 1;
            match byte {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let kind = self.next()?;
        self.at += 1;
        match kind {
            b'u' => (0..4).try_for_each(|_| self.one(|b| b.is_ascii_hexdigit())),
            _ => b"\"\\/bfnrt".contains(&kind).then_some(()),
        }
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.byte(b'-');
        if self.byte(b'0').is_none() {
            self.digits()?;
        }
        if self.byte(b'.').is_some() {
            self.digits()?;
        }
        if self.one(|b| b == b'e' || b == b'E').is_some() {
            let _ = self.one(|b| b == b'+' || b == b'-');
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        self.one(|b| b.is_ascii_digit())?;
        while self.one(|b| b.is_ascii_digit()).is_some() {}
        Some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        word.bytes().try_for_each(|byte| self.byte(byte))
    }

    /// The next byte beyond white space, which is stepped over.
    fn peek(&mut self) -> Option<u8> {
        while self.one(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).is_some() {}
        self.next()
    }

    /// Steps over this byte, and white space before it.
    fn eat(&mut self, byte: u8) -> Option<()> {
        self.peek();
        self.byte(byte)
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        self.one(|b| b == byte)
    }

    fn one(&mut self, is_it: impl Fn(u8) -> bool) -> Option<()> {
        is_it(self.next()?).then(|| self.at += 1)
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{is_canonical, string};
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn agrees(json: &str) -> Result<(), TestCaseError> {
        let theirs: Option<serde_json::Map<String, Value>> = serde_json::from_str(json).ok();
        match (Members::read(json), theirs) {
            (Ok(mut ours), Some(theirs)) => {
                for (key, value) in &theirs {
                    let raw = ours.take(key);
                    prop_assert_eq!(raw.and_then(|raw| serde_json::from_str(raw).ok()), Some(value.clone()));
                    prop_assert_eq!(raw.and_then(text), value.as_str().map(str::to_owned));
                }
                prop_assert_eq!(ours.left(), None);
            }
            // A library builds the values too, and finds what no string or number can hold.
            (ours, None) => prop_assert!(
                ours.is_err() || json.contains("\\u") || json.contains(['e', 'E']),
                "{json}"
            ),
            (Err(_), Some(_)) => prop_assert!(false, "{json}"),
        }
        Ok(())
    }

    #[test]
    fn the_grammar_is_that_of_json() {
        let values = "0 -0 1 01 1. .5 1.5 1.05e3 1e+ 1e-7 1E5 - + true tru nul null false \"\" \"a\" 'a' [] [,] [1,] [1 2] \
                      [1,[2,{}]] {} {,} {\"a\"} {\"a\":} {\"a\":1,} {\"a\":[1,{\"b\":null}]} {1:2} [} {] \"\\x\" \"\\u12\" \
                      \"\\u00e9\" \"\\ud83d\\ude00\" \"\\n\\\"\\\\\\/\\b\\f\\r\\t\" \"\u{1}\" NaN Infinity";
        for value in values.split(' ') {
            for json in [
                format!("{{\"k\":{value}}}"),
                format!(" {{ \"k\" : {value} , \"l\" : [ {value} ] }} "),
                format!("{{\"k\":{value}}}x"),
                value.to_owned(),
            ] {
                assert!(agrees(&json).is_ok(), "{json}");
            }
        }
    }

    #[test]
    fn a_lone_surrogate_is_no_text() {
        for lone in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#] {
            assert_eq!(text(lone), None, "{lone}");
            let json = format!("{{\"k\":{lone}}}");
            assert_eq!(Members::read(&json).ok().and_then(|mut m| m.take("k")), Some(lone));
        }
    }

    proptest! {
        #[test]
        fn a_json_library_agrees(
            json in "[ ]?\\{(\"[a-c\\\\nu0-9]{0,3}\":[-0-9.eE\\[\\]{}\",:truefalsnu ]{0,8},?){0,3}\\}"
        ) {
            agrees(&json)?;
        }

        #[test]
        fn a_json_library_agrees_on_long_strings(text in "[a-h \\\\\"\u{1}é]{0,3}[a-z ]{0,40}[a-h\\\\\"\u{1}é]{0,2}") {
            agrees(&format!("{{\"k\":\"{text}\"}}"))?;
        }

        #[test]
        fn any_text_survives(any: String) {
            prop_assert_eq!(text(&string(&any)), Some(any.clone()));
            prop_assert_eq!(text(&Value::from(any.clone()).to_string()), Some(any));
        }

        #[test]
        fn canonical_strings_would_be_written_as_they_are(json in r#""([a ~\x7f\té]|\\["\\/bfnrt]|\\u00e9|\\ud800){0,9}""#) {
            if is_canonical(&json) {
                prop_assert_eq!(text(&json).map(|text| string(&text)), Some(json));
            }
        }

        #[test]
        fn ascii_is_written_canonically(text in "[ -\\[\\]-~\\n\\t]{0,99}") {
            prop_assert!(is_canonical(&string(&text)));
        }
    }
}
