//! The writer of all of a connection's data channels.
//!
//! SCTP is one association whatever the number of channels, so one writer keeps the order of writes and one count of
//! what is on its way. Where nothing is before it and the engine has room, a small frame goes into the engine at once,
//! without the writer's task: that is a wake-up less, and often another thread's.

use super::channel::Reports;
use super::observer::News;
use bytes::BytesMut;
use crosspeer::platform::RtcEvent;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use webrtc::data_channel::DataChannel;
use webrtc::error::{Error, Result};

/// How long a writer waits for the driver's next round before it looks by itself.
const RECHECK: Duration = Duration::from_millis(50);
/// Bytes of the largest frame that is written at once: cutting a larger one into packets is better done elsewhere.
const AT_ONCE: usize = 20 << 10;

type Writing = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What the writer does, in this order.
pub(super) enum Write {
    Frame {
        channel: u16,
        frame: BytesMut,
    },
    /// A frame that the engine was too busy to take at once.
    Begun {
        channel: u16,
        bytes: usize,
        writing: Writing,
    },
    Flush,
}

/// Where writes are asked for.
#[derive(Clone)]
pub(super) struct Writes {
    queue: UnboundedSender<Write>,
    engine: Arc<Engine>,
}

/// What is known of the engine.
struct Engine {
    /// By number.
    channels: Mutex<Vec<Arc<dyn DataChannel>>>,
    /// Writes asked for and not done.
    waiting: AtomicUsize,
    /// At least what the engine has outstanding; counting it anew takes the engine's lock.
    outstanding: AtomicUsize,
    /// What it may have.
    limit: AtomicUsize,
    reports: Reports,
}

impl Writes {
    // Unbounded, since asking never waits: the link bounds frames by `Written`.
    #[allow(clippy::disallowed_methods)]
    pub(super) fn new(reports: Reports) -> (Self, Writer) {
        let (queue, received) = unbounded_channel();
        let engine = Arc::new(Engine {
            channels: Mutex::default(),
            waiting: AtomicUsize::new(0),
            outstanding: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            reports,
        });
        let writer = Writer {
            queue: received,
            engine: Arc::clone(&engine),
        };
        (Self { queue, engine }, writer)
    }

    /// The next channel number is this one.
    pub(super) fn attach(&self, channel: Arc<dyn DataChannel>) {
        self.engine.channels().push(channel);
    }

    /// Lets go of the engine's channels; nothing is written any more.
    pub(super) fn end(&self) {
        self.engine.waiting.fetch_add(1, AcqRel);
        self.engine.channels().clear();
    }

    /// Bytes that the engine may have outstanding.
    pub(super) fn limit(&self, bytes: usize) {
        self.engine.limit.store(bytes, Relaxed);
    }

    /// Writes a frame. Whether that is done, and there is room for more; if not, [`RtcEvent::Written`] will tell.
    pub(super) fn frame(&self, channel: u16, frame: BytesMut) -> bool {
        let bytes = frame.len();
        if self.engine.waiting.load(Acquire) > 0 || !self.engine.has_room_at_once(bytes) {
            self.push(Write::Frame { channel, frame });
            return false;
        }
        let Some(to) = self.engine.channel(channel) else {
            self.engine.complain_of(channel);
            return false;
        };
        let mut writing: Writing = Box::pin(async move { to.send(frame).await });
        match writing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => self.engine.has_taken(bytes, result),
            Poll::Pending => {
                self.push(Write::Begun {
                    channel,
                    bytes,
                    writing,
                });
                false
            }
        }
    }

    pub(super) fn flush(&self) {
        self.push(Write::Flush);
    }

    fn push(&self, write: Write) {
        self.engine.waiting.fetch_add(1, AcqRel);
        let _ = self.queue.send(write);
    }
}

/// Carries out writes until nobody can ask for any.
pub(super) struct Writer {
    queue: UnboundedReceiver<Write>,
    engine: Arc<Engine>,
}

impl Writer {
    pub(super) async fn run(mut self) {
        while let Some(write) = self.queue.recv().await {
            match write {
                Write::Frame { channel, frame } => match self.engine.channel(channel) {
                    Some(to) => {
                        let bytes = frame.len();
                        let result = to.send(frame).await;
                        self.wrote(channel, bytes, result).await;
                    }
                    None => self.engine.complain_of(channel),
                },
                Write::Begun {
                    channel,
                    bytes,
                    writing,
                } => {
                    let result = writing.await;
                    self.wrote(channel, bytes, result).await;
                }
                Write::Flush => {
                    self.engine.wait_for(0).await;
                    self.engine.reports.event(RtcEvent::Flushed);
                }
            }
            self.engine.waiting.fetch_sub(1, AcqRel);
        }
    }

    async fn wrote(&self, channel: u16, bytes: usize, result: Result<()>) {
        if !self.engine.has_taken(bytes, result) {
            return;
        }
        let room_for_one_more = self.engine.limit.load(Relaxed).saturating_sub(bytes);
        self.engine.wait_for(room_for_one_more).await;
        self.engine.reports.event(RtcEvent::Written { channel, bytes });
    }
}

impl Engine {
    fn channels(&self) -> MutexGuard<'_, Vec<Arc<dyn DataChannel>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn channel(&self, number: u16) -> Option<Arc<dyn DataChannel>> {
        self.channels().get(usize::from(number)).cloned()
    }

    fn complain_of(&self, channel: u16) {
        let reason = format!("there is no data channel {channel}");
        self.reports.tell(News::WriteFailed(reason));
    }

    /// Whether a frame of this many bytes, and one more, fits without counting anew.
    fn has_room_at_once(&self, bytes: usize) -> bool {
        bytes <= AT_ONCE && self.outstanding.load(Relaxed) + 2 * bytes <= self.limit.load(Relaxed)
    }

    fn has_taken(&self, bytes: usize, result: Result<()>) -> bool {
        match result {
            Ok(()) => {
                self.outstanding.fetch_add(bytes, Relaxed);
                return true;
            }
            // A closed channel is reported by its reader, after what it had received.
            Err(Error::ErrDataChannelClosed) => {}
            Err(error) => self.reports.tell(News::WriteFailed(error.to_string())),
        }
        false
    }

    /// Waits until no more than `limit` bytes are outstanding.
    async fn wait_for(&self, limit: usize) {
        if limit > 0 && self.outstanding.load(Relaxed) <= limit {
            return;
        }
        let pace = Arc::clone(&self.reports.pace);
        loop {
            let mut turn = std::pin::pin!(pace.turn());
            turn.as_mut().enable();
            let outstanding = self.count().await;
            self.outstanding.store(outstanding, Relaxed);
            if outstanding <= limit {
                return;
            }
            let _ = timeout(RECHECK, turn).await;
        }
    }

    /// Bytes the peer has not acknowledged, over all channels. A closed channel has none.
    async fn count(&self) -> usize {
        let channels = self.channels().clone();
        let mut sum = 0;
        for channel in channels {
            sum += channel.outstanding_bytes().await.unwrap_or(0);
        }
        sum
    }
}
