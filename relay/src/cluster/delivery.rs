//! Messages on their way between nodes.

use super::{Answer, Claimed, Clients, Cluster, Letter, PATIENCE, peer_subject};
use crate::metrics::Way;
use axum::body::Bytes;
use crosspeer::relay::ConnId;
use futures_util::StreamExt;
use futures_util::future::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

/// What one client may have under way, in shares: one for each message, and one for each 64 KiB.
const SHARES: usize = 64;
const SHARE_BYTES: usize = 64 << 10;
/// When a node says that the peer has left it, another may have it already, whose word is on its way.
const GRACE: Duration = Duration::from_millis(250);

/// What a client has under way to other nodes.
#[derive(Debug)]
pub(crate) struct Window(Arc<Semaphore>);

impl Default for Window {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SHARES)))
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Delivered,
    Forbidden,
    Unknown,
}

impl Cluster {
    /// Sends a client's message to whichever node has the peer. Returns when it is on its way and the client may be heard
    /// again; what becomes of it is told to the client later.
    pub(crate) async fn forward<C: Clients>(
        self: &Arc<Self>,
        hub: &C,
        conn: ConnId,
        peer: Uuid,
        text: String,
        window: &Window,
    ) {
        let began = Instant::now();
        let shares = u32::try_from((1 + text.len() / SHARE_BYTES).min(SHARES)).unwrap_or(1);
        let Ok(share) = window.0.clone().acquire_many_owned(shares).await else {
            return;
        };
        let payload = seal(hub.rooms(conn), &text);
        let (cluster, hub) = (self.clone(), hub.clone());
        if !self.is_up() {
            return hub.undelivered(conn, peer, &text).await;
        }
        // Sent in the order in which the client said it; the answers are waited for beside it.
        let (sent, waiting) = oneshot::channel();
        let task = async move {
            let _share: OwnedSemaphorePermit = share;
            let fate = match cluster.ask(peer_subject(peer), payload).await {
                Ok(mut question) => {
                    let _ = sent.send(());
                    fate(&mut question.answers).await
                }
                Err(error) => {
                    tracing::debug!("cannot send to another node: {error}");
                    Fate::Unknown
                }
            };
            match fate {
                Fate::Delivered => hub.forwarded(Way::Sent, began.elapsed()),
                Fate::Forbidden => hub.forbidden(conn, peer, &text).await,
                Fate::Unknown => hub.undelivered(conn, peer, &text).await,
            }
        };
        tokio::spawn(task);
        let _ = waiting.await;
    }
}

/// Waits for the node that has the peer.
async fn fate(answers: &mut tokio::sync::mpsc::Receiver<Letter>) -> Fate {
    let mut until = Instant::now() + PATIENCE;
    loop {
        match timeout_at(until, answers.recv()).await {
            Ok(Some(letter)) if letter.nobody => return Fate::Unknown,
            Ok(Some(letter)) => match Answer::read(&letter.payload) {
                Some(Answer::Yes) => return Fate::Delivered,
                Some(Answer::Forbidden) => return Fate::Forbidden,
                _ => until = until.min(Instant::now() + GRACE),
            },
            Ok(None) | Err(_) => return Fate::Unknown,
        }
    }
}

/// A message with its sender's rooms before it, if it has any. A message itself begins with a brace.
fn seal(rooms: Option<Vec<String>>, text: &str) -> Bytes {
    let rooms = rooms.and_then(|rooms| serde_json::to_string(&rooms).ok());
    match rooms {
        Some(rooms) => format!("{rooms}\n{text}").into(),
        None => text.to_owned().into(),
    }
}

fn open(payload: &[u8]) -> Option<(Option<Vec<String>>, String)> {
    let text = std::str::from_utf8(payload).ok()?;
    match text.strip_prefix('[') {
        None => Some((None, text.to_owned())),
        Some(_) => {
            let (rooms, text) = text.split_once('\n')?;
            Some((serde_json::from_str(rooms).ok()?, text.to_owned()))
        }
    }
}

/// Takes a registered client's messages from other nodes, until the receiver ends.
pub(crate) async fn deliver<C: Clients>(hub: C, conn: ConnId, mut claimed: Claimed, mut until: oneshot::Receiver<()>) {
    loop {
        let letter = tokio::select! {
            biased;
            _ = &mut until => break,
            letter = claimed.letters.next() => letter,
        };
        let Some(letter) = letter else { break };
        let (answer, rest) = take(&hub, conn, claimed.uuid(), &letter);
        claimed.cluster().answer(letter.reply, answer).await;
        hub.finish(rest).await;
    }
    // Whoever sent what comes too late is told so.
    let gone = async {
        while let Some(Some(letter)) = claimed.letters.next().now_or_never() {
            claimed.cluster().answer(letter.reply, Answer::Gone).await;
        }
    };
    let _ = timeout(PATIENCE, gone).await;
}

fn take<C: Clients>(hub: &C, conn: ConnId, uuid: Uuid, letter: &Letter) -> (Answer, C::Rest) {
    let began = Instant::now();
    let Some((rooms, text)) = open(&letter.payload) else {
        return (Answer::Gone, C::Rest::default());
    };
    match hub.deliver(conn, uuid, rooms.as_deref(), text) {
        Some(Ok(rest)) => {
            hub.forwarded(Way::Received, began.elapsed());
            (Answer::Yes, rest)
        }
        Some(Err(())) => (Answer::Forbidden, C::Rest::default()),
        None => (Answer::Gone, C::Rest::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_go_before_a_message_and_come_off_again() {
        let text = "{\"description\": \"a\\n[b]\"}";
        let rooms = Some(vec!["a\nb".to_owned(), "é".to_owned()]);
        for rooms in [None, Some(Vec::new()), rooms] {
            assert_eq!(open(&seal(rooms.clone(), text)).unwrap(), (rooms, text.to_owned()));
        }
        for nonsense in [&b"[\"a\""[..], b"[1]\n{}", b"\xff"] {
            assert_eq!(open(nonsense), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_delivered_if_any_node_says_so_and_else_unknown() {
        let letter = |payload: &'static [u8], nobody| Letter {
            subject: String::new(),
            reply: None,
            payload: Bytes::from_static(payload),
            nobody,
        };
        for (letters, expected) in [
            (vec![letter(b"+", false)], Fate::Delivered),
            (vec![letter(b"-", false), letter(b"+", false)], Fate::Delivered),
            (vec![letter(b"-", false)], Fate::Unknown),
            (vec![letter(b"!", false)], Fate::Forbidden),
            (vec![letter(b"", true)], Fate::Unknown),
            (vec![letter(b"nonsense", false)], Fate::Unknown),
            (vec![], Fate::Unknown),
        ] {
            let (sender, mut answers) = tokio::sync::mpsc::channel(8);
            for letter in letters.clone() {
                sender.send(letter).await.unwrap();
            }
            assert_eq!(fate(&mut answers).await, expected, "{letters:?}");
        }
    }
}
