//! `crosspeer send`: messages, files and folders to one peer.

mod files;
mod goods;

use crate::args::SendArgs;
use crate::failure::{Exit, Failure, Result};
use crate::known::Names;
use crate::net;
use crate::outlet::Outlet;
use crate::output::{Output, count_of, human_bytes, name_for_people};
use crosspeer::known::Successor;
use crosspeer::transfer::{Packet, StopCode, ToSender};
use crosspeer::{Message, PeerConnection};
use files::{Kind, Source, Sources};
use goods::Goods;
use serde_json::json;
use std::io::Read;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Bytes of the largest file that goes to a ProxyStore peer, as one message.
const LARGEST: u64 = 1 << 30;
/// The time for telling the receiver why nothing more comes.
const GOODBYE_TIME: Duration = Duration::from_secs(3);

/// Sends everything, then closes when the peer has it.
pub(crate) async fn run(args: SendArgs, output: &Output) -> Result<()> {
    let sources = list(&args, output)?;
    let (names, whom) = (Names::of(&args.connect)?, &args.whom);
    let peer = names.find(&whom.peer)?;
    let confirmed = names.check(peer, whom.name_it.as_ref(), whom.changed_id, output)?;
    let peers = net::join_as(&args.connect, true, LARGEST).await?;
    let mut output = output.clone();
    output.show_progress();
    let connected = tokio::select! {
        connection = peers.connect(peer) => connection.map_err(Failure::from),
        () = net::interrupted() => Err(Failure::interrupted()),
    };
    let result = match connected {
        Ok(connection) => match introduce(&connection, &args, (names, confirmed), &output) {
            Ok(()) => send_all(&connection, &args, sources, &output).await,
            Err(failure) => Err(failure),
        },
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
        output.not_sent(&path, StopCode::Failed, &reason);
    }
    let is_own = |message: Message| Packet::collides(&message) || Successor::decode(&message) != Ok(None);
    if args.text.iter().any(|text| is_own(text.as_str().into())) {
        let message = "a --text looks like a message of crosspeer's own; put a space before it";
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(sources)
}

/// Says who the peer is, and remembers it if it is to be.
fn introduce(
    connection: &PeerConnection,
    args: &SendArgs,
    (mut names, confirmed): (Names, bool),
    output: &Output,
) -> Result<()> {
    let peer = connection.peer().unwrap_or_default();
    output.detail(
        json!({"type": "connected", "peer": peer, "crosspeer": connection.is_crosspeer(),
               "verified": connection.is_verified(), "name": names.name_of(connection)}),
        format_args!("connected to {peer} ({})", names.describe(connection)),
    );
    match &args.whom.name_it {
        Some(name) => names.remember(connection, name, confirmed, output),
        None => Ok(()),
    }
}

async fn send_all(connection: &PeerConnection, args: &SendArgs, sources: Sources, output: &Output) -> Result<()> {
    let mut upload = Upload::new(connection, output, args.connect.timeout);
    let unreadable = sources.unreadable.iter().map(|_| StopCode::Failed);
    upload.failed().extend(unreadable);
    let result = tokio::select! {
        result = upload.everything(&args.text, sources) => result,
        never = net::tell_of_paths(connection, output) => match never {},
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

/// What one run sends to a peer.
struct Upload<'a> {
    connection: &'a PeerConnection,
    output: &'a Output,
    outlet: Outlet<Goods<'a>>,
    /// Texts of which the receiver has not said yet what became of them.
    unconfirmed: usize,
    /// Bytes of each.
    texts: Vec<usize>,
    /// Whether the peer has answered anything, and how long each wait before that may be.
    answered: bool,
    patience: Duration,
}

impl<'a> Upload<'a> {
    fn new(connection: &'a PeerConnection, output: &'a Output, patience: Duration) -> Self {
        Self {
            connection,
            output,
            outlet: Outlet::new(Goods::new(output)),
            unconfirmed: 0,
            texts: Vec::new(),
            answered: false,
            patience,
        }
    }

    fn failed(&mut self) -> &mut Vec<StopCode> {
        &mut self.outlet.stock.failed
    }

    async fn everything(&mut self, texts: &[String], sources: Sources) -> Result<()> {
        for text in texts {
            self.connection.send(text.as_str()).await?;
            self.texts.push(text.len());
            match self.connection.peer_confirms() {
                true => self.unconfirmed += 1, // told when it has come
                false => self.text_sent(text.len()),
            }
        }
        for source in &sources.files {
            self.output.begin(source.offer.size);
        }
        if self.connection.is_crosspeer() {
            for source in sources.folders.into_iter().chain(sources.files) {
                let id = self.outlet.offer(source.offer.clone())?;
                self.outlet.stock.add(id, source);
            }
            self.run().await?;
        } else {
            send_as_messages(self.connection, sources.files, self.output).await?;
        }
        self.outcome()
    }

    async fn run(&mut self) -> Result<()> {
        loop {
            while self.outlet.step(self.connection).await? {}
            if self.outlet.is_idle() && self.unconfirmed == 0 {
                return Ok(());
            }
            tokio::select! {
                message = next_message(self.connection, self.answered, self.patience) => self.handle(message?)?,
                () = self.outlet.streamed() => {}
            }
        }
    }

    /// Tells the receiver why what is on its way does not come.
    async fn give_up(&mut self, reason: &str) {
        let open = self.outlet.stock.ids();
        self.outlet.give_up(open.into_iter(), reason, self.connection).await;
    }

    fn handle(&mut self, message: Message) -> Result<()> {
        match Packet::decode(message)? {
            Packet::ToSender(ToSender::Kept { id }) => {
                self.confirmed();
                let bytes = self.texts.get(id as usize).copied().unwrap_or_default();
                self.text_sent(bytes);
            }
            Packet::ToSender(ToSender::Lost { id, code, reason }) => {
                self.confirmed();
                self.failed().push(code);
                self.output
                    .not_sent(&format!("text {}", u64::from(id) + 1), code, &reason);
            }
            Packet::ToSender(packet) => {
                self.answered = true;
                self.outlet.handle(packet)?;
            }
            // What the peer sends by itself has nowhere to go here.
            Packet::ToReceiver(_) | Packet::NotTransfer(_) => {}
        }
        Ok(())
    }

    fn confirmed(&mut self) {
        self.answered = true;
        self.unconfirmed = self.unconfirmed.saturating_sub(1);
    }

    fn text_sent(&self, bytes: usize) {
        self.output.detail(
            json!({"type": "text-sent", "bytes": bytes}),
            format_args!("sent a text of {}", count_of(bytes, "byte")),
        );
    }

    fn outcome(&mut self) -> Result<()> {
        let failed = self.failed();
        if failed.is_empty() {
            return Ok(());
        }
        let theirs = |code: &StopCode| !matches!(code, StopCode::Failed | StopCode::Misbehaved);
        let exit = match failed.iter().all(theirs) {
            true => Exit::Refused,
            false => Exit::Failure,
        };
        let message = match failed.len() {
            1 => "1 thing was not sent; a line above says why".to_owned(),
            count => format!("{count} things were not sent; the lines above say why"),
        };
        Err(Failure::new(exit, message))
    }
}

/// A peer that takes files answers the first offer at once; one that echoes, or only waits for messages, never does.
async fn next_message(connection: &PeerConnection, answered: bool, patience: Duration) -> Result<Message> {
    if answered {
        return Ok(connection.recv().await?);
    }
    match timeout(patience, connection.recv()).await {
        Ok(message) => Ok(message?),
        Err(_) => {
            let message =
                format!("no answer to what was sent within {patience:?}: does the peer run `crosspeer receive`?");
            Err(Failure::new(Exit::Timeout, message))
        }
    }
}
