//! One `RTCPeerConnection`: its set-up, its channels, its end.

use super::Reports;
use super::channel::Channel;
use crate::identity::Certificate;
use crate::listener::Listener;
use bytes::BytesMut;
use crosspeer::description::candidates;
use crosspeer::platform::{Broken, RtcCommand, RtcEvent, SdpType, SessionDescription};
use crosspeer::{Config, IceTransportPolicy, Stage};
use futures_channel::mpsc::unbounded;
use futures_util::future::{Either, select};
use futures_util::stream::StreamExt;
use gloo_timers::future::sleep;
use js_sys::{Array, Function, Promise, Reflect};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Event, EventTarget, RtcConfiguration, RtcDataChannel, RtcDataChannelEvent, RtcDataChannelInit, RtcIceCandidateInit,
    RtcIceConnectionState as Ice, RtcIceGatheringState, RtcIceServer, RtcIceTransportPolicy, RtcPeerConnection,
    RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
};

/// Bytes in the browser's hands, over all channels. With a queue of 4 MiB Chromium is half as fast between two pages.
const SEND_BUFFER: usize = 512 << 10;

/// How long a peer has been silent when a browser says so: 5 to 7 s in Chromium, 6 to 11 s in Firefox (measured).
const SILENCE: Duration = Duration::from_secs(6);

/// How long no further candidate comes before there are none.
const QUIET: Duration = Duration::from_millis(20);

type Result<T = ()> = std::result::Result<T, JsValue>;

/// One connection. Its listeners know it only weakly, and go when it ends.
pub(crate) struct Peer {
    pc: RtcPeerConnection,
    reports: Reports,
    gather_timeout: Duration,
    has_servers: bool,
    /// How far set-up has come.
    stage: Cell<Stage>,
    /// Whether the browser calls the peer disconnected.
    silent: Cell<bool>,
    send_buffer: Cell<usize>,
    channels: RefCell<Vec<Rc<Channel>>>,
    /// Candidates that came before the description they belong to.
    early: RefCell<Vec<RtcIceCandidateInit>>,
    flushing: Cell<bool>,
    listeners: RefCell<Vec<Listener>>,
}

impl Peer {
    pub(super) fn new(config: &Config, certificate: Option<&Certificate>, reports: Reports) -> Result<Rc<Self>> {
        let configuration = configuration(config);
        certificate.inspect(|certificate| certificate.configure(&configuration));
        let pc = RtcPeerConnection::new_with_configuration(&configuration)?;
        let peer = Rc::new(Self {
            pc,
            reports,
            gather_timeout: config.gather_timeout,
            has_servers: !config.ice_servers.is_empty(),
            stage: Cell::new(Stage::Candidates),
            silent: Cell::new(false),
            send_buffer: Cell::new(SEND_BUFFER),
            channels: RefCell::default(),
            early: RefCell::default(),
            flushing: Cell::new(false),
            listeners: RefCell::default(),
        });
        peer.listen();
        Ok(peer)
    }

    pub(crate) fn pc(&self) -> RtcPeerConnection {
        self.pc.clone()
    }

    pub(super) async fn carry_out(self: &Rc<Self>, command: RtcCommand) -> Result {
        match command {
            RtcCommand::Offer { channels, ordered } => self.offer(channels, ordered).await,
            RtcCommand::Answer { offer, to } => self.answer(&offer, to.send_buffer).await,
            RtcCommand::Complete { answer, to } => {
                self.send_buffer.set(to.send_buffer.min(SEND_BUFFER));
                self.apply(RtcSdpType::Answer, &answer).await?;
                self.stage.set(Stage::Ice);
                Ok(())
            }
            RtcCommand::AddCandidate { candidate, mid } => {
                self.add_candidate(&candidate, &mid).await;
                Ok(())
            }
            // `Write`, `Consumed`, `Flush` and `Close` are carried out at once, without this queue.
            _ => Ok(()),
        }
    }

