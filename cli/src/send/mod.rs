//! `crosspeer send`: messages, files and folders to one peer.

mod files;
mod streams;

use crate::args::SendArgs;
use crate::failure::{Exit, Failure, Result};
use crate::net;
use crate::output::{Output, count_of, human_bytes, name_for_people};
use crosspeer::transfer::{NameError, Packet, Sender, SenderOutput, StopCode, ToSender};
use crosspeer::{Message, PeerConnection};
use files::{Kind, Source, Sources};
use serde_json::json;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};
use streams::{Reads, Streams};
use tokio::task::{block_in_place, spawn_blocking};
use tokio::time::timeout;

/// The time for telling the receiver why nothing more comes.
const GOODBYE_TIME: Duration = Duration::from_secs(3);

/// Sends everything, then closes when the peer has it.
pub(crate) async fn run(args: SendArgs, output: &Output) -> Result<()> {
    let sources = list(&args, output)?;
    let peers = net::join_as(&args.connect, true).await?;
    let mut output = output.clone();
    output.show_progress();
    let connected = tokio::select! {
        connection = peers.connect(args.peer) => connection.map_err(Failure::from),
        () = net::interrupted() => Err(Failure::interrupted()),
    };
    let result = match connected {
        Ok(connection) => send_all(&connection, &args, sources, &output).await,
        Err(failure) => Err(failure),
    };
    output.bar().finish_and_clear();
    net::leave(&peers, result.is_err()).await;
    result
}

/// Finds everything before anything is sent: a wrong name is told at once.
fn list(args: &SendArgs, output: &Output) -> Result<Sources> {
    let mut sources = Sources::default();
    for path in &args.files {
        files::list(path, &args.stdin_name, &mut sources).map_err(|e| Failure::local(path.display(), e))?;
    }
    for (path, reason) in &sources.skipped {
        output.detail(
            json!({"type": "skipped", "path": path.to_string_lossy(), "reason": reason}),
            format_args!("left out {}: {reason}", name_for_people(&path.to_string_lossy())),
        );
    }
    for (path, error) in &sources.unreadable {
        let (path, reason) = (path.to_string_lossy(), format!("it cannot be read: {error}"));
        not_sent(output, &path, StopCode::Failed, &reason);
    }
    if args.text.iter().any(|text| Packet::collides(&text.as_str().into())) {
        let message = "a --text looks like a message of the transfer protocol; put a space before it";
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(sources)
}

async fn send_all(connection: &PeerConnection, args: &SendArgs, sources: Sources, output: &Output) -> Result<()> {
    output.event_json(json!({"type": "connected", "peer": args.peer, "crosspeer": connection.is_crosspeer()}));
    let (mut upload, reads) = Upload::new(connection, output, args.connect.timeout);
    upload
        .failed
        .extend(sources.unreadable.iter().map(|_| StopCode::Failed));
    let result = tokio::select! {
        result = upload.everything(&args.text, sources, reads) => result,
        () = net::interrupted() => Err(Failure::interrupted()),
    };
    if let Err(failure) = &result {
        let reason = match failure.exit {
            Exit::Interrupted => "the sender was interrupted".to_owned(),
            _ => failure.to_string(),
        };
        tokio::select! {
            _ = timeout(GOODBYE_TIME, upload.give_up(&reason)) => {}
            () = net::interrupted() => {} // a second time: at once
        }
    }
    result
}

/// A ProxyStore peer knows no files: each goes as one message of bytes, without its name.
async fn send_as_messages(connection: &PeerConnection, sources: Vec<Source>, output: &Output) -> Result<()> {
    if !sources.is_empty() {
        output
            .note("the peer is not a crosspeer one: each file goes as one plain message, without its name or checksum");
    }
    for Source { path, offer, kind } in sources {
        let shown = name_for_people(&path.to_string_lossy());
        // Not on this thread: a pipe may keep its reader waiting, and Ctrl-C is to be heard.
        let read = spawn_blocking(move || match kind {
            Kind::Stdin => {
                let mut content = Vec::new();
                std::io::stdin().lock().read_to_end(&mut content).map(|_| content)
            }
            _ => std::fs::read(&path),
        });
        let content = read.await.map_err(|e| Failure::local(&shown, e))?;
        let content = content.map_err(|e| Failure::local(&shown, e))?;
        let size = content.len() as u64;
        connection.send(content).await?;
        output.bar().inc(size);
        output.detail(
            json!({"type": "sent", "name": offer.name, "size": size, "as": "message"}),
            format_args!(
                "sent {} as one message ({})",
                name_for_people(&offer.name),
                human_bytes(size)
            ),
        );
    }
    Ok(())
}

fn not_sent(output: &Output, name: &str, code: StopCode, reason: &str) {
    output.detail(
        json!({"type": "not-sent", "name": name, "code": code.as_str(), "reason": reason}),
        format_args!("not sent: {}: {} ({reason})", name_for_people(name), code.as_str()),
    );
}

/// The files of one run, by the transfer protocol.
struct Upload<'a> {
    connection: &'a PeerConnection,
    output: &'a Output,
    sender: Sender,
    files: HashMap<u32, Upcoming>,
    streams: Streams,
    buffer: Vec<u8>,
    failed: Vec<StopCode>,
    /// Texts of which the receiver has not said yet what became of them.
    unconfirmed: usize,
    /// Bytes of each.
    texts: Vec<usize>,
    /// Whether the peer has answered any offer, and how long each wait before that may be.
    answered: bool,
    patience: Duration,
    /// Whether it was said that the receiver takes no folders.
    told_of_folders: bool,
}

