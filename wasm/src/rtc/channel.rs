//! One `RTCDataChannel`.

use super::peer::Peer;
use crate::listener::Listener;
use bytes::{Bytes, BytesMut};
use crosspeer::platform::RtcEvent;
use gloo_timers::callback::Timeout;
use js_sys::{Promise, Reflect};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Event, EventTarget, MessageEvent, RtcDataChannel, RtcDataChannelState, RtcDataChannelType};

/// Milliseconds between looks at the browser's queue, where it does not tell when it has room.
const RECHECK_MILLIS: u32 = 4;

/// One channel. What is written waits here while the browser's queue is long.
pub(super) struct Channel {
    number: u16,
    channel: RtcDataChannel,
    peer: Weak<Peer>,
    queue: RefCell<VecDeque<BytesMut>>,
    announced: Cell<bool>,
    closed: Cell<bool>,
    finishing: Cell<bool>,
    /// What is written now could be lost.
    held: Cell<bool>,
    listeners: RefCell<Vec<Listener>>,
    /// Some of Node's stacks know no `bufferedamountlow`.
    tells_room: bool,
    recheck: RefCell<Option<Timeout>>,
    /// What the browser tells room by.
    threshold: Cell<usize>,
}

impl Channel {
    pub(super) fn new(number: u16, channel: RtcDataChannel, peer: &Rc<Peer>) -> Rc<Self> {
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        let tells_room = Reflect::has(&channel, &"onbufferedamountlow".into()).unwrap_or(false);
        let this = Rc::new(Self {
            number,
            tells_room,
            recheck: RefCell::default(),
            threshold: Cell::default(),
            channel,
            peer: Rc::downgrade(peer),
            queue: RefCell::default(),
            announced: Cell::new(false),
            closed: Cell::new(false),
            finishing: Cell::new(false),
            held: Cell::new(false),
            listeners: RefCell::default(),
        });
        this.listen();
        this
    }

    fn listen(self: &Rc<Self>) {
        let target: &EventTarget = &self.channel;
        let on = |kind, react: fn(&Rc<Self>)| {
            let channel = Rc::downgrade(self);
            Listener::new(target, kind, move |_: Event| with(&channel, react))
        };
        let channel = Rc::downgrade(self);
        let messages = Listener::new(target, "message", move |message: MessageEvent| {
            with(&channel, |channel| channel.on_message(&message.data()));
        });
        self.listeners.replace(vec![
            messages,
            on("open", |channel| channel.announce_if_open()),
            on("bufferedamountlow", |channel| channel.pump()),
            on("close", |channel| channel.on_close()),
        ]);
    }

    /// The remote side's channels may be open when they arrive, or not yet: Chromium and Firefox differ.
    pub(super) fn announce_if_open(self: &Rc<Self>) {
        if self.channel.ready_state() == RtcDataChannelState::Open {
            self.announce();
            self.pump();
        }
    }

    /// Holds back what is written until this has come, or a message.
    pub(super) fn hold(self: &Rc<Self>, until: Promise) {
        self.held.set(true);
        let channel = Rc::downgrade(self);
        spawn_local(async move {
            let _ = JsFuture::from(until).await;
            with(&channel, Self::release);
        });
    }

    fn release(self: &Rc<Self>) {
        if self.held.replace(false) {
            self.pump();
        }
    }

    fn announce(&self) {
        if !self.announced.replace(true) {
            self.report(RtcEvent::ChannelOpen {
                channel: self.number,
                label: self.channel.label(),
            });
        }
    }

    fn on_message(self: &Rc<Self>, data: &JsValue) {
        self.release();
        // Firefox may deliver the first message before it says that the channel is open.
        self.announce();
        let (data, binary) = match data.as_string() {
            Some(text) => (Bytes::from(text), false),
            None => (js_sys::Uint8Array::new(data).to_vec().into(), true),
        };
        // An empty message holds no chunk.
        if !data.is_empty() {
            let channel = self.number;
            self.report(RtcEvent::Frame { channel, data, binary });
        }
    }

    pub(super) fn write(self: &Rc<Self>, frame: BytesMut) {
        self.queue.borrow_mut().push_back(frame);
        self.pump();
    }

    /// Gives the browser what it has room for.
    fn pump(self: &Rc<Self>) {
        if self.held.get() {
            return;
        }
        let Some(peer) = self.peer.upgrade() else { return };
        let limit = peer.share();
        let low = limit / 4;
        // Each question to the browser costs as much as a small message.
        while !self.queue.borrow().is_empty() && self.channel.ready_state() == RtcDataChannelState::Open {
            let buffered = self.channel.buffered_amount() as usize;
            // Also where nothing is sent now: the share may have shrunk, and an event at the former mark would find no room.
            if self.threshold.replace(low) != low {
                self.channel.set_buffered_amount_low_threshold(low as u32);
            }
            let Some(frame) = self.queue.borrow_mut().pop_front_if(|frame| {
                // Below the low mark there is always room: no event would come.
                buffered <= low || buffered + frame.len() <= limit
            }) else {
                break;
            };
            if let Err(error) = self.channel.send_with_u8_array(&frame) {
                return peer.fail(super::describe(&error));
            }
            let (channel, bytes) = (self.number, frame.len());
            self.report(RtcEvent::Written { channel, bytes });
        }
        let mut waits = !self.queue.borrow().is_empty();
        if self.finishing.get() && !waits {
            waits = !self.close_if_empty();
        }
        if !self.tells_room && waits {
            let channel = Rc::downgrade(self);
            let look = move || with(&channel, |channel| channel.pump());
            self.recheck.replace(Some(Timeout::new(RECHECK_MILLIS, look)));
        }
    }

    /// Closes once everything is written and the browser's queue is empty: Firefox throws away what is still in it. What it
    /// has handed to SCTP, a browser delivers before it closes.
    pub(super) fn finish(self: &Rc<Self>) {
        self.finishing.set(true);
        self.pump();
    }

    /// Whether it was; if not, `bufferedamountlow` comes when it is.
    fn close_if_empty(&self) -> bool {
        let open = self.channel.ready_state() == RtcDataChannelState::Open;
        if open && self.channel.buffered_amount() > 0 {
            self.threshold.set(0);
            self.channel.set_buffered_amount_low_threshold(0);
            return false;
        }
        self.channel.close();
        true
    }

    fn on_close(&self) {
        self.closed.set(true);
        if let Some(peer) = self.peer.upgrade() {
            peer.on_channel_closed(Some(self.number));
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Frees everything.
    pub(super) fn end(&self) {
        self.listeners.take();
        self.queue.take();
        self.recheck.take();
    }

    fn report(&self, event: RtcEvent) {
        if let Some(peer) = self.peer.upgrade() {
            peer.reports().event(event);
        }
    }
}

fn with(channel: &Weak<Channel>, react: impl FnOnce(&Rc<Channel>)) {
    if let Some(channel) = channel.upgrade() {
        react(&channel);
    }
}
