//! What a shared folder and its visitors say besides [transfers](super): who is there, what is in the folder, one file
//! please, a snippet of text.
//!
//! ```text
//!  visitor                                            owner of the folder
//!  {"crosspeer":"catalog/1","type":"hello","name":"Firefox","role":"page"} →
//!            ← {…,"type":"hello","name":"laptop","role":"folder","readonly":false}
//!            ← {…,"type":"peers","peers":[{"uuid":"…","name":"Chrome","role":"page"}]}       whenever they change
//!  {…,"type":"list","request":1,"path":"photos"} →
//!            ← {…,"type":"listing","request":1,"entries":[{"name":"a.jpg","size":5,"modified":…}],"more":false}
//!  {…,"type":"get","request":2,"path":"photos/a.jpg"} →
//!            ← {…,"type":"coming","request":2,"transfer":0}, then the offer of that id
//!            ← {…,"type":"refused","request":2,"code":"not-found","reason":"…"}               or this, to either
//!            ← {…,"type":"changed"}                  the folder listed last has changed
//!  {…,"type":"snippet","id":"…","name":"Firefox","text":"…"} → ←
//!  {…,"type":"ping","request":3} → ←                 answered by "pong", to measure the round trip
//! ```
//!
//! A `list` with `all` gets names with a backslash too, and what is there and not shared, with the reason. With `quiet`
//! it does not count as the folder listed last.
//!
//! Two visitors greet each other too; then each may offer the other files. An entry without a size is a folder. Folders
//! of any size are listed in parts: `after` is the last name of the part before. Unknown keys are ignored.

use super::names::NameError;
use super::wire::{misbehaved, need, printable};
use crate::printable::is_unprintable;
use crate::{Error, Message, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const PREFIX: &str = r#"{"crosspeer":"catalog/"#;
const PROTOCOL: &str = "catalog/1";
/// Bytes of a message at most. JSON escapes may lengthen a snippet sixfold.
const MAX_BYTES: usize = 512 << 10;
/// Bytes of a snippet's text at most.
pub const MAX_SNIPPET: usize = 64 << 10;
/// Entries of one part of a listing at most: with names of 255 bytes, all escaped, it still fits a message.
pub const MAX_ENTRIES: usize = 250;
/// Peers of a list at most; further ones are not told of.
pub const MAX_PEERS: usize = 1000;
const MAX_NAME: usize = 64;
const MAX_PATH: usize = 4096;
const MAX_ID: usize = 64;

/// A message of this protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Catalog {
    /// Who speaks. The first message either way; again when the name has changed.
    Hello {
        /// For people; 64 characters at most.
        name: String,
        /// What it is.
        role: Role,
        /// Whether its folder takes no files.
        readonly: bool,
    },
    /// Everyone at the relay, the reader included.
    Peers(Vec<Participant>),
    /// What is in this folder?
    List {
        /// Comes back in the answer.
        request: u32,
        /// With `/`, from the shared folder on; empty for itself.
        path: String,
        /// Only what follows this name.
        after: Option<String>,
        /// Whether names may contain a backslash, and entries that are [`omitted`](Entry::omitted) are listed.
        all: bool,
        /// Whether changes of this folder are not to be told.
        quiet: bool,
    },
    /// The answer to a `List`, in order of names.
    Listing {
        /// The question.
        request: u32,
        /// [`MAX_ENTRIES`] at most.
        entries: Vec<Entry>,
        /// Whether more follow the last one.
        more: bool,
    },
    /// Offer me this file.
    Get {
        /// Comes back in the answer.
        request: u32,
        /// As in `List`.
        path: String,
    },
    /// The answer to a `Get`: the offer of this id is the file.
    Coming {
        /// The question.
        request: u32,
        /// The transfer.
        transfer: u32,
    },
    /// The other answer to a `List` or `Get`.
    Refused {
        /// The question.
        request: u32,
        /// `not-found`, `not-allowed`, `failed`.
        code: String,
        /// Why, for people.
        reason: String,
    },
    /// Something has changed in the folder that was listed last.
    Changed,
    /// Text for everyone.
    Snippet {
        /// Names it, since it may come by two ways.
        id: String,
        /// Who wrote it.
        name: String,
        /// [`MAX_SNIPPET`] bytes at most.
        text: String,
    },
    /// Answer at once.
    Ping {
        /// Comes back in the answer.
        request: u32,
    },
    /// The answer to a `Ping`.
    Pong {
        /// The question.
        request: u32,
    },
}

