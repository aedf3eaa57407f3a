//! The reader of one data channel, and the writer of all of a connection's.
//!
//! SCTP is one association whatever the number of channels, so one writer keeps the order of writes and one count of
//! what is on its way. Each channel has a reader of its own, since the engine queues what came for each by itself.

use super::observer::News;
use super::pace::Pace;
use bytes::BytesMut;
use crosspeer::platform::{Event, Events, READ_AHEAD_BYTES, RtcEvent, RtcId};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelMessage};

/// How long a writer waits for the driver's next round before it looks by itself.
const RECHECK: Duration = Duration::from_millis(50);

/// Where one connection's channel tasks report.
#[derive(Clone)]
pub(super) struct Reports {
    pub(super) id: RtcId,
    pub(super) events: Events,
    pub(super) news: UnboundedSender<News>,
    pub(super) pace: Arc<Pace>,
}

impl Reports {
    pub(super) fn event(&self, event: RtcEvent) {
        self.events.push(Event::Rtc(self.id, event));
    }

    fn tell(&self, news: News) {
        let _ = self.news.send(news);
    }
}

/// Bytes of frames handed over and not yet dealt with, over all channels.
#[derive(Debug, Default)]
pub(super) struct Credit {
    taken: AtomicUsize,
    returned: Notify,
}

impl Credit {
    pub(super) fn give_back(&self, bytes: usize) {
        let taken = self
            .taken
            .fetch_update(Relaxed, Relaxed, |taken| Some(taken.saturating_sub(bytes)));
        if taken.is_ok_and(|taken| taken >= READ_AHEAD_BYTES) {
            self.returned.notify_waiters();
        }
    }

    fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Relaxed);
    }

    async fn available(&self) {
        while self.taken.load(Relaxed) >= READ_AHEAD_BYTES {
            let mut returned = std::pin::pin!(self.returned.notified());
            returned.as_mut().enable();
            if self.taken.load(Relaxed) >= READ_AHEAD_BYTES {
                returned.await;
            }
        }
    }
}

/// Reads one channel to its end. While there is no credit nothing is read: the engine keeps what came, its window
/// closes, and the peer waits.
pub(super) async fn read(
    channel: u16,
    label: String,
    mut announced: bool,
    from: Arc<dyn DataChannel>,
    credit: Arc<Credit>,
    reports: Reports,
) {
    let in_order = loop {
        credit.available().await;
        let event = from.poll().await;
        let opens = matches!(event, Some(DataChannelEvent::OnOpen | DataChannelEvent::OnMessage(_)));
        if opens && !announced {
            announced = true;
            let label = label.clone();
            reports.event(RtcEvent::ChannelOpen { channel, label });
            reports.tell(News::Opened);
        }
        match event {
            Some(DataChannelEvent::OnMessage(message)) => report(channel, message, &credit, &reports),
            Some(DataChannelEvent::OnClose) => break true,
            Some(_) => {}
            None => break false,
        }
    };
    reports.event(RtcEvent::ChannelClosed { channel });
    reports.tell(News::Ended { in_order });
}

fn report(channel: u16, message: RTCDataChannelMessage, credit: &Credit, reports: &Reports) {
    // An empty message holds no chunk, and no credit could bound how many of them wait.
    if message.data.is_empty() {
        return tracing::debug!(channel, "an empty message was ignored");
    }
    credit.take(message.data.len());
    // The engine announces the room that reading has made only when its driver looks again.
    reports.pace.nudge();
    reports.event(RtcEvent::Frame {
        channel,
        data: message.data.freeze(),
        binary: !message.is_string,
    });
}

/// What the writer does, in this order.
pub(super) enum Write {
    /// The next channel number is this one.
    Attach(Arc<dyn DataChannel>),
    Frame {
        channel: u16,
        frame: BytesMut,
    },
    Flush,
}

/// Carries out writes until the queue ends.
pub(super) struct Writer {
    channels: Vec<Arc<dyn DataChannel>>,
    /// At least what the engine has outstanding; counting it anew takes the engine's lock.
    outstanding: usize,
    send_buffer: Arc<AtomicUsize>,
    reports: Reports,
}

impl Writer {
    pub(super) fn new(send_buffer: Arc<AtomicUsize>, reports: Reports) -> Self {
        Self {
            channels: Vec::new(),
            outstanding: 0,
            send_buffer,
            reports,
        }
    }

    pub(super) async fn run(mut self, mut queue: UnboundedReceiver<Write>) {
        while let Some(write) = queue.recv().await {
            match write {
                Write::Attach(channel) => self.channels.push(channel),
                Write::Frame { channel, frame } => self.write(channel, frame).await,
                Write::Flush => {
                    self.wait_for(0).await;
                    self.reports.event(RtcEvent::Flushed);
                }
            }
        }
    }

    async fn write(&mut self, channel: u16, frame: BytesMut) {
        let bytes = frame.len();
        let Some(to) = self.channels.get(usize::from(channel)) else {
            let reason = format!("there is no data channel {channel}");
            return self.reports.tell(News::WriteFailed(reason));
        };
        if let Err(error) = to.send(frame).await {
            // A closed channel is reported by its reader, after what it had received.
            if error != webrtc::error::Error::ErrDataChannelClosed {
                self.reports.tell(News::WriteFailed(error.to_string()));
            }
            return;
        }
        self.outstanding += bytes;
        let room_for_one_more = self.send_buffer.load(Relaxed).saturating_sub(bytes);
        self.wait_for(room_for_one_more).await;
        self.reports.event(RtcEvent::Written { channel, bytes });
    }

    /// Waits until no more than `limit` bytes are outstanding.
    async fn wait_for(&mut self, limit: usize) {
        if limit > 0 && self.outstanding <= limit {
            return;
        }
        let pace = Arc::clone(&self.reports.pace);
        loop {
            let mut turn = std::pin::pin!(pace.turn());
            turn.as_mut().enable();
            self.outstanding = self.count().await;
            if self.outstanding <= limit {
                return;
            }
            let _ = tokio::time::timeout(RECHECK, turn).await;
        }
    }

    /// Bytes the peer has not acknowledged, over all channels. A closed channel has none.
    async fn count(&self) -> usize {
        let mut sum = 0;
        for channel in &self.channels {
            sum += channel.outstanding_bytes().await.unwrap_or(0);
        }
        sum
    }
}
