//! The HTTP proxy in front of the relay: which one, and the tunnel through it.

use crate::target::{Target, authority};
use crate::tls;
use crosspeer::{Proxy, TlsOptions};
use hyper_util::client::proxy::matcher::Matcher;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};

/// Bytes of the longest answer to `CONNECT`.
const MAX_ANSWER: usize = 16 << 10;

/// A connection, by whatever ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
pub(crate) type BoxStream = Box<dyn Stream>;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct Obstacle {
    pub(crate) reason: String,
    /// Whether trying again would not help.
    pub(crate) permanent: bool,
}

impl Obstacle {
    pub(crate) fn permanent(reason: impl Into<String>) -> Self {
        let (reason, permanent) = (reason.into(), true);
        Self { reason, permanent }
    }

    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        let (reason, permanent) = (reason.into(), false);
        Self { reason, permanent }
    }
}

/// A proxy, taken apart.
#[derive(Debug)]
pub(crate) struct Via {
    tls: bool,
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

impl std::fmt::Display for Via {
    /// Without its credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", authority(&self.host, self.port))
    }
}

impl Via {
    /// The proxy for this relay, if there is one.
    pub(crate) fn choose(proxy: &Proxy, target: &Target) -> Result<Option<Self>, String> {
        match proxy {
            Proxy::None => Ok(None),
            Proxy::Url(url) => match Self::of(&Matcher::builder().all(url.as_str()).build(), target)? {
                Some(via) => Ok(Some(via)),
                None => Err("the proxy's URL cannot be used: it must look like http://host:port or \
                             http://user:password@host:port, with what is special in them percent-encoded"
                    .into()),
            },
            _ if no_proxy_at_all() => Ok(None),
            _ => Self::of(&Matcher::from_env(), target),
        }
    }

    fn of(matcher: &Matcher, target: &Target) -> Result<Option<Self>, String> {
        // What the rules know is HTTP.
        let scheme = if target.tls { "https" } else { "http" };
        let Ok(destination) = format!("{scheme}://{}/", target.authority()).parse::<Uri>() else {
            return Ok(None);
        };
        let Some(found) = matcher.intercept(&destination) else {
            return Ok(None);
        };
        let tls = match found.uri().scheme_str() {
            Some("http") => false,
            Some("https") => true,
            other => {
                let scheme = other.unwrap_or_default();
                return Err(format!(
                    "{scheme}:// proxies are not supported: name an HTTP proxy that knows CONNECT, or use none"
                ));
            }
        };
        let host = found.uri().host().unwrap_or_default();
        Ok(Some(Self {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: found.uri().port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authorization: found.basic_auth().cloned(),
        }))
    }

    /// A tunnel through it to the relay.
    pub(crate) async fn tunnel(&self, target: &Target, options: &TlsOptions) -> Result<BoxStream, Obstacle> {
        let mut stream = self.reach(options).await?;
        let answer = self.ask(&mut stream, target).await;
        let head = answer.map_err(|error| Obstacle::passing(format!("the proxy {self} broke off: {error}")))?;
        self.judge(&head, target)?;
        Ok(stream)
    }

    async fn reach(&self, options: &TlsOptions) -> Result<BoxStream, Obstacle> {
        let stream = dial(&self.host, self.port)
            .await
            .map_err(|error| Obstacle::passing(format!("the proxy {self} cannot be reached: {error}")))?;
        if !self.tls {
            return Ok(Box::new(stream));
        }
        let fail = |error: String| Obstacle::permanent(format!("no TLS with the proxy {self}: {error}"));
        let config = tls::client_config(options).map_err(fail)?;
        let name = ServerName::try_from(self.host.clone()).map_err(|error| fail(error.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(|error| match tls::cause(&error) {
                Some(cause) => fail(tls::explain(cause, "proxy")),
                None => Obstacle::passing(format!("the proxy {self} broke off: {error}")),
            })?;
        Ok(Box::new(stream))
    }

    /// Asks for the tunnel; the head of what it answers.
    async fn ask(&self, stream: &mut BoxStream, target: &Target) -> std::io::Result<Vec<u8>> {
        let to = target.authority();
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await?;
        stream.flush().await?;
        // Byte by byte: what follows the head is the relay's.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_ANSWER {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) if !head.is_empty() => break, // judged by what there is
                Err(error) => return Err(error),
            }
        }
        Ok(head)
    }

