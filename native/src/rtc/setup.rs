//! How the engine is built: its settings, its addresses, its servers.

mod relayed;

use super::certificate::Certificate;
use super::observer::Observer;
use super::pace::ACK_DELAY;
use super::runtime::{TunedRuntime, largest_window};
use super::share::Share;
use super::tunnel::{self, Tunnels};
use crosspeer::chunk::{HEADER_BYTES, MAX_CHUNK_BYTES};
use crosspeer::{Config, IceServer, IceTransportPolicy, Path};
use relayed::RelayedRuntime;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::peer_connection::transport::{RTCIceCandidatePair, RTCIceCandidateType};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, RTCConfiguration, RTCConfigurationBuilder, RTCIceServer,
    RTCIceTransportPolicy, SettingEngine, SettingEngineBuilder,
};
use webrtc::runtime::Runtime;

/// How often each pair of addresses is tried, as aiortc does it. The engine's own 200 ms is most of its slow set-up.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Relayed paths are nominated only after direct ones have had this long.
const RELAY_WAIT: Duration = Duration::from_millis(500);
/// What ProxyStore and Chromium advertise.
const MAX_MESSAGE: u32 = 262_144;
/// Records by which a DTLS record may come late: what the gate held back during a stall is then still taken.
const REPLAY_WINDOW: usize = 2048;

/// A new engine, not yet doing anything.
pub(super) async fn engine(
    config: &Config,
    certificate: Option<&Certificate>,
    observer: Observer,
    runtime: TunedRuntime,
    sockets: Vec<SocketAddr>,
) -> webrtc::error::Result<Arc<dyn PeerConnection>> {
    let share = runtime.share;
    let configuration = configuration(config, certificate, &runtime.tunnels);
    let runtime: Arc<dyn Runtime> = match may_be_relayed(config) {
        true => Arc::new(RelayedRuntime::new(runtime)),
        false => Arc::new(runtime),
    };
    let built = PeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_setting_engine(settings(config, share))
        .with_handler(Arc::new(observer))
        .with_runtime(runtime)
        .with_udp_addrs(sockets)
        .build();
    // Boxed: the engine's constructor is a large future.
    Ok(Arc::new(Box::pin(built).await?))
}

fn configuration(config: &Config, certificate: Option<&Certificate>, tunnels: &Tunnels) -> RTCConfiguration {
    let supported = |server| supported(server, tunnels);
    let servers = config.ice_servers.iter().filter_map(supported).collect();
    let policy = match config.ice_transport_policy {
        IceTransportPolicy::Relay => RTCIceTransportPolicy::Relay,
        _ => RTCIceTransportPolicy::All,
    };
    RTCConfigurationBuilder::default()
        .with_ice_servers(servers)
        .with_ice_transport_policy(policy)
        .with_certificates(
            certificate
                .map(|certificate| certificate.inner.clone())
                .into_iter()
                .collect(),
        )
        .build()
}

fn settings(config: &Config, share: Share) -> SettingEngine {
    let checks = config.connect_timeout.as_millis() / CHECK_INTERVAL.as_millis();
    SettingEngineBuilder::new()
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(u16::try_from(checks).unwrap_or(u16::MAX)))
        .with_host_acceptance_min_wait(Some(Duration::ZERO))
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_srflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_relay_acceptance_min_wait(Some(RELAY_WAIT))
        .with_ice_timeouts(
            Some(silent_after(config) + ACK_DELAY),
            // How long a silent peer is waited for, and how long set-up may take, is decided by the link.
            Some(config.connect_timeout.max(config.dead_after)),
            Some(keepalive(config)),
        )
        .with_dtls_replay_protection_window(REPLAY_WINDOW)
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(MAX_MESSAGE))
        .with_sctp_max_receive_buffer_size(share.receive_window(largest_window()))
        .build()
}

/// A peer that has answered nothing for this long is reported as silent: 2 s by default.
pub(super) fn silent_after(config: &Config) -> Duration {
    config.dead_after / 4
}

/// How often the peer is asked for a sign of life: 0.8 s by default, twice before it counts as silent; at most 2 s, which
/// keeps NATs open. Most of what an idle connection costs the processor is this.
fn keepalive(config: &Config) -> Duration {
    (config.dead_after / 10).clamp(Duration::from_millis(20), Duration::from_secs(2))
}

/// The server with those of its URLs that the engine can use.
fn supported(server: &IceServer, tunnels: &Tunnels) -> Option<RTCIceServer> {
    let mut urls = tunnel::known(tunnels, server);
    let others = server.urls.iter().filter(|url| !tunnel::is_server(url));
    urls.extend(others.filter(|url| is_supported(url)).cloned());
    (!urls.is_empty()).then(|| RTCIceServer {
        urls,
        username: server.username.clone(),
        credential: server.credential.clone(),
    })
}

/// Whether there is a TURN server that the engine can use.
pub(super) fn may_be_relayed(config: &Config) -> bool {
    let is_turn = |url: &String| {
        let lower = url.to_ascii_lowercase();
        lower.starts_with("turn:") && !lower.contains("transport=tcp") || tunnel::is_server(url)
    };
    config.ice_servers.iter().any(|server| server.urls.iter().any(is_turn))
}

