//! `crosspeer id`: who this peer is, and how it becomes another one; and whether others are who they say.

use crate::args::IdArgs;
use crate::failure::{Exit, Failure, Result};
use crate::known::{Names, beside};
use crate::net;
use crate::output::Output;
use crosspeer::known::Successor;
use crosspeer::transfer::{Packet, ToSender};
use crosspeer::{Identity, PeerConnection};
use crosspeer_native::{PeerManager, fingerprint_of, load_identity};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// Prints the UUID that an identity file gives; makes the file if there is none.
pub(crate) async fn run(args: &IdArgs, output: &Output) -> Result<()> {
    if args.rotate {
        rotate(args, output).await?;
    }
    let identity = load_identity(&args.identity)?;
    let fingerprint = fingerprint_of(&identity)?;
    let uuid = fingerprint.uuid();
    output.event(
        json!({"type": "id", "uuid": uuid, "fingerprint": fingerprint.to_string(), "file": args.identity}),
        uuid,
    );
    output.note(format_args!("its certificate's SHA-256 is {fingerprint}"));
    output.note(format_args!(
        "the key is in {}: who has it is this peer",
        args.identity.display()
    ));
    Ok(())
}

/// The identity in a file, if one is named.
pub(crate) fn load(path: Option<&Path>) -> Result<Option<Identity>> {
    path.map(load_identity).transpose().map_err(Failure::from)
}

/// For people: whether that peer has been found to be the one of its id.
pub(crate) fn shield(connection: &PeerConnection) -> &'static str {
    match connection.is_verified() {
        true => "verified",
        false => "not verified",
    }
}

/// Makes the next identity, has the present one vouch for it to every known peer, and puts it in its place. Until that is
/// done it waits beside it, so that this can be done again.
async fn rotate(args: &IdArgs, output: &Output) -> Result<()> {
    let file = &args.identity;
    if !file.exists() {
        let text = format!("{}: there is no identity to be changed", file.display());
        return Err(Failure::new(Exit::Usage, text));
    }
    let next = beside(file, ".next");
    let successor = Successor {
        fingerprint: fingerprint_of(&load_identity(&next)?)?,
    };
    let names = Names::load(args.known.as_deref(), Some(file))?;
    let peers = net::join_as(&args.connect(), true, 1 << 20).await?;
    let mut missed = 0;
    for known in names.peers().iter() {
        let told = tokio::select! {
            told = tell(&peers, known.id, &successor, args.timeout) => told,
            () = net::interrupted() => Err(Failure::interrupted()),
        };
        match told {
            Ok(()) => output.detail(
                json!({"type": "told", "peer": known.id, "name": known.name.to_string()}),
                format_args!("{} knows of it", known.name),
            ),
            Err(failure) if failure.exit == Exit::Interrupted => {
                net::leave(&peers, true).await;
                return Err(failure);
            }
            Err(failure) => {
                missed += 1;
                output.detail(
                    json!({"type": "not-told", "peer": known.id, "name": known.name.to_string(), "message": failure.to_string()}),
                    format_args!("{} does not know of it: {failure}", known.name),
                );
            }
        }
    }
    net::leave(&peers, false).await;
    if missed > 0 && !args.anyway {
        let text = format!(
            "the id is as before: {missed} known peers were not told of the next one, which waits in {}; try again when \
             they run `crosspeer receive`, or change it with --anyway",
            next.display()
        );
        return Err(Failure::new(Exit::Peer, text));
    }
    let old = beside(file, ".old");
    let failed = |error| Failure::local(file.display(), error);
    std::fs::rename(file, &old).map_err(failed)?;
    std::fs::rename(&next, file).map_err(failed)?;
    output.note(format_args!("the old key is in {}: delete it", old.display()));
    Ok(())
}

/// Tells one peer, and waits until it has understood.
async fn tell(peers: &PeerManager, id: Uuid, successor: &Successor, patience: Duration) -> Result<()> {
    let connection = peers.connect(id).await?;
    if !connection.peer_confirms() {
        return Err(Failure::new(Exit::Peer, "it does not run `crosspeer receive`"));
    }
    connection.send(successor.encode()).await?;
    let answer = async {
        loop {
            match Packet::decode(connection.recv().await?)? {
                Packet::ToSender(ToSender::Kept { .. }) => return Ok(()),
                Packet::ToSender(ToSender::Lost { reason, .. }) => return Err(Failure::new(Exit::Refused, reason)),
                _ => {}
            }
        }
    };
    let silent = |_| Failure::new(Exit::Timeout, format!("no answer within {patience:?}"));
    let answer = timeout(patience, answer).await.map_err(silent)?;
    connection.close().await?;
    answer
}
