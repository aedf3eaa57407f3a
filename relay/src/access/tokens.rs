//! A file of tokens, as hashes: whoever reads it cannot use it.
//!
//! ```text
//! # who    SHA-256 of the token (printf %s "$TOKEN" | sha256sum)      what it may do
//! alice    sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! sensor   sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752  id=UUID peer=UUID room=lab turn=no until=1798761600
//! ```

use super::{Claims, Grant, Refusal};
use crate::config::RelayError;
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const UNKNOWN: Refusal = Refusal::Invalid("This token is not known here.");
const EXPIRED: Refusal = Refusal::Invalid("This token has expired.");

/// Grants by the SHA-256 of their tokens. Hashes are compared, not tokens, so that time tells nothing of a token.
#[derive(Debug)]
pub(crate) struct Tokens(HashMap<[u8; 32], Arc<Grant>>);

impl Tokens {
    pub(crate) fn read(path: &Path) -> Result<Self, RelayError> {
        let text = std::fs::read_to_string(path).map_err(|source| RelayError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|error| RelayError::Config(format!("{}: {error}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let grant = grant(line).map_err(|error| format!("line {}: {error}", number + 1))?;
            let known = grant.digest.and_then(|digest| tokens.insert(digest, Arc::new(grant)));
            if let Some(known) = known {
                return Err(format!(
                    "line {}: this hash is {:?}'s already",
                    number + 1,
                    known.subject()
                ));
            }
        }
        Ok(Self(tokens))
    }

    pub(crate) fn judge(&self, token: &str) -> Result<Arc<Grant>, Refusal> {
        let grant = self.0.get(&hash(token)).ok_or(UNKNOWN)?;
        match grant.lasts() {
            Some(Duration::ZERO) => Err(EXPIRED),
            _ => Ok(grant.clone()),
        }
    }

    pub(crate) fn upholds(&self, grant: &Grant) -> bool {
        grant.digest.is_some_and(|digest| self.0.contains_key(&digest))
    }
}

fn hash(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

fn grant(line: &str) -> Result<Grant, String> {
    let mut words = line.split_whitespace();
    let sub = words.next().unwrap_or_default().to_owned();
    let digest = words.next().and_then(|word| word.strip_prefix("sha256:"));
    let digest = digest
        .and_then(hex)
        .ok_or("a name, and `sha256:` with 64 hexadecimal digits are needed")?;
    let mut claims = Claims {
        sub,
        ..Claims::default()
    };
    for word in words {
        let unknown = || format!("{word:?} is none of id=UUID, peer=UUID, room=NAME, turn=no, until=SECONDS");
        let (key, value) = word.split_once('=').ok_or_else(unknown)?;
        let uuid = || crosspeer::relay::parse_uuid(value).ok_or_else(|| format!("{value:?} is not a UUID"));
        match key {
            "id" => claims.ids.get_or_insert_default().push(uuid()?),
            "peer" => claims.peers.get_or_insert_default().push(uuid()?),
            "room" => claims.rooms.get_or_insert_default().push(value.to_owned()),
            "turn" if matches!(value, "yes" | "no") => claims.turn = Some(value == "yes"),
            "until" => claims.exp = Some(value.parse().map_err(|_| unknown())?),
            _ => return Err(unknown()),
        }
    }
    Ok(Grant::new(claims, Some(digest)))
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    /// Of `test`.
    const HASH: &str = "sha256:9F86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn a_token_is_known_by_its_hash() {
        let id = Uuid::from_u128(1);
        let tokens = Tokens::parse(&format!(
            "# who\n\nalice {HASH} id={id} room=a room=b until=99999999999 # x\n"
        ))
        .unwrap();
        let grant = tokens.judge("test").unwrap();
        assert_eq!(grant.subject(), "alice");
        assert!(grant.may_be(id) && !grant.may_be(Uuid::nil()));
        assert_eq!(grant.rooms().unwrap(), ["a", "b"]);
        for other in ["Test", "test ", HASH, ""] {
            assert_eq!(tokens.judge(other).unwrap_err(), UNKNOWN, "{other:?}");
        }
        let later = Tokens::parse("").unwrap();
        assert!(tokens.upholds(&grant) && !later.upholds(&grant));
        let expired = Tokens::parse(&format!("alice {HASH} until=1")).unwrap();
        assert_eq!(expired.judge("test").unwrap_err(), EXPIRED);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, word) in [
            ("alice", "line 1"),
            ("alice sha256:12", "64 hexadecimal"),
            ("\nalice secret", "line 2"),
            (&format!("alice {HASH} id=7"), "not a UUID"),
            (&format!("alice {HASH} turn"), "turn"),
            (&format!("alice {HASH} turn=maybe"), "maybe"),
            (&format!("alice {HASH} until=tomorrow"), "tomorrow"),
            (&format!("a {HASH}\nb {HASH}"), "\"a\"'s already"),
        ] {
            let error = Tokens::parse(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
