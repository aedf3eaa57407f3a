//! `crosspeer echo`: every message goes back as it came.

use crate::args::EchoArgs;
use crate::failure::{Failure, Result};
use crate::net::{self, Adopted, Adopter};
use crate::output::Output;
use crosspeer::{Message, PeerConnection};
use crosspeer_native::PeerManager;
use serde_json::json;
use uuid::Uuid;

/// Runs until interrupted.
pub(crate) async fn run(args: EchoArgs, output: &Output) -> Result<()> {
    let peers = net::join(&args.connect).await?;
    let (uuid, name) = (peers.uuid(), peers.name());
    output.event(json!({"type": "ready", "uuid": uuid, "name": name}), uuid);
    output.note("echoing; end with Ctrl-C");
    let result = tokio::select! {
        result = serve(&peers, output) => result,
        () = net::interrupted() => Ok(()),
    };
    net::leave(&peers, true).await;
    result
}

async fn serve(peers: &PeerManager, output: &Output) -> Result<()> {
    let mut adopter = Adopter::default();
    loop {
        tokio::select! {
            message = peers.recv() => {
                let (from, message) = message.map_err(Failure::from)?;
                adopter.push(peers, from, message);
            }
            Adopted { from, backlog, connection } = adopter.next() => match connection {
                Ok(connection) => {
                    tokio::spawn(echo(from, backlog, connection, output.clone()));
                }
                Err(error) => output.detail(
                    json!({"type": "peer-gone", "peer": from, "message": error.to_string()}),
                    format_args!("{from} went away before its messages could be sent back: {error}"),
                ),
            },
        }
    }
}

async fn echo(from: Uuid, backlog: Vec<Message>, connection: PeerConnection, output: Output) {
    let mut backlog = backlog.into_iter();
    let ended = loop {
        let message = match backlog.next() {
            Some(message) => Ok(message),
            None => connection.recv().await,
        };
        let sent = match message {
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
        format_args!("{from}: {ended}"),
    );
}
