//! One connection to one peer, without IO: from the first description to the last acknowledgement.
//!
//! ```text
//! New ─ offer ──► Offering ── answer ──► Establishing ─ channels ─► Open ─ close ─► Closing ─► Ended
//!   └── remote offer ──► Answering ───────────┘ ▲                     └── failure, peer's close ──┘
//!            ▲ glare, peer came back: a fresh Rtc, the same link ─────┘
//! ```
//! The [`Router`](crate::router::Router) decides which link an event is for and what glare means; the link does the rest.

mod candidates;
mod credit;
mod inbox;
mod lanes;
mod outbox;
mod rescue;
mod seal;
mod setup;
mod traffic;

pub(crate) use outbox::Outgoing;
pub(crate) use rescue::resumed;

use crate::error::Period;
use crate::maps::SortedMap;
use crate::output::{Output, State};
use crate::platform::{RtcCommand, RtcId};
use crate::request::{LinkId, Reply, RequestId};
use crate::{Config, Error, Stage, printable};
use inbox::Inbox;
use lanes::Lanes;
pub(crate) use lanes::window;
use outbox::Outbox;
use std::collections::VecDeque;
use std::time::Duration;
use uuid::Uuid;
use web_time::Instant;

/// Failures of STUN and TURN servers that an error tells.
const MAX_SERVER_FAILURES: usize = 4;

/// What a link needs of its surroundings for one step.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    /// This side.
    pub(crate) me: Uuid,
    pub(crate) config: &'a Config,
    /// Whether our platform is [`Platform::PROMPT`](crate::platform::Platform::PROMPT).
    pub(crate) prompt: bool,
    /// Whether it is [`Platform::HOLDS_BACK`](crate::platform::Platform::HOLDS_BACK).
    pub(crate) holds_back: bool,
    /// When the relay has come back after it was lost, or this side to it.
    pub(crate) returned: Option<Instant>,
    /// Whether the relay has refused this side for good.
    pub(crate) relay_ended: bool,
    /// Bytes that one connection may keep until they have arrived: fewer, the more there are.
    pub(crate) window: usize,
    /// Whether this side wants QUIC, and [has it](crate::platform::Platform::QUIC).
    pub(crate) quic: bool,
    pub(crate) out: &'a mut VecDeque<Output>,
    pub(crate) next_rtc: &'a mut u64,
    pub(crate) by_rtc: &'a mut SortedMap<RtcId, LinkId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    /// Our offer is being made, or waits for its answer.
    Offering,
    /// A remote offer was applied; our answer is being made.
    Answering,
    /// Both descriptions are known.
    Establishing,
    Open,
    /// Everything sent before is on its way; what comes is still delivered.
    Closing,
    Ended,
}

/// A description to be sent through the relay.
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    pub(crate) offer: bool,
    pub(crate) description: String,
    /// Whether it still has to be given to the relay.
    pub(crate) due: bool,
}

pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) peer: Option<Uuid>,
    /// The data channels we would offer.
    channels: u16,
    /// Offers and answers are carried by the user: nothing is tried again here.
    by_hand: bool,
    /// The peer, of our own kind, has answered and is not told by the transport that this attempt has ended.
    pub(crate) owes_withdrawal: bool,
    /// What was wrong with STUN and TURN servers, for the error if there is no path.
    server_failures: Vec<String>,
    /// The user's handle is gone.
    pub(crate) forgotten: bool,
    /// What the router has counted of [`Link::held`].
    pub(crate) counted: usize,
    candidates: usize,
    withheld: candidates::Withheld,
    phase: Phase,
    /// The furthest stage that set-up has come to.
    stage: Stage,
    lanes: Lanes,
    signal: Option<Signal>,
    local_ufrag: Option<String>,
    has_candidates: bool,
    remote_ufrag: Option<String>,
    rescue: rescue::Rescue,
    /// Who the peer has shown itself to be, and what both have said.
    seal: seal::Seal,
    /// What both sides understand beyond ProxyStore's protocol.
    agreed: setup::Agreed,
    /// As many as the labels promise; at the answerer none before the first has come.
    open_channels: Vec<bool>,
    setup_deadline: Option<Instant>,
    close: Closing,
    outbox: Outbox,
    inbox: Inbox,
    credit: credit::Credit,
    waiting_ready: Vec<(RequestId, Instant, Duration)>,
    ended: Option<Error>,
}

