//! Joining the relay, and leaving it.

use crate::args::{ConnectArgs, RelayTlsArgs};
use crate::failure::{Failure, Result};
use crate::identity;
use crate::output::Output;
use crosspeer::{Error, IceServer, RelayState};
use crosspeer_native::{Config, PeerManager, RelayClient};
use serde_json::json;
use std::time::Duration;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// Bytes of the largest message where nothing large makes sense.
const SMALL_MESSAGE: u64 = 1 << 20;
/// Bytes of messages that strangers have begun, all together.
const MEMORY_BUDGET: u64 = 16 << 20;
/// Bytes of messages of one peer that wait here.
const WAITING: usize = 1 << 20;
/// Peers that may be connected at once without being called; each costs half a MiB.
const MAX_CALLERS: usize = 64;

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
    config.identity = identity::load(args.identity.as_deref())?;
    config.require_verified = args.require_verified;
    config.channels = args.channels;
    config.connect_timeout = args.timeout;
    config.confirms = confirms;
    config.max_message_bytes = max_message_bytes;
    config.receive_buffer_bytes = WAITING;
    config.max_connections = MAX_CALLERS;
    if max_message_bytes == SMALL_MESSAGE {
        config.lanes = 1..=1; // each takes memory, and nothing large comes
    }
    config.memory_budget_bytes = MEMORY_BUDGET.max(max_message_bytes + (max_message_bytes >> 2));
    if args.no_stun || !args.stun.is_empty() {
        config.ice_servers = args.stun.iter().map(IceServer::new).collect();
    }
    config.ice_servers.extend(args.turn.servers());
    apply_tls(&mut config, &args.tls)?;
    Ok(PeerManager::join(&args.relay, config).await?)
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

/// Registers at the relay and leaves again.
pub(crate) async fn register(url: &str, mut config: Config, time: Duration) -> Result<()> {
    config.connect_timeout = time;
    let client = RelayClient::connect(url, config).await?;
    Ok(client.close().await?)
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
    config.tls.verify = !args.insecure;
    config.proxy = args.proxy.clone().unwrap_or_default();
    for path in &args.ca {
        let pem = std::fs::read_to_string(path).map_err(|e| Failure::local(path.display(), e))?;
        config.tls.roots_pem.push(pem);
    }
    Ok(())
}
