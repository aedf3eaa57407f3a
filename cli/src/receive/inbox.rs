//! What one peer sends: its files and messages, on their way to the folder.

use crate::intake::{Intake, Shelf, Sink, Told, plain};
use crate::known::Names;
use crate::net;
use crate::output::{Output, for_stdout, hex, human_bytes, name_for_people};
use crate::store::{Store, Written};
use crosspeer::known::Successor;
use crosspeer::transfer::{Offer, Packet, StopCode, ToSender};
use crosspeer::{Error, Message, PeerConnection};
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::block_in_place;
use uuid::Uuid;

const HIDDEN: &str = "a name that begins with a dot is taken only with the receiver's --hidden";

/// Where everything goes.
pub(super) enum Place {
    /// A folder; names that begin with a dot only if told.
    Folder {
        /// The folder.
        store: Store,
        /// Whether hidden names are taken.
        hidden: bool,
    },
    /// This command's own output, one file or message after the other.
    Stdout(Arc<Semaphore>),
}

impl Place {
    pub(super) fn stdout() -> Self {
        Self::Stdout(Arc::new(Semaphore::new(1)))
    }

    fn create(&self, offer: &Offer, written: &Written) -> io::Result<Sink> {
        match self {
            Self::Stdout(_) if offer.folder => Ok(Sink::Folder(PathBuf::from(&offer.name))),
            Self::Stdout(turn) => match turn.clone().try_acquire_owned() {
                Ok(permit) => Ok(Sink::Stdout(permit)),
                Err(_) => Err(io::ErrorKind::WouldBlock.into()),
            },
            Self::Folder { hidden: false, .. } if offer.name.split('/').any(|part| part.starts_with('.')) => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, Told(HIDDEN)))
            }
            Self::Folder { store, .. } if offer.folder => {
                store.create_folder(&offer.name, offer.mode)?;
                Ok(Sink::Folder(PathBuf::from(&offer.name)))
            }
            Self::Folder { store, .. } => store.create_for(&offer.name, offer.mode, written).map(Sink::File),
        }
    }

    /// A plain message, which has no name of its own; where it is.
    fn store(&self, name: &str, message: &Message) -> io::Result<PathBuf> {
        match self {
            Self::Folder { store, .. } => store.store(name, message.as_bytes()),
            Self::Stdout(_) => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(message.as_bytes())?;
                stdout.flush().map(|()| PathBuf::from("-"))
            }
        }
    }

    fn path_of(&self, relative: &Path) -> PathBuf {
        match self {
            Self::Folder { store, .. } => store.path_of(relative),
            Self::Stdout(_) => relative.to_owned(),
        }
    }
}

/// The place, and who is told of what comes into it. All peers share it.
pub(super) struct Folder {
    place: Place,
    output: Output,
    messages: AtomicU64,
}

impl Folder {
    pub(super) fn new(place: Place, output: Output) -> Self {
        let messages = AtomicU64::new(0);
        Self {
            place,
            output,
            messages,
        }
    }

    /// Stores a plain message as `message-<peer>-<number>`; text is shown too.
    ///
    /// # Errors
    /// For the peer: why it could not be stored.
    pub(super) fn store_message(&self, from: Uuid, message: &Message) -> Result<(), String> {
        let number = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let peer = &from.simple().to_string()[..8];
        let extension = if message.as_text().is_some() { "txt" } else { "bin" };
        let name = format!("message-{peer}-{number}.{extension}");
        let path = block_in_place(|| self.place.store(&name, message)).map_err(|error| {
            let reason = plain(&error);
            self.output.not_stored(from, &name, StopCode::Failed, &reason);
            reason
        })?;
        let (size, text) = (message.len(), message.as_text());
        let shown = match text {
            _ if matches!(self.place, Place::Stdout(_)) => format!("a message of {size} bytes from {from}"),
            Some(text) => for_stdout(text),
            None => format!(
                "{} ({size} bytes from {from})",
                name_for_people(&path.to_string_lossy())
            ),
        };
        self.output.event(
            json!({"type": "message", "from": from, "path": path, "size": size, "text": text}),
            shown,
        );
        Ok(())
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
    /// Hears how many more things are stored; or, where the output would be incomplete, why one is not.
    stored: mpsc::Sender<Result<u64, String>>,
    intake: Intake<Files>,
    plain_messages: u32,
}

/// One peer's files.
struct Files {
    from: Uuid,
    folder: Arc<Folder>,
    written: Written,
    names: Names,
    /// Why none of it is taken.
    objection: Option<&'static str>,
    things: u64,
    /// Why the output is incomplete.
    failed: Mutex<Option<String>>,
}

impl Inbox {
    /// For a peer whose things are taken, or all refused for this reason.
    pub(super) fn new(
        connection: PeerConnection,
        folder: Arc<Folder>,
        (names, objection): (Names, Option<&'static str>),
        stored: mpsc::Sender<Result<u64, String>>,
    ) -> Self {
        let from = connection.peer().unwrap_or_default();
        let files = Files {
            from,
            folder,
            written: Written::default(),
            names,
            objection,
            things: 0,
            failed: Mutex::default(),
        };
        Self {
            connection,
            stored,
            intake: Intake::new(files),
            plain_messages: 0,
        }
    }

    /// Runs until the peer closes, or `stop`'s sender is dropped.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<()>) {
        let (connection, output) = (self.connection.clone(), self.intake.shelf.folder.output.clone());
        let ended = tokio::select! {
            Err(error) = self.receive() => Some(error),
            never = net::tell_of_paths(&connection, &output) => match never {},
            _ = stop.changed() => None,
        };
        if let Some(error) = &ended {
            let Files { from, folder, .. } = &self.intake.shelf;
            folder.peer_gone(*from, error);
            if matches!(error, Error::PeerMisbehaved(_)) {
                let _ = self.connection.close().await;
            }
        }
        let (code, reason) = match &ended {
            Some(Error::Closed { .. }) => (StopCode::Cancelled, "the sender has ended".into()),
            Some(error) => (StopCode::Failed, error.to_string()),
            None => (StopCode::Cancelled, "the receiver has ended".into()),
        };
        self.intake.abandon(code, &reason, &self.connection).await;
        self.count().await;
    }

