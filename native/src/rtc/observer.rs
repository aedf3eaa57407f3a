//! What the engine's driver calls; it only passes the news on, since the driver waits for its return.

use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionIceErrorEvent,
    RTCPeerConnectionState,
};

/// News for the actor.
pub(super) enum News {
    Gathered,
    Ice(RTCIceConnectionState),
    Connection(RTCPeerConnectionState),
    /// The remote side opened a channel.
    Arrived(Arc<dyn DataChannel>),
    /// A channel that we created is open.
    Opened,
    /// A channel has ended, and everything that came before it has been reported.
    Ended {
        in_order: bool,
    },
    /// The engine refused a frame.
    WriteFailed(String),
    /// QUIC is up, or over.
    Quic(Outcome),
}

/// What has become of QUIC.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It carries all frames from now on.
    Up,
    /// It does not come up, or is not wanted any more; nothing has gone over it.
    NotUp,
    /// The peer has closed it.
    Closed,
    /// It has broken.
    Failed(String),
}

/// The engine's view of the actor.
pub(super) struct Observer(pub(super) UnboundedSender<News>);

impl Observer {
    fn tell(&self, news: News) {
        let _ = self.0.send(news);
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Observer {
    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        self.tell(News::Ice(state));
    }

    async fn on_ice_candidate_error(&self, event: RTCPeerConnectionIceErrorEvent) {
        let (url, code, text) = (event.url, event.error_code, event.error_text);
        tracing::warn!(%url, code, text, "a STUN or TURN server refused; check its address and credentials");
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.tell(News::Gathered);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.tell(News::Connection(state));
    }

    async fn on_data_channel(&self, data_channel: Arc<dyn DataChannel>) {
        self.tell(News::Arrived(data_channel));
    }
}