/// What someone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Shares a folder.
    Folder,
    /// A web page, or another visitor that speaks this protocol.
    Page,
    /// At the relay, and has not said hello: `crosspeer receive`, or a ProxyStore peer.
    #[serde(other)]
    Peer,
}

/// Someone at the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Its id at the relay.
    #[serde(with = "uuid_text")]
    pub uuid: Uuid,
    /// For people.
    pub name: String,
    /// What it is.
    pub role: Role,
}

impl Participant {
    /// Names come from the relay as they are: of any length, with any character.
    fn presentable(mut self) -> Self {
        self.name = person(&self.name);
        self
    }
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// One component of a path.
    pub name: String,
    /// Bytes; `None` for a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Last modified, in milliseconds since the Unix epoch, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<u64>,
    /// Why it is not shared, for people; `None` for what can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted: Option<String>,
}

/// A path that names something below a folder and nothing outside of it: no empty part, no `.` or `..`, not absolute.
/// Empty is the folder itself. Links on the disk, and what one system alone takes for a separator or a drive, are the
/// caller's to check.
///
/// # Errors
/// Which of those it is.
pub fn check_path(path: &str) -> Result<(), NameError> {
    if path.len() > MAX_PATH {
        return Err(NameError::TooLong);
    }
    if path.is_empty() {
        return Ok(());
    }
    if path.starts_with('/') {
        return Err(NameError::Absolute);
    }
    path.split('/').try_for_each(check_component)
}

fn check_component(name: &str) -> Result<(), NameError> {
    match name {
        "" => Err(NameError::Empty),
        "." | ".." => Err(NameError::Relative),
        name if name.contains(['\0', '/']) => Err(NameError::Relative),
        _ => Ok(()),
    }
}

impl Catalog {
    /// Reads a message; `None` for one that is none of this protocol.
    ///
    /// # Errors
    /// [`Error::PeerMisbehaved`]: it claims to be of this protocol, and is malformed or of another version.
    pub fn decode(message: &Message) -> Result<Option<Self>> {
        let Some(text) = message.as_text().filter(|text| text.starts_with(PREFIX)) else {
            return Ok(None);
        };
        if text.len() > MAX_BYTES {
            return misbehaved(format!("a catalog message of {} bytes", text.len()));
        }
        let wire: Wire =
            serde_json::from_str(text).map_err(|e| Error::PeerMisbehaved(format!("malformed catalog message: {e}")))?;
        if wire.crosspeer != PROTOCOL {
            let theirs = printable(&wire.crosspeer);
            return misbehaved(format!(
                "it speaks {theirs}, this side {PROTOCOL}; use the same version on both sides"
            ));
        }
        wire.read().map(Some)
    }

    /// The message that carries it. Names and reasons are shortened, and made printable.
    pub fn encode(&self) -> Message {
        let wire = Wire::from(self);
        // Strings and integers only: this cannot fail.
        Message::Text(serde_json::to_string(&wire).unwrap_or_default())
    }
}

/// All messages' keys in one flat struct: small code in wasm, and `crosspeer` always comes first.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Wire {
    crosspeer: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    readonly: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    all: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Entry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<Vec<Participant>>,
}

impl From<&Catalog> for Wire {
    fn from(message: &Catalog) -> Self {
        let mut wire = Self {
            crosspeer: PROTOCOL.into(),
            ..Self::default()
        };
        wire.kind = wire.fill(message).into();
        wire
    }
}

