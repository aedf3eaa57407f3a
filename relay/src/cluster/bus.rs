//! What carries letters between nodes. Another engine than NATS is another file beside `nats.rs`.

use axum::body::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

/// What came for a subject.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// The subject it was sent to.
    pub(crate) subject: String,
    /// Where an answer is expected.
    pub(crate) reply: Option<String>,
    pub(crate) payload: Bytes,
    /// It is the engine's word that nobody hears the subject that an answer was expected from.
    pub(crate) nobody: bool,
}

/// The link between nodes, as this node has it.
///
/// Subjects are words with dots between them; `*` at the end of a subscription stands for any one word. What is sent to a
/// subject reaches everyone who has subscribed it. From one sender to one receiver letters keep their order, over all
/// subjects, and a subscription that was made before a letter was sent is in force wherever that letter arrives.
pub(crate) trait Bus: Send + Sync + std::fmt::Debug {
    /// Whether the link is up, and a number that grows each time it has come up anew: subscriptions hold, but what others
    /// sent meanwhile is lost.
    fn state(&self) -> watch::Receiver<(bool, u64)>;

    /// Hears a subject, until the stream is dropped.
    fn subscribe(&self, subject: String) -> BoxFuture<'_, Result<BoxStream<'static, Letter>, String>>;

    /// Sends a letter. With a `reply`, somebody or the engine answers there, unless the link breaks.
    fn send(&self, subject: String, reply: Option<String>, payload: Bytes) -> BoxFuture<'_, Result<(), String>>;
}
