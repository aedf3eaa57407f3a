//! The relay's URL: what can be used of it, and what may be shown.

use crate::{Error, Result, json};

/// The URL as a platform takes it: scheme in small letters, a path (at least `/`), no fragment. User and password stay.
///
/// # Errors
/// [`Error::InvalidInput`] says which part cannot be used.
pub fn usable(url: &str) -> Result<String> {
    let fail = |what: &str| {
        let shown = json::string(&shown(url));
        let text = format!("the relay's URL {shown} {what}: it must look like ws://host:port or wss://host");
        Err(Error::InvalidInput(text))
    };
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once("://") else {
        return fail("has no scheme");
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "ws" && scheme != "wss" {
        return fail("is not a WebSocket's");
    }
    let rest = rest.split('#').next().unwrap_or_default();
    if rest.contains(|c: char| c.is_control() || c == ' ') {
        return fail("has a space in it");
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match host.rfind(']') {
        Some(end) => host.split_at(end + 1),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    if host.is_empty() || host.starts_with('[') != host.ends_with(']') {
        return fail("has no host");
    }
    let number = port.strip_prefix(':').unwrap_or(port);
    let digits = number.bytes().all(|c| c.is_ascii_digit()) && (port.is_empty() || port.starts_with(':'));
    if !digits || !(number.is_empty() || number.parse::<u16>().is_ok_and(|port| port > 0)) {
        return fail("has no port from 1 to 65535");
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(format!("{scheme}://{authority}{slash}{path}"))
}

/// The URL for people and logs: without user and password, and without the query, where tokens are.
pub fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (rest, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let separator = if scheme.is_empty() { "" } else { "://" };
    let query = if query.starts_with('?') { "?…" } else { "" };
    format!("{scheme}{separator}{host}{path}{query}")
}

/// The URL with the secret by which this client takes its place at the relay again, unless the user has chosen one.
/// ProxyStore's relay does not look at it.
pub fn with_secret(url: &str, secret: &str) -> String {
    with(url, "resume=", secret)
}

/// The URL by which this client asks for the relay's STUN and TURN servers, unless the user has said something about it.
/// ProxyStore's relay does not look at it either.
pub(crate) fn asking_for_ice(url: &str) -> String {
    with(url, "ice=", "1")
}

/// The URL with this in its query, unless it is there already.
fn with(url: &str, key: &str, value: &str) -> String {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if query.split('&').any(|pair| pair.starts_with(key)) {
        return url.to_owned();
    }
    let separator = match (url.contains('?'), query.is_empty()) {
        (false, _) => "?",
        (true, true) => "",
        (true, false) => "&",
    };
    format!("{url}{separator}{key}{value}")
}

/// Why no browser opens this URL from a page of this protocol (`https:`); what it would say itself is late, or nothing.
pub fn refused_in_page(url: &str, page: &str) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    if authority.contains('@') {
        return Some("browsers take no user and password in a WebSocket's URL: put a token into its query instead");
    }
    let host = match authority.split_once(']') {
        Some((v6, _)) => v6,
        None => authority.split(':').next()?,
    };
    // Browsers trust this machine without encryption.
    let own = host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") || host == "[::1";
    (page == "https:" && scheme == "ws" && !own).then_some(
        "this page came by https, from which browsers open only encrypted connections: the relay's URL must begin with \
         wss://, and the relay needs a certificate",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_used_is_made_whole() {
        for (url, whole) in [
            ("ws://localhost:8700", "ws://localhost:8700/"),
            ("wss://relay.example", "wss://relay.example/"),
            ("ws://[::1]:8700/path?x", "ws://[::1]:8700/path?x"),
            ("ws://[fe80::1]", "ws://[fe80::1]/"),
            ("ws://host:8700?token=T", "ws://host:8700/?token=T"),
            ("ws://host?a=b:c@d", "ws://host/?a=b:c@d"),
            ("WS://Host:8700", "ws://Host:8700/"),
            (" Wss://host/a#fragment ", "wss://host/a"),
            ("ws://user:p%40ss@host:1/", "ws://user:p%40ss@host:1/"),
            ("ws://host:/", "ws://host:/"),
            ("ws://bücher.example", "ws://bücher.example/"),
        ] {
            assert_eq!(usable(url).as_deref(), Ok(whole), "{url}");
        }
    }

    #[test]
    fn what_cannot_is_refused_in_words() {
        for (url, why) in [
            ("", "scheme"),
            ("localhost:8700", "scheme"),
            ("http://localhost", "not a WebSocket's"),
            ("ws://", "host"),
            ("wss:///x", "host"),
            ("ws://:8700", "host"),
            ("ws://user@/", "host"),
            ("ws://[::1/", "host"),
            ("ws://host:99999", "port"),
            ("ws://host:0", "port"),
            ("ws://host:+80", "port"),
            ("ws://host:80:80", "port"),
            ("ws://::1:80", "host"),
            ("ws://[::1]80", "port"),
            ("ws://ho st", "space"),
            ("ws://ho\nst", "space"),
        ] {
            let error = usable(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn a_secret_is_added_unless_there_is_one() {
        for (url, whole) in [
            ("ws://host/", "ws://host/?resume=S"),
            ("ws://host/?", "ws://host/?resume=S"),
            ("ws://host/?token=T", "ws://host/?token=T&resume=S"),
            ("ws://host/?resume=mine&a", "ws://host/?resume=mine&a"),
        ] {
            assert_eq!(with_secret(url, "S"), whole);
        }
        for (url, whole) in [
            ("ws://host/?resume=S", "ws://host/?resume=S&ice=1"),
            ("ws://host/?ice=0", "ws://host/?ice=0"),
            ("ws://host/?nice=1", "ws://host/?nice=1&ice=1"),
        ] {
            assert_eq!(asking_for_ice(url), whole);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        for (url, open) in [
            ("ws://host:1/path?token=T", "ws://host:1/path?…"),
            ("ws://host?token=T", "ws://host?…"),
            ("wss://user:T@host/x#T", "wss://host/x"),
            ("host?token=T", "host?…"),
            ("", ""),
        ] {
            assert_eq!(shown(url), open);
        }
    }

    #[test]
    fn what_browsers_would_refuse_late_is_refused_at_once() {
        for (url, page, word) in [
            ("ws://relay.example/", "https:", Some("wss://")),
            ("ws://192.0.2.1:8700/", "https:", Some("wss://")),
            ("ws://localhost.example/", "https:", Some("wss://")),
            ("ws://user:pass@host/", "http:", Some("password")),
            ("wss://user@host/", "https:", Some("password")),
            ("wss://relay.example/", "https:", None),
            ("ws://relay.example/", "http:", None),
            ("ws://relay.example/", "", None),
            ("ws://relay.example/?a=b@c", "http:", None),
            ("ws://localhost/", "https:", None),
            ("ws://localhost:8700/", "https:", None),
            ("ws://127.0.0.1:8700/", "https:", None),
            ("ws://[::1]:8700/", "https:", None),
            ("ws://[::1]/", "https:", None),
        ] {
            let reason = refused_in_page(url, page);
            let fits = match word {
                Some(word) => reason.is_some_and(|reason| reason.contains(word)),
                None => reason.is_none(),
            };
            assert!(fits, "{url} on {page}: {reason:?}");
        }
    }
}
