//! Reading and mending SDP, line by line. Lines may end in LF or CRLF; what is written ends in CRLF.

use super::candidate::{MAX_CANDIDATES, is_usable_candidate};
use super::lines::{lines, session_lines};
use super::words::{Words, is_words_line};

/// Bytes of the largest data-channel message we say we accept, as aiortc and Chromium do. ProxyStore needs 131,090 or
/// more; Firefox would say 1 GiB, and 16 MiB never arrive there.
pub const MAX_MESSAGE_SIZE: usize = 262_144;

/// Bytes of the largest data-channel message a peer accepts that says nothing (RFC 8841).
pub const DEFAULT_MAX_MESSAGE_SIZE: usize = 65_536;

/// Makes the engine's SDP fit to be sent to any peer:
///
/// * `a=end-of-candidates` goes: with it aiortc never connects to a peer without usable candidates, as browsers are.
/// * Repeated candidates go, and those of other components than 1, which data channels do not have; the engine
///   writes each candidate once for component 1 and once for 2.
/// * `a=max-message-size` becomes [`MAX_MESSAGE_SIZE`] in the data section.
/// * The line of [`Words`] is put before the first media section.
///
/// `.local` (mDNS) candidates stay, since a peer may be able to resolve them; see [`split_mdns_candidates`].
pub fn prepare_local(sdp: &str, words: &Words) -> String {
    let mut out = Builder::default();
    let mut seen = Vec::new();
    let mut words_line = Some(words.to_line());
    let mut in_data = false;
    for line in lines(sdp) {
        if is_end_of_candidates(line) || is_words_line(line) {
            continue;
        }
        if line.starts_with("m=") {
            words_line.take().into_iter().for_each(|line| out.push(&line));
            out.finish_section(in_data);
            in_data = is_data_section(line);
            seen.clear();
        }
        if line.starts_with("a=candidate:") {
            if seen.contains(&line) || !is_component_1(line) {
                continue;
            }
            seen.push(line);
        }
        if !(in_data && line.starts_with(MAX_MESSAGE_SIZE_ATTRIBUTE)) {
            out.push(line);
        }
    }
    out.finish_section(in_data);
    words_line.into_iter().for_each(|line| out.push(&line));
    out.0
}

/// Makes a peer's SDP fit for the engine: `a=end-of-candidates` goes, since more may come and the peer-reflexive path
/// works without any. Candidates that are not [usable](is_usable_candidate) go, and those that lead where an earlier one
/// does or are more than 32.
pub fn prepare_remote(sdp: &str) -> String {
    let (mut out, mut candidates, mut ignored) = (Builder::default(), Vec::new(), Vec::new());
    for line in lines(sdp) {
        let is_good = match line.strip_prefix("a=").filter(|rest| rest.starts_with("candidate:")) {
            None => !is_end_of_candidates(line),
            Some(candidate) if candidates.contains(&place(candidate)) => false,
            Some(candidate) => {
                let is_good = candidates.len() < MAX_CANDIDATES && is_usable_candidate(candidate);
                match is_good {
                    true => candidates.push(place(candidate)),
                    false => ignored.push(candidate),
                }
                is_good
            }
        };
        if is_good {
            out.push(line);
        }
    }
    // Once, however many a peer sends.
    if let Some(first) = ignored.first() {
        tracing::warn!(
            count = ignored.len(),
            first = super::excerpt(first),
            "ignored candidates"
        );
    }
    out.0
}

/// Where a candidate leads: component, transport, address and port. What it is otherwise makes no other check of it.
fn place(candidate: &str) -> [String; 4] {
    let fields: Vec<&str> = candidate.split_ascii_whitespace().collect();
    [1, 2, 4, 5].map(|at| fields.get(at).copied().unwrap_or_default().to_ascii_lowercase())
}