/// How far a close has come.
#[derive(Default)]
struct Closing {
    deadline: Option<Instant>,
    /// Data channels that the peer has closed.
    channels: usize,
    waiting: Vec<RequestId>,
    /// The user wants it.
    asked: bool,
    /// Our goodbye is out (our own kind), or the flush was asked for (ProxyStore).
    said: bool,
    /// The peer has everything, it says, and has sent nothing from this stream id on.
    acknowledged: Option<u32>,
    /// The last flush, after the peer's word.
    flushing: bool,
    flushed: bool,
    /// The peer's goodbye: it sends nothing from this stream id on.
    heard: Option<u32>,
    /// We have everything, we said.
    answered: bool,
}

impl Link {
    /// `number`: what this side calls the session; nobody else can guess it.
    pub(crate) fn new(id: LinkId, peer: Option<Uuid>, channels: u16, config: &Config, number: u64) -> Self {
        Self {
            id,
            peer,
            channels,
            by_hand: peer.is_none(),
            owes_withdrawal: false,
            server_failures: Vec::new(),
            forgotten: false,
            counted: 0,
            candidates: 0,
            withheld: candidates::Withheld::default(),
            phase: Phase::New,
            stage: Stage::Peer,
            lanes: Lanes::new(),
            signal: None,
            local_ufrag: None,
            has_candidates: false,
            remote_ufrag: None,
            rescue: rescue::Rescue::new(number),
            seal: seal::Seal::default(),
            agreed: setup::Agreed::default(),
            open_channels: Vec::new(),
            setup_deadline: None,
            close: Closing::default(),
            outbox: Outbox::new(crate::counter::StreamIds::default()),
            inbox: Inbox::new(config),
            credit: credit::Credit::default(),
            waiting_ready: Vec::new(),
            ended: None,
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.phase {
            Phase::New => State::New,
            Phase::Offering | Phase::Answering | Phase::Establishing => State::Connecting,
            Phase::Open | Phase::Closing if self.rescue.is_kept() && !self.lanes.are_open() => State::Reconnecting,
            Phase::Open | Phase::Closing => State::Connected,
            Phase::Ended if matches!(self.ended, Some(Error::Closed { .. })) => State::Closed,
            Phase::Ended => State::Failed,
        }
    }

    /// Whether it has been connected, and has not ended.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Closing)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether the peer has not answered for a while.
    pub(crate) fn is_silent(&self) -> bool {
        !self.lanes.are_lively()
    }

    /// Whether it takes no more messages.
    pub(crate) fn is_closing(&self) -> bool {
        self.phase == Phase::Closing || self.close.asked
    }

    /// Bytes of messages delivered and not yet taken.
    pub(crate) fn unread(&self) -> usize {
        self.inbox.unread()
    }

    /// Bytes of messages that wait for more to come.
    pub(crate) fn held(&self) -> usize {
        self.inbox.held()
    }

    /// Counts what the user has yet to take of an earlier connection to the same peer.
    pub(crate) fn inherit(&mut self, unread: usize) {
        self.inbox.inherit(unread);
    }

    /// A request whose asker no longer waits.
    pub(crate) fn cancel(&mut self, request: RequestId) {
        self.outbox.cancel(request);
        self.waiting_ready.retain(|(waiting, ..)| *waiting != request);
        self.close.waiting.retain(|waiting| *waiting != request);
    }

    /// Queues a message; the request is answered when it has been handed over.
    pub(crate) fn send(&mut self, cx: &mut Context<'_>, outgoing: Outgoing) {
        let size = outgoing.message.len() as u64;
        let refused = match &self.ended {
            Some(error) => Some(error.clone()),
            None if self.is_closing() => Some(Error::closed("the connection is being closed")),
            None => self.agreed.check_size(size).err(),
        };
        match refused {
            Some(error) => cx.reply(outgoing.request, Err(error)),
            None => {
                self.outbox.push(outgoing);
                self.pump(cx);
            }
        }
    }

    /// Answers the request once the connection is up, or has failed.
    pub(crate) fn wait_ready(&mut self, cx: &mut Context<'_>, request: RequestId, timeout: Duration) {
        match (self.phase, &self.ended) {
            (Phase::Open | Phase::Closing, _) => cx.reply(request, Ok(Reply::Link(self.id))),
            (Phase::Ended, Some(error)) => cx.reply(request, Err(error.clone())),
            _ => self.waiting_ready.push((request, cx.now + timeout, timeout)),
        }
    }

    /// Ends the connection: in good order for [`Error::Closed`], as failed otherwise. Whatever waits gets the error.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>, error: Error) {
        if self.phase == Phase::Ended {
            return;
        }
        let error = self.end_of(error);
        self.drop_rtcs(cx);
        self.rescue = rescue::Rescue::default();
        self.owes_withdrawal = self.phase == Phase::Establishing && !self.is_answerer() && self.agreed.crosspeer;
        self.phase = Phase::Ended;
        self.ended = Some(error.clone());
        self.signal = None;
        (self.setup_deadline, self.close.deadline) = (None, None);
        let unsent = self.outbox.take_unsent().into_iter().map(|outgoing| outgoing.request);
        let waiting = self.waiting_ready.drain(..).map(|(request, ..)| request);
        for request in self.outbox.take_begun().into_iter().chain(unsent).chain(waiting) {
            cx.out.push_back(Output::Reply(request, Err(error.clone())));
        }
        let closed = self.close_result(&error);
        if let Err(error) = &closed {
            tracing::warn!(link = self.id.0, peer = ?self.peer, %error, "not everything sent was delivered");
        }
        for request in self.close.waiting.drain(..) {
            cx.out.push_back(Output::Reply(request, closed.clone()));
        }
        cx.out.push_back(Output::State(self.id, self.state(), Some(error)));
    }

