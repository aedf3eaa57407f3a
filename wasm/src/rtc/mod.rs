//! Peer connections by the browser's `RTCPeerConnection`. Outside, `identity` makes certificates with it, and `Web` hands users theirs.
//!
//! [`WebRtc`] is the handle. `peer` sets a connection up and turns its news into [`RtcEvent`]s; `channel` does so for
//! one data channel, and keeps what the browser queues short.

mod channel;
mod peer;

use crate::identity::Certificate;
use crosspeer::platform::{Event, Events, Rtc, RtcCommand, RtcEvent, RtcId};
use crosspeer::{Config, Stage};
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_channel::oneshot;
use futures_util::future::select;
use futures_util::stream::StreamExt;
pub(crate) use peer::Peer;
use std::pin::pin;
use std::rc::{Rc, Weak};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;

/// One peer connection. Dropping it ends it.
pub struct WebRtc {
    /// `None` where the browser refused to make one.
    peer: Option<Rc<Peer>>,
    commands: UnboundedSender<RtcCommand>,
    /// Ends the task with this handle: promises of a closed connection never settle.
    _alive: oneshot::Sender<()>,
}

impl WebRtc {
    // Unbounded, since `execute` never waits: these commands are a few for each connection.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn open(id: RtcId, config: &Config, certificate: Option<&Certificate>, events: Events) -> Self {
        let (commands, queue) = unbounded();
        let (alive, gone) = oneshot::channel();
        let reports = Reports { id, events };
        let peer = match Peer::new(config, certificate, reports.clone()) {
            Ok(peer) => {
                spawn_local(run(Rc::clone(&peer), queue, gone));
                Some(peer)
            }
            Err(error) => {
                let reason = format!("the browser refused a peer connection: {}", describe(&error));
                let stage = Stage::Candidates;
                reports.event(RtcEvent::Failed { stage, reason });
                None
            }
        };
        Self {
            peer,
            commands,
            _alive: alive,
        }
    }
}

impl WebRtc {
    pub(crate) fn peer(&self) -> Option<Weak<Peer>> {
        self.peer.as_ref().map(Rc::downgrade)
    }
}

impl Rtc for WebRtc {
    fn execute(&self, command: RtcCommand) {
        let Some(peer) = &self.peer else { return };
        match command {
            RtcCommand::Write { channel, frame } => peer.write(channel, frame),
            RtcCommand::Flush => peer.flush(),
            // The browser hands over what comes, whatever we have room for.
            RtcCommand::Consumed { .. } => {}
            RtcCommand::Close => peer.end(),
            other => {
                let _ = self.commands.unbounded_send(other);
            }
        }
    }
}

impl Drop for WebRtc {
    fn drop(&mut self) {
        if let Some(peer) = &self.peer {
            peer.end();
        }
    }
}

impl std::fmt::Debug for WebRtc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebRtc").finish_non_exhaustive()
    }
}

/// Carries commands out in their order until the handle is gone.
async fn run(peer: Rc<Peer>, mut queue: UnboundedReceiver<RtcCommand>, gone: oneshot::Receiver<()>) {
    let work = async {
        while let Some(command) = queue.next().await {
            if let Err(error) = peer.carry_out(command).await {
                peer.fail(describe(&error));
            }
        }
    };
    select(pin!(work), gone).await;
}

/// Where one connection reports.
#[derive(Clone)]
struct Reports {
    id: RtcId,
    events: Events,
}

impl Reports {
    fn event(&self, event: RtcEvent) {
        self.events.push(Event::Rtc(self.id, event));
    }
}

/// What the browser says of a failure: `Name: message` of an `Error`, or whatever was thrown, as text.
pub(crate) fn describe(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.to_string()),
        None => error.as_string().unwrap_or_else(|| "an unknown failure".into()),
    }
}
