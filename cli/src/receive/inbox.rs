//! What one peer sends: its files and messages, on their way to the folder.

use crate::output::{Output, for_stdout, hex, human_bytes};
use crate::store::{Partial, Store};
use crosspeer::transfer::{Offer, Packet, Receiver, ReceiverLimits, ReceiverOutput, StopCode};
use crosspeer::{Error, Message, PeerConnection};
use serde_json::json;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};
use tokio::task::block_in_place;
use uuid::Uuid;

/// The folder, and who is told of what comes into it. All peers share it.
pub(super) struct Folder {
    store: Store,
    output: Output,
    messages: AtomicU64,
}

impl Folder {
    pub(super) fn new(store: Store, output: Output) -> Self {
        let messages = AtomicU64::new(0);
        Self {
            store,
            output,
            messages,
        }
    }

    /// Stores a plain message as `message-<peer>-<number>`; text is shown too. Whether it could be stored.
    pub(super) fn store_message(&self, from: Uuid, message: Message) -> bool {
        let number = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let peer = &from.simple().to_string()[..8];
        let extension = if message.as_text().is_some() { "txt" } else { "bin" };
        let name = format!("message-{peer}-{number}.{extension}");
        match block_in_place(|| self.store.store(&name, message.as_bytes())) {
            Ok(path) => {
                let (size, text) = (message.len(), message.as_text());
                let shown = match text {
                    Some(text) => for_stdout(text),
                    None => format!("{} ({size} bytes from {from})", path.display()),
                };
                self.output.event(
                    json!({"type": "message", "from": from, "path": path, "size": size, "text": text}),
                    shown,
                );
                true
            }
            Err(error) => {
                self.output.detail(
                    json!({"type": "not-stored", "from": from, "name": name, "code": "failed", "reason": error.to_string()}),
                    format_args!("a message of {from} could not be stored: {error}"),
                );
                false
            }
        }
    }

    pub(super) fn peer_gone(&self, from: Uuid, error: &Error) {
        self.output.detail(
            json!({"type": "peer-closed", "peer": from, "code": error.code(), "message": error.to_string()}),
            format_args!("{from}: {error}"),
        );
    }
}

/// One peer's connection and its open files.
pub(super) struct Inbox {
    from: Uuid,
    connection: PeerConnection,
    folder: Arc<Folder>,
    /// Hears how many more things are stored.
    stored: mpsc::Sender<u64>,
    things: u64,
    receiver: Receiver,
    files: HashMap<u32, Incoming>,
}

struct Incoming {
    offer: Offer,
    partial: Partial,
    written: u64,
}

impl Inbox {
    pub(super) fn new(connection: PeerConnection, folder: Arc<Folder>, stored: mpsc::Sender<u64>) -> Self {
        Self {
            from: connection.peer().unwrap_or_default(),
            connection,
            folder,
            stored,
            things: 0,
            receiver: Receiver::new(ReceiverLimits::default()),
            files: HashMap::new(),
        }
    }

