//! What a URL of a relay or of its proxy says: whither to connect, and as whom.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use url::{Host, Url};

/// A relay, taken apart.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) tls: bool,
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What the WebSocket's handshake asks for: without user and password.
    pub(crate) uri: Uri,
    /// The URL's user and password.
    pub(crate) authorization: Option<HeaderValue>,
}

impl Target {
    /// Takes a `ws://` or `wss://` URL apart, as browsers do.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let fail = |why: String| {
            format!("the relay's URL cannot be used: {why}; it must look like ws://host:port or wss://host")
        };
        let mut url = Url::parse(url).map_err(|error| fail(error.to_string()))?;
        let tls = match url.scheme() {
            "ws" => false,
            "wss" => true,
            other => return Err(fail(format!("{other}:// is not a WebSocket's"))),
        };
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(fail("it has no host".into())),
        };
        let port = url.port_or_known_default().unwrap_or(if tls { 443 } else { 80 });
        let authorization = basic(url.username(), url.password())?;
        // These fail only for URLs without a host.
        let _ = (url.set_username(""), url.set_password(None));
        url.set_fragment(None);
        let uri = url.as_str().parse::<Uri>().map_err(|error| fail(error.to_string()))?;
        Ok(Self {
            tls,
            host,
            port,
            uri,
            authorization,
        })
    }

    /// `host:port`, an IPv6 address in brackets.
    pub(crate) fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(crate) fn authority(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// RFC 7617's header for a URL's user and password, if it has any.
fn basic(user: &str, password: Option<&str>) -> Result<Option<HeaderValue>, String> {
    if user.is_empty() && password.is_none() {
        return Ok(None);
    }
    let decode = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let mut plain = decode(user);
    if plain.contains(&b':') {
        return Err("the relay's URL cannot be used: a user name may not contain `:`".into());
    }
    plain.push(b':');
    plain.extend(decode(password.unwrap_or_default()));
    let header = format!("Basic {}", BASE64_STANDARD.encode(plain));
    let mut header = HeaderValue::try_from(header).map_err(|error| error.to_string())?;
    header.set_sensitive(true);
    Ok(Some(header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, tls, host, port, uri) in [
            (
                "ws://127.0.0.1:8700?token=T",
                false,
                "127.0.0.1",
                8700,
                "ws://127.0.0.1:8700/?token=T",
            ),
            (
                "WSS://Relay.Example/a?x=1#y",
                true,
                "relay.example",
                443,
                "wss://relay.example/a?x=1",
            ),
            ("ws://[::1]", false, "::1", 80, "ws://[::1]/"),
            (
                "ws://bücher.example/ü",
                false,
                "xn--bcher-kva.example",
                80,
                "ws://xn--bcher-kva.example/%C3%BC",
            ),
        ] {
            let target = Target::parse(url).unwrap();
            let seen = (target.tls, target.host.as_str(), target.port, target.uri.to_string());
            assert_eq!(seen, (tls, host, port, uri.to_owned()), "{url}");
            assert_eq!(target.authorization, None);
        }
        for url in [
            "",
            "http://host",
            "ws://",
            "ws://host:99999",
            "ws://a:b%3a@",
            "ws://x%3Ay@host/",
            "ws://ho st/",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn user_and_password_become_a_header_and_leave_the_request() {
        let target = Target::parse("ws://Aladdin:open%20sesame@host:1/x").unwrap();
        let header = target.authorization.unwrap();
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(header.is_sensitive());
        assert_eq!(target.uri, "ws://host:1/x");
    }
}
