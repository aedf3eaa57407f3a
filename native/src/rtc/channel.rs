//! The reader of one data channel. Each channel has one of its own, since the engine queues what came for each by
//! itself.

use super::gate::Gate;
use super::observer::News;
use super::pace::Pace;
use crosspeer::platform::{Event, Events, READ_AHEAD_BYTES, RtcEvent, RtcId};
use futures_util::poll;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelMessage};

/// Events that a reader finds waiting, one after another, when it counts as stalled: half of the engine's queue.
const BEHIND: usize = 128;
/// Events read one after another after which the engine's driver is nudged.
const NUDGE_EVERY: usize = 32;
/// Bytes of a message that the engine may have had too little room for beside others.
const LARGE: usize = 4 << 10;

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

    fn is_used_up(&self) -> bool {
        self.taken.load(Relaxed) >= READ_AHEAD_BYTES
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
            if self.backlog.is_multiple_of(NUDGE_EVERY) {
                self.reports.pace.nudge();
            }
            return Some(event);
        }
        if std::mem::take(&mut self.backlog) > 0 {
            self.reports.pace.nudge();
        }
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
        self.credit.take(message.data.len());
        // The engine makes use of the room that reading has made only when its driver looks again. A small message
        // that came alone has taken none, and a round trip is shorter where the driver sleeps on.
        if message.data.len() >= LARGE {
            self.reports.pace.nudge();
        }
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
