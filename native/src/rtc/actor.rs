//! The task that owns one engine connection, from its set-up to its end.

mod gathering;

use super::certificate::Certificate;
use super::channel::{Credit, Reader, Reports, Write, Writer};
use super::gate::Gate;
use super::observer::{News, Outcome};
use super::path;
use super::quic::{Entry, Quic};
use super::setup;
use super::share::Share;
use super::tunnel::Tunnels;
use crosspeer::platform::{Broken, Receiver, RtcCommand, RtcEvent, SdpType};
use crosspeer::{Config, Stage};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use webrtc::data_channel::{DataChannel, RTCDataChannelInit};
use webrtc::error::Result;
use webrtc::peer_connection::{
    PeerConnection, RTCIceCandidateInit, RTCIceConnectionState as Ice, RTCPeerConnectionState, RTCSessionDescription,
};

/// How long the driver is hurried after a channel has arrived, since the answerer cannot know whether it was the last.
const ARRIVAL_HURRY: Duration = Duration::from_millis(500);

/// Answers that are made at once: it is work for the processor.
const AT_ONCE: usize = 4;

/// Data channels of a connection, as the link counts them.
const MAX_CHANNELS: usize = 64;

/// The longest that the driver's last rounds are waited for; each takes microseconds.
const LAST_ROUNDS: Duration = Duration::from_millis(500);

/// One connection. Ends when told to, when the handle is dropped, or when the connection has failed or was closed.
pub(super) struct Actor {
    config: Config,
    certificate: Option<Certificate>,
    share: Share,
    reports: Reports,
    writes: UnboundedSender<Write>,
    credit: Arc<Credit>,
    gate: Arc<Gate>,
    quic: Quic,
    to: Receiver,
    engine: Option<Arc<dyn PeerConnection>>,
    /// How far set-up has come.
    stage: Stage,
    /// Until when a description waits for its candidates.
    gathering: Option<(SdpType, Instant)>,
    /// TURN servers that are reached by TCP and TLS.
    tunnels: Option<Arc<Tunnels>>,
    /// Whether they have been given more time.
    patient: bool,
    /// Candidates that came before the description they belong to.
    early: Vec<RTCIceCandidateInit>,
    /// Whether the peer was reported as silent.
    silent: bool,
    /// By number.
    channels: Vec<Arc<dyn DataChannel>>,
    opened: usize,
    ended: usize,
    tasks: JoinSet<()>,
}