    async fn offer(self: &Rc<Self>, channels: u16, ordered: bool) -> Result {
        if self.pc.connection_state() == RtcPeerConnectionState::Closed {
            return Ok(()); // no longer wanted
        }
        for number in 0..channels {
            let options = RtcDataChannelInit::new();
            options.set_ordered(ordered);
            let label = format!("p2p-{number}-{channels}");
            self.attach(self.pc.create_data_channel_with_data_channel_dict(&label, &options));
        }
        let offer = JsFuture::from(self.pc.create_offer()).await?;
        self.describe(SdpType::Offer, offer).await
    }

    async fn answer(self: &Rc<Self>, offer: &str, send_buffer: usize) -> Result {
        self.send_buffer.set(send_buffer.min(SEND_BUFFER));
        self.apply(RtcSdpType::Offer, offer).await?;
        self.stage.set(Stage::Candidates);
        let answer = JsFuture::from(self.pc.create_answer()).await?;
        self.describe(SdpType::Answer, answer).await?;
        self.stage.set(self.stage.get().max(Stage::Ice));
        Ok(())
    }

    /// Applies our description, and reports it with the candidates that were found in time.
    async fn describe(&self, sdp_type: SdpType, description: JsValue) -> Result {
        let description = description.unchecked_into::<RtcSessionDescriptionInit>();
        JsFuture::from(self.pc.set_local_description(&description)).await?;
        self.gathered().await;
        if let Some(local) = self.pc.local_description() {
            let sdp = local.sdp();
            self.reports
                .event(RtcEvent::LocalDescription(SessionDescription { sdp_type, sdp }));
        }
        Ok(())
    }

    /// Ends when gathering is complete, or its time is up.
    ///
    /// Without servers it is complete once candidates have come and no further ones do: Chromium has them all within
    /// milliseconds, and goes on for 120 more with ways of gathering that find nothing.
    #[allow(clippy::disallowed_methods)] // a few events
    async fn gathered(&self) {
        let (tell, mut told) = unbounded::<()>();
        let listen = |kind| {
            let tell = tell.clone();
            Listener::new(&self.pc, kind, move |_: Event| {
                let _ = tell.unbounded_send(());
            })
        };
        let _listeners = [listen("icegatheringstatechange"), listen("icecandidate")];
        let mut patience = sleep(if self.may_have_all() {
            QUIET
        } else {
            self.gather_timeout
        });
        while self.pc.ice_gathering_state() != RtcIceGatheringState::Complete {
            match select(told.next(), patience).await {
                Either::Left(_) if self.may_have_all() => patience = sleep(QUIET),
                Either::Left((_, rest)) => patience = rest,
                Either::Right(_) => return,
            }
        }
    }

    fn may_have_all(&self) -> bool {
        let local = self.pc.local_description();
        !self.has_servers && local.is_some_and(|local| candidates(&local.sdp()).next().is_some())
    }

    async fn apply(&self, sdp_type: RtcSdpType, sdp: &str) -> Result {
        self.stage.set(Stage::Peer);
        let description = RtcSessionDescriptionInit::new(sdp_type);
        description.set_sdp(sdp);
        JsFuture::from(self.pc.set_remote_description(&description)).await?;
        for candidate in self.early.take() {
            self.add(&candidate).await;
        }
        Ok(())
    }

    async fn add_candidate(&self, candidate: &str, mid: &str) {
        let init = RtcIceCandidateInit::new(candidate);
        init.set_sdp_mid(Some(mid));
        match self.pc.remote_description() {
            Some(_) => self.add(&init).await,
            None => self.early.borrow_mut().push(init),
        }
    }

