//! Connections that outlive their paths: a transfer between two NATs goes on whatever happens to the network.

use crosspeer_tests::lab::{Lab, Nat, STUN, folder};
use std::fs;
use std::io::Write as _;
use std::path::Path;

const SIZE: usize = 32 << 20;
/// Of the sender: some seconds for all of it.
const MBIT: u32 = 80;

fn content() -> impl Iterator<Item = Vec<u8>> {
    (0..SIZE >> 20).map(|block| (0..1 << 20).map(|i| (i * 31 + block * 7 + (i >> 8)) as u8).collect())
}

fn write(path: &Path) {
    let mut file = fs::File::create(path).expect("the file can be made");
    content().for_each(|block| file.write_all(&block).expect("it can be written"));
}

fn is_the_same(path: &Path) -> bool {
    let mut file = fs::File::open(path).expect("it was received");
    let mut same = content().all(|block| {
        let mut found = vec![0; block.len()];
        std::io::Read::read_exact(&mut file, &mut found).is_ok() && found == block
    });
    same &= fs::metadata(path).is_ok_and(|metadata| metadata.len() == SIZE as u64);
    same
}

/// What happens while a file is on its way.
enum Fault {
    /// Nothing passes until both have given the path up.
    Cut,
    /// The sender's host gets another address.
    Move,
    /// Both hosts do.
    BothMove,
    /// Nothing passes, and the relay is another process when it does again.
    CutAndRelayRestarts,
    /// The sender's router has forgotten it.
    Forgotten,
    /// The sender, or the receiver, stands still until the other one has given the path up.
    Sleeps(Side),
}

enum Side {
    Sender,
    Receiver,
}

async fn goes_on(name: &str, nats: [Nat; 2], fault: Fault) {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let [there, here] = nats.map(|nat| lab.site(nat));
    let folder = folder(name);
    let received = folder.join("received");
    let path = folder.join("large");
    write(&path);
    here.set_rate(MBIT);
    let dir = received.display();
    let mut receive = there.crosspeer(format!("receive --relay {relay} --dir {dir} {STUN}"));
    let peer = receive.uuid().await;
    let mut send = here.crosspeer(format!("send --relay {relay} --peer {peer} {STUN} {}", path.display()));
    send.event("progress").await;
    match fault {
        Fault::Cut | Fault::CutAndRelayRestarts => {
            here.cut();
            send.event("reconnecting").await;
            receive.event("reconnecting").await;
            if matches!(fault, Fault::CutAndRelayRestarts) {
                lab.end_relay();
                lab.relay().await;
            }
            here.mend();
        }
        Fault::Move => here.move_address(),
        Fault::BothMove => {
            here.move_address();
            there.move_address();
        }
        Fault::Forgotten => here.forget(),
        Fault::Sleeps(Side::Sender) => {
            send.freeze();
            receive.event("reconnecting").await;
            send.wake();
        }
        Fault::Sleeps(Side::Receiver) => {
            receive.freeze();
            send.event("reconnecting").await;
            receive.wake();
        }
    }
    send.succeeds().await;
    drop(receive);
    assert!(is_the_same(&received.join("large")), "the file has changed");
    fs::remove_dir_all(folder).expect("it can be removed");
}

const CONES: [Nat; 2] = [Nat::Cone; 2];

#[tokio::test]
async fn a_transfer_outlives_a_path_that_is_cut() {
    goes_on("cut", CONES, Fault::Cut).await;
}

#[tokio::test]
async fn a_transfer_outlives_a_change_of_address() {
    goes_on("move", CONES, Fault::Move).await;
}

#[tokio::test]
async fn a_transfer_outlives_a_change_of_both_addresses() {
    goes_on("both-move", CONES, Fault::BothMove).await;
}

#[tokio::test]
async fn a_transfer_outlives_a_path_that_is_cut_and_a_relay_that_restarts() {
    goes_on("relay", CONES, Fault::CutAndRelayRestarts).await;
}

#[tokio::test]
async fn a_transfer_outlives_a_router_that_forgets() {
    goes_on("forgets", CONES, Fault::Forgotten).await;
}

#[tokio::test]
async fn a_transfer_outlives_a_router_that_gives_another_port() {
    goes_on("port", [Nat::None, Nat::Symmetric], Fault::Forgotten).await;
}

#[tokio::test]
async fn a_transfer_outlives_a_sender_that_sleeps() {
    goes_on("sender", CONES, Fault::Sleeps(Side::Sender)).await;
}

#[tokio::test]
async fn a_transfer_outlives_a_receiver_that_sleeps() {
    goes_on("receiver", CONES, Fault::Sleeps(Side::Receiver)).await;
}

/// All that is left is TCP to the relay, whose TURN server both know of since they have registered.
#[tokio::test]
async fn a_connection_goes_on_through_the_relays_turn_server_once_no_udp_passes() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay_with("--turn").await;
    let [there, here] = CONES.map(|nat| lab.site(nat));
    let folder = folder("udp");
    let path = folder.join("large");
    write(&path);
    here.set_rate(MBIT);
    let dir = folder.join("received").display().to_string();
    let mut receive = there.crosspeer(format!("receive --relay {relay} --dir {dir}"));
    let peer = receive.uuid().await;
    let mut send = here.crosspeer(format!("send --relay {relay} --peer {peer} {}", path.display()));
    let mut echo = there.crosspeer(format!("echo --relay {relay}"));
    let echoing = echo.uuid().await;
    let mut ping = here.crosspeer(format!(
        "ping --relay {relay} --peer {echoing} --count 200 --interval 20"
    ));
    assert_eq!(ping.event("connected").await["path"], "direct");
    send.event("progress").await;
    here.cut_udp();
    let events = ping.succeeds().await;
    let last = events.last().expect("statistics");
    assert_eq!(last["path"], "relayed", "{last}");
    send.succeeds().await;
    drop(receive);
    assert!(is_the_same(&folder.join("received/large")), "the file has changed");
    fs::remove_dir_all(folder).expect("it can be removed");
}

/// By the relay, which no longer knows it, and long before the session would be given up.
#[tokio::test]
async fn a_killed_receiver_is_known_to_be_dead() {
    let Some(mut lab) = Lab::new() else { return };
    let relay = lab.relay().await;
    lab.turn().await;
    let [there, here] = CONES.map(|nat| lab.site(nat));
    let folder = folder("killed");
    let path = folder.join("large");
    write(&path);
    here.set_rate(MBIT);
    let dir = folder.join("received").display().to_string();
    let mut receive = there.crosspeer(format!("receive --relay {relay} --dir {dir} {STUN}"));
    let peer = receive.uuid().await;
    let mut send = here.crosspeer(format!("send --relay {relay} --peer {peer} {STUN} {}", path.display()));
    send.event("progress").await;
    receive.kill();
    let error = send.fails().await;
    assert!(error.contains("no longer knows the peer"), "{error}");
    fs::remove_dir_all(folder).expect("it can be removed");
}
