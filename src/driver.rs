//! The only async loop: carries a router's outputs out on a platform, and feeds it what happens.

use crate::mailroom::{Answer, Call, Mailroom, Shared};
use crate::maps::{Pending, SortedMap};
use crate::output::{Output, State};
use crate::platform::{Event, Events, Platform, Rtc, RtcCommand, RtcId, Socket, SocketId};
use crate::request::{LinkId, Reply, Request, RequestId};
use crate::router::{Input, Router};
use crate::{Config, Error, IceServer, Result};
use futures_channel::{mpsc, oneshot};
use futures_util::future::{Either, FutureExt, pending};
use futures_util::stream::{FusedStream, StreamExt};
use futures_util::{pin_mut, select_biased};
use std::sync::Arc;

/// The id of the one request that no handle makes.
const ORPHANED: RequestId = RequestId(u64::MAX);
/// Inputs taken in a row before timers are looked at again.
const BATCH: usize = 128;

/// Runs one [`PeerManager`](crate::PeerManager) or [`RelayClient`](crate::RelayClient) on a platform.
///
/// It holds no lock across an await and spawns nothing. Where the platform's types are `Send`, its future is.
pub struct Driver<P: Platform> {
    platform: P,
    router: Router,
    url: String,
    config: Arc<Config>,
    /// The configuration of new peer connections: with the relay's servers.
    rtc_config: Arc<Config>,
    calls: mpsc::UnboundedReceiver<Call>,
    events: mpsc::UnboundedReceiver<Event>,
    sink: Events,
    mailroom: Arc<Mailroom>,
    answers: Pending<RequestId, oneshot::Sender<Result<Answer>>>,
    links: SortedMap<LinkId, Arc<Shared>>,
    rtcs: SortedMap<RtcId, P::Rtc>,
    sockets: SortedMap<SocketId, P::Socket>,
    /// Every handle is gone: no more calls.
    orphaned: bool,
}

enum Woken {
    Call(Option<Call>),
    Event(Option<Event>),
    Timeout,
}

impl<P: Platform> Driver<P> {
    pub(crate) fn new(
        platform: P,
        mut router: Router,
        url: String,
        config: Arc<Config>,
        calls: mpsc::UnboundedReceiver<Call>,
        mailroom: Arc<Mailroom>,
    ) -> Self {
        let (sink, events) = Events::channel();
        (router.prompt, router.holds_back) = (P::PROMPT, P::HOLDS_BACK);
        router.quic = P::QUIC && platform.fingerprint().is_some();
        Self {
            platform,
            router,
            url,
            rtc_config: config.clone(),
            config,
            calls,
            events,
            sink,
            mailroom,
            answers: Pending::default(),
            links: SortedMap::default(),
            rtcs: SortedMap::default(),
            sockets: SortedMap::default(),
            orphaned: false,
        }
    }

    /// Runs until everything is closed: by a handle's `close`, or because all handles are gone.
    pub async fn run(mut self) {
        self.router.start(self.platform.now());
        self.carry_out();
        while !self.router.is_done() {
            match self.next().await {
                Woken::Call(Some(call)) => self.on_call(call),
                Woken::Call(None) => {}
                Woken::Event(Some(event)) => self.handle(Input::Event(event)),
                Woken::Event(None) | Woken::Timeout => self.handle(Input::Timeout),
            }
            self.take_what_is_there();
            // The end of the calls may be seen in either place, and only once.
            if self.calls.is_terminated() && !self.orphaned {
                self.on_orphaned();
            }
        }
        self.rtcs.clear();
        self.platform.settled().await;
    }

    async fn next(&mut self) -> Woken {
        let timeout = match self.router.next_deadline() {
            Some(at) => Either::Left(self.platform.sleep_until(at)),
            None => Either::Right(pending()),
        }
        .fuse();
        pin_mut!(timeout);
        // Calls that have ended are passed over.
        select_biased! {
            call = self.calls.next() => Woken::Call(call),
            event = self.events.next() => Woken::Event(event),
            () = timeout => Woken::Timeout,
        }
    }

    /// Timers cost more than inputs: a crowd of inputs is taken at once.
    fn take_what_is_there(&mut self) {
        for _ in 0..BATCH {
            let event = self.events.try_recv().ok();
            let call = self.calls.try_recv().ok();
            if event.is_none() && call.is_none() {
                return;
            }
            if let Some(event) = event {
                self.handle(Input::Event(event));
            }
            if let Some(call) = call {
                self.on_call(call);
            }
        }
        if self.router.next_deadline().is_some_and(|at| at <= self.platform.now()) {
            self.handle(Input::Timeout);
        }
    }

    fn on_call(&mut self, Call { id, request, answer }: Call) {
        if let Some(answer) = answer {
            self.answers.push(id, answer);
        }
        if let Request::Adopt { link, .. } = request
            && let Some(shared) = self.mailroom.take_adopted(link)
        {
            self.links.insert(link, shared);
        }
        let (mut named, mut forgotten) = (None, None);
        match request {
            Request::Offer { link, .. } | Request::HandleMessage { link, .. } => named = Some(link),
            Request::Forget(link) => forgotten = Some(link),
            _ => {}
        }
        self.router.handle(self.platform.now(), Input::Request(id, request));
        // Before the answer: whoever has it knows the peer too.
        if let Some(peer) = named.and_then(|link| self.router.peer(link))
            && let Some(shared) = named.and_then(|link| self.links.get(link))
        {
            shared.set_peer(peer);
        }
        self.carry_out();
        forgotten.map(|link| self.links.remove(link));
    }

