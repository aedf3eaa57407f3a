//! What is on its way to one peer, by the transfer protocol.

use super::files::{Kind, Source as Listed};
use crate::outlet::{Sent, Source, Stock};
use crate::output::{Output, hex, human_bytes, name_for_people};
use crosspeer::transfer::{NameError, StopCode};
use serde_json::json;
use std::collections::HashMap;
use std::fs::File;
use std::io;

pub(super) struct Goods<'a> {
    output: &'a Output,
    on_their_way: HashMap<u32, Upcoming>,
    pub(super) failed: Vec<StopCode>,
    /// Whether it was said that the receiver takes no folders.
    told_of_folders: bool,
}

struct Upcoming {
    source: Listed,
    /// Bytes of it that are known to be stored.
    stored: u64,
}

impl<'a> Goods<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self {
            output,
            on_their_way: HashMap::new(),
            failed: Vec::new(),
            told_of_folders: false,
        }
    }

    pub(super) fn add(&mut self, id: u32, source: Listed) {
        self.on_their_way.insert(id, Upcoming { source, stored: 0 });
    }

    pub(super) fn ids(&self) -> Vec<u32> {
        self.on_their_way.keys().copied().collect()
    }
}

impl Stock for Goods<'_> {
    fn open(&mut self, id: u32) -> io::Result<Source> {
        let Upcoming { source, .. } = self.on_their_way.get(&id).ok_or(io::ErrorKind::NotFound)?;
        let path = source.path.clone();
        Ok(match source.kind {
            Kind::File | Kind::Folder => Source::File(File::open(path)?),
            Kind::Stream => Source::Stream(Box::new(|| Ok(Box::new(File::open(path)?)))),
            Kind::Stdin => Source::Stream(Box::new(|| Ok(Box::new(io::stdin().lock())))),
        })
    }

    fn explain(&self, error: &io::Error) -> String {
        format!("it cannot be read: {error}")
    }

    fn progress(&mut self, id: u32, stored: u64) {
        if let Some(upcoming) = self.on_their_way.get_mut(&id) {
            let more = stored - upcoming.stored;
            self.output.progress(&upcoming.source.offer.name, more);
            upcoming.stored = stored;
        }
    }

    fn sent(&mut self, id: u32, sent: Sent) {
        let Some(Upcoming { source, stored }) = self.on_their_way.remove(&id) else {
            return;
        };
        let (offer, size) = (source.offer, sent.bytes);
        if offer.folder {
            return;
        }
        self.output.progress(&offer.name, size - stored);
        self.output.end(offer.size, size, true);
        let shown = name_for_people(&offer.name);
        self.output.detail(
            json!({"type": "sent", "name": offer.name, "size": size, "blake3": hex(&sent.blake3)}),
            format_args!("sent {shown} ({})", human_bytes(size)),
        );
        if sent.changed {
            self.output.detail(
                json!({"type": "changed", "name": offer.name}),
                format_args!("{shown} was written to while it was sent: the copy may mix old and new"),
            );
        }
    }

    fn not_sent(&mut self, id: u32, code: StopCode, reason: &str) {
        let Some(Upcoming { source, stored }) = self.on_their_way.remove(&id) else {
            return;
        };
        let offer = source.offer;
        if offer.folder && code == StopCode::Refused && reason == NameError::Empty.to_string() {
            let message = "the receiver's version takes no folders by themselves: empty ones do not arrive";
            if !std::mem::replace(&mut self.told_of_folders, true) {
                self.output
                    .detail(json!({"type": "no-folders", "reason": message}), message);
            }
            return;
        }
        if !offer.folder {
            self.output.end(offer.size, stored, false);
        }
        self.failed.push(code);
        self.output.not_sent(&offer.name, code, reason);
    }
}
