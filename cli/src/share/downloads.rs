//! What one visitor takes out of the folder.

use super::folder::explain;
use super::shared::Shared;
use crate::outlet::{Sent, Source, Stock};
use crate::output::{hex, human_bytes};
use crosspeer::transfer::StopCode;
use serde_json::json;
use std::collections::HashMap;
use std::io;
use uuid::Uuid;

/// Files that one visitor may have asked for and not got yet.
pub(super) const MAX_WAITING: usize = 1024;

/// One visitor's downloads: the path of each.
pub(super) struct Downloads {
    peer: Uuid,
    shared: Shared,
    paths: HashMap<u32, String>,
}

impl Downloads {
    pub(super) fn new(peer: Uuid, shared: Shared) -> Self {
        let paths = HashMap::new();
        Self { peer, shared, paths }
    }

    /// How many have been asked for and not got yet.
    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn add(&mut self, id: u32, path: String) {
        self.paths.insert(id, path);
    }
}

impl Stock for Downloads {
    fn open(&mut self, id: u32) -> io::Result<Source> {
        let path = self.paths.get(&id).ok_or(io::ErrorKind::NotFound)?;
        self.shared.folder.read(path).map(Source::File)
    }

    fn explain(&self, error: &io::Error) -> String {
        explain(error).1
    }

    fn sent(&mut self, id: u32, sent: Sent) {
        if let Some(path) = self.paths.remove(&id) {
            let name = self.shared.room.name_of(self.peer);
            self.shared.output.detail(
                json!({"type": "sent", "to": self.peer, "name": path, "size": sent.bytes, "blake3": hex(&sent.blake3)}),
                format_args!("{name} downloaded {path} ({})", human_bytes(sent.bytes)),
            );
        }
    }

    fn not_sent(&mut self, id: u32, code: StopCode, reason: &str) {
        if let Some(path) = self.paths.remove(&id) {
            self.shared.output.detail(
                json!({"type": "not-sent", "to": self.peer, "name": path, "code": code.as_str(), "reason": reason}),
                format_args!("not sent: {path}: {} ({reason})", code.as_str()),
            );
        }
    }
}
