//! The reader of one data channel, and the writer of all of a connection's.
//!
//! SCTP is one association whatever the number of channels, so one writer keeps the order of writes and one count of
//! what is on its way. Each channel has a reader of its own, since the engine queues what came for each by itself.

use super::gate::Gate;
use super::observer::News;
use super::pace::Pace;
use super::progress::Progress;
use bytes::BytesMut;
use crosspeer::platform::{Event, Events, Receiver, RtcEvent, RtcId};
use futures_util::poll;
use futures_util::task::AtomicWaker;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, timeout_at};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelMessage};

/// SCTP's minimum RTO, a constant in the engine: so much its clock is set forward when nothing gets through.
const RTO_MIN: Duration = Duration::from_secs(1);
/// How long a writer waits for the driver's next round before it looks by itself.
const RECHECK: Duration = Duration::from_millis(50);
/// Events that a reader finds waiting, one after another, when it counts as stalled: half of the engine's queue.
const BEHIND: usize = 128;

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

    pub(super) fn tell(&self, news: News) {
        let _ = self.news.send(news);
    }
}

/// Bytes of frames handed over and not yet dealt with, over all channels.
#[derive(Debug)]
pub(super) struct Credit {
    /// So many are handed over at most, and one frame more.
    limit: usize,
    taken: AtomicUsize,
    returned: Notify,
    waker: AtomicWaker,
}

impl Credit {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: AtomicUsize::new(0),
            returned: Notify::new(),
            waker: AtomicWaker::new(),
        }
    }

    pub(super) fn give_back(&self, bytes: usize) {
        let taken = self
            .taken
            .fetch_update(Relaxed, Relaxed, |taken| Some(taken.saturating_sub(bytes)));
        if taken.is_ok_and(|taken| taken >= self.limit) {
            self.returned.notify_waiters();
            self.waker.wake();
        }
    }

    pub(super) fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Relaxed);
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.taken.load(Relaxed) >= self.limit
    }

    /// Whether there is some. If not, wakes once there is.
    pub(super) fn poll_available(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        match self.is_used_up() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    async fn available(&self) {
        while self.is_used_up() {
            let mut returned = std::pin::pin!(self.returned.notified());
            returned.as_mut().enable();
            if self.is_used_up() {
                returned.await;
            }
        }
    }
}

/// The reader of one channel. While there is no credit it reads nothing: the engine keeps what came, its window
/// closes, and the peer waits.
pub(super) struct Reader {
    channel: u16,
    label: String,
    announced: bool,
    from: Arc<dyn DataChannel>,
    credit: Arc<Credit>,
    gate: Arc<Gate>,
    reports: Reports,
    /// Events read one after another without waiting.
    backlog: usize,
    /// Whether the gate knows that this reader is behind.
    stalled: bool,
}

impl Reader {
    pub(super) fn new(
        (channel, label, announced): (u16, String, bool),
        from: Arc<dyn DataChannel>,
        credit: Arc<Credit>,
        gate: Arc<Gate>,
        reports: Reports,
    ) -> Self {
        Self {
            channel,
            label,
            announced,
            from,
            credit,
            gate,
            reports,
            backlog: 0,
            stalled: false,
        }
    }

    /// Reads to the channel's end.
    pub(super) async fn run(mut self) {
        let in_order = loop {
            if self.credit.is_used_up() {
                self.stall();
                self.credit.available().await;
            }
            let Some(event) = self.next().await else {
                self.catch_up();
                continue;
            };
            match event {
                Some(DataChannelEvent::OnOpen) => self.announce(),
                Some(DataChannelEvent::OnMessage(message)) => self.report(message),
                Some(DataChannelEvent::OnClose) => break true,
                Some(_) => {}
                None => break false,
            }
        };
        self.catch_up();
        self.reports.event(RtcEvent::ChannelClosed { channel: self.channel });
        self.reports.tell(News::Ended { in_order });
    }

    /// The channel's next event, or nothing once a stalled reader has caught up.
    async fn next(&mut self) -> Option<Option<DataChannelEvent>> {
        let from = Arc::clone(&self.from);
        let mut event = from.poll();
        if let Poll::Ready(event) = poll!(&mut event) {
            self.backlog += 1;
            if self.backlog >= BEHIND {
                self.stall();
            }
            return Some(event);
        }
        self.backlog = 0;
        if !self.stalled {
            return Some(event.await);
        }
        tokio::select! {
            biased;
            event = event => Some(event),
            () = search(&self.gate, &self.reports.pace) => None,
        }
    }

    fn stall(&mut self) {
        if !std::mem::replace(&mut self.stalled, true) {
            self.gate.stall();
        }
    }

    fn catch_up(&mut self) {
        if std::mem::take(&mut self.stalled) {
            self.gate.unstall();
        }
    }

