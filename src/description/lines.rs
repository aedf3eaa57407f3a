//! An SDP as lines.

/// As a list: each chain of iterators would be code of its own, which pages have to download.
pub(super) fn lines(sdp: &str) -> Vec<&str> {
    sdp.split('\n')
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| !line.is_empty())
        .collect()
}

/// The lines before the first media section.
pub(super) fn session_lines(sdp: &str) -> Vec<&str> {
    let mut lines = lines(sdp);
    let end = lines.iter().position(|line| line.starts_with("m="));
    lines.truncate(end.unwrap_or(lines.len()));
    lines
}
