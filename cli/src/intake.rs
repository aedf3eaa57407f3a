//! Files that one peer sends, on their way to the disk: the same for `receive` and `share`.

use crate::store::{Partial, lacks_descriptor};
use crosspeer::transfer::{Offer, Receiver, ReceiverLimits, ReceiverOutput, StopCode, ToReceiver};
use crosspeer::{Error, PeerConnection};
use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::block_in_place;
use tokio::time::sleep;

/// A file of any peer was closed: one that waits for a descriptor may try again.
static CLOSED: Notify = Notify::const_new();
/// The same for descriptors that were not files', of which nobody tells.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Descriptors that received files may take, of all peers together: half of the process's, since connections need some, and
/// opening and naming a file takes further ones for a moment.
fn descriptors() -> &'static Arc<Semaphore> {
    static DESCRIPTORS: OnceLock<Arc<Semaphore>> = OnceLock::new();
    DESCRIPTORS.get_or_init(|| {
        #[cfg(unix)]
        let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(256, |(soft, _)| soft);
        #[cfg(not(unix))]
        let limit = 8192;
        let half = usize::try_from(limit / 2).unwrap_or(usize::MAX);
        Arc::new(Semaphore::new(half.clamp(1, 1 << 20)))
    })
}

/// Where one file's bytes go.
pub(crate) enum Sink {
    File(Partial),
    /// The folder is made already.
    Folder(PathBuf),
    /// This command's own output, for one file at a time.
    Stdout(#[allow(dead_code)] OwnedSemaphorePermit), // held, not read
}

impl Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::File(partial) => partial.write(data),
            Self::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
            Self::Stdout(_) => std::io::stdout().write_all(data),
        }
    }

    fn commit(&mut self, modified_ms: Option<u64>) -> io::Result<PathBuf> {
        match self {
            Self::File(partial) => partial.commit(modified_ms),
            Self::Folder(path) => Ok(path.clone()),
            Self::Stdout(_) => std::io::stdout().flush().map(|()| PathBuf::from("-")),
        }
    }
}

/// Where the files of one peer go, and who is told of them.
pub(crate) trait Shelf {
    /// Room for what is offered. [`io::ErrorKind::WouldBlock`]: not yet.
    fn create(&self, offer: &Offer) -> io::Result<Sink>;
    /// So much more of it is written.
    fn progress(&self, _offer: &Offer, _bytes: u64) {}
    /// It is whole, its checksum right, and it stands under this path.
    fn stored(&mut self, offer: &Offer, path: &Path, blake3: &[u8]);
    /// Nothing of it is kept. `written`: bytes that had been; `None` if it was never created.
    fn not_stored(&self, offer: &Offer, written: Option<u64>, code: StopCode, reason: &str);
}

/// One peer's open files.
pub(crate) struct Intake<S> {
    pub(crate) shelf: S,
    receiver: Receiver,
    files: HashMap<u32, Incoming>,
    /// Offers that wait for a descriptor, or for their turn.
    waiting: VecDeque<(u32, Offer)>,
    /// Whole files, with their checksum, that wait for a descriptor to get their names.
    nameless: Vec<(u32, [u8; 32])>,
}

struct Incoming {
    offer: Offer,
    sink: Sink,
    /// Its descriptor; held, not read.
    _descriptor: Option<OwnedSemaphorePermit>,
    written: u64,
}

impl<S: Shelf> Intake<S> {
    pub(crate) fn new(shelf: S) -> Self {
        let mut limits = ReceiverLimits::default();
        limits.streams_and_folders = true;
        Self {
            shelf,
            receiver: Receiver::new(limits),
            files: HashMap::new(),
            waiting: VecDeque::new(),
            nameless: Vec::new(),
        }
    }

    /// Takes one packet. What cannot be stored is told to the peer, and is no error.
    pub(crate) async fn handle(&mut self, packet: ToReceiver, connection: &PeerConnection) -> Result<(), Error> {
        self.receiver.handle(packet)?;
        self.carry_out_all(connection).await
    }

