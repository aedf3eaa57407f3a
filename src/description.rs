//! Session descriptions as ProxyStore's peers exchange them, and what we change in their SDP.
//!
//! A description is aiortc's JSON text (`object_to_string`), which travels as a string inside a relay message:
//! `{"sdp": "v=0\r\n…", "type": "offer"}`.
//!
//! The SDP itself is the engine's. Before it leaves, [`prepare_local`] mends what keeps peers from connecting and
//! lists what our own kind understands ([`Words`]); [`prepare_remote`] mends what comes.

use crate::platform::{SdpType, SessionDescription};
use serde::Deserialize;
use serde_json::Value;

mod sdp;
#[cfg(test)]
mod tests;
mod words;

pub use sdp::{
    DEFAULT_MAX_MESSAGE_SIZE, MAX_MESSAGE_SIZE, candidates, has_data_section, ice_ufrag, max_message_size,
    prepare_local, prepare_remote, without_mdns_candidates,
};
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
    Bye,
}

/// Why a text is not a description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// It is no JSON object of strings.
    #[error("a description is not as aiortc writes it: {0}")]
    Malformed(String),
    /// A key is missing.
    #[error("a description of type {of:?} has no {key:?}")]
    Missing {
        /// Its type.
        of: &'static str,
        /// The key.
        key: &'static str,
    },
    /// Its type is not offer, answer, candidate or bye.
    #[error("a description of type {0:?} is not understood")]
    UnknownType(String),
    /// A candidate does not begin with `candidate:`, or has more than one line.
    #[error("a candidate is malformed: {0:?}")]
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
                format!(r#"{{"sdp": {}, "type": "{name}"}}"#, crate::json::string(sdp))
            }
            // The label is the media section's index; a data connection has one section.
            Self::Candidate { candidate, mid } => format!(
                r#"{{"candidate": {}, "id": {}, "label": 0, "type": "candidate"}}"#,
                crate::json::string(candidate),
                crate::json::string(mid)
            ),
            Self::Bye => r#"{"type": "bye"}"#.to_owned(),
        }
    }

    /// Reads a JSON text. Further keys are ignored, where a Python peer's process would end.
    ///
    /// # Errors
    /// [`DescriptionError`] says what is wrong with it; long values are cut.
    pub fn decode(text: &str) -> Result<Self, DescriptionError> {
        let raw: Raw = serde_json::from_str(text).map_err(|e| DescriptionError::Malformed(shorten(&e.to_string())))?;
        match raw.kind.as_str() {
            "offer" => raw.session("offer", SdpType::Offer),
            "answer" => raw.session("answer", SdpType::Answer),
            "candidate" => raw.candidate(),
            "bye" => Ok(Self::Bye),
            other => Err(DescriptionError::UnknownType(shorten(other))),
        }
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type")]
    kind: String,
    sdp: Option<String>,
    candidate: Option<String>,
    /// The media section's mid.
    #[serde(default)]
    id: Value,
    /// Its index.
    #[serde(default)]
    label: Value,
}

impl Raw {
    fn session(self, of: &'static str, sdp_type: SdpType) -> Result<Description, DescriptionError> {
        let sdp = self.sdp.ok_or(DescriptionError::Missing { of, key: "sdp" })?;
        Ok(Description::Session(SessionDescription { sdp_type, sdp }))
    }

    fn candidate(self) -> Result<Description, DescriptionError> {
        let of = "candidate";
        let line = self
            .candidate
            .ok_or(DescriptionError::Missing { of, key: "candidate" })?;
        let candidate = line.strip_prefix("a=").unwrap_or(&line).trim_end();
        if !candidate.starts_with("candidate:") || candidate.contains(char::is_control) {
            return Err(DescriptionError::BadCandidate(shorten(&line)));
        }
        let mid = self
            .id
            .as_str()
            .map(str::to_owned)
            .or_else(|| self.label.as_u64().map(|index| index.to_string()));
        Ok(Description::Candidate {
            candidate: candidate.to_owned(),
            mid: mid.unwrap_or_else(|| "0".to_owned()),
        })
    }
}

/// The beginning of what a peer wrote, so that it cannot fill a log.
fn shorten(text: &str) -> String {
    text[..text.floor_char_boundary(100)].to_owned()
}
