//! What a client that is nobody yet may send: enough to register, so that it costs little memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a client that has not registered. A registration has up to 2 KiB.
const MOST: usize = 16 << 10;
const ALL: usize = usize::MAX;

/// What may still come of one client.
#[derive(Debug, Clone)]
pub(crate) struct Allowance(Arc<AtomicUsize>);

impl Default for Allowance {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(MOST)))
    }
}

impl Allowance {
    /// From now on everything.
    pub(crate) fn lift(&self) {
        self.0.store(ALL, Relaxed);
    }

    /// Whether it was used up.
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Relaxed) == 0
    }
}

/// A stream of which no more is read than is allowed.
#[derive(Debug)]
pub(crate) struct Trickle<S> {
    pub(crate) io: S,
    pub(crate) allowance: Allowance,
}

impl<S: AsyncRead + Unpin> AsyncRead for Trickle<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.allowance.0.load(Relaxed);
        if left == ALL {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        if left == 0 {
            return Poll::Ready(Err(io::Error::other("too much came before a registration")));
        }
        let most = left.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        let read = Pin::new(&mut self.io).poll_read(cx, &mut part);
        let came = part.filled().len();
        buf.advance(came);
        self.allowance.0.store(left - came, Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Trickle<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
