//! Session descriptions as ProxyStore's peers exchange them, and what we change in their SDP.
//!
//! A description is aiortc's JSON text (`object_to_string`), which travels as a string inside a relay message:
//! `{"sdp": "v=0\r\n…", "type": "offer"}`.
//!
//! The SDP itself is the engine's. Before it leaves, [`prepare_local`] mends what keeps peers from connecting and
//! lists what our own kind understands ([`Words`]); [`prepare_remote`] mends what comes.

use crate::json::{self, Members};
use crate::platform::{SdpType, SessionDescription};

mod candidate;
mod lines;
mod sdp;
#[cfg(test)]
mod tests;
mod words;

pub use candidate::is_usable_candidate;
pub use sdp::{
    DEFAULT_MAX_MESSAGE_SIZE, MAX_MESSAGE_SIZE, candidates, has_data_section, ice_ufrag, max_message_size,
    prepare_local, prepare_remote, split_mdns_candidates,
};
pub(crate) use words::words_line;
pub use words::{MAX_LINE_BYTES, Words};

/// What the `description` of a relay message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Description {
    /// An offer or an answer.
    Session(SessionDescription),
    /// A candidate apart from its description. ProxyStore takes it after its answer, and never sends one.
    Candidate {
        /// `candidate:…`, without `a=`. Never empty: that would end a Python peer's process.
        candidate: String,
        /// The `a=mid` of its media section.
        mid: String,
    },
    /// The sender is leaving. It would end a Python peer's process, so it is not sent there.
    Withdraw,
}

/// Why a text is not a description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// It is no JSON object of strings.
    #[error("a description is not as aiortc writes it: {0}")]
    Malformed(String),
    /// A key is missing.
    #[error("a description of type `{of}` has no `{key}`")]
    Missing {
        /// Its type.
        of: &'static str,
        /// The key.
        key: &'static str,
    },
    /// Its type is not offer, answer, candidate or bye.
    #[error("a description of type {} is not understood", excerpt(.0))]
    UnknownType(String),
    /// A candidate does not begin with `candidate:`, or has more than one line.
    #[error("a candidate is malformed: {}", excerpt(.0))]
    BadCandidate(String),
}

impl Description {
    /// The JSON text, byte for byte as aiortc writes it.
    pub fn encode(&self) -> String {
        match self {
            Self::Session(SessionDescription { sdp_type, sdp }) => {
                let name = match sdp_type {
                    SdpType::Offer => "offer",
                    SdpType::Answer => "answer",
                };
                format!(r#"{{"sdp": {}, "type": "{name}"}}"#, json::string(sdp))
            }
            // The label is the media section's index; a data connection has one section.
            Self::Candidate { candidate, mid } => format!(
                r#"{{"candidate": {}, "id": {}, "label": 0, "type": "candidate"}}"#,
                json::string(candidate),
                json::string(mid)
            ),
            Self::Withdraw => r#"{"type": "bye"}"#.to_owned(),
        }
    }

    /// Reads a JSON text. Further keys are ignored, where a Python peer's process would end.
    ///
    /// # Errors
    /// [`DescriptionError`] says what is wrong with it; long values are cut.
    pub fn decode(text: &str) -> Result<Self, DescriptionError> {
        let mut members = Members::read(text).map_err(|e| DescriptionError::Malformed(e.to_string()))?;
        let Some(kind) = string(&mut members, "type")? else {
            return Err(DescriptionError::Malformed("`type` is missing".into()));
        };
        match kind.as_str() {
            "offer" => session(members, "offer", SdpType::Offer),
            "answer" => session(members, "answer", SdpType::Answer),
            "candidate" => candidate(members),
            "bye" => Ok(Self::Withdraw),
            other => Err(DescriptionError::UnknownType(shorten(other))),
        }
    }
}

/// A member that is a string, missing or `null`.
fn string(members: &mut Members<'_>, key: &str) -> Result<Option<String>, DescriptionError> {
    match members.take(key) {
        None | Some("null") => Ok(None),
        Some(value) => match json::text(value) {
            Some(text) => Ok(Some(text)),
            None => Err(DescriptionError::Malformed(format!("`{key}` is not a string"))),
        },
    }
}

fn session(mut members: Members<'_>, of: &'static str, sdp_type: SdpType) -> Result<Description, DescriptionError> {
    let sdp = string(&mut members, "sdp")?.ok_or(DescriptionError::Missing { of, key: "sdp" })?;
    Ok(Description::Session(SessionDescription { sdp_type, sdp }))
}

fn candidate(mut members: Members<'_>) -> Result<Description, DescriptionError> {
    let (of, key) = ("candidate", "candidate");
    let line = string(&mut members, key)?.ok_or(DescriptionError::Missing { of, key })?;
    let candidate = line.strip_prefix("a=").unwrap_or(&line).trim_end();
    if !candidate.starts_with("candidate:") || candidate.contains(char::is_control) {
        return Err(DescriptionError::BadCandidate(shorten(&line)));
    }
    // The media section's mid, or its index.
    let id = members.take("id").and_then(json::text);
    let label = members.take("label").and_then(|label| label.parse::<u64>().ok());
    Ok(Description::Candidate {
        candidate: candidate.to_owned(),
        mid: id.unwrap_or_else(|| label.unwrap_or(0).to_string()),
    })
}

/// The beginning of what a peer wrote, so that it cannot fill a log.
fn shorten(text: &str) -> String {
    let mut short = text.to_owned();
    short.truncate(short.floor_char_boundary(100));
    short
}

/// What a peer wrote, as it may stand in a log.
pub(crate) fn excerpt(text: &str) -> String {
    let mut quoted = json::string(text);
    quoted.truncate(100);
    quoted
}
