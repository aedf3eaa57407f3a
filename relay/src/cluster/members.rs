//! Which nodes there are, and what this one hears from them.

use super::{Clients, Cluster, Letter, Note, hello_subject, inbox, lock, notes_for};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info};
use uuid::Uuid;

/// Between two greetings.
const GREETING: Duration = Duration::from_secs(5);
/// A node that was not heard for this long is gone.
const SILENCE: Duration = Duration::from_secs(16);
/// Claims in one note: half a MiB.
const CLAIMS: usize = 4000;

/// Hears the other nodes until the hub is gone.
pub(super) async fn start<C: Clients>(
    clients: impl Fn() -> Option<C> + Send + 'static,
    cluster: Arc<Cluster>,
) -> Result<JoinHandle<()>, String> {
    let hellos = cluster.bus.subscribe(hello_subject()).await?;
    let own = cluster.bus.subscribe(format!("{}.*", inbox(cluster.node))).await?;
    let mut state = cluster.bus.state();
    Ok(tokio::spawn(async move {
        let mut letters = futures_util::stream::select(own, hellos);
        let mut ticks = interval(GREETING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut times = 0;
        loop {
            tokio::select! {
                letter = letters.next() => {
                    let Some(letter) = letter else { return };
                    let Some(clients) = clients() else { return };
                    on_letter(&cluster, &clients, letter).await;
                }
                changed = state.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let (up, now) = *state.borrow_and_update();
                    if up && now != times {
                        times = now;
                        cluster.begin().await;
                    }
                }
                _ = ticks.tick() => cluster.greet(false).await,
            }
        }
    }))
}

async fn on_letter<C: Clients>(cluster: &Arc<Cluster>, clients: &C, letter: Letter) {
    let noted = letter.subject.ends_with(".note") || letter.subject == hello_subject();
    if !noted {
        return cluster.on_answer(letter);
    }
    match serde_json::from_slice(&letter.payload) {
        Ok(Note::Hello { node, fresh, answer }) => cluster.on_hello(node, fresh, answer).await,
        Ok(Note::Claim(claim)) => cluster.on_claim(clients, claim, letter.reply).await,
        Ok(Note::Held(claims)) => cluster.on_held(clients, claims).await,
        Ok(Note::Lost { uuid, stamp, why }) => cluster.on_lost(clients, uuid, stamp, why),
        Err(error) => debug!("a note of another node is not understood: {error}"),
    }
}

impl Cluster {
    /// The link has come up anew: whoever is there may not be who was there.
    async fn begin(&self) {
        lock(&self.members).clear();
        self.greet(true).await;
    }

    async fn greet(&self, fresh: bool) {
        if !self.is_up() {
            return;
        }
        let now = Instant::now();
        lock(&self.members).retain(|_, heard| now.saturating_duration_since(*heard) < SILENCE);
        self.hello(hello_subject(), fresh, false).await;
    }

    async fn hello(&self, to: String, fresh: bool, answer: bool) {
        let node = self.node;
        let hello = Note::Hello { node, fresh, answer };
        if let Err(error) = self.tell(to, &hello).await {
            debug!("cannot greet other nodes: {error}");
        }
    }

    /// A node that is new to us, or whose link is, is told who we are and what we have.
    async fn on_hello(&self, node: Uuid, fresh: bool, answer: bool) {
        if node == self.node {
            return;
        }
        let known = lock(&self.members).insert(node, Instant::now()).is_some();
        if known && !fresh {
            return;
        }
        info!(%node, "found another node of the cluster");
        if !answer {
            self.hello(notes_for(node), false, true).await;
        }
        let claims: Vec<_> = self.holdings().all().copied().collect();
        for some in claims.chunks(CLAIMS) {
            if let Err(error) = self.tell(notes_for(node), &Note::Held(some.to_vec())).await {
                debug!("cannot tell another node what is here: {error}");
            }
        }
    }

    /// A node does not answer. Once it is heard again it is a new one.
    pub(super) fn forget(&self, node: Uuid) {
        if lock(&self.members).remove(&node).is_some() {
            info!(%node, "a node of the cluster is gone");
        }
    }
}