    /// Messages of which nothing was sent; they may go over another connection.
    pub(crate) fn take_unsent(&mut self) -> VecDeque<Outgoing> {
        self.outbox.take_unsent()
    }

    /// When [`Link::on_timeout`] wants to be called.
    pub(crate) fn next_deadline(&self, config: &Config) -> Option<Instant> {
        let ready = self.waiting_ready.iter().map(|(_, until, _)| *until).min();
        earliest(&[
            self.setup_deadline,
            self.close.deadline,
            ready,
            self.lanes.next_deadline(config.dead_after),
            self.rescue.next_deadline(&self.lanes, config.session_timeout),
            self.outbox.next_expiry(),
            self.inbox.next_deadline(),
        ])
    }

    pub(crate) fn on_timeout(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        self.expire_requests(cx);
        if self.setup_deadline.is_some_and(|at| at <= now) {
            return self.give_up_setup(cx);
        }
        self.on_lanes_timeout(cx);
        self.look_after_paths(cx);
        if self.close.deadline.is_some_and(|at| at <= now) {
            if !self.close.asked {
                return self.end(cx, traffic::by_peer());
            }
            let reason = format!(
                "closed before the peer had taken everything within {}",
                Period(cx.config.close_timeout)
            );
            return self.end(cx, Error::ConnectionLost { reason });
        }
        self.inbox.expire(now);
    }

