//! The peers that a user knows, by names of the user's own: trust on first use, and what it takes to change it.
//!
//! A name stands for one id. It keeps that id until the peer itself has said, over a connection that its old certificate
//! has verified, which one comes [next](Successor), or until the user says so. What a relay or another peer says changes
//! nothing. The text is a file's: one line for each, `name id`, then the ids that it has had before.

use crate::printable::is_unprintable;
use crate::{Error, Fingerprint, Message, Result, identity};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Characters of the longest name.
const MAX_NAME: usize = 64;
/// Names that are kept; a file with more is not read.
const MAX_PEERS: usize = 10_000;
/// Ids that are kept of those that a peer has had before.
const MAX_FORMER: usize = 8;
const PREFIX: &str = r#"{"crosspeer":"identity/"#;
const PROTOCOL: &str = "identity/1";
const HEAD: &str = "# Peers that are known to crosspeer: a name, its id, and the ids that it had before.\n";

/// What somebody calls a peer: 1 to 64 characters without white space, and nothing that is taken for an id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(String);

impl FromStr for PeerName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = (1..=MAX_NAME).contains(&text.chars().count())
            && !text.contains(|c: char| c.is_whitespace() || is_unprintable(c))
            && !text.starts_with('#');
        match fits && text.parse::<Uuid>().is_err() {
            true => Ok(Self(text.to_owned())),
            false => Err(Error::InvalidInput(format!(
                "a peer's name has 1 to {MAX_NAME} characters, none of them a space, does not begin with #, and is no UUID"
            ))),
        }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names and the ids that they stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownPeers(Vec<KnownPeer>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownPeer {
    /// What the user calls it.
    pub name: PeerName,
    /// Its id.
    pub id: Uuid,
    /// Those that it had before, the latest first.
    pub former: Vec<Uuid>,
}

/// What an id is to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Nobody who has a name.
    Unknown,
    /// The one of this name.
    Known(&'a PeerName),
    /// It was the one of this name, which has another id now: whoever uses it has an old key, which may have been stolen.
    Former(&'a PeerName),
}

impl KnownPeers {
    /// All, in the order in which they have become known.
    pub fn iter(&self) -> impl Iterator<Item = &KnownPeer> {
        self.0.iter()
    }

    /// The id of a name.
    pub fn id(&self, name: &PeerName) -> Option<Uuid> {
        self.0.iter().find(|known| known.name == *name).map(|known| known.id)
    }

    /// What an id is to the user.
    pub fn standing(&self, id: Uuid) -> Standing<'_> {
        if let Some(known) = self.0.iter().find(|known| known.id == id) {
            return Standing::Known(&known.name);
        }
        let former = self.0.iter().find(|known| known.former.contains(&id));
        former.map_or(Standing::Unknown, |known| Standing::Former(&known.name))
    }

    /// Gives an id a name. It may have it already. `confirmed` if the user has said that the name is to stand for another
    /// id from now on.
    ///
    /// # Errors
    /// [`Error::IdentityMismatch`]: the name stands for another id. [`Error::InvalidInput`]: the id has another name, or
    /// was given up for another one, or cannot be verified; or there are too many.
    pub fn remember(&mut self, name: PeerName, id: Uuid, confirmed: bool) -> Result<()> {
        if !identity::is_key(id) {
            return Err(Error::InvalidInput(format!(
                "{id} cannot be verified, so that it says nothing to give it a name"
            )));
        }
        match self.standing(id) {
            Standing::Known(known) if *known == name => return Ok(()),
            Standing::Known(known) => {
                return Err(Error::InvalidInput(format!("{id} is known as {known} already")));
            }
            Standing::Former(known) if !confirmed => {
                let reason = format!("it was the id of {known}, which has another one now");
                return Err(Error::IdentityMismatch { peer: id, reason });
            }
            Standing::Former(_) | Standing::Unknown => {}
        }
        if let Some(known) = self.0.iter_mut().find(|known| known.name == name) {
            if !confirmed {
                let reason = format!("{name} is known as {}, not by this id", known.id);
                return Err(Error::IdentityMismatch { peer: id, reason });
            }
            known.change_to(id);
            return Ok(());
        }
        if self.0.len() >= MAX_PEERS {
            return Err(Error::InvalidInput(format!(
                "{MAX_PEERS} peers are known, and no more are kept"
            )));
        }
        let former = Vec::new();
        self.0.push(KnownPeer { name, id, former });
        Ok(())
    }

    /// Takes a name away; whether there was one.
    pub fn forget(&mut self, name: &PeerName) -> bool {
        let before = self.0.len();
        self.0.retain(|known| known.name != *name);
        self.0.len() < before
    }

    /// A peer has said which id it has from now on. `by` is the id of the connection, `verified` whether it was
    /// [verified](crate::PeerConnection::is_verified). Gives the name that stands for the new one now, or `None` for a
    /// peer that has no name.
    ///
    /// # Errors
    /// [`Error::PeerMisbehaved`]: the connection does not show that this peer may say so, or the new id is another's.
    pub fn succeed(&mut self, by: Uuid, verified: bool, successor: &Successor) -> Result<Option<&PeerName>> {
        let refuse = |why: &str| Err(Error::PeerMisbehaved(format!("it names another id for itself, {why}")));
        if !verified || !identity::is_key(by) {
            return refuse("but it is not verified");
        }
        let new = successor.fingerprint.uuid();
        match (self.standing(by), self.standing(new)) {
            (Standing::Known(by), Standing::Known(of)) if by != of => return refuse("which is another peer's"),
            (Standing::Known(_), Standing::Former(_)) => return refuse("which was given up"),
            // It says so again.
            (Standing::Former(by), Standing::Known(of)) if by == of => {
                let known = self.0.iter().find(|known| known.id == new);
                return Ok(known.map(|known| &known.name));
            }
            (Standing::Former(_), _) => return refuse("but has given its own one up before"),
            _ => {}
        }
        let known = self.0.iter_mut().find(|known| known.id == by);
        Ok(known.map(|known| {
            known.change_to(new);
            &known.name
        }))
    }
}

impl KnownPeer {
    fn change_to(&mut self, id: Uuid) {
        if self.id != id {
            let before = std::mem::replace(&mut self.id, id);
            self.former.retain(|former| *former != id);
            self.former.insert(0, before);
            self.former.truncate(MAX_FORMER);
        }
    }
}

impl FromStr for KnownPeers {
    type Err = Error;

    /// # Errors
    /// Names the line that cannot be read, or that repeats a name or an id.
    fn from_str(text: &str) -> Result<Self> {
        let mut peers: Vec<KnownPeer> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace().peekable();
            if words.peek().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            let wrong = |why: &str| Error::InvalidInput(format!("line {}: {why}", number + 1));
            let name = words.next().unwrap_or_default().parse::<PeerName>();
            let name = name.map_err(|error| wrong(&error.to_string()))?;
            let ids: Option<Vec<Uuid>> = words.map(|word| word.parse().ok()).collect();
            let mut ids = ids.ok_or_else(|| wrong("what follows the name is no UUID"))?;
            if ids.is_empty() || ids.len() > 1 + MAX_FORMER || !ids.iter().all(|id| identity::is_key(*id)) {
                return Err(wrong(
                    "a name is followed by an id that can be verified, and at most 8 former ones",
                ));
            }
            let id = ids.remove(0);
            if peers.iter().any(|known| known.name == name || known.id == id) {
                return Err(wrong("this name, or this id, stands in an earlier line too"));
            }
            if peers.len() >= MAX_PEERS {
                return Err(wrong("more peers than are kept"));
            }
            peers.push(KnownPeer { name, id, former: ids });
        }
        Ok(Self(peers))
    }
}

