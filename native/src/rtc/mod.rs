//! Peer connections by the `webrtc` crate. Nothing outside this module knows the engine.
//!
//! [`NativeRtc`] is the handle; an `actor` task owns the engine's connection and turns its news into
//! [`RtcEvent`](crosspeer::platform::RtcEvent)s. Frames go around it: `channel` reads and `writer` writes them.
//! What the engine needs so that it is fast and never stalls is in `setup` (settings), `runtime` (socket buffers),
//! `pace` (when it looks again) and `gate` (what it must not hear yet).

mod actor;
mod channel;
mod gate;
mod observer;
mod pace;
mod runtime;
mod setup;
#[cfg(test)]
mod tests;
mod writer;

use crate::platform::OneRunning;
use actor::Actor;
use bytes::BytesMut;
use channel::{Credit, Reports};
use crosspeer::Config;
use crosspeer::platform::{Event, Events, Rtc, RtcCommand, RtcEvent, RtcId};
use gate::Gate;
use pace::Pace;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use writer::Writes;

/// One peer connection. Dropping it ends it.
pub struct NativeRtc {
    id: RtcId,
    events: Events,
    commands: UnboundedSender<RtcCommand>,
    writes: Writes,
    credit: Arc<Credit>,
    #[cfg(test)]
    gate: Arc<Gate>,
}

impl NativeRtc {
    // Unbounded, since `execute` never waits: they are a few each.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn spawn(
        runtime: &tokio::runtime::Handle,
        id: RtcId,
        config: &Config,
        events: Events,
        running: OneRunning,
    ) -> Self {
        let (commands, command_queue) = unbounded_channel();
        let (news, news_queue) = unbounded_channel();
        let (credit, gate) = (Arc::new(Credit::default()), Arc::new(Gate::default()));
        let pace = Pace::new();
        let reports = Reports {
            id,
            events: events.clone(),
            news,
            pace,
        };
        let (writes, writer) = Writes::new(reports.clone());
        let actor = Actor::new(config, reports, writes.clone(), Arc::clone(&credit), Arc::clone(&gate));
        let run = actor.run(command_queue, news_queue, writer);
        runtime.spawn(async move {
            run.await;
            drop(running);
        });
        Self {
            id,
            events,
            commands,
            writes,
            credit,
            #[cfg(test)]
            gate,
        }
    }
}

impl Rtc for NativeRtc {
    fn execute(&self, command: RtcCommand) {
        // After the connection has ended nobody listens, and nothing happens.
        match command {
            RtcCommand::Write { channel, frame } => {
                let bytes = frame.len();
                if self.write(channel, frame) {
                    self.events
                        .push(Event::Rtc(self.id, RtcEvent::Written { channel, bytes }));
                }
            }
            RtcCommand::Flush => self.writes.flush(),
            RtcCommand::Consumed { bytes } => self.credit.give_back(bytes),
            other => {
                let _ = self.commands.send(other);
            }
        }
    }

    fn write(&self, channel: u16, frame: BytesMut) -> bool {
        self.writes.frame(channel, frame)
    }
}

impl std::fmt::Debug for NativeRtc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeRtc")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
