//! What all visitors share: who is there, and the snippets.

use crosspeer::transfer::catalog::{Catalog, Participant, Role};
use crosspeer_relay::Hub;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;
use uuid::Uuid;

/// Snippets that a newcomer gets.
const MAX_SNIPPETS: usize = 50;
/// News that wait for a visitor that does not read; it is told everything again if it missed some.
const MAX_NEWS: usize = 64;

/// What every visitor hears of.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// Who is there has changed.
    Peers,
    /// A file was stored.
    Stored,
    /// A snippet, and whom it came from.
    Snippet(Arc<Catalog>, Uuid),
}

/// The visitors.
#[derive(Debug)]
pub(super) struct Room {
    hub: Hub,
    own: Participant,
    news: broadcast::Sender<News>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What those that said hello call themselves.
    greeted: HashMap<Uuid, String>,
    snippets: VecDeque<(String, Arc<Catalog>)>,
    /// Who was at the relay when last looked.
    seen: Vec<(String, String)>,
}

impl Room {
    pub(super) fn new(hub: Hub, own: Participant) -> Self {
        Self {
            hub,
            own,
            news: broadcast::Sender::new(MAX_NEWS),
            state: Mutex::default(),
        }
    }

    pub(super) fn own(&self) -> &Participant {
        &self.own
    }

    pub(super) fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    pub(super) fn tell(&self, news: News) {
        let _ = self.news.send(news); // nobody there
    }

    /// Looks who is at the relay.
    pub(super) fn look(&self) {
        let clients = self.hub.clients();
        let mut state = self.lock();
        if state.seen != clients {
            state.seen = clients;
            drop(state);
            self.tell(News::Peers);
        }
    }

    /// Someone said hello. Whether it is new.
    pub(super) fn greet(&self, uuid: Uuid, name: String) -> bool {
        let before = self.lock().greeted.insert(uuid, name.clone());
        if before.as_ref() != Some(&name) {
            self.tell(News::Peers);
        }
        before.is_none()
    }

    /// Someone has gone; its name, if it had said hello.
    pub(super) fn leave(&self, uuid: Uuid) -> Option<String> {
        let gone = self.lock().greeted.remove(&uuid);
        self.tell(News::Peers);
        gone
    }

    /// What someone calls itself.
    pub(super) fn name_of(&self, uuid: Uuid) -> String {
        let people = self.participants().into_iter();
        let name = people.filter(|p| p.uuid == uuid).map(|p| p.name).next();
        name.unwrap_or_else(|| uuid.to_string()[..8].to_owned())
    }

    /// Everyone at the relay.
    pub(super) fn participants(&self) -> Vec<Participant> {
        let clients = self.hub.clients();
        let state = self.lock();
        let describe = |(name, uuid): (String, String)| {
            let uuid = Uuid::parse_str(&uuid).ok()?;
            let (name, role) = match state.greeted.get(&uuid) {
                _ if uuid == self.own.uuid => (self.own.name.clone(), self.own.role),
                Some(own) => (own.clone(), Role::Page),
                None => (name, Role::Peer),
            };
            Some(Participant { uuid, name, role })
        };
        clients.into_iter().filter_map(describe).collect()
    }

    /// Keeps a snippet for newcomers and passes it on, once, whatever ways it comes by. Whether it was new.
    pub(super) fn add_snippet(&self, id: String, snippet: Catalog, from: Uuid) -> bool {
        let snippet = Arc::new(snippet);
        let mut state = self.lock();
        if state.snippets.iter().any(|(known, _)| *known == id) {
            return false;
        }
        if state.snippets.len() == MAX_SNIPPETS {
            state.snippets.pop_front();
        }
        state.snippets.push_back((id, snippet.clone()));
        drop(state);
        self.tell(News::Snippet(snippet, from));
        true
    }

    pub(super) fn snippets(&self) -> Vec<Arc<Catalog>> {
        self.lock()
            .snippets
            .iter()
            .map(|(_, snippet)| snippet.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