struct Upcoming {
    source: Source,
    /// Opened when it is first read.
    file: Option<Opened>,
    /// Bytes of it that were given away, and those of them that are known to be stored.
    sent: u64,
    stored: u64,
}

struct Opened {
    file: File,
    modified: Option<SystemTime>,
    /// Somebody wrote to it meanwhile.
    changed: bool,
}

impl<'a> Upload<'a> {
    fn new(connection: &'a PeerConnection, output: &'a Output, patience: Duration) -> (Self, Reads) {
        let (streams, reads) = Streams::new();
        let upload = Self {
            connection,
            output,
            sender: Sender::new(),
            files: HashMap::new(),
            streams,
            buffer: Vec::new(),
            failed: Vec::new(),
            unconfirmed: 0,
            texts: Vec::new(),
            answered: false,
            patience,
            told_of_folders: false,
        };
        (upload, reads)
    }

    async fn everything(&mut self, texts: &[String], sources: Sources, reads: Reads) -> Result<()> {
        for text in texts {
            self.connection.send(text.as_str()).await?;
            if self.connection.peer_confirms() {
                self.unconfirmed += 1;
                self.texts.push(text.len());
                continue; // told when it has come
            }
            self.output.detail(
                json!({"type": "text-sent", "bytes": text.len()}),
                format_args!("sent a text of {}", count_of(text.len(), "byte")),
            );
        }
        for source in &sources.files {
            self.output.begin(source.offer.size);
        }
        if self.connection.is_crosspeer() {
            let all = sources.folders.into_iter().chain(sources.files);
            self.run(all.collect(), reads).await
        } else {
            send_as_messages(self.connection, sources.files, self.output).await?;
            self.outcome()
        }
    }

    async fn run(&mut self, sources: Vec<Source>, mut reads: Reads) -> Result<()> {
        for source in sources {
            let id = self.sender.offer(source.offer.clone())?;
            let (file, sent, stored) = (None, 0, 0);
            let upcoming = Upcoming {
                source,
                file,
                sent,
                stored,
            };
            self.files.insert(id, upcoming);
        }
        loop {
            while let Some(next) = self.sender.poll() {
                self.carry_out(next).await?;
            }
            if self.sender.is_idle() && self.unconfirmed == 0 {
                return self.outcome();
            }
            tokio::select! {
                message = self.next_message() => self.handle(message?)?,
                Some((id, read)) = reads.recv() => match read {
                    Ok(data) => {
                        self.sent(id, data.len());
                        self.sender.block(id, &data);
                    }
                    Err(error) => self.sender.read_failed(id, &format!("it cannot be read: {error}")),
                },
            }
        }
    }

    /// Tells the receiver why what is on its way does not come.
    async fn give_up(&mut self, reason: &str) {
        let mut open: Vec<_> = self.files.keys().copied().collect();
        open.sort_unstable_by(|a, b| b.cmp(a)); // the last first: none takes the place of one that ends
        for id in open {
            self.sender.cancel(id, reason);
        }
        while let Some(next) = self.sender.poll() {
            if let SenderOutput::Send(message) = next
                && self.connection.send(message).await.is_err()
            {
                return;
            }
        }
    }

    fn handle(&mut self, message: Message) -> Result<()> {
        match Packet::decode(message)? {
            Packet::ToSender(ToSender::Kept { id }) => {
                self.answered = true;
                self.unconfirmed = self.unconfirmed.saturating_sub(1);
                let bytes = self.texts.get(id as usize).copied().unwrap_or_default();
                self.output.detail(
                    json!({"type": "text-sent", "bytes": bytes}),
                    format_args!("sent a text of {}", count_of(bytes, "byte")),
                );
            }
            Packet::ToSender(ToSender::Lost { id, code, reason }) => {
                self.answered = true;
                self.unconfirmed = self.unconfirmed.saturating_sub(1);
                self.failed.push(code);
                not_sent(self.output, &format!("text {}", u64::from(id) + 1), code, &reason);
            }
            Packet::ToSender(packet) => {
                self.answered = true;
                self.sender.handle(packet)?;
            }
            // What the peer sends by itself has nowhere to go here.
            Packet::ToReceiver(_) | Packet::NotTransfer(_) => {}
        }
        Ok(())
    }

