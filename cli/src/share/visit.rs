//! One visitor: its questions, its downloads and its uploads, over its own connection.

use super::downloads::{Downloads, MAX_WAITING};
use super::folder::explain;
use super::listings::Listings;
use super::room::News;
use super::shared::Shared;
use super::uploads::Uploads;
use crate::intake::Intake;
use crate::outlet::Outlet;
use crosspeer::transfer::catalog::{Catalog, Entry, MAX_SNIPPET};
use crosspeer::transfer::{Offer, Packet, StopCode, ToSender};
use crosspeer::{Error, Message, PeerConnection};
use futures_util::FutureExt;
use serde_json::json;
use std::io;
use std::time::Duration;
use tokio::task::block_in_place;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

/// How often the folder on a visitor's screen is looked at, for what others change on the disk.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// One visitor.
pub(super) struct Visit {
    peer: Uuid,
    connection: PeerConnection,
    shared: Shared,
    downloads: Outlet<Downloads>,
    uploads: Intake<Uploads>,
    listings: Listings,
    /// Whether it speaks the catalog protocol.
    greeted: bool,
    /// The folder on its screen, and what that looked like.
    watched: Option<(String, u64)>,
    plain_messages: u64,
}

impl Visit {
    pub(super) fn new(peer: Uuid, connection: PeerConnection, shared: Shared) -> Self {
        Self {
            peer,
            downloads: Outlet::new(Downloads::new(peer, shared.clone())),
            uploads: Intake::new(Uploads::new(peer, shared.clone())),
            connection,
            listings: Listings::default(),
            shared,
            greeted: false,
            watched: None,
            plain_messages: 0,
        }
    }

