//! The WebSocket to the relay.

use crate::proxy::{BoxStream, Obstacle, Via, dial};
use crate::target::Target;
use crate::tls;
use crosspeer::Config;
use crosspeer::platform::{Event, Events, Socket, SocketEvent, SocketId};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{ProtocolError, TlsError};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, LOCATION};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

/// Bytes of the largest message accepted: a relay forwards up to 1 MiB, and a refusal may quote it.
const MAX_MESSAGE: usize = (1 << 20) + (64 << 10);
/// Bytes a socket's read buffer holds; the default of 128 KiB is as much as an idle connection's engine takes.
const READ_BUFFER: usize = 4096;
/// Text frames that wait to be sent. A relay that takes none of so many is given up.
const MAX_QUEUED: usize = 1024;
/// The time for the TCP, TLS and WebSocket handshakes (Python websockets' default).
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the relay is asked for a sign of life (Python websockets' default).
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A relay that has sent nothing for this long, not even a pong, is gone.
const SILENCE: Duration = Duration::from_secs(40);
/// How long the relay has to answer our closing.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// One WebSocket. Dropping it closes it.
#[derive(Debug)]
pub struct NativeSocket {
    /// `None` once closed; the task then sends what is queued, and ends.
    queue: Mutex<Option<mpsc::Sender<String>>>,
}

impl NativeSocket {
    pub(crate) fn spawn(runtime: &Handle, id: SocketId, url: &str, config: &Config, events: Events) -> Self {
        let (queue, queued) = mpsc::channel(MAX_QUEUED);
        let report = move |event| events.push(Event::Socket(id, event));
        let (url, config) = (url.to_owned(), config.clone());
        runtime.spawn(async move {
            let end = Box::pin(run(&url, &config, queued, &report)).await;
            report(match end.permanent {
                true => SocketEvent::Unusable(end.reason),
                false => SocketEvent::Closed {
                    code: end.code,
                    reason: end.reason,
                    http_status: end.http_status,
                },
            });
        });
        Self {
            queue: Mutex::new(Some(queue)),
        }
    }
}

impl Socket for NativeSocket {
    fn send(&self, text: String) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let full = queue
            .as_ref()
            .is_some_and(|queue| matches!(queue.try_send(text), Err(mpsc::error::TrySendError::Full(_))));
        if full {
            tracing::warn!("the relay does not take what is sent to it; closing");
            *queue = None;
        }
    }

    fn close(&self) {
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Why a socket ended.
#[derive(Debug, Default)]
struct End {
    code: Option<u16>,
    reason: String,
    http_status: Option<u16>,
    /// Whether trying again would not help.
    permanent: bool,
}

impl From<Obstacle> for End {
    fn from(Obstacle { reason, permanent }: Obstacle) -> Self {
        Self {
            reason,
            permanent,
            ..Self::default()
        }
    }
}

impl End {
    fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            ..Self::default()
        }
    }
}

/// Why a socket that was open ended.
impl From<tungstenite::Error> for End {
    fn from(error: tungstenite::Error) -> Self {
        Self::because(error.to_string())
    }
}

/// Why a WebSocket was not opened.
fn refusal(error: tungstenite::Error) -> End {
    match &error {
        tungstenite::Error::Http(response) => declined(response),
        tungstenite::Error::Io(io) => match tls::cause(io) {
            Some(cause) => Obstacle::permanent(tls::explain(cause, "relay")).into(),
            None => End::because(error.to_string()),
        },
        tungstenite::Error::Tls(TlsError::Rustls(cause)) => Obstacle::permanent(tls::explain(cause, "relay")).into(),
        // It may be stopping, or starting.
        tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            End::because("it closed the connection instead of answering; if it speaks TLS, try wss:// instead of ws://")
        }
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => End::because(error.to_string()),
        _ => Obstacle::permanent(format!(
            "{error}; what answers there is not a plain WebSocket: try wss:// instead of ws://, or another port"
        ))
        .into(),
    }
}

/// An HTTP status instead of a WebSocket.
fn declined(response: &Response<Option<Vec<u8>>>) -> End {
    let status = response.status();
    let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
    let moved = location.filter(|_| status.is_redirection());
    End {
        reason: match moved {
            Some(to) => format!("HTTP {status}, to {to}"),
            None => format!("HTTP {status}"),
        },
        http_status: Some(status.as_u16()),
        ..End::default()
    }
}

