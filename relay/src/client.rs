//! One client's socket: what it says goes to the hub, what is in its mailbox goes out.

use crate::access::Applicant;
use crate::claims::{Rights, Secret};
use crate::hub::{Hub, Places};
use crate::mailbox::{DEAF, Mail, Mailbox};
use crate::trickle::{Allowance, Trickle};
use crate::turn::Asker;
use crosspeer::relay::{ConnId, close_code};
use futures_util::future::{self, Either};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::tungstenite::{Bytes, Error};
use tracing::debug;

/// No token is waited for longer: a timer's reach.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// How a client's sending side ended.
enum End {
    /// It closed, answered our closing, or is lost.
    Gone,
    /// It must not go on, and what it still sends cannot be read.
    Refused(u16, &'static str),
}

/// A router in front of a [`Hub`] puts this into a WebSocket request's extensions to refuse it: the client is closed with
/// 4001 and this reason, and knows that trying again is of no use. An HTTP status would be hidden from pages.
#[derive(Debug, Clone, Copy)]
pub struct Unauthorized(
    /// The close reason, at most 123 bytes.
    pub &'static str,
);

/// A client that comes, by its request.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) remote: Option<SocketAddr>,
    /// Whether it must not come in, whatever it shows.
    pub(crate) refused: Option<Unauthorized>,
    pub(crate) owner: bool,
    pub(crate) secret: Option<Secret>,
    pub(crate) applicant: Applicant,
    pub(crate) asker: Option<Asker>,
    /// What may come of it before it registers.
    pub(crate) allowance: Allowance,
}

/// Looks at what a client shows, and serves it until it is gone.
pub(crate) async fn welcome<S>(hub: Hub, socket: WebSocketStream<Trickle<S>>, arrival: Arrival, mut places: Places)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(Unauthorized(reason)) = arrival.refused {
        return turn_away(&hub, socket, (close_code::UNAUTHORIZED, reason)).await;
    }
    let grant = match hub.judge(&arrival.applicant).await {
        Ok(grant) => grant,
        Err(refusal) => return turn_away(&hub, socket, refusal.close()).await,
    };
    if let Some(grant) = &grant {
        match hub.seat(grant) {
            Ok(seat) => places.token = seat,
            Err(reason) => return turn_away(&hub, socket, (close_code::POLICY, reason)).await,
        }
    }
    let rights = Rights {
        owner: arrival.owner,
        secret: arrival.secret,
        grant,
        asker: arrival.asker,
    };
    places.allowance = arrival.allowance;
    serve(hub, socket, arrival.remote, places, rights).await;
}

/// Serves a client until it is gone.
async fn serve<S>(
    hub: Hub,
    socket: WebSocketStream<Trickle<S>>,
    remote: Option<SocketAddr>,
    places: Places,
    rights: Rights,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let lasts = rights.grant.as_ref().and_then(|grant| grant.lasts());
    let (conn, mailbox) = hub.on_open(rights);
    debug!(conn = conn.0, ?remote, "connected");
    let heard = AtomicBool::new(true);
    tokio::select! {
        () = talk(&hub, conn, &mailbox, socket, &heard, places) => {}
        () = watch(&hub, conn, &mailbox, &heard, lasts) => {}
        () = renewal(&hub, conn) => {}
    }
    hub.on_close(conn);
    debug!(conn = conn.0, "disconnected");
}

/// Closes a client that must not come in.
async fn turn_away<S>(hub: &Hub, mut socket: WebSocketStream<S>, (code, reason): (u16, &'static str))
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    hub.metrics().closed(code);
    let frame = CloseFrame {
        code: code.into(),
        reason: reason.into(),
    };
    let closing = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(hub.limits().close_timeout, closing).await;
}

/// Reads and writes until both are done.
async fn talk<S>(
    hub: &Hub,
    conn: ConnId,
    mailbox: &Mailbox,
    socket: WebSocketStream<Trickle<S>>,
    heard: &AtomicBool,
    places: Places,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut stream) = socket.split();
    let refused = {
        let reading = pin!(read(hub, (conn, mailbox), &mut stream, heard, places));
        let writing = pin!(write(mailbox, &mut sink));
        match future::select(reading, writing).await {
            Either::Left((End::Gone, _)) => false,
            Either::Left((End::Refused(code, reason), writing)) => {
                hub.close(conn, code, reason);
                writing.await.is_ok()
            }
            Either::Right((Ok(()), reading)) => matches!(reading.await, End::Refused(..)),
            Either::Right((Err(error), _)) => {
                debug!(conn = conn.0, "writing failed: {error}");
                false
            }
        }
    };
    if refused && let Ok(socket) = sink.reunite(stream) {
        discard(socket.into_inner().io).await;
    }
}

