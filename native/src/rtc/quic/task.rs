//! The task of one QUIC connection: it waits for datagrams, frames, room, credit and time, and lets the [`Carrier`] say
//! what follows.

use super::Entry;
use crate::quic::{self, Carrier};
use crate::rtc::channel::{Credit, Reports, Write};
use crate::rtc::mux::Path;
use crate::rtc::observer::{News, Outcome};
use bytes::BytesMut;
use crosspeer::Stage;
use crosspeer::platform::{QUIC_LABEL, RtcEvent};
use quinn_proto::EcnCodepoint;
use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Sleep;

/// Bytes of the largest batch of datagrams that the kernel hands over.
const BATCH_BYTES: usize = 64 << 10;
/// Datagrams that are sent at once: some 40 KiB.
const MAX_SEGMENTS: usize = 30;
/// Rounds before others get their turn.
const ROUNDS: usize = 32;
/// Copies of the last datagram, which nobody acknowledges.
const FAREWELLS: usize = 3;
/// Errors of the socket one after another, after which it is of no use. One is another's: an address that did not answer.
const MAX_ERRORS: usize = 1000;

thread_local! {
    /// What comes is read into this: an idle connection has no buffer.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One connection, or the attempt at it.
pub(super) struct Task {
    carrier: Carrier,
    path: Path,
    /// How long this side, if it decides, waits for it.
    until: Option<Instant>,
    commands: UnboundedReceiver<Write>,
    entry: (Entry, UnboundedSender<Write>),
    credit: Arc<Credit>,
    reports: Reports,
    up: bool,
    /// This side is done with it.
    closing: bool,
    sleep: Pin<Box<Sleep>>,
    /// Datagrams that the socket had no room for.
    unsent: Vec<u8>,
    unsent_as: (Option<usize>, Option<EcnCodepoint>),
    /// Of the socket, one after another.
    errors: usize,
}

impl Task {
    pub(super) fn new(
        (carrier, path, until): (Carrier, Path, Option<Instant>),
        commands: UnboundedReceiver<Write>,
        entry: (Entry, UnboundedSender<Write>),
        credit: Arc<Credit>,
        reports: Reports,
    ) -> Self {
        Self {
            carrier,
            path,
            until,
            commands,
            entry,
            credit,
            reports,
            up: false,
            closing: false,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            unsent: Vec::new(),
            unsent_as: (None, None),
            errors: 0,
        }
    }

    /// Runs to its end, and tells the actor of that.
    pub(super) async fn run(mut self) {
        let outcome = std::future::poll_fn(|cx| self.poll(cx)).await;
        let reports = self.reports.clone();
        // The engine has its socket back before it is told.
        drop(self);
        reports.tell(News::Quic(outcome));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        for _ in 0..ROUNDS {
            let now = now();
            let mut busy = self.take_commands(cx);
            busy |= self.receive(cx, now);
            if self.carrier.timeout().is_some_and(|at| at <= now) {
                self.carrier.on_timeout(now);
                busy = true;
            }
            self.deliver(cx);
            while let Some(news) = self.carrier.poll(now) {
                self.tell(news);
                busy = true;
            }
            busy |= self.transmit(cx, now);
            if let Some(outcome) = self.outcome(cx, now) {
                return Poll::Ready(outcome);
            }
            if !busy && self.wait(cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn take_commands(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(command) = self.commands.poll_recv(cx) {
            any = true;
            match command {
                Some(Write::Frame { frame, .. }) => self.carrier.send(frame),
                Some(Write::Flush) => self.carrier.flush(),
                Some(Write::Close) | None => {
                    self.closing = true;
                    break;
                }
                Some(Write::Attach(_) | Write::Connected { .. }) => {}
            }
        }
        any
    }

    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Self {
            path, carrier, errors, ..
        } = self;
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(BATCH_BYTES, 0);
            let received = path.poll_recv(cx, buffer, |batch, size, ecn| {
                let ecn = ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8));
                let mut batch = BytesMut::from(batch);
                while !batch.is_empty() {
                    let datagram = batch.split_to(size.min(batch.len()));
                    carrier.receive(now, datagram, ecn);
                }
            });
            match received {
                Poll::Ready(Err(_)) => *errors += 1,
                Poll::Ready(Ok(())) => *errors = 0,
                Poll::Pending => {}
            }
            received.is_ready()
        })
    }

    /// Hands frames over while there is credit.
    fn deliver(&mut self, cx: &mut Context<'_>) {
        while self.credit.poll_available(cx).is_ready() {
            let Some(frame) = self.carrier.next_frame() else {
                return;
            };
            self.credit.take(frame.len());
            self.reports.event(RtcEvent::Frame {
                channel: 0,
                data: frame,
                binary: true,
            });
        }
    }

    fn tell(&mut self, news: quic::News) {
        match news {
            quic::News::Connected => {
                self.up = true;
                let _ = self.entry.0.set(self.entry.1.clone());
                self.reports.event(RtcEvent::Progress(Stage::Channels));
                self.reports.event(RtcEvent::ChannelOpen {
                    channel: 0,
                    label: QUIC_LABEL.to_owned(),
                });
                self.reports.tell(News::Quic(Outcome::Up));
            }
            quic::News::Written(bytes) => self.reports.event(RtcEvent::Written { channel: 0, bytes }),
            quic::News::Flushed => self.reports.event(RtcEvent::Flushed),
            quic::News::Closed | quic::News::Failed(_) => {}
        }
    }

    fn transmit(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut any = false;
        loop {
            if self.unsent.is_empty() {
                let most = self.path.batch().min(MAX_SEGMENTS);
                let Some(sent_as) = self.carrier.transmit(now, most, &mut self.unsent) else {
                    return any;
                };
                self.unsent_as = sent_as;
            }
            if self.send(cx).is_pending() {
                return any;
            }
            any = true;
        }
    }

    /// Sends what has been made.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (segment_size, ecn) = self.unsent_as;
        let ecn = ecn.and_then(|ecn| webrtc::runtime::EcnCodepoint::from_bits(ecn as u8));
        ready!(self.path.poll_send(cx, &self.unsent, segment_size, ecn));
        self.unsent.clear();
        Poll::Ready(())
    }

    /// Whether it is over.
    fn outcome(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<Outcome> {
        let late = !self.up && self.until.is_some_and(|until| until <= now);
        if self.closing || late {
            self.carrier.close(now);
            self.farewell(cx, now);
            return Some(if self.up { Outcome::Closed } else { Outcome::NotUp });
        }
        if self.errors > MAX_ERRORS {
            return Some(Outcome::Failed("the socket is of no use any more".into()));
        }
        let ended = self.carrier.ended()?.clone();
        if self.up && self.credit.is_used_up() {
            return None; // there may be more to deliver
        }
        if !self.up {
            tracing::debug!(?ended, "QUIC does not come up");
            return Some(Outcome::NotUp);
        }
        match ended {
            quic::News::Failed(reason) => {
                self.carrier.close(now);
                self.farewell(cx, now);
                Some(Outcome::Failed(reason))
            }
            _ => Some(Outcome::Closed),
        }
    }

    /// The last datagram, some times: it may be lost, and what is not answered is not repeated.
    fn farewell(&mut self, cx: &mut Context<'_>, now: Instant) {
        self.unsent.clear();
        while let Some(sent_as) = self.carrier.transmit(now, 1, &mut self.unsent) {
            self.unsent_as = sent_as;
            let farewell = self.unsent.clone();
            for _ in 0..FAREWELLS {
                self.unsent.clone_from(&farewell);
                let _ = self.send(cx);
            }
            self.unsent.clear();
        }
    }

    /// Waits until something is due. Ready if it is now.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until.filter(|_| !self.up);
        let Some(due) = [self.carrier.timeout(), until].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        let due = tokio::time::Instant::from_std(due);
        if self.sleep.deadline() != due {
            self.sleep.as_mut().reset(due);
        }
        self.sleep.as_mut().poll(cx)
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
