//! `crosspeer receive`: files and messages of any peer, into one folder.

mod door;
mod inbox;

use crate::args::ReceiveArgs;
use crate::failure::{Exit, Failure, Result};
use crate::known::Names;
use crate::net;
use crate::output::Output;
use crate::store::Store;
use crosspeer_native::PeerManager;
use door::Door;
use inbox::{Folder, Inbox, Place};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The time for telling peers that their files are no longer taken.
const GOODBYE_TIME: Duration = Duration::from_secs(3);

/// Runs until interrupted, or until `--count` things have come.
pub(crate) async fn run(args: ReceiveArgs, output: &Output) -> Result<()> {
    let mut output = output.clone();
    let place = match &args.dir {
        Some(dir) => Place::Folder {
            store: Store::open(dir, args.overwrite).map_err(|e| Failure::local(dir.display(), e))?,
            hidden: args.hidden,
        },
        None => {
            output.leave_stdout_alone();
            Place::stdout()
        }
    };
    let door = Arc::new(Door::new(&args, Names::of(&args.connect)?, &output)?);
    crosspeer_relay::raise_file_limit();
    let peers = net::join_as(&args.connect, true, u64::from(args.max_message) << 20).await?;
    let (uuid, name) = (peers.uuid(), peers.name());
    output.event(
        json!({"type": "ready", "uuid": uuid, "name": name, "dir": args.dir}),
        uuid,
    );
    match &args.dir {
        Some(dir) => output.note(format_args!("receiving into {}; end with Ctrl-C", dir.display())),
        None => output.note("receiving to the output; end with Ctrl-C"),
    }
    output.show_progress();
    let folder = Arc::new(Folder::new(place, output.clone()));
    let once = args.once || (args.stdout && args.count.is_none());
    let count = if once { Some(1) } else { args.count };
    let result = serve(&peers, &folder, (count, door), &output).await;
    output.bar().finish_and_clear();
    net::leave(&peers, count.is_none() || result.is_err()).await;
    result
}

/// Until so many things have come.
async fn serve(
    peers: &PeerManager,
    folder: &Arc<Folder>,
    (count, door): (Option<u64>, Arc<Door>),
    output: &Output,
) -> Result<()> {
    let (stored, mut stored_things) = mpsc::channel(64);
    let (stop, stopped) = watch::channel(());
    let mut inboxes = JoinSet::new();
    let mut left = count.unwrap_or(u64::MAX);
    let mut interrupted = std::pin::pin!(net::interrupted());
    let mut watching = std::pin::pin!(net::watch(peers, output));
    let result = loop {
        if left == 0 {
            break Ok(());
        }
        tokio::select! {
            connection = peers.accept() => match connection {
                Ok(connection) => {
                    let peer = connection.peer().unwrap_or_default();
                    let names = door.names();
                    output.detail(
                        json!({"type": "connected", "peer": peer, "verified": connection.is_verified(),
                               "name": names.name_of(&connection)}),
                        format_args!("{peer} ({}) is connected", names.describe(&connection)),
                    );
                    let (door, folder, stored, stopped) = (door.clone(), folder.clone(), stored.clone(), stopped.clone());
                    inboxes.spawn(async move {
                        let objection = door.objection(&connection).await;
                        Inbox::new(connection, folder, (door.names(), objection), stored).run(stopped).await;
                    });
                }
                Err(error) => break Err(error.into()),
            },
            Some(things) = stored_things.recv() => match things {
                Ok(things) => left = left.saturating_sub(things),
                Err(reason) => break Err(Failure::new(Exit::Failure, reason)),
            },
            Some(_) = inboxes.join_next() => {}
            gone = &mut watching => break Err(gone),
            () = &mut interrupted => break Ok(()),
        }
    };
    drop((stop, stored_things));
    tokio::select! {
        _ = timeout(GOODBYE_TIME, inboxes.join_all()) => {}
        () = net::interrupted() => {} // a second time: at once
    }
    result
}