async fn read<S>(
    hub: &Hub,
    (conn, mailbox): (ConnId, &Mailbox),
    stream: &mut SplitStream<WebSocketStream<S>>,
    heard: &AtomicBool,
    mut places: Places,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = stream.next().await {
        heard.store(true, Ordering::Relaxed);
        mailbox.hear();
        match message {
            Ok(Message::Text(text)) => {
                mailbox.hold_back(true);
                let taken = hub.on_text(conn, &text, &places).await;
                mailbox.hold_back(false);
                if let Err(reason) = taken {
                    return End::Refused(close_code::POLICY, reason);
                }
                if hub.knows(conn) {
                    places.stranger = None;
                    places.allowance.lift();
                }
                heard.store(true, Ordering::Relaxed); // it was held back; its pongs wait behind this
            }
            Ok(Message::Binary(_)) => hub.on_binary(conn),
            Ok(_) => {}
            Err(Error::Capacity(error)) => {
                debug!(conn = conn.0, "{error}");
                let (code, reason) = hub.oversize();
                return End::Refused(code, reason);
            }
            Err(Error::Utf8(_)) => return End::Refused(1007, "The text is not UTF-8."),
            Err(Error::Protocol(error)) => {
                debug!(conn = conn.0, "{error}");
                return End::Refused(1002, "Not the WebSocket protocol.");
            }
            Err(_) if places.allowance.is_over() => {
                return End::Refused(close_code::TOO_BIG, "Too much came before a registration.");
            }
            Err(error) => {
                debug!(conn = conn.0, "reading failed: {error}");
                return End::Gone;
            }
        }
    }
    End::Gone
}

/// Writes what the mailbox holds, up to and including its close frame.
async fn write<S>(mailbox: &Mailbox, sink: &mut SplitSink<WebSocketStream<S>, Message>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let mut mail = Some(mailbox.next().await);
        while let Some(next) = mail {
            match next {
                Mail::Text(text) => sink.feed(Message::Text(text)).await?,
                Mail::Ping => sink.feed(Message::Ping(Bytes::new())).await?,
                Mail::Close(code, reason) => {
                    let frame = CloseFrame {
                        code: code.into(),
                        reason: reason.into(),
                    };
                    return sink.send(Message::Close(Some(frame))).await;
                }
            }
            mail = mailbox.try_next();
        }
        sink.flush().await?;
    }
}

/// Ends when the client has to be given up: some time after its mailbox was closed, by whom ever, if need be by this.
async fn watch(hub: &Hub, conn: ConnId, mailbox: &Mailbox, heard: &AtomicBool, lasts: Option<Duration>) {
    tokio::select! {
        () = expiry(lasts) => hub.close(conn, close_code::POLICY, "The token has expired."),
        () = mailbox.closed() => {}
        () = anonymity(hub, conn) => hub.close(conn, close_code::POLICY, "No registration came in time."),
        () = mailbox.stalled(hub.limits().ping_timeout) => hub.close(conn, close_code::POLICY, DEAF),
        () = silence(hub, mailbox, heard) => hub.close_silent(conn),
    }
    sleep(hub.limits().close_timeout).await;
}

/// Ends when the client's token does.
async fn expiry(lasts: Option<Duration>) {
    match lasts {
        Some(time) => sleep(time.min(LONGEST)).await,
        None => std::future::pending().await,
    }
}

/// Gives the client new credentials for STUN and TURN servers before the last ones end; never ends.
async fn renewal(hub: &Hub, conn: ConnId) {
    while let Some(time) = hub.renewal(conn) {
        sleep(time).await;
        hub.renew(conn);
    }
    std::future::pending().await
}

/// Ends when the client's time to register is over and it has not.
async fn anonymity(hub: &Hub, conn: ConnId) {
    sleep(hub.limits().register_timeout).await;
    if hub.knows(conn) {
        std::future::pending().await
    }
}

/// Pings the client; ends when it is not heard in time.
async fn silence(hub: &Hub, mailbox: &Mailbox, heard: &AtomicBool) {
    let limits = hub.limits();
    loop {
        sleep(limits.ping_interval).await;
        heard.store(false, Ordering::Relaxed);
        mailbox.ping();
        sleep(limits.ping_timeout).await;
        if !heard.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Says that no more comes and throws away what does, so that the close frame is not lost in a reset.
async fn discard<S: AsyncRead + AsyncWrite + Unpin>(mut io: S) {
    if io.shutdown().await.is_ok() {
        let mut buffer = vec![0; 4096];
        while matches!(io.read(&mut buffer).await, Ok(1..)) {}
    }
}
