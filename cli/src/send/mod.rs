//! `crosspeer send`: messages, files and folders to one peer.

mod files;

use crate::args::SendArgs;
use crate::failure::{Exit, Failure, Result};
use crate::net;
use crate::output::{Output, human_bytes};
use crosspeer::transfer::{Packet, Sender, SenderOutput, StopCode};
use crosspeer::{Message, PeerConnection};
use crosspeer_native::PeerManager;
use files::{Source, Sources};
use serde_json::json;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::time::Duration;
use tokio::task::block_in_place;
use tokio::time::timeout;

/// Sends everything, then closes when the peer has it.
pub(crate) async fn run(args: SendArgs, output: &Output) -> Result<()> {
    let sources = list(&args, output)?;
    let peers = net::join(&args.connect).await?;
    let mut output = output.clone();
    output.show_progress();
    let result = tokio::select! {
        result = send_all(&peers, &args, sources, &output) => result,
        () = net::interrupted() => Err(Failure::interrupted()),
    };
    output.bar().finish_and_clear();
    net::leave(&peers, result.is_err()).await;
    result
}

/// Finds everything before anything is sent: a wrong name is told at once.
fn list(args: &SendArgs, output: &Output) -> Result<Vec<Source>> {
    let mut sources = Sources::default();
    for path in &args.files {
        files::list(path, &mut sources).map_err(|e| Failure::local(path.display(), e))?;
    }
    for (path, reason) in &sources.skipped {
        output.detail(
            json!({"type": "skipped", "path": path, "reason": reason}),
            format_args!("left out {}: {reason}", path.display()),
        );
    }
    if args.text.iter().any(|text| Packet::collides(&text.as_str().into())) {
        let message = "a --text looks like a message of the transfer protocol; put a space before it";
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(sources.files)
}

async fn send_all(peers: &PeerManager, args: &SendArgs, sources: Vec<Source>, output: &Output) -> Result<()> {
    let connection = peers.connect(args.peer).await?;
    output.event_json(json!({"type": "connected", "peer": args.peer, "crosspeer": connection.is_crosspeer()}));
    for text in &args.text {
        connection.send(text.as_str()).await?;
        output.detail(
            json!({"type": "text-sent", "bytes": text.len()}),
            format_args!("sent a text of {} bytes", text.len()),
        );
    }
    output
        .bar()
        .set_length(sources.iter().map(|source| source.offer.size).sum());
    if connection.is_crosspeer() {
        Upload::new(&connection, output, args.connect.timeout)
            .run(sources)
            .await
    } else {
        send_as_messages(&connection, sources, output).await
    }
}

/// A ProxyStore peer knows no files: each goes as one message of bytes, without its name.
async fn send_as_messages(connection: &PeerConnection, sources: Vec<Source>, output: &Output) -> Result<()> {
    if !sources.is_empty() {
        output
            .note("the peer is not a crosspeer one: each file goes as one plain message, without its name or checksum");
    }
    for Source { path, offer } in sources {
        let content = block_in_place(|| std::fs::read(&path)).map_err(|e| Failure::local(path.display(), e))?;
        let size = content.len() as u64;
        connection.send(content).await?;
        output.bar().inc(size);
        output.detail(
            json!({"type": "sent", "name": offer.name, "size": size, "as": "message"}),
            format_args!("sent {} as one message ({})", offer.name, human_bytes(size)),
        );
    }
    Ok(())
}

/// The files of one run, by the transfer protocol.
struct Upload<'a> {
    connection: &'a PeerConnection,
    output: &'a Output,
    sender: Sender,
    files: HashMap<u32, Upcoming>,
    buffer: Vec<u8>,
    failed: Vec<StopCode>,
    /// Whether the peer has answered any offer, and how long each wait before that may be.
    answered: bool,
    patience: Duration,
}

struct Upcoming {
    source: Source,
    /// Opened when it is first read.
    file: Option<File>,
    stored: u64,
}

