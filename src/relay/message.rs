//! The three JSON messages of the relay.

use uuid::Uuid;

/// Why a text is not a relay message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a relay message: {0}")]
pub struct DecodeError(pub String);

/// `relay_registration`: a client asks to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The name shown to other peers.
    pub name: String,
    /// Its id.
    pub uuid: Uuid,
}

/// `relay_response`: the relay's answer to a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Whether it was accepted.
    pub success: bool,
    /// What went wrong.
    pub message: Option<String>,
    /// Whether `message` is an error.
    pub error: bool,
}

/// What `description_type` says; the description's own type decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescriptionType {
    /// `"offer"`, also for a late candidate.
    Offer,
    /// `"answer"`.
    Answer,
}

/// `peer_connection`: a session description on its way to a peer, or back with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConnectionMessage {
    /// Who sent it.
    pub source_uuid: Uuid,
    /// The sender's name.
    pub source_name: String,
    /// For whom it is.
    pub peer_uuid: Uuid,
    /// What it says it is.
    pub description_type: DescriptionType,
    /// aiortc's JSON, as a string: see [`crate::description`].
    pub description: String,
    /// Set by the relay when it could not forward the message.
    pub error: Option<String>,
}

/// Any message of the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayMessage {
    /// Client to relay.
    Registration(Registration),
    /// Relay to client.
    Response(Response),
    /// Peer to peer, through the relay.
    PeerConnection(PeerConnectionMessage),
}

impl RelayMessage {
    /// The JSON text, byte for byte as ProxyStore's encoder writes it.
    pub fn encode(&self) -> String {
        todo!()
    }

    /// Reads a JSON text as ProxyStore's decoder does.
    ///
    /// # Errors
    /// [`DecodeError`] says what is missing, unknown or malformed.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        todo!("{text}")
    }
}