    fn judge(&self, head: &[u8], target: &Target) -> Result<(), Obstacle> {
        let to = target.authority();
        let Some(status) = status(head) else {
            let text = format!("{self} is not an HTTP proxy: it does not answer CONNECT as one");
            return Err(Obstacle::permanent(text));
        };
        match status {
            200..300 if head.ends_with(b"\r\n\r\n") => Ok(()),
            200..300 => Err(Obstacle::passing(format!("the proxy {self} broke off"))),
            407 if self.authorization.is_none() => Err(Obstacle::permanent(format!(
                "the proxy {self} wants credentials (HTTP 407): give them as http://user:password@…"
            ))),
            407 => Err(Obstacle::permanent(format!(
                "the proxy {self} does not accept these credentials (HTTP 407)"
            ))),
            500.. | 408 | 429 => Err(Obstacle::passing(format!(
                "the proxy {self} does not get through to {to} (HTTP {status})"
            ))),
            _ => Err(Obstacle::permanent(format!(
                "the proxy {self} refuses to connect to {to} (HTTP {status}); if it must not be used for this host, add \
                 the host to NO_PROXY"
            ))),
        }
    }
}

/// Whether NO_PROXY lists everything. `Matcher` knows `*` for names, curl for addresses too.
fn no_proxy_at_all() -> bool {
    let listed = std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy"));
    listed.is_ok_and(|hosts| hosts.split(',').any(|host| host.trim() == "*"))
}

/// The status of an HTTP/1 response.
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let rest = line.strip_prefix("HTTP/1.")?;
    let status = rest.split(' ').nth(1)?;
    status.parse().ok().filter(|status| (100..1000).contains(status))
}

/// A TCP connection to the first address of a host that takes it.
pub(crate) async fn dial(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    fn explicit(url: &str) -> Result<Option<Via>, String> {
        Via::choose(&Proxy::Url(url.into()), &relay("wss://relay.example"))
    }

    #[test]
    fn a_proxys_url_is_taken_apart_and_shown_without_secrets() {
        for (url, shown) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("proxy:3128", "http://proxy:3128"),
            ("http://us%20er:secret@proxy", "http://proxy:80"),
            ("https://[::1]:3128/", "https://[::1]:3128"),
        ] {
            assert_eq!(explicit(url).unwrap().unwrap().to_string(), shown, "{url}");
        }
        let via = explicit("http://Aladdin:open%20sesame@proxy").unwrap().unwrap();
        assert_eq!(via.authorization.unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        for url in ["", "ftp://proxy", "http://", "http://ho st", "socks5://proxy:1080"] {
            assert!(explicit(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_environments_rules_are_curls() {
        let matcher = || Matcher::builder().http("http://plain").https("http://tls");
        let via = |no: &str, url| {
            let via = Via::of(&matcher().no(no).build(), &relay(url)).unwrap();
            via.map(|via| via.host)
        };
        assert_eq!(via("", "ws://relay.example").as_deref(), Some("plain"));
        assert_eq!(via("", "wss://relay.example").as_deref(), Some("tls"));
        for (no, url, direct) in [
            ("relay.example", "wss://relay.example:8700", true),
            (".example, other", "wss://relay.example", true),
            ("10.0.0.0/8", "ws://10.1.2.3:8700", true),
            ("::1", "ws://[::1]:8700", true),
            ("*", "ws://anything", true),
            ("lay.example", "wss://relay.example", false),
            ("10.0.0.0/8", "ws://11.1.2.3:8700", false),
        ] {
            assert_eq!(via(no, url).is_none(), direct, "{no} {url}");
        }
    }

    #[test]
    fn what_a_proxy_answers_is_judged() {
        let via = explicit("http://u:secret@proxy").unwrap().unwrap();
        let judge = |head: &str| via.judge(head.as_bytes(), &relay("ws://relay.example:1"));
        assert!(judge("HTTP/1.1 200 Connection established\r\n\r\n").is_ok());
        assert!(judge("HTTP/1.0 200\r\nX: y\r\n\r\n").is_ok());
        for (head, permanent, word) in [
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                true,
                "credentials",
            ),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", true, "relay.example:1"),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", false, "relay.example:1"),
            ("HTTP/1.1 200 OK\r\nX: cut", false, "broke off"),
            ("SSH-2.0-x\r\n\r\n", true, "not an HTTP proxy"),
            ("HTTP/1.1 99999 x\r\n\r\n", true, "not an HTTP proxy"),
            ("\u{0}", true, "not an HTTP proxy"),
        ] {
            let obstacle = judge(head).unwrap_err();
            assert_eq!(obstacle.permanent, permanent, "{head}");
            assert!(obstacle.reason.contains("http://proxy:80"), "{obstacle:?}");
            assert!(obstacle.reason.contains(word), "{obstacle:?}");
            assert!(!obstacle.reason.contains("secret"), "{obstacle:?}");
        }
    }
}