async fn run(url: &str, config: &Config, queued: mpsc::Receiver<String>, report: &impl Fn(SocketEvent)) -> End {
    let socket = match timeout(OPEN_TIMEOUT, open(url, config)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(end)) => return end,
        Err(_) => return End::because(format!("no answer within {OPEN_TIMEOUT:?}")),
    };
    report(SocketEvent::Open);
    let (sink, stream) = socket.split();
    let mut reading = std::pin::pin!(read(stream, report));
    tokio::select! {
        end = &mut reading => end,
        wrote = write(sink, queued) => {
            // What the relay says tells more than that writing failed.
            let end = timeout(CLOSE_TIMEOUT, reading).await;
            end.unwrap_or_else(|_| wrote.unwrap_or_else(|| End::because("closed")))
        }
    }
}

async fn open(url: &str, config: &Config) -> Result<WebSocketStream<MaybeTlsStream<BoxStream>>, End> {
    let target = Target::parse(url).map_err(Obstacle::permanent)?;
    let (mut request, connector) = prepare(&target, config).map_err(Obstacle::permanent)?;
    show_token(&mut request, config).await?;
    let via = Via::choose(&config.proxy, &target).map_err(Obstacle::permanent)?;
    let stream: BoxStream = match via {
        Some(via) => via.tunnel(&target, &config.tls).await?,
        None => match dial(&target.host, target.port).await {
            Ok(stream) => Box::new(stream),
            Err(error) => return Err(End::because(format!("{}: {error}", target.authority()))),
        },
    };
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let opening = Box::pin(client_async_tls_with_config(
        request,
        stream,
        Some(limits),
        Some(connector),
    ));
    let (socket, _response) = opening.await.map_err(refusal)?;
    Ok(socket)
}

pub(crate) fn prepare(target: &Target, config: &Config) -> Result<(Request, Connector), String> {
    let request = target.uri.clone().into_client_request();
    let mut request = request.map_err(|error| error.to_string())?;
    for (name, value) in &config.relay_headers {
        // The value may be a secret, and is not repeated.
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is not a header name"))?;
        let value = HeaderValue::from_str(value).map_err(|_| format!("the value of header {name} is not usable"))?;
        request.headers_mut().append(header, value);
    }
    if let Some(authorization) = &target.authorization
        && !request.headers().contains_key(AUTHORIZATION)
    {
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
    }
    let connector = match target.tls {
        true => Connector::Rustls(Arc::new(tls::client_config(&config.tls)?)),
        false => Connector::Plain,
    };
    Ok((request, connector))
}

/// Asks for the token, if there is to be one, and puts it where ProxyStore's relay looks for it.
async fn show_token(request: &mut Request, config: &Config) -> Result<(), End> {
    let given = |(name, _): &(String, String)| name.eq_ignore_ascii_case(AUTHORIZATION.as_str());
    let Some(token) = config
        .token
        .as_ref()
        .filter(|_| !config.relay_headers.iter().any(given))
    else {
        return Ok(());
    };
    let token = token.get().await;
    let token = token.map_err(|why| End::because(format!("there is no token for it: {why}")))?;
    // It is a secret, and is not repeated.
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut header = header.map_err(|_| End::because("its token has characters that none may have"))?;
    header.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, header);
    Ok(())
}

async fn read(
    mut stream: impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
    report: &impl Fn(SocketEvent),
) -> End {
    loop {
        let Ok(next) = timeout(SILENCE, stream.next()).await else {
            return End::because(format!("the relay has been silent for {SILENCE:?}"));
        };
        match next {
            Some(Ok(Message::Text(text))) => report(SocketEvent::Text(text.as_str().to_owned())),
            Some(Ok(Message::Binary(_))) => report(SocketEvent::Binary),
            Some(Ok(Message::Close(frame))) => {
                let end = frame.map_or_else(
                    || End::because("closed by the relay"),
                    |frame| End {
                        code: Some(frame.code.into()),
                        reason: frame.reason.as_str().to_owned(),
                        ..End::default()
                    },
                );
                // Sends our own close frame.
                let _ = timeout(CLOSE_TIMEOUT, stream.next()).await;
                return end;
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(error)) => return error.into(),
            None => return End::because("the connection to the relay broke"),
        }
    }
}

/// Sends what is queued until the queue ends, then closes; `Some` if the socket ended first.
async fn write(
    mut sink: impl Sink<Message, Error = tungstenite::Error> + Unpin,
    mut queued: mpsc::Receiver<String>,
) -> Option<End> {
    let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + PING_INTERVAL, PING_INTERVAL);
    loop {
        let message = tokio::select! {
            text = queued.recv() => match text {
                Some(text) => Message::text(text),
                None => break,
            },
            _ = pings.tick() => Message::Ping(bytes::Bytes::new()),
        };
        if let Err(error) = sink.send(message).await {
            return Some(error.into());
        }
    }
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    sink.send(Message::Close(Some(frame))).await.err().map(End::from)
}

#[cfg(test)]
mod tests;
