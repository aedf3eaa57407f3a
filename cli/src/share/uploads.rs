//! What one visitor puts into the folder.

use super::folder::explain;
use super::room::News;
use super::session::Shared;
use crate::output::{hex, human_bytes};
use crate::store::Partial;
use crosspeer::transfer::{Offer, Receiver, ReceiverLimits, ReceiverOutput, StopCode, ToReceiver};
use crosspeer::{Error, PeerConnection};
use serde_json::json;
use std::collections::HashMap;
use std::io;
use tokio::task::block_in_place;
use uuid::Uuid;

/// One visitor's uploads.
pub(super) struct Uploads {
    peer: Uuid,
    shared: Shared,
    receiver: Receiver,
    files: HashMap<u32, (Offer, Partial)>,
}

impl Uploads {
    pub(super) fn new(peer: Uuid, shared: Shared) -> Self {
        Self {
            peer,
            shared,
            receiver: Receiver::new(ReceiverLimits::default()),
            files: HashMap::new(),
        }
    }

    pub(super) async fn handle(&mut self, packet: ToReceiver, connection: &PeerConnection) -> Result<(), Error> {
        self.receiver.handle(packet)?;
        while let Some(output) = self.receiver.poll() {
            match output {
                ReceiverOutput::Send(message) => connection.send(message).await?,
                other => self.carry_out(other),
            }
        }
        Ok(())
    }

    /// The visitor has gone: what is not whole is removed.
    pub(super) fn abandon(&mut self, reason: &str) {
        for id in self.receiver.open_ids().collect::<Vec<_>>() {
            self.receiver.stop(id, StopCode::Cancelled, reason);
        }
        while let Some(output) = self.receiver.poll() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: ReceiverOutput) {
        match output {
            ReceiverOutput::Offered { id, offer } => match block_in_place(|| self.shared.folder.create(&offer.name)) {
                Ok(partial) => {
                    self.files.insert(id, (offer, partial));
                    self.receiver.accept(id);
                }
                Err(error) if self.shared.folder.readonly() => {
                    self.report(&offer.name, StopCode::Refused, &error.to_string());
                    self.receiver.stop(id, StopCode::Refused, "this folder is read-only");
                }
                Err(error) => self.give_up(id, &offer.name, StopCode::Refused, &error),
            },
            ReceiverOutput::Write { id, data, .. } => self.write(id, &data),
            ReceiverOutput::Complete { id, hash } => self.complete(id, &hash),
            ReceiverOutput::Stopped { id, code, reason } => {
                if let Some((offer, partial)) = self.files.remove(&id) {
                    drop(partial); // removes it
                    self.report(&offer.name, code, &reason);
                }
            }
            _ => {}
        }
    }

    fn write(&mut self, id: u32, data: &[u8]) {
        let Some((offer, partial)) = self.files.get_mut(&id) else {
            return;
        };
        match block_in_place(|| partial.write(data)) {
            Ok(()) => self.receiver.written(id, data.len()),
            Err(error) => {
                let name = offer.name.clone();
                self.give_up(id, &name, StopCode::Failed, &error);
            }
        }
    }

    fn complete(&mut self, id: u32, hash: &[u8]) {
        let Some((offer, partial)) = self.files.remove(&id) else {
            return;
        };
        match block_in_place(|| partial.commit(offer.modified)) {
            Ok(stored) => {
                self.receiver.finish(id);
                let (name, stored) = (self.shared.room.name_of(self.peer), stored.display());
                self.shared.output.event(
                    json!({"type": "file", "from": self.peer, "name": offer.name, "path": stored.to_string(),
                           "size": offer.size, "blake3": hex(hash)}),
                    format_args!("{name} uploaded {stored} ({})", human_bytes(offer.size)),
                );
                self.shared.room.tell(News::Stored);
            }
            Err(error) => self.give_up(id, &offer.name, StopCode::Failed, &error),
        }
    }

    fn give_up(&mut self, id: u32, name: &str, code: StopCode, error: &io::Error) {
        let (_, reason) = explain(error);
        if self.files.remove(&id).is_some() || code == StopCode::Refused {
            self.report(name, code, &reason);
        }
        self.receiver.stop(id, code, &reason);
    }

    fn report(&self, name: &str, code: StopCode, reason: &str) {
        self.shared.output.detail(
            json!({"type": "not-stored", "from": self.peer, "name": name, "code": code.as_str(), "reason": reason}),
            format_args!("not stored: {name}: {} ({reason})", code.as_str()),
        );
    }
}