    /// Runs until the peer closes, or `stop`'s sender is dropped.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<()>) {
        let ended = tokio::select! {
            Err(error) = self.receive() => Some(error),
            _ = stop.changed() => None,
        };
        if let Some(error) = &ended {
            self.folder.peer_gone(self.from, error);
            if matches!(error, Error::PeerMisbehaved(_)) {
                let _ = self.connection.close().await;
            }
        }
        let reason = match &ended {
            Some(error) => error.to_string(),
            None => "the receiver has ended".into(),
        };
        for id in self.receiver.open_ids().collect::<Vec<_>>() {
            self.receiver.stop(id, StopCode::Cancelled, &reason);
        }
        let _ = self.carry_out_all().await;
    }

    async fn receive(&mut self) -> Result<(), Error> {
        loop {
            let message = self.connection.recv().await?;
            self.handle(message).await?;
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Error> {
        match Packet::decode(message)? {
            Packet::ToReceiver(packet) => self.receiver.handle(packet)?,
            Packet::NotTransfer(message) => self.things += u64::from(self.folder.store_message(self.from, message)),
            Packet::ToSender(_) => {} // nothing is offered from here
        }
        self.carry_out_all().await?;
        // Only now, when the peer has been told: the command may end.
        if self.things > 0 {
            let _ = self.stored.send(std::mem::take(&mut self.things)).await;
        }
        Ok(())
    }

    async fn carry_out_all(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        while let Some(output) = self.receiver.poll() {
            match output {
                ReceiverOutput::Send(message) if result.is_ok() => result = self.connection.send(message).await,
                ReceiverOutput::Offered { id, offer } => self.begin(id, offer),
                ReceiverOutput::Write { id, data, .. } => self.write(id, &data),
                ReceiverOutput::Complete { id, hash } => self.complete(id, &hash),
                ReceiverOutput::Stopped { id, code, reason } => self.stopped(id, code, &reason),
                _ => {}
            }
        }
        result
    }

    fn begin(&mut self, id: u32, offer: Offer) {
        match block_in_place(|| self.folder.store.create(&offer.name)) {
            Ok(partial) => {
                self.folder.output.bar().inc_length(offer.size);
                self.folder
                    .output
                    .event_json(json!({"type": "offered", "from": self.from, "name": offer.name, "size": offer.size}));
                let written = 0;
                self.files.insert(
                    id,
                    Incoming {
                        offer,
                        partial,
                        written,
                    },
                );
                self.receiver.accept(id);
            }
            Err(error) => {
                let reason = format!("it cannot be stored under that name: {}", plain(&error));
                self.report_stop(&offer.name, StopCode::Refused, &reason);
                self.receiver.stop(id, StopCode::Refused, &reason);
            }
        }
    }

    fn write(&mut self, id: u32, data: &[u8]) {
        let Some(file) = self.files.get_mut(&id) else {
            return;
        };
        match block_in_place(|| file.partial.write(data)) {
            Ok(()) => {
                file.written += data.len() as u64;
                self.folder.output.progress(&file.offer.name, data.len() as u64);
                self.receiver.written(id, data.len());
            }
            Err(error) => {
                let reason = format!("it cannot be written: {}", plain(&error));
                self.receiver.stop(id, StopCode::Failed, &reason);
            }
        }
    }

    fn complete(&mut self, id: u32, hash: &[u8]) {
        let Some(Incoming { offer, partial, .. }) = self.files.remove(&id) else {
            return;
        };
        match block_in_place(|| partial.commit(offer.modified)) {
            Ok(stored) => {
                let path = self.folder.store.path_of(&stored);
                self.folder.output.event(
                    json!({"type": "file", "from": self.from, "name": offer.name, "path": path, "size": offer.size,
                           "blake3": hex(hash)}),
                    format_args!("{} ({})", path.display(), human_bytes(offer.size)),
                );
                self.things += 1;
                self.receiver.finish(id);
            }
            Err(error) => {
                let reason = format!("it cannot be given its name: {}", plain(&error));
                self.report_stop(&offer.name, StopCode::Failed, &reason);
                self.receiver.stop(id, StopCode::Failed, &reason);
            }
        }
    }

    /// Dropping the partial file removes it.
    fn stopped(&mut self, id: u32, code: StopCode, reason: &str) {
        if let Some(Incoming { offer, written, .. }) = self.files.remove(&id) {
            self.folder.output.bar().inc(offer.size - written);
            self.report_stop(&offer.name, code, reason);
        }
    }

    fn report_stop(&self, name: &str, code: StopCode, reason: &str) {
        self.folder.output.detail(
            json!({"type": "not-stored", "from": self.from, "name": name, "code": code.as_str(), "reason": reason}),
            format_args!("not stored: {name}: {} ({reason})", code.as_str()),
        );
    }
}

/// Without this side's paths, which are not the peer's business.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "not allowed, or a link leads out of the folder".into(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => {
            "something else is in the way".into()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full".into(),
        kind => kind.to_string(),
    }
}
