//! What a user sends and receives: one whole message.

use bytes::Bytes;

/// One message between two peers: bytes or text, as ProxyStore's `bytes` and `str`.
///
/// The kind is kept: what was sent as text arrives as text. Either may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// Arbitrary bytes.
    Bytes(Bytes),
    /// Unicode text.
    Text(String),
}

impl Message {
    /// The size in bytes; for text, of its UTF-8 form.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content as bytes; for text, its UTF-8 form.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }

    /// What it costs to keep, in bytes: an empty message is not free.
    pub(crate) fn weight(&self) -> usize {
        self.len() + 64
    }

    /// The text, or `None` for bytes.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Bytes(_) => None,
            Self::Text(text) => Some(text),
        }
    }

    /// The content as bytes without a copy; for text, its UTF-8 form.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.into(),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}