    /// A peer that takes files answers the first offer at once; one that echoes, or only waits for messages, never does.
    async fn next_message(&self) -> Result<Message> {
        if self.answered {
            return Ok(self.connection.recv().await?);
        }
        match timeout(self.patience, self.connection.recv()).await {
            Ok(message) => Ok(message?),
            Err(_) => {
                let patience = self.patience;
                let message = format!(
                    "no answer to the offered files within {patience:?}: does the peer run `crosspeer receive`?"
                );
                Err(Failure::new(Exit::Timeout, message))
            }
        }
    }

    async fn carry_out(&mut self, output: SenderOutput) -> Result<()> {
        match output {
            SenderOutput::Send(message) => self.connection.send(message).await?,
            SenderOutput::Read { id, len, .. } => self.begin_reading(id, len),
            SenderOutput::Progress { id, stored } => self.progress(id, stored),
            SenderOutput::Done { id, hash, .. } => self.done(id, hash),
            SenderOutput::Stopped { id, code, reason } => self.stopped(id, code, &reason),
            _ => {}
        }
        Ok(())
    }

    /// A stream's bytes come later, when it has some.
    fn begin_reading(&mut self, id: u32, len: usize) {
        match self.files.get(&id).map(|upcoming| &upcoming.source) {
            Some(Source { path, kind, .. }) if matches!(kind, Kind::Stream | Kind::Stdin) => {
                self.streams.read(id, path, *kind, len);
            }
            _ => match block_in_place(|| self.read(id, len)) {
                Ok(read) => {
                    self.sent(id, read);
                    self.sender.block(id, &self.buffer[..read]);
                }
                Err(error) => self.sender.read_failed(id, &format!("it cannot be read: {error}")),
            },
        }
    }

    /// Blocks of a file are asked for in order. None are the file's end.
    fn read(&mut self, id: u32, len: usize) -> std::io::Result<usize> {
        let Some(upcoming) = self.files.get_mut(&id) else {
            return Ok(0);
        };
        let opened = match &mut upcoming.file {
            Some(opened) => opened,
            none => none.insert(Opened::open(&upcoming.source.path)?),
        };
        self.buffer.clear();
        let read = (&mut opened.file).take(len as u64).read_to_end(&mut self.buffer)?;
        if read == 0 {
            let now = opened.file.metadata().and_then(|metadata| metadata.modified()).ok();
            opened.changed = now != opened.modified;
        }
        Ok(read)
    }

    fn sent(&mut self, id: u32, bytes: usize) {
        if let Some(upcoming) = self.files.get_mut(&id) {
            upcoming.sent += bytes as u64;
        }
    }

    fn progress(&mut self, id: u32, stored: u64) {
        if let Some(upcoming) = self.files.get_mut(&id) {
            self.output
                .progress(&upcoming.source.offer.name, stored - upcoming.stored);
            upcoming.stored = stored;
        }
    }

    fn done(&mut self, id: u32, hash: [u8; 32]) {
        let Some(upcoming) = self.files.remove(&id) else {
            return;
        };
        self.streams.forget(id);
        let (offer, size) = (upcoming.source.offer, upcoming.sent);
        if offer.folder {
            return;
        }
        self.output.progress(&offer.name, size - upcoming.stored);
        self.output.end(offer.size, size, true);
        let shown = name_for_people(&offer.name);
        self.output.detail(
            json!({"type": "sent", "name": offer.name, "size": size, "blake3": crate::output::hex(&hash)}),
            format_args!("sent {shown} ({})", human_bytes(size)),
        );
        if upcoming.file.is_some_and(|file| file.changed) {
            self.output.detail(
                json!({"type": "changed", "name": offer.name}),
                format_args!("{shown} was written to while it was sent: the copy may mix old and new"),
            );
        }
    }

    fn stopped(&mut self, id: u32, code: StopCode, reason: &str) {
        let Some(Upcoming { source, stored, .. }) = self.files.remove(&id) else {
            return;
        };
        self.streams.forget(id);
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
        not_sent(self.output, &offer.name, code, reason);
    }

    fn outcome(&self) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let theirs = |code: &StopCode| !matches!(code, StopCode::Failed | StopCode::Misbehaved);
        let exit = match self.failed.iter().all(theirs) {
            true => Exit::Refused,
            false => Exit::Failure,
        };
        let message = match self.failed.len() {
            1 => "1 thing was not sent; a line above says why".to_owned(),
            count => format!("{count} things were not sent; the lines above say why"),
        };
        Err(Failure::new(exit, message))
    }
}

impl Opened {
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
        let changed = false;
        Ok(Self {
            file,
            modified,
            changed,
        })
    }
}
