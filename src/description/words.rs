//! What only our own kind understands, agreed upon in one line of the SDP.

/// Bytes of the longest line that is read or written. An SDP is a few KiB and a relay message at most 1 MiB.
pub const MAX_LINE_BYTES: usize = 1024;

const PREFIX: &str = "a=x-crosspeer:";

/// The version we write. A later one may add words; it may not change what a word means.
const VERSION: &str = "1";

/// The words of the session-level attribute line `a=x-crosspeer:1 word key=value …`, which aiortc and browsers ignore.
///
/// What a word stands for is used only after both sides have said it. Words that are not known mean nothing. The line
/// of a later version is read like version 1: it lists words too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words(
    /// By key.
    Vec<(String, Option<String>)>,
);

impl Words {
    /// No words; to be told apart from not being our kind, which is `None` of [`Words::parse`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The words of an SDP, or `None` if it is not of our kind: it has no such line before its first media section,
    /// or one that has no version number or is longer than [`MAX_LINE_BYTES`]. A word said twice counts once, the first
    /// time.
    pub fn parse(sdp: &str) -> Option<Self> {
        let line = words_line(sdp)?;
        let mut parts = line.strip_prefix(PREFIX)?.split_ascii_whitespace();
        u32::try_from(parts.next()?.parse::<u64>().ok()?).ok()?;
        let mut words = Self::new();
        for part in parts.filter(|part| is_word(part)) {
            let (key, value) = split(part);
            if let Err(at) = words.find(key) {
                words.0.insert(at, (key.to_owned(), value.map(str::to_owned)));
            }
        }
        Some(words)
    }

    /// Whether `word` was said, alone or with a value.
    pub fn contains(&self, word: &str) -> bool {
        self.find(word).is_ok()
    }

    /// The value of `key=value`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0[self.find(key).ok()?].1.as_deref()
    }

    /// Says `word`, or `key=value` in place of what was said of that key. What cannot stand in the line (empty, not
    /// printable ASCII, with spaces, too long beside the others) is left out; returns whether it is in.
    pub fn insert(&mut self, word: &str) -> bool {
        let (key, value) = split(word);
        if !is_word(word) {
            return false;
        }
        let before = self.clone();
        let entry = (key.to_owned(), value.map(str::to_owned));
        match self.find(key) {
            Ok(at) => self.0[at] = entry,
            Err(at) => self.0.insert(at, entry),
        }
        if self.to_line().len() <= MAX_LINE_BYTES {
            return true;
        }
        *self = before;
        false
    }

    /// The whole line, without its line end.
    pub fn to_line(&self) -> String {
        let mut line = format!("{PREFIX}{VERSION}");
        for (key, value) in &self.0 {
            line.push(' ');
            line.push_str(key);
            if let Some(value) = value {
                line.push('=');
                line.push_str(value);
            }
        }
        line
    }

    /// Where a key is, or belongs.
    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(key))
    }
}

impl<S: AsRef<str>> FromIterator<S> for Words {
    fn from_iter<I: IntoIterator<Item = S>>(words: I) -> Self {
        let mut all = Self::new();
        for word in words {
            all.insert(word.as_ref());
        }
        all
    }
}

/// The line of words of an SDP, if it has one that counts.
pub(crate) fn words_line(sdp: &str) -> Option<&str> {
    let lines = super::lines::session_lines(sdp).into_iter();
    let line = lines.into_iter().find(|line| is_words_line(line))?;
    (line.len() <= MAX_LINE_BYTES).then_some(line)
}

pub(super) fn is_words_line(line: &str) -> bool {
    line.starts_with(PREFIX)
}

fn split(word: &str) -> (&str, Option<&str>) {
    match word.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (word, None),
    }
}

fn is_word(word: &str) -> bool {
    !split(word).0.is_empty() && word.bytes().all(|b| b.is_ascii_graphic())
}
