//! What ICE knows of the path that it has chosen.

use rtc::peer_connection::transport::RTCIceCandidatePair;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use webrtc::peer_connection::{PeerConnection, StatsSelector};

/// Its two ends.
pub(super) async fn pair(engine: &Arc<dyn PeerConnection>) -> Option<RTCIceCandidatePair> {
    let sctp = engine.sctp().await?;
    sctp.transport()
        .ice_transport()
        .get_selected_candidate_pair()
        .await
        .ok()?
}

/// What a check of it took, on average, before acknowledgements are hastened: ICE's figures are of no use then.
pub(super) async fn round_trip(engine: &Arc<dyn PeerConnection>, now: Instant) -> Option<Duration> {
    let stats = engine.get_stats(now.into_std(), StatsSelector::None).await;
    let pair = stats
        .candidate_pairs()
        .find(|pair| pair.nominated && pair.responses_received > 0)?;
    Duration::try_from_secs_f64(pair.total_round_trip_time / pair.responses_received as f64).ok()
}