    /// Those who began to wait later than the attempt did get another one.
    fn give_up_setup(&mut self, cx: &mut Context<'_>) {
        let wanted = !self.outbox.is_empty() || !self.waiting_ready.is_empty();
        if wanted && !self.by_hand && !self.close.asked {
            tracing::debug!(link = self.id.0, "set-up took too long; trying anew");
            return self.offer(cx);
        }
        let after = cx.config.connect_timeout;
        let stage = self.stage_now();
        let reason = format!("no address of this host reached the peer within {}", Period(after));
        let error = match self.late(stage, after) {
            Error::Timeout { stage, .. } if stage == Stage::Candidates => Error::SetupFailed { stage, reason },
            error => error,
        };
        self.end(cx, error);
    }

    /// Why set-up was not done in time.
    fn late(&self, stage: Stage, after: Duration) -> Error {
        let late = format!("no path was found within {}", Period(after));
        let reason = self.with_servers(stage, late.clone());
        match reason == late {
            true => Error::Timeout { stage, after },
            false => Error::SetupFailed { stage, reason },
        }
    }

    fn on_server_failed(&mut self, url: &str, reason: &str) {
        let failure = printable::reason(&format!("{url}: {reason}"));
        if self.server_failures.len() < MAX_SERVER_FAILURES && !self.server_failures.contains(&failure) {
            self.server_failures.push(failure);
        }
    }

    /// The reason why there is no path, and what was wrong with the servers that might have led to one.
    fn with_servers(&self, stage: Stage, reason: String) -> String {
        match stage {
            Stage::Candidates | Stage::Ice if !self.server_failures.is_empty() => {
                format!("{reason} ({})", self.server_failures.join("; "))
            }
            _ => reason,
        }
    }

    fn expire_requests(&mut self, cx: &mut Context<'_>) {
        let (now, stage, open) = (cx.now, self.stage_now(), self.phase == Phase::Open);
        let mut late = self.outbox.take_expired(now);
        self.waiting_ready.retain(|&(request, until, timeout)| {
            if until <= now {
                late.push((request, timeout));
            }
            until > now
        });
        for (request, after) in late {
            let error = if open {
                Error::SendTimeout { after }
            } else {
                self.late(stage, after)
            };
            cx.reply(request, Err(error));
        }
    }

    /// The stage to blame: without addresses of our own, ICE had no chance.
    fn stage_now(&self) -> Stage {
        match self.stage {
            _ if self.waits_for_relay() => Stage::Relay,
            Stage::Ice if !self.has_candidates => Stage::Candidates,
            stage => stage,
        }
    }

    fn drop_rtcs(&mut self, cx: &mut Context<'_>) {
        for rtc in self.lanes.drain() {
            cx.close_rtc(rtc);
        }
    }

    /// Commands the one peer connection of a link that has no further lanes.
    fn command(&self, cx: &mut Context<'_>, command: RtcCommand) {
        if let Some(rtc) = self.lanes.first() {
            cx.command(rtc, command);
        }
    }
}

impl Context<'_> {
    /// A new peer connection, whose events are this link's.
    fn open_rtc(&mut self, link: LinkId) -> RtcId {
        let rtc = RtcId(*self.next_rtc);
        *self.next_rtc += 1;
        self.by_rtc.insert(rtc, link);
        self.out.push_back(Output::OpenRtc(rtc, link));
        rtc
    }

    fn close_rtc(&mut self, rtc: RtcId) {
        self.by_rtc.remove(rtc);
        self.command(rtc, RtcCommand::Close);
    }

    fn command(&mut self, rtc: RtcId, command: RtcCommand) {
        self.out.push_back(Output::Rtc(rtc, command));
    }

    pub(crate) fn reply(&mut self, request: RequestId, result: Result<Reply, Error>) {
        self.out.push_back(Output::Reply(request, result));
    }
}

/// The first of these times, if there is any.
pub(crate) fn earliest(times: &[Option<Instant>]) -> Option<Instant> {
    let mut first: Option<Instant> = None;
    for time in times.iter().flatten() {
        if first.is_none_or(|first| *time < first) {
            first = Some(*time);
        }
    }
    first
}
