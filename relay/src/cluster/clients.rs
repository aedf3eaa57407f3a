//! What a cluster needs of the node that it joins to others.

use crate::metrics::Way;
use crosspeer::relay::ConnId;
use std::time::Duration;
use uuid::Uuid;

/// The clients of one node.
pub(crate) trait Clients: Clone + Send + Sync + 'static {
    /// What has to be waited for after a client was given something.
    type Rest: Default + Send;

    /// Closes a client.
    fn close(&self, conn: ConnId, code: u16, reason: &'static str);
    /// Whether a client gives a sign of life.
    fn answers(&self, conn: ConnId) -> impl Future<Output = bool> + Send;
    /// The rooms of a client's token.
    fn rooms(&self, conn: ConnId) -> Option<Vec<String>>;
    /// A message from another node for this client, if it still has the UUID; `Err`: it may not have it.
    fn deliver(
        &self,
        conn: ConnId,
        uuid: Uuid,
        rooms: Option<&[String]>,
        text: String,
    ) -> Option<Result<Self::Rest, ()>>;
    /// Waits for what is left to be done.
    fn finish(&self, rest: Self::Rest) -> impl Future<Output = ()> + Send;
    /// A client's message reached nobody.
    fn undelivered(&self, conn: ConnId, peer: Uuid, text: &str) -> impl Future<Output = ()> + Send;
    /// The peer of a client's message may not have it.
    fn forbidden(&self, conn: ConnId, peer: Uuid, text: &str) -> impl Future<Output = ()> + Send;
    /// Counts a message.
    fn forwarded(&self, way: Way, took: Duration);
}
