//! Where a client's token is in its request.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;

/// The subprotocol of pages, which name it beside their token: a browser wants one of those that it names to be chosen.
pub(crate) const PROTOCOL: &str = "crosspeer";
/// Before the token, URL-safe base64 without padding, among the subprotocols.
const BEARER_PROTOCOL: &str = "crosspeer.bearer.";
/// Bytes of the longest token.
const MAX_TOKEN: usize = 8 << 10;

/// The token: `Authorization: Bearer …`, as programs send it; a subprotocol, or `token=…` in the query, as pages do, which
/// can set no headers. `Err`: there is something that is none.
pub(crate) fn credential(headers: &HeaderMap, query: Option<&str>) -> Result<Option<String>, &'static str> {
    let found = match (header(headers)?, protocol(headers)?) {
        (Some(token), _) | (None, Some(token)) => Some(token),
        (None, None) => in_query(query)?,
    };
    match found {
        Some(token) if token.len() > MAX_TOKEN => Err("The token is too long."),
        Some(token) if token.is_empty() => Err("The token is empty."),
        found => Ok(found),
    }
}

/// Whether a client names the subprotocol.
pub(crate) fn offers_protocol(headers: &HeaderMap) -> bool {
    protocols(headers).any(|name| name == PROTOCOL)
}

fn header(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let value = value.to_str().map_err(|_| "The Authorization header is not text.")?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim().to_owned())),
        _ => Err("The Authorization header must be `Bearer` and a token."),
    }
}

fn protocol(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let Some(coded) = protocols(headers).find_map(|name| name.strip_prefix(BEARER_PROTOCOL)) else {
        return Ok(None);
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(coded).ok();
    let token = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    token
        .map(Some)
        .ok_or("The token among the subprotocols is not base64url of text.")
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

/// What a request's query says behind `key=`, as it stands there.
pub(crate) fn said<'a>(query: Option<&'a str>, key: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| pair.strip_prefix(key))
}

fn in_query(query: Option<&str>) -> Result<Option<String>, &'static str> {
    let Some(coded) = said(query, "token=") else {
        return Ok(None);
    };
    let token = percent_decode_str(coded).decode_utf8();
    token
        .map(|token| Some(token.into_owned()))
        .map_err(|_| "The token in the URL is not UTF-8.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(headers: &[(&'static str, &str)], query: &str) -> Result<Option<String>, &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        credential(&map, Some(query))
    }

    #[test]
    fn a_token_is_found_wherever_a_client_can_put_it() {
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(from(&[], ""), Ok(None));
        assert_eq!(from(&[("authorization", "Bearer a.b-c")], ""), some("a.b-c"));
        assert_eq!(from(&[("authorization", "bearer  x ")], "token=other"), some("x"));
        assert_eq!(from(&[], "resume=1&token=a%20b%2Fc"), some("a b/c"));
        let protocol = ("sec-websocket-protocol", "chat, crosspeer,crosspeer.bearer.w7zDnyDinJM");
        assert_eq!(from(&[protocol], ""), some("üß ✓"));
    }

    #[test]
    fn what_is_no_token_is_said_to_be_none() {
        for (name, value) in [
            ("authorization", "Basic dXNlcg=="),
            ("authorization", "Bearer"),
            ("authorization", "Bearer  "),
            ("sec-websocket-protocol", "crosspeer.bearer.*"),
            ("sec-websocket-protocol", "crosspeer.bearer._w"),
            ("sec-websocket-protocol", "crosspeer.bearer."),
        ] {
            assert!(from(&[(name, value)], "token=good").is_err(), "{value}");
        }
        assert!(from(&[], "token=%ff").is_err());
        assert!(from(&[], "token=").is_err());
        assert!(from(&[], &format!("token={}", "x".repeat(MAX_TOKEN + 1))).is_err());
    }
}