    async fn add(&self, candidate: &RtcIceCandidateInit) {
        let added = JsFuture::from(
            self.pc
                .add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(candidate)),
        );
        if let Err(error) = added.await {
            tracing::debug!(error = super::describe(&error), "a remote candidate was not usable");
        }
    }

    /// Gives a channel its number.
    fn attach(self: &Rc<Self>, channel: RtcDataChannel) -> Rc<Channel> {
        let mut channels = self.channels.borrow_mut();
        let channel = Channel::new(channels.len() as u16, channel, self);
        channels.push(Rc::clone(&channel));
        channel
    }

    fn arrived(self: &Rc<Self>, channel: RtcDataChannel) {
        self.settle(&channel);
        let channel = self.attach(channel);
        // Where the id is known without asking that thread, as in Node's stacks, statistics are not.
        if let Some(statistics) = self.call("getStats", &Array::new()) {
            channel.hold(Promise::resolve(&statistics));
        }
        channel.announce_if_open();
    }

    /// Waits until a channel that the remote side made is open below the page as well.
    ///
    /// Chromium tells of such a channel, and calls it open, while its threads are still about to open it. What is sent
    /// meanwhile vanishes without an error; and where they do it just as the page begins to listen, the channel is
    /// `connecting` from then on and never sends anything. The thread that orders the opening answers to the first question
    /// once it has, the one that opens to the second.
    fn settle(&self, channel: &RtcDataChannel) {
        if let Some(configuration) = self.call("getConfiguration", &Array::new()) {
            self.call("setConfiguration", &Array::of1(&configuration));
        }
        let _ = channel.id();
    }

    /// What not every stack of Node has.
    fn call(&self, method: &str, with: &Array) -> Option<JsValue> {
        let method = Reflect::get(&self.pc, &method.into()).ok()?;
        method.dyn_ref::<Function>()?.apply(&self.pc, with).ok()
    }

    fn listen(self: &Rc<Self>) {
        let pc: &EventTarget = &self.pc;
        let on = |kind, react: fn(&Rc<Self>)| {
            let peer = Rc::downgrade(self);
            Listener::new(pc, kind, move |_: Event| with(&peer, react))
        };
        let peer = Rc::downgrade(self);
        let arrivals = Listener::new(pc, "datachannel", move |event: RtcDataChannelEvent| {
            with(&peer, |peer| peer.arrived(event.channel()));
        });
        let peer = Rc::downgrade(self);
        let refusals = Listener::new(pc, "icecandidateerror", move |event: Event| {
            with(&peer, |peer| peer.on_server_error(&event));
        });
        let mut listeners = vec![
            arrivals,
            refusals,
            on("iceconnectionstatechange", |peer| peer.on_ice()),
            on("connectionstatechange", |peer| peer.on_connection()),
        ];
        // Only pages have it: workers and Node do not go away by it, and never send it.
        if let Ok(global) = js_sys::global().dyn_into::<EventTarget>() {
            let peer = Rc::downgrade(self);
            listeners.push(Listener::new(&global, "pagehide", move |_: Event| {
                with(&peer, |peer| peer.on_page_hidden());
            }));
        }
        self.listeners.replace(listeners);
    }

    /// A STUN or TURN server did not answer, or refused (`RTCPeerConnectionIceErrorEvent`).
    fn on_server_error(&self, event: &Event) {
        let get = |key: &str| Reflect::get(event, &key.into()).unwrap_or_default();
        let Some(url) = get("url").as_string().filter(|url| !url.is_empty()) else {
            return;
        };
        let text = get("errorText").as_string().unwrap_or_default();
        let reason = match get("errorCode").as_f64().unwrap_or_default() as u16 {
            401 | 441 => format!("it refused the user name or password ({text})"),
            701 => "it is not reached from this network".into(),
            code => format!("{code} {text}"),
        };
        self.reports.event(RtcEvent::ServerFailed { url, reason });
    }

    fn on_ice(self: &Rc<Self>) {
        match self.pc.ice_connection_state() {
            Ice::Connected | Ice::Completed => {
                if self.stage.get() <= Stage::Ice {
                    self.stage.set(Stage::Dtls);
                    self.reports.event(RtcEvent::Progress(Stage::Dtls));
                }
                if self.silent.replace(false) {
                    self.reports.event(RtcEvent::Responsive);
                }
            }
            Ice::Disconnected => {
                self.silent.set(true);
                self.reports.event(RtcEvent::Silent(SILENCE));
            }
            Ice::Failed => self.broken(Broken::Path),
            _ => {}
        }
    }

    fn on_connection(&self) {
        match self.pc.connection_state() {
            RtcPeerConnectionState::Connected if self.stage.get() < Stage::Channels => {
                self.stage.set(Stage::Channels);
                self.reports.event(RtcEvent::Progress(Stage::Channels));
            }
            RtcPeerConnectionState::Failed if self.pc.ice_connection_state() != Ice::Failed => {
                self.broken(Broken::Encryption);
            }
            RtcPeerConnectionState::Closed => self.reports.event(RtcEvent::Closed),
            _ => {}
        }
    }

    /// The page goes away, perhaps for good: the peer learns it now rather than by our silence.
    fn on_page_hidden(&self) {
        self.reports.event(RtcEvent::Closed);
        self.end();
    }

    fn broken(&self, what: Broken) {
        self.fail(what.reason(self.stage.get()).into());
    }

    pub(super) fn fail(&self, reason: String) {
        let stage = self.stage.get();
        self.reports.event(RtcEvent::Failed { stage, reason });
    }

    pub(super) fn write(&self, channel: u16, frame: BytesMut) {
        match self.channel(channel) {
            Some(channel) => channel.write(frame),
            None => self.fail(format!("there is no data channel {channel}")),
        }
    }

    fn channel(&self, number: u16) -> Option<Rc<Channel>> {
        self.channels.borrow().get(usize::from(number)).cloned()
    }

    /// Bytes that the browser may hold for one channel.
    pub(super) fn share(&self) -> usize {
        self.send_buffer.get() / self.channels.borrow().len().max(1)
    }

    pub(super) fn reports(&self) -> &Reports {
        &self.reports
    }

    /// A page is never told what the peer has acknowledged. But a data channel is closed only after everything written
    /// to it has arrived, and says when it is.
    pub(super) fn flush(&self) {
        self.flushing.set(true);
        let channels = self.channels.borrow().clone();
        channels.iter().for_each(|channel| channel.finish());
        self.on_channel_closed(None);
    }

    pub(super) fn on_channel_closed(&self, number: Option<u16>) {
        let all = self.channels.borrow().iter().all(|channel| channel.is_closed());
        if self.flushing.get() {
            if all {
                self.reports.event(RtcEvent::Flushed);
            }
            return;
        }
        if let Some(channel) = number {
            self.reports.event(RtcEvent::ChannelClosed { channel });
        }
        if all {
            self.reports.event(RtcEvent::Closed);
        }
    }

    /// Ends it now, and frees everything. The browser tells the peer.
    pub(super) fn end(&self) {
        self.listeners.take();
        for channel in self.channels.take() {
            channel.end();
        }
        self.pc.close();
    }
}

fn with(peer: &Weak<Peer>, react: impl FnOnce(&Rc<Peer>)) {
    if let Some(peer) = peer.upgrade() {
        react(&peer);
    }
}

fn configuration(config: &Config) -> RtcConfiguration {
    let list = js_sys::Array::new();
    for server in &config.ice_servers {
        let urls: js_sys::Array = server.urls.iter().map(|url| JsValue::from_str(url)).collect();
        let entry = RtcIceServer::new();
        entry.set_urls(&urls);
        if !server.username.is_empty() || !server.credential.is_empty() {
            entry.set_username(&server.username);
            entry.set_credential(&server.credential);
        }
        list.push(&entry);
    }
    let configuration = RtcConfiguration::new();
    configuration.set_ice_servers(&list);
    if config.ice_transport_policy == IceTransportPolicy::Relay {
        configuration.set_ice_transport_policy(RtcIceTransportPolicy::Relay);
    }
    configuration
}
