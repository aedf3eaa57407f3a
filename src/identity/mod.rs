//! The id is the certificate: a peer's UUID is made of the fingerprint of the certificate that all its connections use.
//! Whoever dials it gets that peer or an error, whatever the relay does.
//!
//! [`check`] is what stands between a description and the engine; [`part`] is what both sides compare once they are
//! connected, so that nothing else of a description can be changed either. Ids that are not made so (random ones, as
//! ProxyStore's) go on as they are, and are not verified.

use crate::certificate::Fingerprint;
use crate::description::{self, Words};
use crate::{Error, Result};
use uuid::Uuid;

/// Whether an id says which certificate its peer has: whether it is of version 8, which nothing else makes.
pub(crate) fn is_key(id: Uuid) -> bool {
    id.get_version_num() == 8
}

/// Whether a description can be this peer's. Gives the fingerprint of its certificate, where there is one to be told;
/// for an id that [is a key](is_key) it is the one of the id.
///
/// # Errors
/// [`Error::IdentityMismatch`]: it has been changed on its way, or is another peer's.
pub(crate) fn check(peer: Uuid, sdp: &str) -> Result<Option<Fingerprint>> {
    let (mut found, mut lines, mut sections, mut hidden) = (None, 0, 0, false);
    for line in sdp.split('\n') {
        let line = line.trim_end_matches('\r');
        if let Some(fingerprint) = Fingerprint::of_line(line) {
            found = Some(fingerprint);
        }
        // As loosely as any engine could read it.
        lines += usize::from(line.to_ascii_lowercase().contains("fingerprint"));
        sections += usize::from(line.starts_with("m="));
        hidden |= line.contains(char::is_control);
    }
    if !is_key(peer) {
        return Ok(found);
    }
    let mine = found.is_some_and(|found| found.uuid() == peer);
    let reason = match (lines, sections) {
        (0, _) => "its description names no certificate",
        (1, _) if !mine => "its description names the certificate of another peer",
        (1, 1) if hidden || Words::parse(sdp).is_none() => "its description has been cut or added to",
        (1, 1) => return Ok(found),
        _ => "its description names several certificates",
    };
    Err(mismatch(peer, reason))
}

/// Whether a description names just one certificate: of several an engine may take another than [`check`] does.
pub(crate) fn names_one(sdp: &str) -> bool {
    let lines = sdp.split('\n').map(str::to_ascii_lowercase);
    lines.filter(|line| line.contains("fingerprint")).count() == 1
}

/// What both peers must have seen alike of a description, and whose it was.
pub(crate) fn part(of: Option<Uuid>, sdp: &str) -> String {
    let fingerprint = sdp.split('\n').find_map(|line| Fingerprint::of_line(line.trim_end()));
    let fingerprint = fingerprint.map(|fingerprint| fingerprint.to_string());
    [
        &of.unwrap_or_default().to_string(),
        description::ice_ufrag(sdp).unwrap_or_default(),
        fingerprint.as_deref().unwrap_or_default(),
        description::words_line(sdp).unwrap_or_default(),
        "",
    ]
    .join("\n")
}

pub(crate) fn mismatch(peer: Uuid, reason: &str) -> Error {
    let reason = reason.to_owned();
    Error::IdentityMismatch { peer, reason }
}

#[cfg(test)]
mod tests;
