//! Many nodes that act as one relay, whichever of them a client comes to.
//!
//! Each registered UUID is a subject of the link between nodes ([`bus`]). A message for a peer that is not this node's goes
//! to its subject; the node that has the peer acknowledges it once it is in the peer's queue. Where nobody hears the subject,
//! the link says so at once, and the sender gets the error for unknown peers; so it does when no acknowledgement comes in
//! time. Nothing is lost in silence.
//!
//! A client is registered once every other node has been asked ([`claims`]). Who keeps a UUID that two nodes claim is decided
//! by [`rules`] that both apply to the same facts. Nodes that find each other again after they were apart tell each other
//! all that they have ([`members`]).

mod bus;
mod claims;
mod clients;
mod delivery;
mod members;
#[cfg(feature = "cluster")]
mod nats;
mod rules;

pub(crate) use claims::Claimed;
pub(crate) use clients::Clients;
pub(crate) use delivery::{Window, deliver};

use crate::config::{ClusterConfig, RelayError};
use axum::body::Bytes;
use bus::{Bus, Letter};
use rules::{Claim, Holdings, Loss, Stamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

/// All subjects begin so.
const PREFIX: &str = "crosspeer";
/// The time for an answer of another node.
const PATIENCE: Duration = Duration::from_secs(3);
/// Answers to one question that wait here.
const ANSWERS: usize = 8;

/// This node's part in the cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    node: Uuid,
    bus: Arc<dyn Bus>,
    holdings: Mutex<Holdings>,
    /// The other nodes, and when each was last heard.
    members: Mutex<HashMap<Uuid, Instant>>,
    /// Who waits for an answer, by the question's number.
    questions: Mutex<HashMap<u64, mpsc::Sender<Letter>>>,
    next: AtomicU64,
}

/// What nodes say to each other, as JSON.
#[derive(Debug, Serialize, Deserialize)]
enum Note {
    /// Who is there: said to all now and then, and to one in answer. `fresh`: its link has just come up.
    Hello { node: Uuid, fresh: bool, answer: bool },
    /// One of its clients wants this UUID. The answer is an [`Answer`].
    Claim(Claim),
    /// Everything its clients have.
    Held(Vec<Claim>),
    /// A claim is lost.
    Lost { uuid: Uuid, stamp: Stamp, why: Loss },
}

/// The one byte of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Done, or no objection.
    Yes = b'+' as isize,
    /// The peer is not here any more.
    Gone = b'-' as isize,
    /// The peer's token does not let it have this.
    Forbidden = b'!' as isize,
    /// The claim is lost: [`Loss::Replaced`].
    Replaced = b'R' as isize,
    /// The claim is lost: [`Loss::Taken`].
    Taken = b'T' as isize,
}

impl Answer {
    fn read(payload: &[u8]) -> Option<Self> {
        let all = [Self::Yes, Self::Gone, Self::Forbidden, Self::Replaced, Self::Taken];
        let byte = payload.first()?;
        all.into_iter().find(|answer| *answer as isize == isize::from(*byte))
    }

    fn bytes(self) -> Bytes {
        Bytes::copy_from_slice(&[self as isize as u8])
    }
}

/// A question whose answers can be waited for.
struct Question<'a> {
    cluster: &'a Cluster,
    number: u64,
    answers: mpsc::Receiver<Letter>,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        lock(&self.cluster.questions).remove(&self.number);
    }
}

/// Joins the cluster that the configuration names, with a node's clients for as long as there are any; the task that hears
/// the others.
pub(crate) async fn join<C: Clients>(
    clients: impl Fn() -> Option<C> + Send + 'static,
    config: &ClusterConfig,
) -> Result<(Arc<Cluster>, JoinHandle<()>), RelayError> {
    let cluster = Arc::new(Cluster::new(connect(config).await?));
    let task = members::start(clients, cluster.clone()).await;
    Ok((cluster, task.map_err(RelayError::Config)?))
}

#[cfg(feature = "cluster")]
async fn connect(config: &ClusterConfig) -> Result<Arc<dyn Bus>, RelayError> {
    nats::Nats::connect(config).await
}

#[cfg(not(feature = "cluster"))]
async fn connect(_: &ClusterConfig) -> Result<Arc<dyn Bus>, RelayError> {
    let text = "this relay was built without the feature `cluster`";
    Err(RelayError::Config(text.into()))
}

impl Cluster {
    fn new(bus: Arc<dyn Bus>) -> Self {
        let node = Uuid::new_v4();
        Self {
            node,
            bus,
            holdings: Mutex::new(Holdings::new(node)),
            members: Mutex::default(),
            questions: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    /// How many nodes act as one, this one included, and whether it reaches the others.
    pub(crate) fn state(&self) -> (usize, bool) {
        (lock(&self.members).len() + 1, self.is_up())
    }

    fn is_up(&self) -> bool {
        self.bus.state().borrow().0
    }

    /// Sends something that is to be answered.
    async fn ask(&self, subject: String, payload: Bytes) -> Result<Question<'_>, String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = mpsc::channel(ANSWERS);
        lock(&self.questions).insert(number, sender);
        let question = Question {
            cluster: self,
            number,
            answers,
        };
        let reply = format!("{}.{number}", inbox(self.node));
        self.bus.send(subject, Some(reply), payload).await?;
        Ok(question)
    }

    /// Hands an answer to whoever waits for it.
    fn on_answer(&self, letter: Letter) {
        let number = letter
            .subject
            .rsplit('.')
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        let waiting = number.and_then(|number| lock(&self.questions).get(&number).cloned());
        if let Some(waiting) = waiting {
            let _ = waiting.try_send(letter);
        }
    }

    async fn answer(&self, to: Option<String>, answer: Answer) {
        let Some(to) = to else { return };
        if let Err(error) = self.bus.send(to, None, answer.bytes()).await {
            tracing::debug!("cannot answer another node: {error}");
        }
    }

    async fn tell(&self, subject: String, note: &Note) -> Result<(), String> {
        self.bus.send(subject, None, encode(note)?).await
    }

    fn holdings(&self) -> MutexGuard<'_, Holdings> {
        lock(&self.holdings)
    }
}

fn encode(note: &Note) -> Result<Bytes, String> {
    serde_json::to_vec(note)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

/// Where a peer's messages go.
fn peer_subject(uuid: Uuid) -> String {
    format!("{PREFIX}.peer.{}", uuid.simple())
}

/// Where a node hears: notes at `…note`, answers at their numbers. One subscription, so that their order is kept.
fn inbox(node: Uuid) -> String {
    format!("{PREFIX}.node.{}", node.simple())
}

fn notes_for(node: Uuid) -> String {
    format!("{}.note", inbox(node))
}

fn hello_subject() -> String {
    format!("{PREFIX}.hello")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
