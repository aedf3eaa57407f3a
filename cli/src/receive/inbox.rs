//! What one peer sends: its files and messages, on their way to the folder.

use crate::intake::{Intake, Shelf};
use crate::output::{Output, for_stdout, hex, human_bytes};
use crate::store::{Partial, Store};
use crosspeer::transfer::{Offer, Packet, StopCode};
use crosspeer::{Error, Message, PeerConnection};
use serde_json::json;
use std::io;
use std::path::Path;
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
                self.output
                    .not_stored(from, &name, StopCode::Failed, &error.to_string());
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

/// One peer's connection, and what it sends.
pub(super) struct Inbox {
    connection: PeerConnection,
    /// Hears how many more things are stored.
    stored: mpsc::Sender<u64>,
    intake: Intake<Place>,
}

/// Where one peer's files go.
struct Place {
    from: Uuid,
    folder: Arc<Folder>,
    things: u64,
}

impl Inbox {
    pub(super) fn new(connection: PeerConnection, folder: Arc<Folder>, stored: mpsc::Sender<u64>) -> Self {
        let from = connection.peer().unwrap_or_default();
        let things = 0;
        Self {
            connection,
            stored,
            intake: Intake::new(Place { from, folder, things }),
        }
    }

    /// Runs until the peer closes, or `stop`'s sender is dropped.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<()>) {
        let ended = tokio::select! {
            Err(error) = self.receive() => Some(error),
            _ = stop.changed() => None,
        };
        if let Some(error) = &ended {
            let Place { from, folder, .. } = &self.intake.shelf;
            folder.peer_gone(*from, error);
            if matches!(error, Error::PeerMisbehaved(_)) {
                let _ = self.connection.close().await;
            }
        }
        let reason = match &ended {
            Some(error) => error.to_string(),
            None => "the receiver has ended".into(),
        };
        self.intake.abandon(&reason, &self.connection).await;
    }

    async fn receive(&mut self) -> Result<(), Error> {
        loop {
            let message = self.connection.recv().await?;
            self.handle(message).await?;
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Error> {
        let place = &mut self.intake.shelf;
        match Packet::decode(message)? {
            Packet::ToReceiver(packet) => self.intake.handle(packet, &self.connection).await?,
            Packet::NotTransfer(message) => place.things += u64::from(place.folder.store_message(place.from, message)),
            Packet::ToSender(_) => {} // nothing is offered from here
        }
        // Only now, when the peer has been told: the command may end.
        let things = std::mem::take(&mut self.intake.shelf.things);
        if things > 0 {
            let _ = self.stored.send(things).await;
        }
        Ok(())
    }
}

impl Shelf for Place {
    fn create(&self, offer: &Offer) -> io::Result<Partial> {
        let partial = self.folder.store.create(&offer.name)?;
        let output = &self.folder.output;
        output.bar().inc_length(offer.size);
        output.event_json(json!({"type": "offered", "from": self.from, "name": offer.name, "size": offer.size}));
        Ok(partial)
    }

    fn progress(&self, offer: &Offer, bytes: u64) {
        self.folder.output.progress(&offer.name, bytes);
    }

    fn stored(&mut self, offer: &Offer, path: &Path, blake3: &[u8]) {
        let path = self.folder.store.path_of(path);
        self.folder.output.event(
            json!({"type": "file", "from": self.from, "name": offer.name, "path": path, "size": offer.size,
                   "blake3": hex(blake3)}),
            format_args!("{} ({})", path.display(), human_bytes(offer.size)),
        );
        self.things += 1;
    }

    fn not_stored(&self, offer: &Offer, left: u64, code: StopCode, reason: &str) {
        self.folder.output.bar().inc(left);
        self.folder.output.not_stored(self.from, &offer.name, code, reason);
    }
}
