//! `crosspeer share`: a folder for everyone who opens a web page. One process, one port: page, relay, and a peer.

mod address;
mod assets;
mod downloads;
mod folder;
mod guesses;
mod http;
mod listings;
mod names;
mod room;
mod shared;
mod token;
mod uploads;
mod visit;

use crate::args::ShareArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output::Output;
use crate::{identity, net};
use crosspeer::transfer::catalog::{Participant, Role};
use crosspeer::{IceServer, Identity, Proxy};
use crosspeer_native::{Config, PeerManager, fingerprint_of, generate_identity};
use crosspeer_relay::{Hub, RelayConfig};
use folder::Folder;
use guesses::Guesses;
use http::Door;
use room::Room;
use serde_json::json;
use shared::Shared;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;
use visit::Visit;

/// How often it is looked who is at the relay.
const LOOK: Duration = Duration::from_millis(250);
/// Bytes of the largest message that is taken: a block of a file, or the longest of the catalog, with room to spare.
const MAX_MESSAGE: u64 = 1 << 20;
/// Bytes of messages that visitors have begun, all together.
const MEMORY_BUDGET: u64 = 32 << 20;
/// Connections of visitors at once.
const MAX_VISITORS: usize = 64;
/// Bytes of a visitor's messages that wait for the disk.
const MAX_WAITING: usize = 4 << 20;

/// Runs until interrupted.
pub(crate) async fn run(mut args: ShareArgs, output: &Output) -> Result<()> {
    args.token = token::of(&args)?;
    crosspeer_relay::raise_file_limit();
    let folder = Folder::open(&args.dir, args.hidden, args.read_only);
    let folder = folder.map_err(|e| Failure::local(args.dir.display(), e))?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|e| busy(args.listen, &e))?;
    let listen = listener.local_addr().map_err(|e| Failure::local(args.listen, e))?;
    let hub = Hub::new(&RelayConfig::default()).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    let identity = match identity::load(args.identity.as_deref())? {
        Some(identity) => identity,
        None => generate_identity()?,
    };
    let own = Participant {
        uuid: args.uuid.unwrap_or(fingerprint_of(&identity)?.uuid()),
        name: args.name.clone().unwrap_or_else(address::host_name),
        role: Role::Folder,
    };
    let key = Uuid::new_v4().simple().to_string();
    hub.reserve(own.uuid, &key);
    let door = door(&args, &own, listen);
    let (serving, routes) = (hub.clone(), http::router(door, hub.router()));
    tokio::spawn(async move { serving.serve(listener, routes).await });
    let peers = join(&args, (&own, identity), listen, &key).await?;
    announce(&args, &own, listen, output);
    let shared = Shared {
        room: Arc::new(Room::new(hub.clone(), own)),
        folder: Arc::new(folder),
        output: output.clone(),
    };
    let result = serve(&peers, &shared).await;
    net::leave(&peers, true).await;
    hub.shut_down().await;
    result
}

async fn serve(peers: &PeerManager, shared: &Shared) -> Result<()> {
    let mut visits = JoinSet::new();
    let mut interrupted = std::pin::pin!(net::interrupted());
    let mut watching = std::pin::pin!(net::watch(peers, &shared.output));
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            connection = peers.accept() => {
                let connection = connection?;
                let peer = connection.peer().unwrap_or_default();
                visits.spawn(Visit::new(peer, connection, shared.clone()).run());
            }
            _ = look.tick() => shared.room.look(),
            Some(_) = visits.join_next() => {}
            gone = &mut watching => return Err(gone),
            () = &mut interrupted => return Ok(()),
        }
    }
}

async fn join(
    args: &ShareArgs,
    (own, identity): (&Participant, Identity),
    listen: SocketAddr,
    key: &str,
) -> Result<PeerManager> {
    let mut config = Config::default();
    config.uuid = Some(own.uuid);
    config.identity = Some(identity);
    config.name = Some(own.name.clone());
    config.confirms = true;
    config.proxy = Proxy::None; // it is this very process
    config.ice_servers = args.stun.iter().map(IceServer::new).collect();
    config.ice_servers.extend(args.turn.servers());
    (config.max_message_bytes, config.receive_buffer_bytes) = (MAX_MESSAGE, MAX_WAITING);
    config.memory_budget_bytes = MEMORY_BUDGET;
    config.max_connections = MAX_VISITORS;
    let token = args.token.as_deref().map(http::percent_encode);
    let token = token.map_or_else(String::new, |token| format!("&token={token}"));
    let url = format!("ws://{}/relay?key={key}{token}", address::own(listen));
    Ok(PeerManager::join(&url, config).await?)
}

fn door(args: &ShareArgs, own: &Participant, listen: SocketAddr) -> Door {
    let folder = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
    let folder = folder
        .file_name()
        .map_or_else(|| "/".into(), |name| name.to_string_lossy().into_owned());
    let mut servers: Vec<_> = args.stun.iter().map(|url| json!({"urls": [url]})).collect();
    servers.extend(
        args.turn
            .servers()
            .into_iter()
            .map(|server| json!({"urls": server.urls, "username": server.username, "credential": server.credential})),
    );
    Door {
        token: args.token.clone(),
        host_name: address::host_name(),
        guesses: Guesses::default(),
        config: json!({
            "uuid": own.uuid,
            "name": own.name,
            "folder": folder,
            "readonly": args.read_only,
            "iceServers": servers,
            "addresses": address::for_others(listen),
            "version": env!("CARGO_PKG_VERSION"),
        }),
    }
}

fn announce(args: &ShareArgs, own: &Participant, listen: SocketAddr, output: &Output) {
    let fragment = args.token.as_deref().map(http::percent_encode);
    let fragment = fragment.map_or_else(String::new, |token| format!("#token={token}"));
    let here = format!("http://{}/{fragment}", address::own(listen));
    let others: Vec<_> = address::for_others(listen)
        .into_iter()
        .map(|origin| format!("{origin}/{fragment}"))
        .collect();
    output.event(
        json!({"type": "ready", "url": here, "urls": others, "uuid": own.uuid, "name": own.name, "dir": args.dir}),
        &here,
    );
    for url in &others {
        output.note(format_args!("on other devices: {url}"));
    }
    if listen.ip().is_loopback() {
        output.note("this computer only; for others add --listen 0.0.0.0:8700");
    }
    if others.len() + usize::from(!listen.ip().is_loopback()) > 0 && args.token.is_none() {
        let may = if args.read_only { "" } else { " and put files into it" };
        output.note(format_args!(
            "whoever reaches that address may read the folder{may}; leave out --no-token to keep others out"
        ));
    }
    output.note(format_args!("sharing {}; end with Ctrl-C", args.dir.display()));
}

fn busy(listen: SocketAddr, error: &std::io::Error) -> Failure {
    let advice = match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another program uses that port: try another one with --listen",
        _ => "",
    };
    Failure::new(Exit::Failure, format!("cannot listen on {listen}: {error}{advice}"))
}