impl<'a> Upload<'a> {
    fn new(connection: &'a PeerConnection, output: &'a Output, patience: Duration) -> Self {
        Self {
            connection,
            output,
            sender: Sender::new(),
            files: HashMap::new(),
            buffer: Vec::new(),
            failed: Vec::new(),
            answered: false,
            patience,
        }
    }

    async fn run(mut self, sources: Vec<Source>) -> Result<()> {
        for source in sources {
            let id = self.sender.offer(source.offer.clone())?;
            let (file, stored) = (None, 0);
            self.files.insert(id, Upcoming { source, file, stored });
        }
        loop {
            while let Some(next) = self.sender.poll() {
                self.carry_out(next).await?;
            }
            if self.sender.is_idle() {
                return self.outcome();
            }
            match Packet::decode(self.next_message().await?)? {
                Packet::ToSender(packet) => {
                    self.answered = true;
                    self.sender.handle(packet)?;
                }
                // What the peer sends by itself has nowhere to go here.
                Packet::ToReceiver(_) | Packet::NotTransfer(_) => {}
            }
        }
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
            SenderOutput::Read { id, len, .. } => match block_in_place(|| self.read(id, len)) {
                Ok(read) => self.sender.block(id, &self.buffer[..read]),
                Err(error) => self.sender.read_failed(id, &format!("it cannot be read: {error}")),
            },
            SenderOutput::Progress { id, stored } => self.progress(id, stored),
            SenderOutput::Done { id, hash } => self.done(id, hash),
            SenderOutput::Stopped { id, code, reason } => self.stopped(id, code, &reason),
            _ => {}
        }
        Ok(())
    }

    /// Blocks of a file are asked for in order. Fewer bytes than asked for are the file's end.
    fn read(&mut self, id: u32, len: usize) -> std::io::Result<usize> {
        let Some(upcoming) = self.files.get_mut(&id) else {
            return Ok(0);
        };
        let file = match &mut upcoming.file {
            Some(file) => file,
            none => none.insert(File::open(&upcoming.source.path)?),
        };
        self.buffer.clear();
        file.take(len as u64).read_to_end(&mut self.buffer)
    }

    fn progress(&mut self, id: u32, stored: u64) {
        if let Some(upcoming) = self.files.get_mut(&id) {
            self.output
                .progress(&upcoming.source.offer.name, stored - upcoming.stored);
            upcoming.stored = stored;
        }
    }

    fn done(&mut self, id: u32, hash: [u8; 32]) {
        let Some(Upcoming { source, stored, .. }) = self.files.remove(&id) else {
            return;
        };
        let offer = source.offer;
        self.output.bar().inc(offer.size - stored);
        self.output.detail(
            json!({"type": "sent", "name": offer.name, "size": offer.size, "blake3": crate::output::hex(&hash)}),
            format_args!("sent {} ({})", offer.name, human_bytes(offer.size)),
        );
    }

    fn stopped(&mut self, id: u32, code: StopCode, reason: &str) {
        let Some(Upcoming { source, stored, .. }) = self.files.remove(&id) else {
            return;
        };
        let offer = source.offer;
        self.output.bar().inc(offer.size - stored);
        self.failed.push(code);
        self.output.detail(
            json!({"type": "not-sent", "name": offer.name, "code": code.as_str(), "reason": reason}),
            format_args!("not sent: {}: {} ({reason})", offer.name, code.as_str()),
        );
    }

    fn outcome(self) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let theirs = |code: &StopCode| !matches!(code, StopCode::Failed | StopCode::Misbehaved);
        let exit = match self.failed.iter().all(theirs) {
            true => Exit::Refused,
            false => Exit::Failure,
        };
        let count = self.failed.len();
        Err(Failure::new(
            exit,
            format!("{count} files were not sent; the lines above say why"),
        ))
    }
}
