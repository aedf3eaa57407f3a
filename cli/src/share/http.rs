//! The one port: the page, `/config.json` that tells it whom to call, and the relay for whoever asks for a WebSocket.

use super::assets;
use super::guesses::Guesses;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, ORIGIN, UPGRADE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

const HTML_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data: blob:; connect-src 'self' ws: wss:; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Everything but what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// A status, and why.
type Refusal = (StatusCode, &'static str);

/// Who may come in, and what the page is told.
#[derive(Debug)]
pub(super) struct Door {
    /// Needed for everything but the page itself, which holds no secret.
    pub(super) token: Option<String>,
    /// This computer's name.
    pub(super) host_name: String,
    /// `/config.json`.
    pub(super) config: serde_json::Value,
    pub(super) guesses: Guesses,
}

/// The page in front of the relay.
pub(super) fn router(door: Door, relay: Router) -> Router {
    relay.layer(from_fn_with_state(Arc::new(door), answer))
}

async fn answer(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    if let Err(refusal) = door.check_host(request.headers()) {
        return refusal.into_response();
    }
    let path = request.uri().path();
    if request.headers().contains_key(UPGRADE) {
        return match door.check_client(&request) {
            Ok(()) => next.run(request).await,
            // Pages are told no HTTP status of a WebSocket, but its close code: that trying again is of no use.
            Err((StatusCode::UNAUTHORIZED, reason)) => {
                request
                    .extensions_mut()
                    .insert(crosspeer_relay::Unauthorized(reason.trim_end()));
                next.run(request).await
            }
            Err(refusal) => refusal.into_response(),
        };
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match path {
        "/config.json" => match door.check_client(&request) {
            Ok(()) => file("application/json", door.config.to_string().into_bytes()),
            Err(refusal) => refusal.into_response(),
        },
        "/healthz" => match door.check_client(&request) {
            Ok(()) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        },
        path => match assets::find(path) {
            Some((kind, content)) => file(kind, content),
            None => (StatusCode::NOT_FOUND, "There is no such page here.\n").into_response(),
        },
    }
}

fn file(kind: &'static str, content: impl IntoResponse) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("content-security-policy"), HTML_POLICY),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
    ];
    (headers, content).into_response()
}

impl Door {
    /// A name that someone else has pointed at this computer (DNS rebinding) must not get a page of theirs in: without a
    /// token only addresses and this computer's own names are answered.
    fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.token.is_some() || self.is_own(text(headers, &HOST)) {
            return Ok(());
        }
        let reason = "Without --token this server answers to its address only, such as http://127.0.0.1:8700/.\n";
        Err((StatusCode::MISDIRECTED_REQUEST, reason))
    }

    fn is_own(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let local = format!("{}.local", self.host_name);
        let names = ["localhost", &self.host_name, &local];
        name.parse::<IpAddr>().is_ok() || names.iter().any(|own| name.eq_ignore_ascii_case(own))
    }

    /// With a token: the right one. Without: no page of another address, which any browser would let connect.
    fn check_client(&self, request: &Request) -> Result<(), Refusal> {
        let Some(token) = &self.token else {
            let (origin, host) = (text(request.headers(), &ORIGIN), text(request.headers(), &HOST));
            let same = origin.is_empty() || origin.split_once("://").is_some_and(|(_, from)| from == host);
            return match same {
                true => Ok(()),
                false => Err((StatusCode::FORBIDDEN, "Pages of other addresses may not connect.\n")),
            };
        };
        let Some(given) = given_token(request) else {
            return Err((StatusCode::UNAUTHORIZED, "missing-token\n"));
        };
        let remote = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let from = remote.map_or(Ipv6Addr::UNSPECIFIED.into(), |info| info.0.ip());
        if !self.guesses.may_try(from, Instant::now()) {
            let reason = "Too many wrong tokens came from this address; try again in some seconds.\n";
            return Err((StatusCode::TOO_MANY_REQUESTS, reason));
        }
        if given.as_bytes().ct_eq(token.as_bytes()).into() {
            return Ok(());
        }
        self.guesses.failed(from, Instant::now());
        Err((StatusCode::UNAUTHORIZED, "wrong-token\n"))
    }
}

fn given_token(request: &Request) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let header = || text(request.headers(), &axum::http::header::AUTHORIZATION).strip_prefix("Bearer ");
    let value = pairs.find(|(key, _)| *key == "token").map(|(_, value)| value);
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    value.or_else(header).map(decode)
}

/// As a value in a URL's query or fragment.
pub(super) fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn door(token: Option<&str>) -> Door {
        Door {
            token: token.map(str::to_owned),
            host_name: "studio".into(),
            config: serde_json::Value::Null,
            guesses: Guesses::default(),
        }
    }

    fn request(uri: &str, headers: &[(HeaderName, &str)]) -> Request {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn with_a_token_only_the_right_one_gets_in() {
        let door = door(Some("a b/c"));
        assert!(door.check_client(&request("/relay?x=1&token=a%20b%2Fc", &[])).is_ok());
        for uri in ["/relay", "/relay?token=", "/relay?token=a", "/relay?token=a%20b%2Fcd"] {
            assert!(door.check_client(&request(uri, &[])).is_err(), "{uri}");
        }
        let header = [(axum::http::header::AUTHORIZATION, "Bearer a b/c")];
        assert!(door.check_client(&request("/", &header)).is_ok());
        let uri = format!("/?token={}", percent_encode("a b/ü%&-._~"));
        assert!(uri.is_ascii() && uri.ends_with("-._~"), "{uri}");
        assert_eq!(given_token(&request(&uri, &[])).as_deref(), Some("a b/ü%&-._~"));
    }

    #[test]
    fn whoever_guesses_has_to_wait_even_with_the_right_one() {
        let door = door(Some("right"));
        let refused = |uri| door.check_client(&request(uri, &[])).unwrap_err().0;
        assert_eq!(refused("/"), StatusCode::UNAUTHORIZED);
        let tries = (0..100).take_while(|_| refused("/?token=wrong") == StatusCode::UNAUTHORIZED);
        assert_eq!(tries.count(), 10);
        assert_eq!(refused("/?token=right"), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            refused("/"),
            StatusCode::UNAUTHORIZED,
            "without one, it can only be asked for"
        );
    }

    #[test]
    fn without_a_token_no_page_of_another_address_gets_in() {
        let from = |origin| [(HOST, "127.0.0.1:8700"), (ORIGIN, origin)];
        let door = door(None);
        assert!(door.check_client(&request("/", &from("http://127.0.0.1:8700"))).is_ok());
        assert!(door.check_client(&request("/", &[(HOST, "127.0.0.1:8700")])).is_ok());
        assert!(door.check_client(&request("/", &from("https://evil.example"))).is_err());
        assert!(door.check_client(&request("/", &from("null"))).is_err());
    }

    #[test]
    fn a_foreign_name_for_this_computer_is_not_answered() {
        let door = door(None);
        for (host, ok) in [
            ("127.0.0.1:8700", true),
            ("localhost:1", true),
            ("[::1]:8700", true),
            ("192.0.2.1:8700", true),
            ("Studio.local:8700", true),
            ("evil.example:8700", false),
            ("", false),
        ] {
            let headers = request("/", &[(HOST, host)]);
            assert_eq!(door.check_host(headers.headers()).is_ok(), ok, "{host}");
        }
    }
}