impl Wire {
    /// Fills in what the message says; returns its type.
    fn fill(&mut self, message: &Catalog) -> &'static str {
        use Catalog as C;
        match message {
            C::List { request, .. }
            | C::Listing { request, .. }
            | C::Get { request, .. }
            | C::Coming { request, .. }
            | C::Refused { request, .. }
            | C::Ping { request }
            | C::Pong { request } => self.request = Some(*request),
            C::Hello { .. } | C::Peers(_) | C::Changed | C::Snippet { .. } => {}
        }
        match message {
            C::Hello { name, role, readonly } => {
                (self.name, self.role) = (Some(person(name)), Some(*role));
                self.readonly = readonly.then_some(true);
                "hello"
            }
            C::Peers(peers) => {
                let people = peers.iter().take(MAX_PEERS).cloned().map(Participant::presentable);
                self.peers = Some(people.collect());
                "peers"
            }
            C::List {
                path,
                after,
                all,
                quiet,
                ..
            } => {
                (self.path, self.after) = (Some(path.clone()), after.clone());
                (self.all, self.quiet) = (all.then_some(true), quiet.then_some(true));
                "list"
            }
            C::Listing { entries, more, .. } => {
                (self.entries, self.more) = (Some(entries.clone()), more.then_some(true));
                "listing"
            }
            C::Get { path, .. } => {
                self.path = Some(path.clone());
                "get"
            }
            C::Coming { transfer, .. } => {
                self.transfer = Some(*transfer);
                "coming"
            }
            C::Refused { code, reason, .. } => {
                (self.code, self.reason) = (Some(code.clone()), Some(printable(reason)));
                "refused"
            }
            C::Changed => "changed",
            C::Snippet { id, name, text } => {
                (self.id, self.name) = (Some(id.clone()), Some(person(name)));
                self.text = Some(text.clone());
                "snippet"
            }
            C::Ping { .. } => "ping",
            C::Pong { .. } => "pong",
        }
    }

    fn read(self) -> Result<Catalog> {
        let request = self.request.unwrap_or_default();
        Ok(match self.kind.as_str() {
            "hello" => Catalog::Hello {
                name: person(&need(self.name, "name")?),
                role: self.role.unwrap_or(Role::Peer),
                readonly: self.readonly.unwrap_or(false),
            },
            "peers" => Catalog::Peers(participants(need(self.peers, "peers")?)?),
            "list" => Catalog::List {
                request,
                path: path(need(self.path, "path")?)?,
                after: self.after,
                all: self.all.unwrap_or(false),
                quiet: self.quiet.unwrap_or(false),
            },
            "listing" => Catalog::Listing {
                request,
                entries: entries(need(self.entries, "entries")?)?,
                more: self.more.unwrap_or(false),
            },
            "get" => Catalog::Get {
                request,
                path: path(need(self.path, "path")?)?,
            },
            "coming" => Catalog::Coming {
                request,
                transfer: need(self.transfer, "transfer")?,
            },
            "refused" => Catalog::Refused {
                request,
                code: person(&self.code.unwrap_or_default()),
                reason: printable(&self.reason.unwrap_or_default()),
            },
            "changed" => Catalog::Changed,
            "snippet" => snippet(self)?,
            "ping" => Catalog::Ping { request },
            "pong" => Catalog::Pong { request },
            other => return misbehaved(format!("unknown catalog message {:?}", printable(other))),
        })
    }
}

fn snippet(wire: Wire) -> Result<Catalog> {
    let (id, text) = (need(wire.id, "id")?, need(wire.text, "text")?);
    if id.is_empty() || id.len() > MAX_ID || text.len() > MAX_SNIPPET {
        return misbehaved(format!("a snippet of {} bytes, at most {MAX_SNIPPET}", text.len()));
    }
    let name = person(&wire.name.unwrap_or_default());
    Ok(Catalog::Snippet { id, name, text })
}

fn path(path: String) -> Result<String> {
    match check_path(&path) {
        Ok(()) => Ok(path),
        Err(error) => misbehaved(format!("it asks for a path that cannot be: {error}")),
    }
}

fn entries(entries: Vec<Entry>) -> Result<Vec<Entry>> {
    if entries.len() > MAX_ENTRIES {
        return misbehaved(format!("a listing of {} entries", entries.len()));
    }
    match entries.iter().any(|entry| check_component(&entry.name).is_err()) {
        true => misbehaved("a listing with a name that is a path".into()),
        false => Ok(entries),
    }
}

fn participants(peers: Vec<Participant>) -> Result<Vec<Participant>> {
    if peers.len() > MAX_PEERS {
        return misbehaved(format!("a list of {} peers", peers.len()));
    }
    Ok(peers.into_iter().map(Participant::presentable).collect())
}

/// A name for people, who may see it on a terminal.
fn person(name: &str) -> String {
    let printable = name.chars().filter(|c| !is_unprintable(*c));
    printable.take(MAX_NAME).collect::<String>().trim().to_owned()
}

/// A UUID with hyphens.
mod uuid_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(uuid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(uuid)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        Uuid::parse_str(&String::deserialize(deserializer)?).map_err(|_| D::Error::custom("not a UUID"))
    }
}

#[cfg(test)]
mod tests;
