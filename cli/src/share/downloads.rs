//! What one visitor takes out of the folder.

use super::session::Shared;
use crate::output::{hex, human_bytes};
use crosspeer::transfer::catalog::{Catalog, Entry};
use crosspeer::transfer::{Offer, Sender, SenderOutput, ToSender, sanitise};
use crosspeer::{Error, PeerConnection};
use serde_json::json;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use tokio::task::block_in_place;
use uuid::Uuid;

/// Files that one visitor may have asked for and not got yet.
const MAX_WAITING: usize = 1024;

/// One visitor's downloads.
pub(super) struct Downloads {
    peer: Uuid,
    shared: Shared,
    sender: Sender,
    files: HashMap<u32, Outgoing>,
    buffer: Vec<u8>,
}

struct Outgoing {
    path: String,
    size: u64,
    /// Opened when it is first read.
    file: Option<File>,
}

impl Downloads {
    pub(super) fn new(peer: Uuid, shared: Shared) -> Self {
        Self {
            peer,
            shared,
            sender: Sender::new(),
            files: HashMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Answers a request for a file that exists.
    pub(super) fn offer(&mut self, request: u32, path: String, entry: Entry) -> Catalog {
        let refuse = |reason: String| Catalog::Refused {
            request,
            code: "failed".into(),
            reason,
        };
        if self.files.len() >= MAX_WAITING {
            return refuse(format!("{MAX_WAITING} files are waiting already"));
        }
        let size = entry.size.unwrap_or_default();
        // The visitor knows what it asked for. A name that receivers refuse must not keep the file from it.
        let name = sanitise(&entry.name).unwrap_or_else(|_| "file".into());
        let modified = entry.modified;
        // What has grown or shrunk since it was listed must not arrive cut.
        let offer = Offer {
            name,
            size,
            modified,
            estimate: true,
            ..Offer::default()
        };
        match self.sender.offer(offer) {
            Ok(transfer) => {
                let file = None;
                self.files.insert(transfer, Outgoing { path, size, file });
                Catalog::Coming { request, transfer }
            }
            Err(error) => refuse(error.to_string()),
        }
    }

    pub(super) fn handle(&mut self, packet: ToSender) -> Result<(), Error> {
        self.sender.handle(packet)
    }

    /// Does the next thing; `false` if there is nothing to do.
    pub(super) async fn step(&mut self, connection: &PeerConnection) -> Result<bool, Error> {
        let Some(output) = self.sender.poll() else {
            return Ok(false);
        };
        match output {
            SenderOutput::Send(message) => connection.send(message).await?,
            SenderOutput::Read { id, len, .. } => match block_in_place(|| self.read(id, len)) {
                Ok(read) => self.sender.block(id, &self.buffer[..read]),
                Err(error) => {
                    let (_, reason) = super::folder::explain(&error);
                    self.sender.read_failed(id, &reason);
                }
            },
            SenderOutput::Done { id, hash, .. } => self.done(id, &hash),
            SenderOutput::Stopped { id, code, reason } => {
                if let Some(Outgoing { path, .. }) = self.files.remove(&id) {
                    self.shared.output.detail(
                        json!({"type": "not-sent", "to": self.peer, "name": path, "code": code.as_str(), "reason": reason}),
                        format_args!("not sent: {path}: {} ({reason})", code.as_str()),
                    );
                }
            }
            _ => {}
        }
        Ok(true)
    }

    /// Blocks of a file are asked for in order. Fewer bytes than asked for are the file's end.
    fn read(&mut self, id: u32, len: usize) -> io::Result<usize> {
        let Some(outgoing) = self.files.get_mut(&id) else {
            return Ok(0);
        };
        let file = match &mut outgoing.file {
            Some(file) => file,
            none => none.insert(self.shared.folder.read(&outgoing.path)?),
        };
        self.buffer.clear();
        file.take(len as u64).read_to_end(&mut self.buffer)
    }

    fn done(&mut self, id: u32, hash: &[u8]) {
        if let Some(Outgoing { path, size, .. }) = self.files.remove(&id) {
            let name = self.shared.room.name_of(self.peer);
            self.shared.output.detail(
                json!({"type": "sent", "to": self.peer, "name": path, "size": size, "blake3": hex(hash)}),
                format_args!("{name} downloaded {path} ({})", human_bytes(size)),
            );
        }
    }
}
