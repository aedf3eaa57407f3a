//! Joining the relay, and leaving it.

use crate::args::{ConnectArgs, RelayTlsArgs};
use crate::failure::{Failure, Result};
use crate::known::Names;
use crate::output::Output;
use crate::token;
use crosspeer::{Error, IceServer, IceTransportPolicy, PeerConnection, RelayState, State};
use crosspeer_native::{Config, PeerManager, RelayClient, load_identity};
use serde_json::json;
use std::time::Duration;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// Bytes of the largest message where nothing large makes sense.
const SMALL_MESSAGE: u64 = 1 << 20;
/// Bytes of what strangers have begun and of what waits, all together. One peer that is behind may have 20 MiB wait.
const MEMORY_BUDGET: u64 = 24 << 20;
const SMALL_BUDGET: u64 = 12 << 20;
/// Bytes of messages of one peer that wait here, and where nothing large comes.
const WAITING: usize = 1 << 20;
const FEW_WAITING: usize = 256 << 10;
/// Peers that may be connected at once without being called; each costs half a MiB.
const MAX_CALLERS: usize = 48;

/// The longest that a command takes to deliver what it has sent when it ends.
const CLOSE_TIME: Duration = Duration::from_secs(30);
/// The same after Ctrl-C.
const INTERRUPTED_CLOSE_TIME: Duration = Duration::from_secs(3);

/// Registers at the relay.
pub(crate) async fn join(args: &ConnectArgs) -> Result<PeerManager> {
    join_as(args, false, SMALL_MESSAGE).await
}

/// The same for a program that confirms what plain messages it keeps, or hears such, and takes and sends messages of so
/// many bytes.
pub(crate) async fn join_as(args: &ConnectArgs, confirms: bool, max_message_bytes: u64) -> Result<PeerManager> {
    let mut config = Config::default();
    config.name.clone_from(&args.name);
    config.uuid = args.uuid;
    config.identity = args.identity.as_ref().map(load_identity).transpose()?;
    config.require_verified = args.require_verified;
    config.channels = args.channels;
    config.connect_timeout = args.timeout;
    config.confirms = confirms;
    config.max_message_bytes = max_message_bytes;
    config.receive_buffer_bytes = WAITING;
    config.max_connections = MAX_CALLERS;
    config.memory_budget_bytes = MEMORY_BUDGET.max(max_message_bytes + (max_message_bytes >> 2));
    if max_message_bytes == SMALL_MESSAGE {
        config.lanes = 1..=1; // each takes memory, and nothing large comes
        config.receive_buffer_bytes = FEW_WAITING;
        config.memory_budget_bytes = SMALL_BUDGET;
    }
    if args.no_stun || !args.stun.is_empty() {
        config.ice_servers = args.stun.iter().map(IceServer::new).collect();
    }
    config.ice_servers.extend(args.turn.servers());
    config.relay_ice_servers = !args.no_stun;
    if args.relay_only {
        config.ice_transport_policy = IceTransportPolicy::Relay;
    }
    apply_tls(&mut config, &args.tls)?;
    Ok(PeerManager::join(&args.relay, config).await?)
}

impl Names {
    /// Those that a command uses.
    pub(crate) fn of(args: &ConnectArgs) -> Result<Self> {
        Self::load(args.known.as_deref(), args.identity.as_deref())
    }
}

/// Tells when the relay is lost and when it is back. Ends when it has gone for good, and says why.
pub(crate) async fn watch(peers: &PeerManager, output: &Output) -> Failure {
    let mut lost = false;
    let mut state = peers.relay_state();
    loop {
        match &state {
            RelayState::Ended(error) => return error.clone().into(),
            RelayState::Registered if lost => {
                lost = false;
                output.detail(json!({"type": "relay-back"}), "the relay is back");
            }
            RelayState::Connecting(error) if !lost => {
                lost = true;
                let reason = match error {
                    Some(Error::RelayUnreachable { reason, .. }) => reason.clone(),
                    other => other.as_ref().map(Error::to_string).unwrap_or_default(),
                };
                output.detail(
                    json!({"type": "relay-lost", "message": reason}),
                    format_args!("lost the relay ({reason}): nobody can call until it is back; trying again"),
                );
            }
            _ => {}
        }
        state = peers.relay_changed(&state).await;
    }
}

/// What these arguments say about the relay.
pub(crate) fn relay_config(args: &RelayTlsArgs) -> Result<Config> {
    let mut config = Config::default();
    apply_tls(&mut config, args)?;
    Ok(config)
}

/// Registers at the relay and leaves again. Tells the STUN and TURN servers that it gives.
pub(crate) async fn register(url: &str, mut config: Config, time: Duration) -> Result<Option<IceServer>> {
    config.connect_timeout = time;
    let client = RelayClient::connect(url, config).await?;
    let servers = client.ice_server();
    client.close().await?;
    Ok(servers)
}

/// Delivers what was sent and says goodbye; in a hurry after an interruption.
pub(crate) async fn leave(peers: &PeerManager, interrupted: bool) {
    let time = if interrupted {
        INTERRUPTED_CLOSE_TIME
    } else {
        CLOSE_TIME
    };
    tokio::select! {
        _ = timeout(time, peers.close()) => {}
        () = self::interrupted() => {} // once more: at once
    }
}

/// Tells when the connection has lost its path, and when it has another one; never ends.
pub(crate) async fn tell_of_paths(connection: &PeerConnection, output: &Output) -> std::convert::Infallible {
    let (mut seen, peer) = (connection.state(), connection.peer());
    loop {
        let state = connection.changed(seen).await;
        match (seen, state) {
            (_, State::Reconnecting) => output.detail(
                json!({"type": "reconnecting", "peer": peer}),
                "the path to the peer is lost; reconnecting …",
            ),
            (State::Reconnecting, State::Connected) => {
                output.detail(json!({"type": "reconnected", "peer": peer}), "reconnected");
            }
            _ => {}
        }
        seen = state;
    }
}

/// Ends on Ctrl-C, SIGTERM, or when the terminal goes.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    if let (Ok(mut terminate), Ok(mut hangup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

fn apply_tls(config: &mut Config, args: &RelayTlsArgs) -> Result<()> {
    config.relay_headers.clone_from(&args.header);
    config.token = token::for_relay(args.token.as_deref(), args.token_file.as_deref())?;
    config.tls.verify = !args.insecure;
    config.proxy = args.proxy.clone().unwrap_or_default();
    for path in &args.ca {
        let pem = std::fs::read_to_string(path).map_err(|e| Failure::local(path.display(), e))?;
        config.tls.roots_pem.push(pem);
    }
    Ok(())
}
