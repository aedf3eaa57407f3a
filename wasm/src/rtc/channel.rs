//! One `RTCDataChannel`.

use super::peer::Peer;
use crate::listener::Listener;
use bytes::{Bytes, BytesMut};
use crosspeer::platform::RtcEvent;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use wasm_bindgen::JsValue;
use web_sys::{Event, EventTarget, MessageEvent, RtcDataChannel, RtcDataChannelState, RtcDataChannelType};

/// One channel. What is written waits here while the browser's queue is long.
pub(super) struct Channel {
    number: u16,
    channel: RtcDataChannel,
    peer: Weak<Peer>,
    queue: RefCell<VecDeque<BytesMut>>,
    announced: Cell<bool>,
    closed: Cell<bool>,
    finishing: Cell<bool>,
    listeners: RefCell<Vec<Listener>>,
}

impl Channel {
    pub(super) fn new(number: u16, channel: RtcDataChannel, peer: &Rc<Peer>) -> Rc<Self> {
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        let this = Rc::new(Self {
            number,
            channel,
            peer: Rc::downgrade(peer),
            queue: RefCell::default(),
            announced: Cell::new(false),
            closed: Cell::new(false),
            finishing: Cell::new(false),
            listeners: RefCell::default(),
        });
        this.listen();
        this
    }

    fn listen(self: &Rc<Self>) {
        let target: &EventTarget = &self.channel;
        let on = |kind, react: fn(&Self)| {
            let channel = Rc::downgrade(self);
            Listener::new(target, kind, move |_: Event| with(&channel, react))
        };
        let channel = Rc::downgrade(self);
        let messages = Listener::new(target, "message", move |message: MessageEvent| {
            with(&channel, |channel| channel.on_message(&message.data()));
        });
        self.listeners.replace(vec![
            messages,
            on("open", Self::announce_if_open),
            on("bufferedamountlow", Self::pump),
            on("close", Self::on_close),
        ]);
    }

    /// The remote side's channels may be open when they arrive, or not yet: Chromium and Firefox differ.
    pub(super) fn announce_if_open(&self) {
        if self.channel.ready_state() == RtcDataChannelState::Open {
            self.announce();
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

    fn on_message(&self, data: &JsValue) {
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

    pub(super) fn write(&self, frame: BytesMut) {
        self.queue.borrow_mut().push_back(frame);
        self.pump();
    }

    /// Gives the browser what it has room for.
    fn pump(&self) {
        let Some(peer) = self.peer.upgrade() else { return };
        let limit = peer.share();
        let low = limit / 4;
        while self.channel.ready_state() == RtcDataChannelState::Open {
            let buffered = self.channel.buffered_amount() as usize;
            let Some(frame) = self.queue.borrow_mut().pop_front_if(|frame| {
                // Below the low mark there is always room: no event would come.
                buffered <= low || buffered + frame.len() <= limit
            }) else {
                break;
            };
            self.channel.set_buffered_amount_low_threshold(low as u32);
            if let Err(error) = self.channel.send_with_u8_array(&frame) {
                return peer.fail(super::describe(&error));
            }
            let (channel, bytes) = (self.number, frame.len());
            self.report(RtcEvent::Written { channel, bytes });
        }
        if self.finishing.get() && self.queue.borrow().is_empty() {
            self.channel.close();
        }
    }

    /// Closes once everything is written; the browser delivers that first.
    pub(super) fn finish(&self) {
        self.finishing.set(true);
        self.pump();
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
    }

    fn report(&self, event: RtcEvent) {
        if let Some(peer) = self.peer.upgrade() {
            peer.reports().event(event);
        }
    }
}

fn with(channel: &Weak<Channel>, react: impl FnOnce(&Channel)) {
    if let Some(channel) = channel.upgrade() {
        react(&channel);
    }
}