    /// Every handle is gone: closes everything, and keeps no peer waiting for somebody to read.
    fn on_orphaned(&mut self) {
        self.orphaned = true;
        let mut unread = Vec::new();
        for (link, shared) in self.links.iter() {
            unread.push((*link, shared.discard()));
        }
        for (link, bytes) in unread {
            self.consumed(link, bytes);
        }
        self.handle(Input::Request(ORPHANED, Request::CloseAll));
    }

    fn handle(&mut self, input: Input) {
        self.router.handle(self.platform.now(), input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::OpenRtc(id, link) => {
                    // Further lanes come and go once it is connected.
                    let shared = self.links.get(link);
                    if let Some(shared) = shared.filter(|shared| shared.state() != State::Connected) {
                        shared.set_rtc(id);
                    }
                    let rtc = self.platform.open_rtc(id, &self.rtc_config, self.sink.clone());
                    self.rtcs.insert(id, rtc);
                }
                Output::Rtc(id, command) => self.command(id, command),
                Output::OpenSocket(id) => {
                    let socket = self
                        .platform
                        .open_socket(id, &self.url, &self.config, self.sink.clone());
                    self.sockets.insert(id, socket);
                }
                Output::SendSocket(id, text) => {
                    if let Some(socket) = self.sockets.get(id) {
                        socket.send(text);
                    }
                }
                Output::CloseSocket(id) => {
                    if let Some(socket) = self.sockets.remove(id) {
                        socket.close();
                    }
                }
                Output::IceServers(server) => {
                    self.mailroom.set_ice_server(server.clone());
                    self.rtc_config = with_server(&self.config, server);
                }
                Output::RelayMessage(message) => self.mailroom.push_relay(message),
                Output::Relay(state) => self.mailroom.set_relay(state),
                Output::Reply(id, result) => self.answer(id, result),
                Output::NewLink { link, peer, incoming } => {
                    self.links.insert(
                        link,
                        Arc::new(Shared::new(
                            link,
                            Some(peer),
                            incoming,
                            self.mailroom.first_claims(incoming),
                        )),
                    );
                }
                Output::State(id, state, error) => self.on_state(id, state, error),
                Output::Kind(id, crosspeer, confirms) => {
                    if let Some(shared) = self.links.get(id) {
                        shared.set_kind(crosspeer, confirms);
                    }
                }
                Output::Largest(id, bytes) => {
                    if let Some(shared) = self.links.get(id) {
                        shared.set_largest(bytes);
                    }
                }
                Output::Path(id, path) => {
                    if let Some(shared) = self.links.get(id) {
                        shared.set_path(path);
                    }
                }
                Output::Identity(id, verified, fingerprint) => {
                    if let Some(shared) = self.links.get(id) {
                        shared.set_identity((verified, fingerprint));
                    }
                }
                Output::Deliver(id, message) => {
                    let discarded = match self.links.get(id) {
                        Some(shared) => self.mailroom.deliver(shared, message),
                        None => Some(message.weight()),
                    };
                    if let Some(bytes) = discarded {
                        self.consumed(id, bytes);
                    }
                }
            }
        }
    }

    fn command(&mut self, id: RtcId, command: RtcCommand) {
        let close = matches!(command, RtcCommand::Close);
        if let Some(rtc) = self.rtcs.get(id) {
            rtc.execute(command);
        }
        if close {
            self.rtcs.remove(id);
        }
    }

    fn on_state(&mut self, id: LinkId, state: State, error: Option<Error>) {
        let ended = error.is_some();
        if let Some(shared) = self.links.get(id) {
            shared.set_state(state, error);
            if state == State::Connected {
                self.mailroom.push_connected(shared);
            }
        }
        if ended && let Some(shared) = self.links.remove(id) {
            self.mailroom.forget_connected(&shared);
            self.consumed(id, shared.take_unreported());
        }
    }

    /// What this leads to is carried out with what else there is to do.
    fn consumed(&mut self, link: LinkId, bytes: usize) {
        let consumed = Input::Request(ORPHANED, Request::Consumed { link, bytes });
        self.router.handle(self.platform.now(), consumed);
    }

    fn answer(&mut self, id: RequestId, result: Result<Reply>) {
        let Some(sender) = self.answers.remove(id) else { return };
        let answer = result.and_then(|reply| match reply {
            Reply::Done => Ok(Answer::Done),
            Reply::Statistics(statistics) => Ok(Answer::Statistics(statistics)),
            Reply::Link(link) => match self.links.get(link) {
                Some(shared) => Ok(Answer::Link(shared.clone())),
                None => Err(Error::closed("the connection has ended")),
            },
        });
        let _ = sender.send(answer);
    }
}

/// The configuration with this server before its own.
fn with_server(config: &Arc<Config>, server: Option<IceServer>) -> Arc<Config> {
    let Some(server) = server else {
        return config.clone();
    };
    let mut config = Config::clone(config);
    config.ice_servers.insert(0, server);
    Arc::new(config)
}

#[cfg(test)]
mod tests;

/// However the driver ends, nobody waits for it for ever.
impl<P: Platform> Drop for Driver<P> {
    fn drop(&mut self) {
        let error = Error::closed("this side was closed");
        for shared in self.links.values() {
            shared.set_state(State::Closed, Some(error.clone()));
        }
        self.mailroom.end(error);
    }
}