fn is_supported(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    let plain = lower.split('?').next().unwrap_or_default();
    let parsed = if plain.starts_with("stun:") { plain } else { &lower };
    if lower.starts_with("turns:") || lower.starts_with("stuns:") || lower.contains("transport=tcp") {
        tracing::warn!(
            url,
            "skipped: STUN works over UDP only here, and TURN over UDP, TCP and TLS"
        );
        return false;
    }
    if let Err(error) = rtc::ice::url::Url::parse_url(parsed) {
        tracing::warn!(url, %error, "skipped: not a STUN or TURN URL, as `stun:host:port` or `turn:host:port`");
        return false;
    }
    true
}

/// How a pair of addresses leads to the peer.
pub(super) fn path(pair: &RTCIceCandidatePair) -> Path {
    let relayed = [pair.local(), pair.remote()].map(|candidate| candidate.typ == RTCIceCandidateType::Relay);
    match relayed.contains(&true) {
        true => Path::Relayed,
        false => Path::Direct,
    }
}

/// The engine makes a buffer for the largest frame that both sides take. A peer of our own kind, as a prompt one is,
/// sends and needs no more than a chunk.
pub(super) fn with_small_frames(sdp: String, prompt: bool) -> String {
    let said = format!("a=max-message-size:{MAX_MESSAGE}");
    match prompt {
        true => sdp.replace(&said, &format!("a=max-message-size:{}", MAX_CHUNK_BYTES + HEADER_BYTES)),
        false => sdp,
    }
}

/// The engine repeats candidates; each is wanted once.
pub(super) fn without_repeated_candidates(sdp: &str) -> String {
    let mut seen = std::collections::HashSet::new();
    let keep = |line: &&str| !line.starts_with("a=candidate:") || seen.insert(line.trim_end().to_owned());
    sdp.split_inclusive('\n').filter(keep).collect()
}

/// The description without the addresses that relayed candidates were made from: whoever wants only relayed paths shows
/// none of its own.
pub(super) fn without_bases(sdp: &str) -> String {
    let hidden = |line: &str| {
        let mut after = String::new();
        let word = |word: &str| {
            let end = &word[word.trim_end().len()..];
            match std::mem::replace(&mut after, word.trim_end().to_owned()).as_str() {
                "raddr" => format!("0.0.0.0{end}"),
                "rport" => format!("0{end}"),
                _ => word.to_owned(),
            }
        };
        match line.starts_with("a=candidate:") {
            true => line.split_inclusive(' ').map(word).collect(),
            false => line.to_owned(),
        }
    };
    sdp.split_inclusive('\n').map(hidden).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_hidden_and_nothing_else() {
        let sdp = "v=0\r\na=candidate:1 1 udp 5 192.0.2.1 5 typ relay raddr 10.0.0.7 rport 4444 ufrag x\r\n\
                   a=candidate:2 1 udp 5 192.0.2.1 5 typ relay raddr fd00::7 rport 4444\r\na=raddr 10.0.0.7 rport 1\r\n";
        let hidden = "v=0\r\na=candidate:1 1 udp 5 192.0.2.1 5 typ relay raddr 0.0.0.0 rport 0 ufrag x\r\n\
                      a=candidate:2 1 udp 5 192.0.2.1 5 typ relay raddr 0.0.0.0 rport 0\r\na=raddr 10.0.0.7 rport 1\r\n";
        assert_eq!(without_bases(sdp), hidden);
        assert_eq!(without_bases("a=candidate: raddr"), "a=candidate: raddr");
    }

    #[test]
    fn what_cannot_be_used_is_skipped() {
        let mut server = IceServer::new("stun:stun.example:3478");
        for url in [
            "turn:turn.example?transport=udp",
            "turn:turn.example?transport=tcp",
            "turns:turn.example",
            "turns:[2001:db8::1]:443?transport=tcp",
            "turns:turn.example?transport=udp",
            "stuns:stun.example",
            "http://x",
            "",
        ] {
            server.urls.push(url.into());
        }
        let config = Config::default().with_ice_servers([server.clone()]);
        let tunnels = Tunnels::new(&config, &[]);
        let kept = supported(&server, &tunnels).unwrap();
        assert_eq!(
            kept.urls,
            [
                "turn:0.turn.invalid:9?transport=udp",
                "turn:1.turn.invalid:9?transport=udp",
                "turn:2.turn.invalid:9?transport=udp",
                "stun:stun.example:3478",
                "turn:turn.example?transport=udp"
            ]
        );
        assert!(supported(&IceServer::new("stun"), &tunnels).is_none());
        assert!(may_be_relayed(
            &Config::default().with_ice_servers([IceServer::new("turns:turn.example")])
        ));
    }

    #[test]
    fn the_buffer_for_a_prompt_peer_is_one_chunk() {
        let sdp = "a=mid:0\r\na=max-message-size:262144\r\n".to_owned();
        assert_eq!(
            with_small_frames(sdp.clone(), true),
            "a=mid:0\r\na=max-message-size:65554\r\n"
        );
        assert_eq!(with_small_frames(sdp.clone(), false), sdp);
    }

    #[test]
    fn a_candidate_is_written_once() {
        let sdp = "m=application 9 X\r\na=candidate:1 1 udp 1 h 1 typ host\r\na=candidate:1 1 udp 1 h 1 typ host\r\na=mid:0\r\na=mid:0\r\n";
        let cleaned = without_repeated_candidates(sdp);
        assert_eq!(cleaned.matches("a=candidate:").count(), 1);
        assert_eq!(cleaned.matches("a=mid:0").count(), 2);
    }
}
