//! A client that comes by TCP or TLS: the same messages, one after the other (RFC 8656 §12.5: ChannelData in whole words).

use super::message::HEADER;
use super::relayed::{Client, Relayed, allocate};
use super::session::{Session, Step};
use super::{Server, clock};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

/// How long a client may take until it has a relayed address, whatever it says, and may stay once it has given it back.
const ANONYMOUS: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const READ: usize = 16 << 10;
/// Frames that wait to be written.
const QUEUE: usize = 256;
/// How long a client may take nothing that is written to it.
const STALL: Duration = Duration::from_secs(30);

/// Serves the client until it is gone; its relayed address goes with it.
pub(super) async fn serve<S>(server: &Arc<Server>, stream: S, [remote, local]: [SocketAddr; 2], stranger: impl Sized)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, writer) = tokio::io::split(stream);
    let (frames, queue) = mpsc::channel(QUEUE);
    let mut client = Stream {
        server,
        reached: local.ip().to_canonical(),
        session: Some(Session::new(remote)),
        relayed: None,
        until: Instant::now() + ANONYMOUS,
        frames,
    };
    debug!(%remote, "TURN by TCP");
    tokio::select! {
        () = client.read(reader, stranger) => {}
        () = write(writer, queue) => {}
    }
    if let Some(relayed) = &client.relayed {
        relayed.end();
    }
    debug!(%remote, "TURN by TCP: gone");
}

/// Frames for the task that writes them.
struct Frames(mpsc::Sender<Vec<u8>>);

impl Client for Frames {
    fn send(&self, frame: &[u8]) {
        let mut padded = frame.to_vec();
        padded.resize(frame.len().next_multiple_of(4), 0);
        let _ = self.0.try_send(padded);
    }

    fn forget(&self, _: &Arc<Relayed>) {}
}

struct Stream<'a> {
    server: &'a Arc<Server>,
    reached: IpAddr,
    /// While there is no relayed address.
    session: Option<Session>,
    relayed: Option<Arc<Relayed>>,
    /// How long it may stay without a relayed address.
    until: Instant,
    frames: mpsc::Sender<Vec<u8>>,
}

impl Stream<'_> {
    async fn read(&mut self, reader: impl AsyncRead + Unpin, stranger: impl Sized) {
        let mut reader = BufReader::with_capacity(READ, reader);
        let mut frame = Vec::new();
        let mut stranger = Some(stranger);
        loop {
            let until = self.until();
            let next = next_frame(&mut reader, &mut frame);
            let came = timeout_at(until, next).await.ok().flatten();
            if came.is_none() || Instant::now() >= until || !self.on_frame(&frame).await {
                return;
            }
            if self.relayed.is_some() {
                drop(stranger.take());
            }
        }
    }

    /// Frames alone do not make it later, only a relayed address does.
    fn until(&self) -> Instant {
        let expires = self.relayed.as_ref().map(|relayed| relayed.session().expires());
        match expires {
            Some(Some(expires)) => expires.into(),
            Some(None) => Instant::now(),
            None => self.until,
        }
    }

    /// Whether it goes on.
    async fn on_frame(&mut self, frame: &[u8]) -> bool {
        let (rules, now) = (&self.server.rules, clock::now());
        let step = match (&self.relayed, &mut self.session) {
            (Some(relayed), _) => relayed.session().on_packet(rules, now, frame),
            (None, Some(session)) => session.on_packet(rules, now, frame),
            (None, None) => return false,
        };
        match step {
            Step::Nothing => true,
            Step::Reply(answer) => self.frames.send(answer).await.is_ok(),
            Step::Relay(peer, data) => {
                if let Some(relayed) = &self.relayed {
                    relayed.send(self.server, peer, &frame[data]);
                }
                true
            }
            Step::Release(answer) => {
                // Its port is free with its socket, which is here too.
                if let Some(relayed) = self.relayed.take() {
                    relayed.end();
                }
                self.until = Instant::now() + ANONYMOUS;
                // The client, which has what it wanted, closes.
                self.frames.send(answer).await.is_ok()
            }
            Step::Open(wanted) => {
                let Some(session) = self.session.take() else {
                    return false; // a second relayed address needs a second connection
                };
                let client = Box::new(Frames(self.frames.clone()));
                let (relayed, answer) = allocate(self.server, session, *wanted, self.reached, client);
                let granted = relayed.is_some();
                self.relayed = relayed;
                self.frames.send(answer).await.is_ok() && granted
            }
        }
    }
}

/// Reads a message or ChannelData, without its padding; `None` at the end, and at what is neither.
async fn next_frame(reader: &mut (impl AsyncRead + Unpin), frame: &mut Vec<u8>) -> Option<()> {
    frame.resize(4, 0);
    reader.read_exact(frame).await.ok()?;
    let length = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
    let whole = match frame[0] {
        0..4 => HEADER + length,
        0x40..0x80 => 4 + length,
        _ => return None,
    };
    frame.resize(whole.next_multiple_of(4), 0);
    reader.read_exact(&mut frame[4..]).await.ok()?;
    frame.truncate(whole);
    Some(())
}

/// Writes frames as they come; ends when the client takes none.
async fn write(mut writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(frame) = next {
            if !in_time(writer.write_all(&frame)).await {
                return;
            }
            next = queue.try_recv().ok();
        }
        if !in_time(writer.flush()).await {
            return;
        }
    }
}

/// Whether the client takes this before it counts as gone.
async fn in_time(written: impl Future<Output = std::io::Result<()>>) -> bool {
    matches!(timeout(STALL, written).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its link is busy for much longer than it may stall.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_what_it_can_is_kept_and_one_that_takes_nothing_is_not() {
        let (mut client, server) = tokio::io::duplex(4);
        let (frames, queue) = mpsc::channel(QUEUE);
        for frame in 0..10 {
            frames.try_send(vec![frame; 4]).unwrap();
        }
        let writing = tokio::spawn(write(server, queue));
        for frame in 0..10 {
            tokio::time::sleep(STALL / 2).await; // of a clock that stands still while anything can be done
            let mut came = [0xff; 4];
            client.read_exact(&mut came).await.expect("the client is kept");
            assert_eq!(came, [frame; 4]);
        }
        for _ in 0..2 {
            frames.try_send(vec![0; 4]).unwrap();
        }
        writing.await.unwrap(); // though there may be more to write
        assert!(frames.is_closed());
    }
}
