//! `crosspeer echo`: every message goes back as it came.

use crate::args::EchoArgs;
use crate::failure::{Failure, Result};
use crate::identity::shield;
use crate::net;
use crate::output::Output;
use crosspeer::PeerConnection;
use crosspeer_native::PeerManager;
use serde_json::json;

/// Runs until interrupted.
pub(crate) async fn run(args: EchoArgs, output: &Output) -> Result<()> {
    crosspeer_relay::raise_file_limit();
    let peers = net::join(&args.connect).await?;
    let (uuid, name) = (peers.uuid(), peers.name());
    output.event(json!({"type": "ready", "uuid": uuid, "name": name}), uuid);
    output.note("echoing; end with Ctrl-C");
    let result = tokio::select! {
        result = serve(&peers, output) => result,
        gone = net::watch(&peers, output) => Err(gone),
        () = net::interrupted() => Ok(()),
    };
    net::leave(&peers, true).await;
    result
}

async fn serve(peers: &PeerManager, output: &Output) -> Result<()> {
    loop {
        let connection = peers.accept().await.map_err(Failure::from)?;
        tokio::spawn(echo(connection, output.clone()));
    }
}

async fn echo(connection: PeerConnection, output: Output) {
    let from = connection.peer();
    output.detail(
        json!({"type": "connected", "peer": from, "verified": connection.is_verified()}),
        format_args!("{} ({}) is connected", from.unwrap_or_default(), shield(&connection)),
    );
    let ended = loop {
        let sent = match connection.recv().await {
            Ok(message) => {
                let kind = if message.as_text().is_some() { "text" } else { "bytes" };
                let event = json!({"type": "echo", "peer": from, "kind": kind, "bytes": message.len()});
                output.event_json(event);
                connection.send(message).await
            }
            Err(error) => break error,
        };
        if let Err(error) = sent {
            break error;
        }
    };
    output.detail(
        json!({"type": "peer-closed", "peer": from, "code": ended.code(), "message": ended.to_string()}),
        format_args!("{}: {ended}", from.unwrap_or_default()),
    );
}