    fn announce(&mut self) {
        if !std::mem::replace(&mut self.announced, true) {
            let (channel, label) = (self.channel, self.label.clone());
            self.reports.event(RtcEvent::ChannelOpen { channel, label });
            self.reports.tell(News::Opened);
        }
    }

    fn report(&mut self, message: RTCDataChannelMessage) {
        self.announce();
        let channel = self.channel;
        // An empty message holds no chunk, and no credit could bound how many of them wait.
        if message.data.is_empty() {
            return tracing::debug!(channel, "an empty message was ignored");
        }
        self.gate.count_message(message.data.len());
        self.credit.take(message.data.len());
        // The engine makes use of the room that reading has made only when its driver looks again.
        self.reports.pace.nudge();
        self.reports.event(RtcEvent::Frame {
            channel,
            data: message.data.freeze(),
            binary: !message.is_string,
        });
    }
}

/// Has the driver look for more, twice, since its present round may have been past that point.
async fn search(gate: &Gate, pace: &Pace) {
    for _ in 0..2 {
        let mut turn = std::pin::pin!(pace.turn());
        turn.as_mut().enable();
        gate.prompt();
        turn.await;
    }
}

/// What the writer does, in this order.
pub(super) enum Write {
    /// The next channel number is this one.
    Attach(Arc<dyn DataChannel>),
    /// The connection is up, with the round trip that ICE has measured.
    Connected {
        to: Receiver,
        round_trip: Option<Duration>,
    },
    Frame {
        channel: u16,
        frame: BytesMut,
    },
    Flush,
    /// This side is done.
    Close,
}

/// Carries out writes until the queue ends.
pub(super) struct Writer {
    channels: Vec<Arc<dyn DataChannel>>,
    progress: Progress,
    send_buffer: usize,
    /// Bytes that are the most there may be on their way.
    most: usize,
    /// For how long a peer may be silent before it is reported.
    silent_after: Duration,
    reports: Reports,
}

impl Writer {
    pub(super) fn new(silent_after: Duration, most: usize, reports: Reports) -> Self {
        Self {
            channels: Vec::new(),
            progress: Progress::new(Instant::now()),
            send_buffer: 0,
            most,
            silent_after,
            reports,
        }
    }

    pub(super) async fn run(mut self, mut queue: UnboundedReceiver<Write>) {
        loop {
            let next = match self.progress.overdue_at() {
                Some(at) => timeout_at(at, queue.recv()).await,
                None => Ok(queue.recv().await),
            };
            let Ok(next) = next else {
                self.count(false).await;
                continue;
            };
            let Some(write) = next else { return };
            match write {
                Write::Attach(channel) => self.channels.push(channel),
                Write::Connected { to, round_trip } => {
                    self.send_buffer = to.send_buffer;
                    self.progress.connected(to.prompt, round_trip);
                }
                Write::Frame { channel, frame } => self.write(channel, frame).await,
                Write::Close => return,
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
        self.progress.wrote(Instant::now(), bytes);
        let room = self.progress.send_buffer(self.send_buffer).min(self.most);
        let room_for_one_more = room.saturating_sub(bytes);
        self.wait_for(room_for_one_more).await;
        self.reports.event(RtcEvent::Written { channel, bytes });
    }

    /// Waits until no more than `limit` bytes are outstanding.
    async fn wait_for(&mut self, limit: usize) {
        // Counting takes the engine's lock.
        if limit > 0 && self.progress.outstanding() <= limit {
            return;
        }
        let pace = Arc::clone(&self.reports.pace);
        let mut waited = false;
        loop {
            let mut turn = std::pin::pin!(pace.turn());
            turn.as_mut().enable();
            self.count(waited).await;
            if self.progress.outstanding() <= limit {
                return;
            }
            let recheck = Instant::now() + RECHECK;
            let until = self.progress.overdue_at().map_or(recheck, |at| at.min(recheck));
            waited = timeout_at(until, turn).await.is_ok();
        }
    }

    /// Bytes the peer has not acknowledged, over all channels (a closed one has none); and if they do not become fewer,
    /// has the engine send them again. `at_once` if nothing has happened since the last change.
    async fn count(&mut self, at_once: bool) {
        let mut sum = 0;
        for channel in &self.channels {
            sum += channel.outstanding_bytes().await.unwrap_or(0);
        }
        let now = Instant::now();
        self.progress.counted(now, sum, at_once);
        if self.progress.overdue_at().is_some_and(|at| at <= now) {
            // What is skipped and the silence before it must not amount to `silent_after`.
            self.reports
                .pace
                .skip(RTO_MIN.min(self.silent_after / 2), self.silent_after * 2 / 5);
            self.progress.hastened(now);
        }
    }
}