impl Actor {
    pub(super) fn new(
        (config, certificate, share): (&Config, Option<Certificate>, Share),
        reports: Reports,
        (writes, entry): (UnboundedSender<Write>, Entry),
        credit: Arc<Credit>,
        gate: Arc<Gate>,
    ) -> Self {
        let credentials = certificate.as_ref().and_then(|mine| mine.credentials.clone());
        let quic = Quic::new(credentials.filter(|_| config.quic), entry);
        Self {
            config: config.clone(),
            certificate,
            share,
            reports,
            writes,
            credit,
            gate,
            quic,
            to: Receiver::default(),
            engine: None,
            stage: Stage::Candidates,
            gathering: None,
            tunnels: None,
            patient: false,
            early: Vec::new(),
            silent: false,
            channels: Vec::new(),
            opened: 0,
            ended: 0,
            tasks: JoinSet::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn mux(&self) -> Option<Arc<super::mux::Mux>> {
        self.quic.mux()
    }

    pub(super) async fn run(
        mut self,
        mut commands: UnboundedReceiver<RtcCommand>,
        mut news: UnboundedReceiver<News>,
        writes: UnboundedReceiver<Write>,
    ) {
        let writer = Writer::new(
            setup::silent_after(&self.config),
            self.share.send_buffer(),
            self.reports.clone(),
        );
        self.tasks.spawn(writer.run(writes));
        let gate = Arc::clone(&self.gate);
        loop {
            let deadline = self.gathering.map(|(_, at)| at);
            let step = tokio::select! {
                command = commands.recv() => match command {
                    None | Some(RtcCommand::Close) => break,
                    Some(RtcCommand::Answer { offer, to }) => match self.turn(&mut commands).await {
                        Some(_turn) => self.carry_out(RtcCommand::Answer { offer, to }).await,
                        None => break,
                    },
                    Some(command) => self.carry_out(command).await,
                },
                Some(news) = news.recv() => self.hear(news).await,
                () = gate.flooded.notified() => self.fail("the peer sends a message without an end".into()),
                () = gate.moved.notified() => {
                    self.reports.event(RtcEvent::Moved);
                    Continue(())
                }
                () = gate.heap.too_much.notified() => {
                    self.fail("of all connections it has the most that is not read yet, and together that is too much".into())
                }
                () = sleep_until(deadline) => {
                    self.describe_in_time().await;
                    Continue(())
                }
            };
            if step.is_break() {
                break;
            }
        }
        self.end().await;
    }

    /// The turn of this connection to be made; `None` once nobody wants it any more. What gives way before, of hundreds of
    /// offers at once, has cost nothing.
    async fn turn(&mut self, commands: &mut UnboundedReceiver<RtcCommand>) -> Option<SemaphorePermit<'static>> {
        static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None | Some(RtcCommand::Close) => return None,
                    Some(command) => drop(self.carry_out(command).await), // a candidate, which waits
                },
                turn = TURNS.acquire() => return turn.ok(),
            }
        }
    }

    async fn carry_out(&mut self, command: RtcCommand) -> ControlFlow<()> {
        let done = match command {
            RtcCommand::Offer { channels, ordered } => self.offer(channels, ordered).await,
            RtcCommand::Answer { offer, to } => {
                self.to = to;
                self.answer(offer).await
            }
            RtcCommand::Complete { answer, to } => {
                self.to = to;
                self.complete(answer).await
            }
            RtcCommand::AddCandidate { candidate, mid } => {
                self.add_candidate(candidate, mid).await;
                Ok(())
            }
            // `Write`, `Consumed`, `Flush` and `Close` are carried out elsewhere, or by `run`.
            _ => Ok(()),
        };
        match done {
            Ok(()) => Continue(()),
            Err(error) => self.fail(error.to_string()),
        }
    }

    async fn offer(&mut self, channels: u16, ordered: bool) -> Result<()> {
        let engine = self.open_engine().await?;
        for number in 0..channels {
            let label = format!("p2p-{number}-{channels}");
            let options = RTCDataChannelInit {
                ordered,
                ..Default::default()
            };
            let channel = engine.create_data_channel(&label, Some(options)).await?;
            self.attach(channel, label, false);
        }
        let offer = engine.create_offer(None).await?;
        engine.set_local_description(offer).await?;
        self.gathering = Some((SdpType::Offer, self.gather_until()));
        Ok(())
    }

    async fn answer(&mut self, offer: String) -> Result<()> {
        let engine = self.open_engine().await?;
        self.gate.open();
        self.quic.prepare(self.to, &offer, true);
        self.apply(
            &engine,
            RTCSessionDescription::offer(setup::with_small_frames(offer, self.to.prompt)),
        )
        .await?;
        self.stage = Stage::Candidates;
        let answer = engine.create_answer(None).await?;
        engine.set_local_description(answer).await?;
        self.stage = Stage::Ice;
        self.gathering = Some((SdpType::Answer, self.gather_until()));
        self.reports.pace.hurry_for(self.config.connect_timeout);
        Ok(())
    }

    async fn complete(&mut self, answer: String) -> Result<()> {
        let Some(engine) = self.engine.clone() else {
            return Ok(());
        };
        self.quic.prepare(self.to, &answer, false);
        self.apply(
            &engine,
            RTCSessionDescription::answer(setup::with_small_frames(answer, self.to.prompt)),
        )
        .await?;
        self.stage = Stage::Ice;
        self.gate.open();
        self.reports.pace.hurry_for(self.config.connect_timeout);
        Ok(())
    }

    async fn apply(&mut self, engine: &Arc<dyn PeerConnection>, remote: Result<RTCSessionDescription>) -> Result<()> {
        self.stage = Stage::Peer;
        engine.set_remote_description(remote?).await?;
        for candidate in std::mem::take(&mut self.early) {
            add(engine, candidate).await;
        }
        Ok(())
    }

    async fn add_candidate(&mut self, candidate: String, mid: String) {
        let candidate = RTCIceCandidateInit {
            candidate,
            sdp_mid: Some(mid),
            ..Default::default()
        };
        match &self.engine {
            Some(engine) if engine.remote_description().await.is_some() => add(engine, candidate).await,
            _ => self.early.push(candidate),
        }
    }

    /// Gives a channel its number, and to the writer and a reader.
    fn attach(&mut self, channel: Arc<dyn DataChannel>, label: String, open: bool) {
        let number = self.next_number();
        self.channels.push(Arc::clone(&channel));
        let _ = self.writes.send(Write::Attach(Arc::clone(&channel)));
        let (credit, gate) = (Arc::clone(&self.credit), Arc::clone(&self.gate));
        let reader = Reader::new((number, label, open), channel, credit, gate, self.reports.clone());
        self.tasks.spawn(reader.run());
    }

    fn next_number(&self) -> u16 {
        u16::try_from(self.channels.len()).unwrap_or(u16::MAX)
    }

    async fn hear(&mut self, news: News) -> ControlFlow<()> {
        match news {
            // The engine's own channels are of no use beside QUIC.
            News::Arrived(_) | News::Opened | News::Ended { .. } | News::WriteFailed(_) if self.quic.carries() => {}
            News::Gathered => self.describe().await,
            News::Ice(state) => return self.hear_ice(state).await,
            News::Connection(state) => return self.hear_connection(state).await,
            News::Arrived(_) if self.channels.len() >= MAX_CHANNELS => {
                return self.fail("the peer opens more data channels than any connection has".into());
            }
            News::Arrived(channel) => self.arrived(channel).await,
            News::Opened => {
                self.opened += 1;
                if self.opened == self.channels.len() {
                    self.reports.pace.hurry_for(Duration::ZERO);
                }
            }
            News::Ended { in_order } => {
                self.ended += 1;
                if !in_order {
                    return self.fail("the engine stopped".into());
                }
                if self.ended == self.channels.len() {
                    self.reports.event(RtcEvent::Closed);
                    return Break(());
                }
            }
            News::WriteFailed(reason) => return self.fail(reason),
            News::Quic(outcome) => return self.hear_quic(outcome),
        }
        Continue(())
    }

    /// The remote side's channels are open when they arrive.
    async fn arrived(&mut self, channel: Arc<dyn DataChannel>) {
        let Ok(label) = channel.label().await else {
            return;
        };
        self.reports.pace.hurry_for(ARRIVAL_HURRY);
        let number = self.next_number();
        let announced = label.clone();
        self.attach(channel, label, true);
        self.reports.event(RtcEvent::ChannelOpen {
            channel: number,
            label: announced,
        });
    }

    fn hear_quic(&mut self, outcome: Outcome) -> ControlFlow<()> {
        match outcome {
            Outcome::Up => {
                self.stage = Stage::Channels;
                self.quic.is_up();
                // What the engine says of its data channels is of no interest any more.
                self.tasks.abort_all();
                tracing::debug!("connected by QUIC");
                self.reports.pace.hurry_for(Duration::ZERO);
                Continue(())
            }
            Outcome::NotUp => {
                self.quic.give_up();
                Continue(())
            }
            Outcome::Closed => {
                self.reports.event(RtcEvent::Closed);
                Break(())
            }
            Outcome::Failed(reason) => self.fail(format!("QUIC: {reason}")),
        }
    }

    /// ICE has a path: QUIC is tried on it, where both sides want that.
    async fn try_quic(&mut self) {
        if !self.quic.is_wanted() {
            return;
        }
        let Some(engine) = &self.engine else { return };
        let pair = path::pair(engine).await;
        let round_trip = path::round_trip(engine, self.reports.pace.now()).await;
        self.tell_path(pair.as_ref());
        let (credit, reports) = (Arc::clone(&self.credit), self.reports.clone());
        self.quic.begin(pair, round_trip, credit, reports);
    }

    async fn hear_ice(&mut self, state: Ice) -> ControlFlow<()> {
        match state {
            Ice::Connected | Ice::Completed if self.stage == Stage::Ice => {
                self.gate.checks.connected();
                self.stage = Stage::Dtls;
                self.reports.event(RtcEvent::Progress(Stage::Dtls));
                self.try_quic().await;
            }
            Ice::Connected | Ice::Completed if std::mem::take(&mut self.silent) => {
                self.reports.event(RtcEvent::Responsive);
            }
            Ice::Disconnected if !self.silent => {
                self.silent = true;
                self.reports.event(RtcEvent::Silent(self.reports.pace.silence()));
            }
            Ice::Failed => return self.broken(Broken::Path),
            _ => {}
        }
        Continue(())
    }

    async fn hear_connection(&mut self, state: RTCPeerConnectionState) -> ControlFlow<()> {
        if self.quic.carries() {
            return Continue(()); // how the engine fares with DTLS is of no interest
        }
        match state {
            RTCPeerConnectionState::Connected if self.stage == Stage::Dtls => {
                self.stage = Stage::Channels;
                self.quic.give_up();
                let (pair, round_trip) = match &self.engine {
                    Some(engine) => (
                        path::pair(engine).await,
                        path::round_trip(engine, self.reports.pace.now()).await,
                    ),
                    None => (None, None),
                };
                let to = self.to;
                tracing::debug!(?to, ?round_trip, ?pair, "connected");
                self.tell_path(pair.as_ref());
                let _ = self.writes.send(Write::Connected { to, round_trip });
                self.reports.pace.hasten_acknowledgements();
                self.reports.event(RtcEvent::Progress(Stage::Channels));
                Continue(())
            }
            RTCPeerConnectionState::Failed => self.broken(Broken::Encryption),
            RTCPeerConnectionState::Closed => {
                self.reports.event(RtcEvent::Closed);
                Break(())
            }
            _ => Continue(()),
        }
    }

    fn broken(&mut self, what: Broken) -> ControlFlow<()> {
        self.fail(what.reason(self.stage).into())
    }

    fn fail(&mut self, reason: String) -> ControlFlow<()> {
        self.tell_failures();
        let stage = self.stage;
        self.reports.event(RtcEvent::Failed { stage, reason });
        Break(())
    }

    /// Tells the peer as far as possible, and frees everything.
    async fn end(mut self) {
        self.reports.pace.end();
        self.quic.close().await;
        self.tasks.shutdown().await;
        let Some(engine) = self.engine.take() else {
            return;
        };
        if setup::may_be_relayed(&self.config) {
            self.close_channels().await;
        }
        if let Err(error) = engine.close().await {
            tracing::debug!(%error, "the engine did not close in good order");
        }
    }

    /// The engine drops its TURN client before it sends its last packets, so that a peer on a relayed path would not
    /// hear of the end: but it hears that every channel has been closed.
    async fn close_channels(&self) {
        let pace = Arc::clone(&self.reports.pace);
        let closed = async {
            let mut turn = Box::pin(pace.turn());
            turn.as_mut().enable();
            for channel in &self.channels {
                if let Err(error) = channel.close().await {
                    return tracing::debug!(%error, "a data channel did not close in good order");
                }
            }
            // The present round may be past its writes; the next gives them to the TURN client, and one more sends them.
            for _ in 0..3 {
                turn.as_mut().await;
                turn.set(pace.turn());
                turn.as_mut().enable();
            }
        };
        if timeout(LAST_ROUNDS, closed).await.is_err() {
            tracing::debug!("the engine is too busy to close its channels");
        }
    }
}

async fn add(engine: &Arc<dyn PeerConnection>, candidate: RTCIceCandidateInit) {
    if let Err(error) = engine.add_ice_candidate(candidate).await {
        tracing::debug!(%error, "a remote candidate was not usable");
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