    async fn receive(&mut self) -> Result<(), Error> {
        loop {
            tokio::select! {
                message = self.connection.recv() => self.handle(message?).await?,
                () = self.intake.freed() => {
                    self.intake.try_again(&self.connection).await?;
                    self.count().await;
                }
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Error> {
        let files = &mut self.intake.shelf;
        match Packet::decode(message)? {
            Packet::ToReceiver(packet) => self.intake.handle(packet, &self.connection).await?,
            Packet::NotTransfer(message) => {
                let kept = match Successor::decode(&message)? {
                    Some(successor) => files.succeed(&self.connection, &successor),
                    None => files.keep(&message),
                };
                let id = self.plain_messages;
                self.plain_messages = id.wrapping_add(1);
                if self.connection.peer_confirms() {
                    let answer = match kept {
                        Ok(()) => ToSender::Kept { id },
                        Err((code, reason)) => ToSender::Lost { id, code, reason },
                    };
                    match self.connection.send(answer.encode()).await {
                        Err(Error::Closed { .. }) => {} // more may be here to be read
                        sent => sent?,
                    }
                }
            }
            Packet::ToSender(_) => {} // nothing is offered from here
        }
        self.count().await;
        Ok(())
    }

    /// Only when the peer has been told: the command may end.
    async fn count(&mut self) {
        let things = std::mem::take(&mut self.intake.shelf.things);
        if things > 0 {
            let _ = self.stored.send(Ok(things)).await;
        }
        let failed = std::mem::take(&mut *self.intake.shelf.failed.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(reason) = failed {
            let _ = self.stored.send(Err(reason)).await;
        }
    }
}

impl Files {
    /// The peer says which id it has from now on; it need not be one whose things are taken.
    fn succeed(&self, connection: &PeerConnection, successor: &Successor) -> Result<(), (StopCode, String)> {
        let believed = self.names.succeed(connection, successor, &self.folder.output);
        believed.map_err(|reason| (StopCode::Refused, reason))
    }

    /// A plain message; or why it is not stored.
    fn keep(&mut self, message: &Message) -> Result<(), (StopCode, String)> {
        if let Some(objection) = self.objection {
            let name = format!("a message of {} bytes", message.len());
            let output = &self.folder.output;
            output.not_stored(self.from, &name, StopCode::Refused, objection);
            return Err((StopCode::Refused, objection.into()));
        }
        let stored = self.folder.store_message(self.from, message);
        stored.map_err(|reason| (StopCode::Failed, reason))?;
        self.things += 1;
        Ok(())
    }
}

impl Shelf for Files {
    fn create(&self, offer: &Offer) -> io::Result<Sink> {
        if let Some(objection) = self.objection {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, Told(objection)));
        }
        let sink = self.folder.place.create(offer, &self.written)?;
        if !offer.folder {
            let output = &self.folder.output;
            output.begin(offer.size);
            output.event_json(json!({"type": "offered", "from": self.from, "name": offer.name, "size": offer.size}));
        }
        Ok(sink)
    }

    fn progress(&self, offer: &Offer, bytes: u64) {
        self.folder.output.progress(&offer.name, bytes);
    }

    fn stored(&mut self, offer: &Offer, path: &Path, blake3: &[u8]) {
        if offer.folder {
            return;
        }
        let path = self.folder.place.path_of(path);
        self.folder.output.end(offer.size, offer.size, true);
        let shown = name_for_people(&path.to_string_lossy());
        self.folder.output.event(
            json!({"type": "file", "from": self.from, "name": offer.name, "path": path, "size": offer.size,
                   "blake3": hex(blake3)}),
            format_args!("{shown} ({})", human_bytes(offer.size)),
        );
        self.things += 1;
    }

    fn not_stored(&self, offer: &Offer, written: Option<u64>, code: StopCode, reason: &str) {
        if let Some(written) = written
            && !offer.folder
        {
            self.folder.output.end(offer.size, written, false);
            if matches!(self.folder.place, Place::Stdout(_)) {
                let reason = format!("{} is not whole: {reason}", name_for_people(&offer.name));
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
            }
        }
        self.folder.output.not_stored(self.from, &offer.name, code, reason);
    }
}
