//! The HTTP side: the WebSocket handshake, `/healthz`, and an explanation for everybody else.

use crate::claims::Secret;
use crate::client;
use crate::hub::Hub;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_TYPE, ORIGIN, UPGRADE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
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

/// A router in front of a [`Hub`] puts this into a WebSocket request's extensions to refuse it: the client is closed with
/// 4001 and this reason, and knows that trying again is of no use. An HTTP status would be hidden from pages.
#[derive(Debug, Clone, Copy)]
pub struct Unauthorized(
    /// The close reason, at most 123 bytes.
    pub &'static str,
);

impl Hub {
    /// Routes for a server of your own: merge it, nest it, or use it as a fallback.
    ///
    /// At any path, a WebSocket request becomes a client, `GET …/healthz` says how it goes, and anything else is 426.
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

fn health(hub: &Hub) -> Response {
    let body = serde_json::json!({
        "status": "ok",
        "clients": hub.registered(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn upgrade(hub: &Hub, mut request: Request, remote: Option<SocketAddr>) -> Response {
    let stranger = remote.map(|remote| hub.admit(remote.ip()));
    let Some(stranger) = stranger.map_or(Some(None), |admitted| admitted.map(Some)) else {
        let text = "Too many connections from this address have not registered.\n";
        return (StatusCode::TOO_MANY_REQUESTS, text).into_response();
    };
    let response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let query = request.uri().query();
    let rights = (hub.is_owner(query), Secret::of(query));
    let hub = hub.clone();
    let origin = request
        .headers()
        .get(ORIGIN)
        .map(|origin| origin.to_str().unwrap_or_default());
    let foreign = origin
        .is_some_and(|origin| !hub.takes(origin))
        .then_some(Unauthorized(FOREIGN));
    let refused = request.extensions_mut().remove::<Unauthorized>().or(foreign);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(io) => {
                let config = websocket_config(hub.max_message());
                let socket = WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(config)).await;
                match refused {
                    Some(Unauthorized(reason)) => client::turn_away(hub.limits(), socket, reason).await,
                    None => client::serve(hub, socket, remote, stranger, rights).await,
                }
            }
            Err(error) => debug!(?remote, "the connection broke during the WebSocket handshake: {error}"),
        }
    });
    response
}

fn websocket_config(max_message: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message))
}
