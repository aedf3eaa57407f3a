//! Peer connections by the `webrtc` crate. Nothing outside this module knows the engine.
//!
//! [`NativeRtc`] is the handle; an `actor` task owns the engine's connection and turns its news into
//! [`RtcEvent`](crosspeer::platform::RtcEvent)s. Frames go around it: `channel` reads and writes them.
//! What the engine needs so that it is fast and never stalls is in `setup` (settings), `runtime` (socket buffers),
//! `pace` (when it looks again, and its clock), `gate` (what it must not hear yet), `progress` (whether data still
//! gets through) and `tunnel` (TURN over TCP and TLS). Where both peers want it, `quic` carries the frames instead, over the engine's sockets, which `mux`
//! shares between the two.

mod actor;
mod addresses;
mod certificate;
mod channel;
mod checks;
mod gate;
mod mapping;
mod mux;
mod observer;
mod pace;
mod path;
mod progress;
mod quic;
mod runtime;
mod setup;
mod share;
#[cfg(test)]
mod tests;
mod tunnel;

use crate::running::OneRunning;
use actor::Actor;
pub(crate) use addresses::network;
pub(crate) use certificate::Certificate;
use channel::{Credit, Reports, Write};
use crosspeer::Config;
use crosspeer::platform::{Events, Rtc, RtcCommand, RtcId};
use gate::Gate;
use pace::Pace;
use quic::Entry;
use share::Share;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
pub(crate) use tunnel::dial;

/// One peer connection. Dropping it ends it.
#[derive(Debug)]
pub struct NativeRtc {
    commands: UnboundedSender<RtcCommand>,
    writes: UnboundedSender<Write>,
    /// Where writes go instead, once QUIC is up.
    quic: Entry,
    credit: Arc<Credit>,
    #[cfg(test)]
    gate: Arc<Gate>,
    #[cfg(test)]
    mux: Option<Arc<mux::Mux>>,
}

impl NativeRtc {
    // Unbounded, since `execute` never waits: the link bounds writes by `Written`; the rest are a few each.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn spawn(
        runtime: &tokio::runtime::Handle,
        id: RtcId,
        config: &Config,
        certificate: Option<Certificate>,
        events: Events,
        running: OneRunning,
    ) -> Self {
        let (commands, command_queue) = unbounded_channel();
        let (writes, write_queue) = unbounded_channel();
        let (news, news_queue) = unbounded_channel();
        let share = Share::new(config.memory_budget_bytes, running.place());
        let (credit, gate) = (
            Arc::new(Credit::new(share.read_ahead())),
            Gate::new(running.hoard(), config),
        );
        let pace = Pace::new();
        let reports = Reports { id, events, news, pace };
        let quic = Entry::default();
        let actor = Actor::new(
            (config, certificate, share),
            reports,
            (writes.clone(), Arc::clone(&quic)),
            Arc::clone(&credit),
            Arc::clone(&gate),
        );
        #[cfg(test)]
        let mux = actor.mux();
        let run = actor.run(command_queue, news_queue, write_queue);
        runtime.spawn(async move {
            run.await;
            drop(running);
        });
        Self {
            commands,
            writes,
            quic,
            credit,
            #[cfg(test)]
            gate,
            #[cfg(test)]
            mux,
        }
    }
}

impl NativeRtc {
    fn writes(&self) -> &UnboundedSender<Write> {
        self.quic.get().unwrap_or(&self.writes)
    }
}

impl Rtc for NativeRtc {
    fn execute(&self, command: RtcCommand) {
        // After the connection has ended nobody listens, and nothing happens.
        match command {
            RtcCommand::Write { channel, frame } => {
                let _ = self.writes().send(Write::Frame { channel, frame });
            }
            RtcCommand::Flush => {
                let _ = self.writes().send(Write::Flush);
            }
            RtcCommand::Consumed { bytes } => self.credit.give_back(bytes),
            other => {
                let _ = self.commands.send(other);
            }
        }
    }
}
