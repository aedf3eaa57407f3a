//! Two peers in one process, with the engine's own settings, on this host's addresses: the candidates of an offer, and
//! how long it takes until the channel is open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Notify, mpsc};
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder, RTCIceGatheringState,
};
use webrtc::runtime::TokioRuntime;

type Error = Box<dyn std::error::Error>;

struct Observer {
    gathered: Arc<Notify>,
    arrived: mpsc::UnboundedSender<Arc<dyn DataChannel>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Observer {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.arrived.send(channel);
    }
}

async fn peer(
    arrived: &mpsc::UnboundedSender<Arc<dyn DataChannel>>,
) -> Result<(impl PeerConnection, Arc<Notify>), Error> {
    let gathered = Arc::new(Notify::new());
    let observer = Observer {
        gathered: Arc::clone(&gathered),
        arrived: arrived.clone(),
    };
    let connection = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::default().build())
        .with_handler(Arc::new(observer))
        .with_runtime(Arc::new(TokioRuntime))
        .with_udp_addrs(vec![SocketAddr::from(([127, 0, 0, 1], 0))])
        .build();
    Ok((connection.await?, gathered))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (arrived, _arriving) = mpsc::unbounded_channel();
    for _ in 0..5 {
        let start = Instant::now();
        let ((one, gathered_one), (two, gathered_two)) = (peer(&arrived).await?, peer(&arrived).await?);
        let channel = one.create_data_channel("example", None).await?;
        one.set_local_description(one.create_offer(None).await?).await?;
        gathered_one.notified().await;
        let offer = one.local_description().await.ok_or("no offer")?;
        let candidates: Vec<_> = offer
            .sdp
            .lines()
            .filter(|line| line.starts_with("a=candidate"))
            .map(str::to_owned)
            .collect();
        two.set_remote_description(offer).await?;
        two.set_local_description(two.create_answer(None).await?).await?;
        gathered_two.notified().await;
        one.set_remote_description(two.local_description().await.ok_or("no answer")?)
            .await?;
        while !matches!(channel.poll().await, Some(DataChannelEvent::OnOpen) | None) {}
        println!(
            "open after {:?}; the offer's candidates:\n  {}",
            start.elapsed(),
            candidates.join("\n  ")
        );
    }
    Ok(())
}
