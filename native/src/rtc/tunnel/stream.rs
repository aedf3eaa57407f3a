//! The TCP or TLS connection to one TURN server: what its client sends, one after the other, and what it answers.

use super::allocation::Allocation;
use super::{Server, Tunnels};
use crate::proxy::{BoxStream, Via, dial};
use crate::target::Target;
use crate::tls;
use crosspeer::Config;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A STUN message, or ChannelData without its padding.
pub(super) type Frame = Vec<u8>;

/// The time for TCP and TLS.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const READ: usize = 64 << 10;

/// Connects to the server, and carries frames until either side has no more.
pub(super) async fn run(
    tunnels: Arc<Tunnels>,
    number: usize,
    outgoing: mpsc::Receiver<Frame>,
    incoming: mpsc::Sender<(usize, Frame)>,
) {
    let Some(server) = tunnels.servers.get(number) else {
        return;
    };
    let pending = Pending(&tunnels);
    let stream = match open(&tunnels.config, &server.target).await {
        Ok(stream) => stream,
        Err(reason) => return tunnels.fail(&server.url, reason),
    };
    let (reader, writer) = tokio::io::split(stream);
    let watch = Watch {
        tunnels: &tunnels,
        server,
        pending: Some(pending),
        allocation: Allocation::Asked,
    };
    tokio::select! {
        () = read(reader, number, incoming, watch) => {}
        () = write(writer, outgoing) => {}
    }
}

/// A connection to a TURN server, in time.
pub(super) async fn open(config: &Config, target: &Target) -> Result<BoxStream, String> {
    let opened = timeout(OPEN_TIMEOUT, Box::pin(connect(config, target))).await;
    opened.unwrap_or_else(|_| Err(format!("it did not answer within {OPEN_TIMEOUT:?}")))
}

async fn connect(config: &Config, target: &Target) -> Result<BoxStream, String> {
    let stream: BoxStream = match Via::choose(&config.proxy, target)? {
        Some(via) => via
            .tunnel(target, &config.tls)
            .await
            .map_err(|obstacle| obstacle.reason)?,
        None => {
            let dialled = dial(&target.host, target.port).await;
            Box::new(dialled.map_err(|error| error.to_string())?)
        }
    };
    if !target.tls {
        return Ok(stream);
    }
    let connector = TlsConnector::from(Arc::new(tls::client_config(&config.tls)?));
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(match tls::cause(&error) {
            Some(cause) => tls::explain(cause, "TURN server"),
            None => error.to_string(),
        }),
    }
}

/// A server that has neither answered nor failed, until this is dropped.
struct Pending<'a>(&'a Tunnels);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, AcqRel);
    }
}

/// Looks for the answer to the client's Allocate.
struct Watch<'a> {
    tunnels: &'a Tunnels,
    server: &'a Server,
    pending: Option<Pending<'a>>,
    allocation: Allocation,
}

impl Watch<'_> {
    fn see(&mut self, frame: &[u8]) {
        if self.pending.is_none() {
            return;
        }
        self.allocation.see(frame);
        match &self.allocation {
            Allocation::Asked | Allocation::Challenged => return,
            Allocation::Granted => {}
            Allocation::Refused(reason) => self.tunnels.fail(&self.server.url, reason.clone()),
        }
        self.pending = None;
    }

    fn ended(self, error: Option<std::io::Error>) {
        if self.pending.is_some() {
            let why = error.map_or_else(|| "it closed the connection".to_owned(), |error| error.to_string());
            self.tunnels.fail(&self.server.url, why);
        }
    }
}

async fn read(
    reader: impl AsyncRead + Unpin,
    number: usize,
    incoming: mpsc::Sender<(usize, Frame)>,
    mut watch: Watch<'_>,
) {
    let mut reader = BufReader::with_capacity(READ, reader);
    loop {
        match next_frame(&mut reader).await {
            Ok(frame) => {
                watch.see(&frame);
                if incoming.send((number, frame)).await.is_err() {
                    return;
                }
            }
            Err(error) => return watch.ended(Some(error).filter(|e| e.kind() != std::io::ErrorKind::UnexpectedEof)),
        }
    }
}

async fn next_frame(reader: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Frame> {
    let mut frame = vec![0; 4];
    reader.read_exact(&mut frame).await?;
    let length = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
    let whole = match frame[0] {
        0..4 => 20 + length,
        0x40..0x80 => 4 + length,
        _ => return Err(std::io::Error::other("what answers there is not a TURN server")),
    };
    frame.resize(whole.next_multiple_of(4), 0);
    reader.read_exact(&mut frame[4..]).await?;
    frame.truncate(whole);
    Ok(frame)
}

/// Writes frames until there are no more: the engine's socket is gone.
async fn write(mut writer: impl AsyncWrite + Unpin, mut outgoing: mpsc::Receiver<Frame>) {
    while let Some(mut frame) = outgoing.recv().await {
        loop {
            frame.resize(frame.len().next_multiple_of(4), 0);
            if writer.write_all(&frame).await.is_err() {
                return std::future::pending().await; // reading says why
            }
            match outgoing.try_recv() {
                Ok(next) => frame = next,
                Err(_) => break,
            }
        }
        if writer.flush().await.is_err() {
            return std::future::pending().await;
        }
    }
    let _ = writer.shutdown().await;
}
