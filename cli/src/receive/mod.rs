//! `crosspeer receive`: files and messages of any peer, into one folder.

mod inbox;

use crate::args::ReceiveArgs;
use crate::failure::{Failure, Result};
use crate::net;
use crate::output::Output;
use crate::store::Store;
use crosspeer_native::PeerManager;
use inbox::{Folder, Inbox};
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
    let store = Store::open(&args.dir, args.overwrite).map_err(|e| Failure::local(args.dir.display(), e))?;
    crosspeer_relay::raise_file_limit();
    let peers = net::join(&args.connect).await?;
    let (uuid, name) = (peers.uuid(), peers.name());
    output.event(
        json!({"type": "ready", "uuid": uuid, "name": name, "dir": args.dir}),
        uuid,
    );
    output.note(format_args!("receiving into {}; end with Ctrl-C", args.dir.display()));
    let mut output = output.clone();
    output.show_progress();
    let folder = Arc::new(Folder::new(store, output.clone()));
    let count = if args.once { Some(1) } else { args.count };
    let result = serve(&peers, &folder, count, &output).await;
    output.bar().finish_and_clear();
    net::leave(&peers, count.is_none()).await;
    result
}

async fn serve(peers: &PeerManager, folder: &Arc<Folder>, count: Option<u64>, output: &Output) -> Result<()> {
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
                    let inbox = Inbox::new(connection, folder.clone(), stored.clone());
                    inboxes.spawn(inbox.run(stopped.clone()));
                }
                Err(error) => break Err(error.into()),
            },
            Some(things) = stored_things.recv() => left = left.saturating_sub(things),
            Some(_) = inboxes.join_next() => {}
            gone = &mut watching => break Err(gone),
            () = &mut interrupted => break Ok(()),
        }
    };
    drop((stop, stored_things));
    let _ = timeout(GOODBYE_TIME, inboxes.join_all()).await;
    result
}
