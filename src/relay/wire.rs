//! The JSON under the relay's messages, read and written as Python's `json` does.
//!
//! A [`Frame`] is checked for its shape (type, fields, UUIDs) and nothing else: like ProxyStore's relay, it keeps values of
//! other types than expected as they came, so that the relay passes on what it need not understand.

use crate::json::{self, Members, write_string};
use uuid::Uuid;

/// Why a text is not a relay message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a relay message: {0}")]
pub struct DecodeError(pub String);

/// A relay message whose values are still the sender's JSON.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    Registration {
        name: Value<'a>,
        uuid: Uuid,
    },
    Response {
        success: Option<Value<'a>>,
        message: Option<Value<'a>>,
        error: Option<Value<'a>>,
    },
    PeerConnection(Envelope<'a>),
    IceServers {
        urls: Value<'a>,
        username: Value<'a>,
        credential: Value<'a>,
        lifetime: Value<'a>,
    },
}

/// `peer_connection`, as a relay sees it.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) source_uuid: Uuid,
    pub(super) source_name: Value<'a>,
    pub(super) peer_uuid: Uuid,
    pub(super) description_type: Value<'a>,
    pub(super) description: Value<'a>,
    pub(super) error: Option<Value<'a>>,
}

impl<'a> Frame<'a> {
    /// Reads a JSON text as ProxyStore's decoder does: exactly the fields of its type, in any order, the last of a
    /// repeated key; UUIDs as Python's `uuid.UUID` takes them. Python also takes `NaN` and `Infinity`, which are not JSON.
    pub(super) fn read(text: &'a str) -> Result<Self, DecodeError> {
        let mut fields = Fields::read(text)?;
        let frame = match fields.message_type()?.as_str() {
            "relay_registration" => Self::Registration {
                name: fields.take("name")?,
                uuid: fields.take_uuid("uuid")?,
            },
            "relay_response" => Self::Response {
                success: fields.take("success").ok(),
                message: fields.take("message").ok(),
                error: fields.take("error").ok(),
            },
            "peer_connection" => Self::PeerConnection(Envelope {
                source_uuid: fields.take_uuid("source_uuid")?,
                source_name: fields.take("source_name")?,
                peer_uuid: fields.take_uuid("peer_uuid")?,
                description_type: fields.take("description_type")?,
                description: fields.take("description")?,
                error: fields.take("error").ok(),
            }),
            "ice_servers" => Self::IceServers {
                urls: fields.take("urls")?,
                username: fields.take("username")?,
                credential: fields.take("credential")?,
                lifetime: fields.take("lifetime")?,
            },
            other => return Err(DecodeError(format!("unknown message_type {}", json::string(other)))),
        };
        fields.finish()?;
        Ok(frame)
    }
}

impl Envelope<'_> {
    /// The canonical text; `error` replaces the sender's.
    pub(super) fn encode(&self, error: Option<&str>) -> String {
        let mut out = Object::with_capacity(320 + self.description.0.len());
        out.uuid("source_uuid", self.source_uuid);
        out.value("source_name", Some(self.source_name));
        out.uuid("peer_uuid", self.peer_uuid);
        out.value("description_type", Some(self.description_type));
        out.value("description", Some(self.description));
        match error {
            Some(error) => out.string("error", error),
            None => out.value("error", self.error),
        }
        out.finish("peer_connection")
    }
}

/// One value of a message, as the sender wrote it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a>(&'a str);

impl Value<'_> {
    /// The text of a string; of anything else, and of a string that is not Unicode (a lone surrogate), its JSON.
    pub(super) fn text(self) -> String {
        match self.0 {
            "null" => String::new(),
            json => json::text(json).unwrap_or_else(|| json.to_owned()),
        }
    }

    pub(super) fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Whether Python takes it for true.
    pub(super) fn is_truthy(self) -> bool {
        !matches!(self.0, "false" | "null" | "0" | "-0" | "0.0" | "\"\"" | "[]" | "{}")
    }
}

/// The members of a JSON object that have not been taken yet.
struct Fields<'a>(Members<'a>);

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, DecodeError> {
        match Members::read(text) {
            Ok(fields) => Ok(Self(fields)),
            Err(error) => Err(DecodeError(format!("not a JSON object: {error}"))),
        }
    }

    fn message_type(&mut self) -> Result<String, DecodeError> {
        let value = self.take("message_type")?;
        json::text(value.0).ok_or_else(|| DecodeError("message_type is not a string".into()))
    }

    #[inline(never)] // used a dozen times
    fn take(&mut self, key: &str) -> Result<Value<'a>, DecodeError> {
        match self.0.take(key) {
            Some(value) => Ok(Value(value)),
            None => Err(DecodeError(format!("{key} is missing"))),
        }
    }

    fn take_uuid(&mut self, key: &str) -> Result<Uuid, DecodeError> {
        let value = self.take(key)?;
        json::text(value.0)
            .and_then(|text| parse_uuid(&text))
            .ok_or_else(|| DecodeError(format!("{key} is not a UUID")))
    }

    fn finish(self) -> Result<(), DecodeError> {
        match self.0.left() {
            Some(key) => Err(DecodeError(format!("unknown field {}", json::string(key)))),
            None => Ok(()),
        }
    }
}

/// A UUID as Python's `uuid.UUID(text)` takes it: in any case, with or without dashes, braces and `urn:uuid:`.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    let text = match text.as_bytes().contains(&b':') {
        true => without(&without(text, "urn:"), "uuid:"),
        false => text.to_owned(),
    };
    let digits: String = text.trim_matches(['{', '}']).chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Uuid::try_parse(&digits).ok()
}

/// As [`str::replace`] by nothing, whose search costs pages 2 kB.
fn without(mut text: &str, part: &str) -> String {
    let mut out = String::with_capacity(text.len());
    while let Some(c) = text.chars().next() {
        text = match text.strip_prefix(part) {
            Some(rest) => rest,
            None => {
                out.push(c);
                text.get(c.len_utf8()..).unwrap_or_default()
            }
        };
    }
    out
}

/// Writes one message as Python's `json.dumps` does, member by member.
pub(super) struct Object(String);

impl Object {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    pub(super) fn string(&mut self, key: &str, text: &str) {
        self.key(key);
        write_string(&mut self.0, text);
    }

    pub(super) fn optional_string(&mut self, key: &str, text: Option<&str>) {
        match text {
            Some(text) => self.string(key, text),
            None => self.raw(key, "null"),
        }
    }

    pub(super) fn uuid(&mut self, key: &str, uuid: Uuid) {
        self.string(key, &uuid.to_string());
    }

    pub(super) fn bool(&mut self, key: &str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    /// A value of another message: strings in canonical form, anything else as it came.
    fn value(&mut self, key: &str, value: Option<Value<'_>>) {
        let json = value.map_or("null", |value| value.0);
        if json::is_canonical(json) {
            return self.raw(key, json);
        }
        match json::text(json) {
            Some(text) => self.string(key, &text),
            None => self.raw(key, json),
        }
    }

    /// A value that is JSON already.
    pub(super) fn raw(&mut self, key: &str, json: &str) {
        self.key(key);
        self.0.push_str(json);
    }

    fn key(&mut self, key: &str) {
        self.0.push_str(if self.0.is_empty() { "{\"" } else { ", \"" });
        self.0.push_str(key);
        self.0.push_str("\": ");
    }

    pub(super) fn finish(mut self, message_type: &str) -> String {
        self.string("message_type", message_type);
        self.0.push('}');
        self.0
    }
}