/// Takes the `.local` (mDNS) candidates out: the SDP without them, and what they are, each with the `a=mid` of its
/// section.
///
/// aiortc waits 1.1 s for such names, which it cannot resolve. Browsers have no others; the connection then comes up by
/// the peer-reflexive path, from their side.
pub fn split_mdns_candidates(sdp: &str) -> (String, Vec<(String, String)>) {
    let (mut out, mut candidates) = (Builder::default(), Vec::new());
    for line in lines(sdp) {
        match line.strip_prefix("a=").filter(|_| is_mdns_candidate(line)) {
            Some(candidate) => candidates.push(candidate.to_owned()),
            None => out.push(line),
        }
    }
    // A data connection has one section.
    let mid = attribute(data_lines(sdp), "a=mid:").unwrap_or("0").to_owned();
    let with_mid = |candidate| (candidate, mid.clone());
    (out.0, candidates.into_iter().map(with_mid).collect())
}

/// The `a=ice-ufrag` of the data section, or of the session. It names a description: each attempt has its own.
pub fn ice_ufrag(sdp: &str) -> Option<&str> {
    let ufrag = |lines| attribute(lines, "a=ice-ufrag:");
    ufrag(data_lines(sdp)).or_else(|| ufrag(session_lines(sdp)))
}

/// Bytes of the largest data-channel message the peer accepts: [`DEFAULT_MAX_MESSAGE_SIZE`] if it does not say, or not
/// in digits; `usize::MAX` if it says 0, which means any size.
pub fn max_message_size(sdp: &str) -> usize {
    match attribute(data_lines(sdp), MAX_MESSAGE_SIZE_ATTRIBUTE) {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            match digits.parse::<u64>() {
                Ok(0) | Err(_) => usize::MAX, // too many digits
                Ok(size) => usize::try_from(size).unwrap_or(usize::MAX),
            }
        }
        _ => DEFAULT_MAX_MESSAGE_SIZE,
    }
}

/// Whether there is a section for data channels and it was not rejected (port 0, unless it shares another's port).
pub fn has_data_section(sdp: &str) -> bool {
    let lines = data_lines(sdp);
    let port = lines.first().and_then(|line| line.split(' ').nth(1));
    port.is_some_and(|port| port != "0") || lines.contains(&"a=bundle-only")
}

/// The candidates, each `candidate:…`, without `a=`.
pub fn candidates(sdp: &str) -> impl Iterator<Item = &str> {
    lines(sdp)
        .into_iter()
        .filter_map(|line| line.strip_prefix("a="))
        .filter(|attribute| attribute.starts_with("candidate:"))
}

const MAX_MESSAGE_SIZE_ATTRIBUTE: &str = "a=max-message-size:";

/// The lines of the first data section, from its `m=`.
fn data_lines(sdp: &str) -> Vec<&str> {
    let mut lines = lines(sdp);
    let begin = lines.iter().position(|line| is_data_section(line));
    lines.drain(..begin.unwrap_or(lines.len()));
    let end = lines.iter().skip(1).position(|line| line.starts_with("m="));
    lines.truncate(end.map_or(lines.len(), |end| end + 1));
    lines
}

/// What follows this prefix in the first line that has it.
fn attribute<'a>(lines: Vec<&'a str>, prefix: &str) -> Option<&'a str> {
    let value = lines.into_iter().find_map(|line| line.strip_prefix(prefix))?;
    Some(value.trim())
}

/// `m=application 9 UDP/DTLS/SCTP webrtc-datachannel`, or the older `m=application 9 DTLS/SCTP 5000`.
fn is_data_section(line: &str) -> bool {
    line.strip_prefix("m=application ")
        .is_some_and(|rest| rest.split(' ').any(|part| part.ends_with("DTLS/SCTP")))
}

fn is_end_of_candidates(line: &str) -> bool {
    line.trim_end() == "a=end-of-candidates"
}

/// `a=candidate:foundation component transport priority address port typ …`
fn is_component_1(line: &str) -> bool {
    line.split_ascii_whitespace().nth(1) == Some("1")
}

fn is_mdns_candidate(line: &str) -> bool {
    let address = line
        .strip_prefix("a=candidate:")
        .and_then(|rest| rest.split_ascii_whitespace().nth(4));
    address.is_some_and(|address| address.to_ascii_lowercase().ends_with(".local"))
}

/// An SDP being written.
#[derive(Default)]
struct Builder(String);

impl Builder {
    fn push(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push_str("\r\n");
    }

    fn finish_section(&mut self, is_data: bool) {
        if is_data {
            self.push(&format!("{MAX_MESSAGE_SIZE_ATTRIBUTE}{MAX_MESSAGE_SIZE}"));
        }
    }
}
