//! The three JSON messages of the relay.

use super::wire::{DecodeError, Envelope, Frame, Object};
use crate::{IceServer, json};
use std::time::Duration;
use uuid::Uuid;

/// URLs in an [`IceServers`]; further ones do not count.
const MAX_URLS: usize = 8;
/// Bytes of each text in an [`IceServers`].
const MAX_TEXT: usize = 512;

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

/// `ice_servers`: STUN and TURN servers for a client that has asked for them, with credentials that end. Not ProxyStore's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServers {
    /// The servers, all with the same credentials.
    pub server: IceServer,
    /// How long the credentials can be used from now on, in whole seconds.
    pub lifetime: Duration,
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
    /// Relay to a client that has asked for it.
    IceServers(IceServers),
}

impl RelayMessage {
    /// The JSON text, byte for byte as ProxyStore's encoder writes it.
    pub fn encode(&self) -> String {
        match self {
            Self::Registration(message) => message.encode(),
            Self::Response(message) => message.encode(),
            Self::PeerConnection(message) => message.encode(),
            Self::IceServers(message) => message.encode(),
        }
    }

    /// Reads a JSON text as ProxyStore's decoder does: a message type, exactly its fields, UUIDs in any of Python's forms.
    ///
    /// Python does not check the types of other values; where they are not what is expected, `null` becomes the empty
    /// string and anything else its JSON text. Not taken, unlike Python: `NaN`, `Infinity`, a `description_type` other
    /// than `offer` and `answer`.
    ///
    /// # Errors
    /// [`DecodeError`] says what is missing, unknown or malformed.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        Ok(match Frame::read(text)? {
            Frame::Registration { name, uuid } => Self::Registration(Registration {
                name: name.text(),
                uuid,
            }),
            Frame::Response {
                success,
                message,
                error,
            } => Self::Response(Response {
                success: success.is_none_or(|value| value.is_truthy()),
                message: message.filter(|value| !value.is_null()).map(|value| value.text()),
                error: error.is_some_and(|value| value.is_truthy()),
            }),
            Frame::PeerConnection(envelope) => Self::PeerConnection(PeerConnectionMessage::read(&envelope)?),
            Frame::IceServers {
                urls,
                username,
                credential,
                lifetime,
            } => Self::IceServers(IceServers::read(
                [urls, username, credential].map(|value| value.text()),
                &lifetime.text(),
            )?),
        })
    }
}

impl Registration {
    fn encode(&self) -> String {
        let mut out = Object::with_capacity(128);
        out.string("name", &self.name);
        out.uuid("uuid", self.uuid);
        out.finish("relay_registration")
    }
}

impl Response {
    fn encode(&self) -> String {
        let mut out = Object::with_capacity(128);
        out.bool("success", self.success);
        out.optional_string("message", self.message.as_deref());
        out.bool("error", self.error);
        out.finish("relay_response")
    }
}

impl PeerConnectionMessage {
    fn encode(&self) -> String {
        let mut out = Object::with_capacity(320 + self.description.len());
        out.uuid("source_uuid", self.source_uuid);
        out.string("source_name", &self.source_name);
        out.uuid("peer_uuid", self.peer_uuid);
        out.string("description_type", self.description_type.as_str());
        out.string("description", &self.description);
        out.optional_string("error", self.error.as_deref());
        out.finish("peer_connection")
    }

    fn read(envelope: &Envelope<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            source_uuid: envelope.source_uuid,
            source_name: envelope.source_name.text(),
            peer_uuid: envelope.peer_uuid,
            description_type: DescriptionType::read(&envelope.description_type.text())?,
            description: envelope.description.text(),
            error: envelope
                .error
                .filter(|value| !value.is_null())
                .map(|value| value.text()),
        })
    }
}

impl IceServers {
    fn encode(&self) -> String {
        let mut out = Object::with_capacity(320);
        out.string("urls", &self.server.urls.join(" "));
        out.string("username", &self.server.username);
        out.string("credential", &self.server.credential);
        out.raw("lifetime", &self.lifetime.as_secs().to_string());
        out.finish("ice_servers")
    }

    fn read([urls, username, credential]: [String; 3], lifetime: &str) -> Result<Self, DecodeError> {
        let seconds: u32 = lifetime
            .parse()
            .map_err(|_| DecodeError("lifetime is not a number of seconds".into()))?;
        if urls.len() > MAX_URLS * MAX_TEXT || username.len() > MAX_TEXT || credential.len() > MAX_TEXT {
            return Err(DecodeError("ice_servers are too long".into()));
        }
        let known = |url: &&str| {
            ["stun:", "turn:", "turns:"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
        };
        let urls = urls.split(' ').filter(known).take(MAX_URLS).map(str::to_owned);
        let mut server = IceServer::default().with_credentials(username, credential);
        server.urls = urls.collect();
        Ok(Self {
            server,
            lifetime: Duration::from_secs(seconds.into()),
        })
    }
}

impl DescriptionType {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
        }
    }

    fn read(text: &str) -> Result<Self, DecodeError> {
        match text {
            "offer" => Ok(Self::Offer),
            "answer" => Ok(Self::Answer),
            other => Err(DecodeError(format!("unknown description_type {}", json::string(other)))),
        }
    }
}

#[cfg(test)]
mod tests;