    /// Ends when an offer that waits may be tried again, by [`Intake::try_again`]; without one it never does.
    pub(crate) async fn freed(&self) {
        if self.waiting.is_empty() && self.nameless.is_empty() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = CLOSED.notified() => {}
            () = sleep(TRY_AGAIN) => {}
        }
    }

    /// Tries what waits, in order.
    pub(crate) async fn try_again(&mut self, connection: &PeerConnection) -> Result<(), Error> {
        for (id, hash) in std::mem::take(&mut self.nameless) {
            self.complete(id, hash);
        }
        for (id, offer) in std::mem::take(&mut self.waiting) {
            self.begin(id, offer);
        }
        self.carry_out_all(connection).await
    }

    /// Takes no more: what is not whole is removed, and the peer told, if it is still there.
    pub(crate) async fn abandon(&mut self, code: StopCode, reason: &str, connection: &PeerConnection) {
        for id in self.receiver.open_ids().collect::<Vec<_>>() {
            self.receiver.stop(id, code, reason);
        }
        let _ = self.carry_out_all(connection).await;
    }

    async fn carry_out_all(&mut self, connection: &PeerConnection) -> Result<(), Error> {
        let mut result = Ok(());
        while let Some(output) = self.receiver.poll() {
            match output {
                ReceiverOutput::Send(message) if result.is_ok() => {
                    result = match connection.send(message).await {
                        // Its last words, such as why it goes, are here and still to be read.
                        Err(Error::Closed { .. }) => Ok(()),
                        sent => sent,
                    };
                }
                ReceiverOutput::Offered { id, offer } => self.begin(id, offer),
                ReceiverOutput::Write { id, data, .. } => self.write(id, &data),
                ReceiverOutput::Complete { id, hash } => self.complete(id, hash),
                ReceiverOutput::Stopped { id, code, reason } => self.stopped(id, code, &reason),
                _ => {}
            }
        }
        result
    }

    fn begin(&mut self, id: u32, offer: Offer) {
        if !self.waiting.is_empty() {
            return self.waiting.push_back((id, offer)); // not before those that came first
        }
        let descriptor = match offer.folder {
            true => Ok(None),
            false => descriptors().clone().try_acquire_owned().map(Some),
        };
        let Ok(descriptor) = descriptor else {
            return self.waiting.push_back((id, offer));
        };
        match block_in_place(|| self.shelf.create(&offer)) {
            Ok(sink) => {
                let incoming = Incoming {
                    offer,
                    sink,
                    _descriptor: descriptor,
                    written: 0,
                };
                self.files.insert(id, incoming);
                self.receiver.accept(id);
            }
            Err(error) if is_for_now(&error) => self.waiting.push_back((id, offer)),
            Err(error) => {
                let reason = format!("it cannot be stored here: {}", plain(&error));
                self.shelf.not_stored(&offer, None, StopCode::Refused, &reason);
                self.receiver.stop(id, StopCode::Refused, &reason);
            }
        }
    }

    fn write(&mut self, id: u32, data: &[u8]) {
        let Some(file) = self.files.get_mut(&id) else {
            return;
        };
        match block_in_place(|| file.sink.write(data)) {
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

    fn complete(&mut self, id: u32, blake3: [u8; 32]) {
        let Some(file) = self.files.get_mut(&id) else {
            return;
        };
        let committed = block_in_place(|| file.sink.commit(file.offer.modified));
        if committed.as_ref().is_err_and(is_for_now) {
            return self.nameless.push((id, blake3));
        }
        let Some((mut offer, sink, written)) = self.take(id) else {
            return;
        };
        drop(sink);
        CLOSED.notify_waiters();
        match committed {
            Ok(path) => {
                offer.size = written; // what was offered may have been an estimate
                self.shelf.stored(&offer, &path, &blake3);
                let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
                self.receiver.finish_as(id, parts.join("/"));
            }
            Err(error) => {
                let reason = format!("it cannot be given its name: {}", plain(&error));
                self.shelf.not_stored(&offer, Some(written), StopCode::Failed, &reason);
                self.receiver.stop(id, StopCode::Failed, &reason);
            }
        }
    }

    fn stopped(&mut self, id: u32, code: StopCode, reason: &str) {
        if let Some((offer, sink, written)) = self.take(id) {
            drop(sink); // removes it, before anybody hears of it
            CLOSED.notify_waiters();
            self.shelf.not_stored(&offer, Some(written), code, reason);
        } else if let Some(at) = self.waiting.iter().position(|(waiting, _)| *waiting == id)
            && let Some((_, offer)) = self.waiting.remove(at)
        {
            self.shelf.not_stored(&offer, None, code, reason);
        }
    }

    fn take(&mut self, id: u32) -> Option<(Offer, Sink, u64)> {
        let Incoming {
            offer, sink, written, ..
        } = self.files.remove(&id)?;
        Some((offer, sink, written))
    }
}

/// What time may mend: no descriptor is free, or it is another's turn.
fn is_for_now(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || lacks_descriptor(error)
}

/// An error whose text is for the peer too.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) &'static str);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Told {}

/// Without this side's paths, which are not the peer's business.
pub(crate) fn plain(error: &io::Error) -> String {
    if let Some(Told(text)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return (*text).to_owned();
    }
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there (any more)".into(),
        io::ErrorKind::PermissionDenied => "not allowed, or a link leads out of the folder".into(),
        io::ErrorKind::ReadOnlyFilesystem => "this folder is read-only".into(),
        io::ErrorKind::IsADirectory => "a folder of that name is in the way".into(),
        io::ErrorKind::NotADirectory => "a file is in the way of a folder of its path".into(),
        io::ErrorKind::AlreadyExists => "something else is in the way".into(),
        io::ErrorKind::BrokenPipe => "whoever reads the output has gone".into(),
        io::ErrorKind::InvalidFilename => "its name is too long, or not one that this disk takes".into(),
        _ if lacks_descriptor(error) => "too many files are open (`ulimit -n`)".into(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full".into(),
        kind => kind.to_string(),
    }
}
