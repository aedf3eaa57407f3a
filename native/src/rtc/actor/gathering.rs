//! How an engine is opened, how long its description waits for candidates, and which of them were chosen.

use super::Actor;
use crate::rtc::addresses::addresses;
use crate::rtc::observer::Observer;
use crate::rtc::runtime::TunedRuntime;
use crate::rtc::setup;
use crate::rtc::tunnel::Tunnels;
use crosspeer::IceTransportPolicy;
use crosspeer::platform::{RtcEvent, SessionDescription};
use rtc::peer_connection::transport::RTCIceCandidatePair;
use std::sync::Arc;
use tokio::time::Instant;
use webrtc::error::Result;
use webrtc::peer_connection::PeerConnection;

impl Actor {
    pub(super) async fn open_engine(&mut self) -> Result<Arc<dyn PeerConnection>> {
        let sockets = addresses();
        let tunnels = Tunnels::new(&self.config, &sockets);
        self.tunnels = Some(Arc::clone(&tunnels));
        // Where there may be TURN it needs its part of the time, and STUN's names come before it.
        let part = if setup::may_be_relayed(&self.config) { 3 } else { 6 };
        let runtime = TunedRuntime {
            pace: Arc::clone(&self.reports.pace),
            gate: Arc::clone(&self.gate),
            mux: self.quic.mux(),
            tunnels,
            share: self.share,
            resolve_until: Instant::now() + self.config.gather_timeout * part / 16,
        };
        let observer = Observer(self.reports.news.clone());
        let engine = setup::engine(&self.config, self.certificate.as_ref(), observer, runtime, sockets).await?;
        self.engine = Some(Arc::clone(&engine));
        Ok(engine)
    }

    /// The offerer gathers, then the answerer: each gets half of the time.
    pub(super) fn gather_until(&self) -> Instant {
        Instant::now() + self.config.gather_timeout / 2
    }

    /// The time to gather is over. TCP and TLS take some round trips more: where they are all that may lead to a peer, they
    /// are waited for once.
    pub(super) async fn describe_in_time(&mut self) {
        let pending = self.tunnels.as_ref().is_some_and(|tunnels| tunnels.are_pending());
        if pending
            && !self.patient
            && let Some((sdp_type, _)) = self.gathering
            && !self.is_relayed().await
        {
            self.patient = true;
            self.gathering = Some((sdp_type, Instant::now() + self.config.gather_timeout * 2));
            return;
        }
        self.describe().await;
    }

    /// Whether there is a candidate of a TURN server.
    async fn is_relayed(&self) -> bool {
        let Some(engine) = &self.engine else { return false };
        let description = engine.local_description().await;
        description.is_some_and(|description| description.sdp.contains(" typ relay"))
    }

    /// Reports the local description with the candidates there are.
    pub(super) async fn describe(&mut self) {
        let Some((sdp_type, _)) = self.gathering.take() else {
            return;
        };
        self.tell_failures();
        let Some(engine) = &self.engine else {
            return;
        };
        if let Some(description) = engine.local_description().await {
            let mut sdp = setup::without_repeated_candidates(&description.sdp);
            if self.config.ice_transport_policy == IceTransportPolicy::Relay {
                sdp = setup::without_bases(&sdp);
            }
            self.reports
                .event(RtcEvent::LocalDescription(SessionDescription { sdp_type, sdp }));
        }
    }

    /// What TURN servers could not be used, for the error if there is no path without them.
    pub(super) fn tell_failures(&self) {
        for (url, reason) in self.tunnels.iter().flat_map(|tunnels| tunnels.failures()) {
            self.reports.event(RtcEvent::ServerFailed { url, reason });
        }
    }

    /// How the peer is reached, once ICE has chosen a pair of addresses.
    pub(super) fn tell_path(&self, pair: Option<&RTCIceCandidatePair>) {
        if let Some(pair) = pair {
            self.reports.event(RtcEvent::Path(setup::path(pair)));
        }
    }
}
