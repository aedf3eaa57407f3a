//! What one visitor puts into the folder.

use super::room::News;
use super::shared::Shared;
use crate::intake::{Shelf, Sink};
use crate::output::{hex, human_bytes};
use crosspeer::transfer::{Offer, StopCode};
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Where one visitor's uploads go.
pub(super) struct Uploads {
    peer: Uuid,
    shared: Shared,
}

impl Uploads {
    pub(super) fn new(peer: Uuid, shared: Shared) -> Self {
        Self { peer, shared }
    }
}

impl Shelf for Uploads {
    fn create(&self, offer: &Offer) -> io::Result<Sink> {
        if offer.folder {
            self.shared.folder.create_folder(&offer.name, offer.mode)?;
            return Ok(Sink::Folder(PathBuf::from(&offer.name)));
        }
        let partial = self.shared.folder.create(&offer.name)?;
        if let Some(mode) = offer.mode {
            partial.restrict(mode)?;
        }
        Ok(Sink::File(partial))
    }

    fn stored(&mut self, offer: &Offer, path: &Path, blake3: &[u8]) {
        if offer.folder {
            return self.shared.room.tell(News::Stored);
        }
        let (name, path) = (self.shared.room.name_of(self.peer), path.display());
        self.shared.output.event(
            json!({"type": "file", "from": self.peer, "name": offer.name, "path": path.to_string(), "size": offer.size,
                   "blake3": hex(blake3)}),
            format_args!("{name} uploaded {path} ({})", human_bytes(offer.size)),
        );
        self.shared.room.tell(News::Stored);
    }

    fn not_stored(&self, offer: &Offer, _written: Option<u64>, code: StopCode, reason: &str) {
        self.shared.output.not_stored(self.peer, &offer.name, code, reason);
    }
}
