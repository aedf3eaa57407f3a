//! Files that one peer sends, on their way to the disk: the same for `receive` and `share`.

use crate::store::Partial;
use crosspeer::transfer::{Offer, Receiver, ReceiverLimits, ReceiverOutput, StopCode, ToReceiver};
use crosspeer::{Error, PeerConnection};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use tokio::task::block_in_place;

/// Where the files of one peer go, and who is told of them.
pub(crate) trait Shelf {
    /// Room for what is offered.
    fn create(&self, offer: &Offer) -> io::Result<Partial>;
    /// So much more of it is written.
    fn progress(&self, _offer: &Offer, _bytes: u64) {}
    /// It is whole, its checksum right, and it stands under this path.
    fn stored(&mut self, offer: &Offer, path: &Path, blake3: &[u8]);
    /// Nothing of it is kept; `left` bytes of it were not written.
    fn not_stored(&self, offer: &Offer, left: u64, code: StopCode, reason: &str);
}

/// One peer's open files.
pub(crate) struct Intake<S> {
    pub(crate) shelf: S,
    receiver: Receiver,
    files: HashMap<u32, Incoming>,
}

struct Incoming {
    offer: Offer,
    partial: Partial,
    written: u64,
}

impl<S: Shelf> Intake<S> {
    pub(crate) fn new(shelf: S) -> Self {
        Self {
            shelf,
            receiver: Receiver::new(ReceiverLimits::default()),
            files: HashMap::new(),
        }
    }

    /// Takes one packet. What cannot be stored is told to the peer, and is no error.
    pub(crate) async fn handle(&mut self, packet: ToReceiver, connection: &PeerConnection) -> Result<(), Error> {
        self.receiver.handle(packet)?;
        self.carry_out_all(connection).await
    }

    /// Takes no more: what is not whole is removed, and the peer told, if it is still there.
    pub(crate) async fn abandon(&mut self, reason: &str, connection: &PeerConnection) {
        for id in self.receiver.open_ids().collect::<Vec<_>>() {
            self.receiver.stop(id, StopCode::Cancelled, reason);
        }
        let _ = self.carry_out_all(connection).await;
    }

    async fn carry_out_all(&mut self, connection: &PeerConnection) -> Result<(), Error> {
        let mut result = Ok(());
        while let Some(output) = self.receiver.poll() {
            match output {
                ReceiverOutput::Send(message) if result.is_ok() => result = connection.send(message).await,
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
        match block_in_place(|| self.shelf.create(&offer)) {
            Ok(partial) => {
                let written = 0;
                let incoming = Incoming {
                    offer,
                    partial,
                    written,
                };
                self.files.insert(id, incoming);
                self.receiver.accept(id);
            }
            Err(error) => {
                let reason = format!("it cannot be stored here: {}", plain(&error));
                self.shelf.not_stored(&offer, 0, StopCode::Refused, &reason);
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
                self.shelf.progress(&file.offer, data.len() as u64);
                self.receiver.written(id, data.len());
            }
            Err(error) => {
                let reason = format!("it cannot be written: {}", plain(&error));
                self.receiver.stop(id, StopCode::Failed, &reason);
            }
        }
    }

    fn complete(&mut self, id: u32, blake3: &[u8]) {
        let Some(Incoming { offer, partial, .. }) = self.files.remove(&id) else {
            return;
        };
        match block_in_place(|| partial.commit(offer.modified)) {
            Ok(path) => {
                self.shelf.stored(&offer, &path, blake3);
                self.receiver.finish(id);
            }
            Err(error) => {
                let reason = format!("it cannot be given its name: {}", plain(&error));
                self.shelf.not_stored(&offer, 0, StopCode::Failed, &reason);
                self.receiver.stop(id, StopCode::Failed, &reason);
            }
        }
    }

    fn stopped(&mut self, id: u32, code: StopCode, reason: &str) {
        if let Some(Incoming {
            offer,
            partial,
            written,
        }) = self.files.remove(&id)
        {
            drop(partial); // removes it, before anybody hears of it
            self.shelf.not_stored(&offer, offer.size - written, code, reason);
        }
    }
}

/// Without this side's paths, which are not the peer's business.
pub(crate) fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there (any more)".into(),
        io::ErrorKind::PermissionDenied => "not allowed, or a link leads out of the folder".into(),
        io::ErrorKind::ReadOnlyFilesystem => "this folder is read-only".into(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => {
            "something else is in the way".into()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full".into(),
        kind => kind.to_string(),
    }
}
