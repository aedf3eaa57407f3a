//! The HTTP side: the WebSocket handshake, `/healthz`, and an explanation for everybody else.

use crate::access::{Applicant, PROTOCOL, credential, offers_protocol, said};
use crate::claims::Secret;
use crate::client::{self, Arrival, Unauthorized};
use crate::hub::Hub;
use crate::metrics::{Now, OPENMETRICS};
use crate::trickle::{Allowance, Trickle};
use crate::turn::Asker;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tracing::debug;

const FOREIGN: &str = "Pages of this origin are not taken here.";
/// Bytes a client's read buffer holds; more than the default takes 128 KiB for each idle client.
const READ_BUFFER: usize = 4096;
/// Bytes that are gathered before they are written, if more is to be written.
const WRITE_BUFFER: usize = 16 << 10;

impl Hub {
    /// Routes for a server of your own: merge it, nest it, or use it as a fallback.
    ///
    /// At any path, a WebSocket request becomes a client, `GET …/healthz` says how it goes, `GET …/readyz` whether clients
    /// are taken, and anything else is 426.
    pub fn router(&self) -> Router {
        Router::new().fallback(route).with_state(self.clone())
    }
}

async fn route(State(hub): State<Hub>, request: Request) -> Response {
    let remote = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    answer(&hub, request, remote)
}

/// Answers any request.
pub(crate) fn answer(hub: &Hub, request: Request, remote: Option<SocketAddr>) -> Response {
    if is_websocket(request.headers()) {
        upgrade(hub, request, remote)
    } else if *request.method() == Method::GET && request.uri().path().ends_with("/healthz") {
        health(hub)
    } else if *request.method() == Method::GET && request.uri().path().ends_with("/readyz") {
        readiness(hub)
    } else {
        let text =
            "This is a crosspeer relay: connect with a WebSocket (ws:// or wss://). GET /healthz says how it goes.\n";
        (StatusCode::UPGRADE_REQUIRED, [(UPGRADE, "websocket")], text).into_response()
    }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

fn upgrade(hub: &Hub, mut request: Request, remote: Option<SocketAddr>) -> Response {
    let places = match hub.admit(remote.map(|remote| remote.ip())) {
        Ok(places) => places,
        Err(reason) => return (StatusCode::TOO_MANY_REQUESTS, format!("{reason}\n")).into_response(),
    };
    let mut response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    if offers_protocol(request.headers()) {
        let headers = response.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let arrival = arrival(hub, &mut request, remote);
    let hub = hub.clone();
    tokio::spawn(async move {
        match upgraded.await {
            Ok(io) => {
                let config = websocket_config(hub.max_message());
                let allowance = arrival.allowance.clone();
                let io = TokioIo::new(io);
                let io = Trickle { io, allowance };
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
                client::welcome(hub, socket, arrival, places).await;
            }
            Err(error) => debug!(?remote, "the connection broke during the WebSocket handshake: {error}"),
        }
    });
    response
}

/// Who comes, by its request.
fn arrival(hub: &Hub, request: &mut Request, remote: Option<SocketAddr>) -> Arrival {
    let refused = request.extensions_mut().remove::<Unauthorized>();
    let (headers, query) = (request.headers(), request.uri().query());
    let origin = headers
        .get(ORIGIN)
        .map(|origin| origin.to_str().unwrap_or_default().to_owned());
    let foreign = origin.as_ref().is_some_and(|origin| !hub.takes(origin));
    Arrival {
        remote,
        refused: refused.or(foreign.then_some(Unauthorized(FOREIGN))),
        owner: hub.is_owner(query),
        secret: Secret::of(query),
        applicant: Applicant {
            token: credential(headers, query),
            address: remote.map(|remote| remote.ip()),
            origin,
        },
        asker: asker(headers, query, remote),
        allowance: Allowance::default(),
    }
}

/// A client whose URL says `ice=1`. How it has reached this relay is how it reaches its STUN and TURN server.
fn asker(headers: &HeaderMap, query: Option<&str>, remote: Option<SocketAddr>) -> Option<Asker> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    (said(query, "ice=") == Some("1")).then(|| Asker {
        host: host.unwrap_or_default().to_owned(),
        address: remote.map(|remote| remote.ip()),
    })
}

/// `/metrics`, `/healthz`, `/readyz`.
pub(crate) fn operators(hub: &Hub) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|State(hub): State<Hub>| async move { health(&hub) }))
        .route("/readyz", get(|State(hub): State<Hub>| async move { readiness(&hub) }))
        .with_state(hub.clone())
}

async fn metrics(State(hub): State<Hub>) -> Response {
    let (nodes, up) = hub.cluster_state();
    let now = Now {
        counts: hub.counts(),
        clients: hub.registered(),
        ready: hub.is_ready(),
        nodes,
        up,
    };
    ([(CONTENT_TYPE, OPENMETRICS)], hub.metrics().text(&now)).into_response()
}

/// The process is alive.
fn health(hub: &Hub) -> Response {
    let body = serde_json::json!({
        "status": "ok",
        "clients": hub.registered(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// 200 while new clients are welcome; 503 while it shuts down or is cut off from its cluster.
fn readiness(hub: &Hub) -> Response {
    match hub.is_ready() {
        true => (StatusCode::OK, "ready\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}

fn websocket_config(max_message: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message))
}