    /// Runs until the visitor goes.
    pub(super) async fn run(mut self) {
        let Err(error) = self.serve().await;
        if matches!(error, Error::PeerMisbehaved(_)) {
            let _ = self.connection.close().await;
        }
        let (code, reason) = (StopCode::Failed, error.to_string());
        self.uploads.abandon(code, &reason, &self.connection).await;
        let room = &self.shared.room;
        let name = room.name_of(self.peer);
        let name = room.leave(self.peer).unwrap_or(name);
        self.shared.output.detail(
            json!({"type": "left", "peer": self.peer, "name": name, "code": error.code(), "message": error.to_string()}),
            format_args!("{name} left"),
        );
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Error> {
        let mut news = self.shared.room.news();
        let mut look = interval(LOOK_AGAIN);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Between any two blocks that go, one message that comes is heard, and the news.
            if let Some(message) = self.connection.recv().now_or_never() {
                self.handle(message?).await?;
            }
            if let Some(told) = news.recv().now_or_never() {
                self.pass_on(told.unwrap_or(News::Peers)).await?;
            }
            if self.downloads.step(&self.connection).await? {
                continue;
            }
            tokio::select! {
                message = self.connection.recv() => self.handle(message?).await?,
                // Of news that were missed, who is there matters.
                told = news.recv() => self.pass_on(told.unwrap_or(News::Peers)).await?,
                () = self.uploads.freed() => self.uploads.try_again(&self.connection).await?,
                _ = look.tick() => self.look_again().await?,
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Error> {
        match Packet::decode(message)? {
            Packet::ToReceiver(packet) => self.uploads.handle(packet, &self.connection).await,
            Packet::ToSender(packet) => self.downloads.handle(packet),
            Packet::NotTransfer(message) => match Catalog::decode(&message)? {
                Some(message) => self.answer(message).await,
                None => {
                    let kept = self.take_plain(&message);
                    self.confirm(kept).await
                }
            },
        }
    }

    async fn answer(&mut self, message: Catalog) -> Result<(), Error> {
        match message {
            Catalog::Hello { name, .. } => self.welcome(name).await,
            Catalog::List {
                request,
                path,
                after,
                all,
                quiet,
            } => {
                let folder = self.shared.folder.clone();
                let part = block_in_place(|| self.listings.part(&folder, &path, after.as_deref(), all));
                if after.is_none() && !quiet {
                    let fingerprint = block_in_place(|| folder.fingerprint(&path));
                    self.watched = Some((path, fingerprint));
                }
                self.send(&match part {
                    Ok((entries, more)) => Catalog::Listing { request, entries, more },
                    Err(error) => refused(request, &error),
                })
                .await
            }
            Catalog::Get { request, path } => {
                let answer = match block_in_place(|| self.shared.folder.describe(&path)) {
                    Ok(entry) => self.offer(request, path, entry),
                    Err(error) => refused(request, &error),
                };
                self.send(&answer).await
            }
            Catalog::Snippet { ref id, ref name, .. } => {
                let (id, name) = (id.clone(), name.clone());
                if self.shared.room.add_snippet(id, message, self.peer) {
                    self.shared.output.detail(
                        json!({"type": "snippet", "from": self.peer, "name": name}),
                        format_args!("{name} shared a snippet"),
                    );
                }
                Ok(())
            }
            Catalog::Ping { request } => self.send(&Catalog::Pong { request }).await,
            // Answers to questions that are not asked from here.
            _ => Ok(()),
        }
    }

    /// Answers a request for a file that exists.
    fn offer(&mut self, request: u32, path: String, entry: Entry) -> Catalog {
        let refuse = |reason: String| Catalog::Refused {
            request,
            code: "failed".into(),
            reason,
        };
        if self.downloads.stock.len() >= MAX_WAITING {
            return refuse(format!("{MAX_WAITING} files are waiting already"));
        }
        // What has grown or shrunk since it was listed must not arrive cut.
        let offer = Offer {
            name: entry.name,
            size: entry.size.unwrap_or_default(),
            modified: entry.modified,
            estimate: true,
            ..Offer::default()
        };
        match self.downloads.offer(offer) {
            Ok(transfer) => {
                self.downloads.stock.add(transfer, path);
                Catalog::Coming { request, transfer }
            }
            Err(error) => refuse(error.to_string()),
        }
    }

    async fn welcome(&mut self, name: String) -> Result<(), Error> {
        let room = self.shared.room.clone();
        if room.greet(self.peer, name.clone()) {
            self.shared.output.detail(
                json!({"type": "joined", "peer": self.peer, "name": name}),
                format_args!("{name} joined"),
            );
        }
        if std::mem::replace(&mut self.greeted, true) {
            return Ok(());
        }
        let own = room.own();
        self.send(&Catalog::Hello {
            name: own.name.clone(),
            role: own.role,
            readonly: self.shared.folder.readonly(),
        })
        .await?;
        self.send(&Catalog::Peers(room.participants())).await?;
        for snippet in room.snippets() {
            self.send(&snippet).await?;
        }
        Ok(())
    }

    async fn look_again(&mut self) -> Result<(), Error> {
        let Some((path, seen)) = &mut self.watched else {
            return Ok(());
        };
        let now = block_in_place(|| self.shared.folder.fingerprint(path));
        match std::mem::replace(seen, now) == now {
            true => Ok(()),
            false => self.send(&Catalog::Changed).await,
        }
    }

    async fn pass_on(&mut self, news: News) -> Result<(), Error> {
        if !self.greeted {
            return Ok(()); // it would take this for plain messages
        }
        match news {
            News::Peers => self.send(&Catalog::Peers(self.shared.room.participants())).await,
            News::Snippet(_, from) if from == self.peer => Ok(()),
            News::Snippet(snippet, _) => self.send(&snippet).await,
            News::Stored => self.look_again().await,
        }
    }

    /// `crosspeer send --text`, or a ProxyStore peer.
    fn take_plain(&mut self, message: &Message) -> bool {
        self.plain_messages += 1;
        let Some(text) = message.as_text().filter(|text| text.len() <= MAX_SNIPPET) else {
            return false;
        };
        let id = format!("{}-{}", self.peer.simple(), self.plain_messages);
        let name = self.shared.room.name_of(self.peer);
        let text = text.to_owned();
        self.shared
            .room
            .add_snippet(id.clone(), Catalog::Snippet { id, name, text }, self.peer);
        true
    }

    /// Tells a sender that asks for it whether its message is on the page.
    async fn confirm(&self, kept: bool) -> Result<(), Error> {
        if !self.connection.peer_confirms() {
            return Ok(());
        }
        let id = (self.plain_messages - 1) as u32;
        let (code, reason) = (
            StopCode::Refused,
            format!("only text of up to {MAX_SNIPPET} bytes is shown here"),
        );
        let answer = match kept {
            true => ToSender::Kept { id },
            false => ToSender::Lost { id, code, reason },
        };
        self.connection.send(answer.encode()).await
    }

    async fn send(&self, message: &Catalog) -> Result<(), Error> {
        self.connection.send(message.encode()).await
    }
}

pub(super) fn refused(request: u32, error: &io::Error) -> Catalog {
    let (code, reason) = explain(error);
    Catalog::Refused {
        request,
        code: code.into(),
        reason,
    }
}