impl fmt::Display for KnownPeers {
    /// The file's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for KnownPeer { name, id, former } in &self.0 {
            write!(f, "{name} {id}")?;
            former.iter().try_for_each(|id| write!(f, " {id}"))?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// The message by which a peer says, over a connection of its old certificate, which one it has from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Successor {
    /// Of the new certificate.
    pub fingerprint: Fingerprint,
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    crosspeer: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    fingerprint: &'a str,
}

impl Successor {
    /// The message.
    pub fn encode(&self) -> Message {
        let fingerprint = self.fingerprint.to_string();
        let wire = Wire {
            crosspeer: PROTOCOL,
            kind: "successor",
            fingerprint: &fingerprint,
        };
        serde_json::to_string(&wire).unwrap_or_default().into()
    }

    /// From a message; `None` for any other message.
    ///
    /// # Errors
    /// [`Error::PeerMisbehaved`]: it begins like one and is none.
    pub fn decode(message: &Message) -> Result<Option<Self>> {
        let Some(text) = message.as_text().filter(|text| text.starts_with(PREFIX)) else {
            return Ok(None);
        };
        let wire = serde_json::from_str::<Wire<'_>>(text).ok();
        let wire = wire.filter(|wire| wire.crosspeer == PROTOCOL && wire.kind == "successor");
        let fingerprint = wire.and_then(|wire| Fingerprint::parse(wire.fingerprint));
        let misbehaved = || Error::PeerMisbehaved("it says something of its identity that is not understood".into());
        let fingerprint = fingerprint.ok_or_else(misbehaved)?;
        Ok(Some(Self { fingerprint }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Fingerprint {
        Fingerprint::new([number; 32])
    }

    fn id(number: u8) -> Uuid {
        key(number).uuid()
    }

    fn name(text: &str) -> PeerName {
        text.parse().unwrap()
    }

    fn known() -> KnownPeers {
        let mut known = KnownPeers::default();
        known.remember(name("alice"), id(1), false).unwrap();
        known.remember(name("Bücher🦀"), id(2), false).unwrap();
        known
    }

    #[test]
    fn a_name_keeps_its_id_until_the_user_says_otherwise() {
        let mut known = known();
        known.remember(name("alice"), id(1), false).unwrap();
        let changed = known.remember(name("alice"), id(3), false).unwrap_err();
        assert_eq!(changed.code(), "identity-mismatch");
        assert!(changed.to_string().contains(&id(1).to_string()), "{changed}");
        assert_eq!(known.id(&name("alice")), Some(id(1)));
        assert!(known.remember(name("carol"), id(1), true).is_err(), "it has a name");
        assert!(
            known.remember(name("carol"), Uuid::new_v4(), true).is_err(),
            "nobody can verify it"
        );
        known.remember(name("alice"), id(3), true).unwrap();
        assert_eq!(known.standing(id(3)), Standing::Known(&name("alice")));
        assert_eq!(known.standing(id(1)), Standing::Former(&name("alice")));
        assert!(
            known.remember(name("carol"), id(1), false).is_err(),
            "whose key was given up"
        );
        assert!(known.forget(&name("alice")) && !known.forget(&name("alice")));
        assert_eq!(known.standing(id(1)), Standing::Unknown);
    }

    #[test]
    fn only_the_old_certificate_names_the_next() {
        let next = |number| Successor {
            fingerprint: key(number),
        };
        let mut peers = known();
        for (by, verified, successor) in [
            (id(1), false, next(3)),             // anybody
            (Uuid::from_u128(1), true, next(3)), // no key
            (id(1), true, next(2)),              // Bücher's
        ] {
            assert!(peers.succeed(by, verified, &successor).is_err());
            assert_eq!(peers, known());
        }
        assert_eq!(peers.succeed(id(9), true, &next(3)), Ok(None), "a stranger");
        assert_eq!(peers, known());
        assert_eq!(peers.succeed(id(1), true, &next(3)), Ok(Some(&name("alice"))));
        assert_eq!(
            peers.succeed(id(3), true, &next(3)),
            Ok(Some(&name("alice"))),
            "said twice"
        );
        assert_eq!(peers.id(&name("alice")), Some(id(3)));
        assert_eq!(
            peers.succeed(id(1), true, &next(3)),
            Ok(Some(&name("alice"))),
            "said twice"
        );
        // Whoever has the old key, a thief perhaps, has no say any more; and nobody goes back to it.
        assert!(peers.succeed(id(1), true, &next(4)).is_err());
        assert!(peers.succeed(id(3), true, &next(1)).is_err());
        assert!(peers.succeed(id(2), true, &next(1)).is_err());
        for number in 10..40 {
            peers
                .succeed(peers.id(&name("alice")).unwrap(), true, &next(number))
                .unwrap();
        }
        assert_eq!(peers.iter().next().unwrap().former.len(), MAX_FORMER);
    }

    #[test]
    fn a_file_is_read_as_it_was_written_and_its_faults_are_named() {
        let mut peers = known();
        peers.remember(name("alice"), id(3), true).unwrap();
        assert_eq!(peers.to_string().parse::<KnownPeers>().unwrap(), peers);
        assert_eq!("".parse::<KnownPeers>().unwrap(), KnownPeers::default());
        let windows = format!("\r\n  # x\r\n alice\t{} \r\n", id(1));
        assert_eq!(windows.parse::<KnownPeers>().unwrap().id(&name("alice")), Some(id(1)));
        for (text, word) in [
            ("alice", "line 1"),
            ("alice 1234", "line 1"),
            (&format!("# x\nalice {}", Uuid::from_u128(1)), "line 2"),
            (&format!("alice {}\nalice {}", id(1), id(2)), "line 2"),
            (&format!("alice {}\nbob {}", id(1), id(1)), "line 2"),
            (&format!("{} {}", id(1), id(2)), "no UUID"),
        ] {
            let error = text.parse::<KnownPeers>().unwrap_err().to_string();
            assert!(error.contains(word), "{text:?}: {error}");
        }
    }

    #[test]
    fn names_are_for_people_and_terminals() {
        for bad in [
            "",
            "a b",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "#a",
            "a\n",
            &"x".repeat(65),
            &id(1).to_string(),
            &id(1).simple().to_string(),
        ] {
            assert!(bad.parse::<PeerName>().is_err(), "{bad:?}");
        }
        for good in ["a", "漢字", "-x", &"é".repeat(64)] {
            assert_eq!(name(good).to_string(), good);
        }
    }

    #[test]
    fn the_message_is_told_from_others() {
        let successor = Successor { fingerprint: key(1) };
        assert_eq!(Successor::decode(&successor.encode()), Ok(Some(successor)));
        for other in ["hello", "", "{\"crosspeer\":\"transfer/1\"}"] {
            assert_eq!(Successor::decode(&other.into()), Ok(None));
        }
        assert_eq!(Successor::decode(&vec![0x7b].into()), Ok(None));
        for broken in [
            r#"{"crosspeer":"identity/"#,
            r#"{"crosspeer":"identity/2","type":"successor","fingerprint":""}"#,
        ] {
            assert!(Successor::decode(&broken.into()).is_err());
        }
    }
}
