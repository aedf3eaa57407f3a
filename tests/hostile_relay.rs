//! Native peers whose ids are keys, at relays that work for somebody else: nobody is ever taken for another, nothing
//! reaches another, and what cannot be without effect is named.

use crosspeer::{Error, Message};
use crosspeer_native::{Config, PeerManager};
use crosspeer_tests::{TRICKS, Trick, TrickEnd, hostile_relay, within};
use std::time::Duration;
use tokio::time::timeout;

fn config(name: &str) -> Config {
    let config = Config::default().with_name(name).with_ice_servers([]);
    config.with_connect_timeout(Duration::from_secs(4))
}

struct Outcome {
    /// What Alice and Bob have seen end, and what Alice's call came to.
    ends: Vec<Error>,
    connected: bool,
}

/// What is sent says from whom and to whom.
fn said(from: &PeerManager, to: &PeerManager) -> String {
    format!("{}→{}", from.uuid(), to.uuid())
}

/// Everybody says who they are to whoever they believe to talk to.
async fn play(name: &str, trick: Trick) -> Outcome {
    let url = hostile_relay(trick).await;
    let alice = PeerManager::join(&url, config("alice")).await.expect("joins");
    let bob = PeerManager::join(&url, config("bob")).await.expect("joins");
    let mallory = PeerManager::join(&url, config("mallory")).await.expect("joins");
    let mut ends = Vec::new();
    let first = alice.send(bob.uuid(), said(&alice, &bob)).await;
    let mut connected = false;
    match first {
        Ok(()) => {
            // The answerer may yet say that this was not what it has seen.
            let connection = alice.connect(bob.uuid()).await;
            match connection {
                Ok(connection) => {
                    // Not where it is about to end, since the two have seen different things.
                    connected = connection.is_verified();
                    let peer = connection.remote_fingerprint().map(|known| known.uuid());
                    assert!(!connected || peer == Some(bob.uuid()), "{name}");
                    if let Ok(end) = timeout(Duration::from_secs(2), connection.on_close()).await {
                        connected = false;
                        ends.push(end);
                    }
                }
                Err(error) => ends.push(error),
            }
        }
        Err(error) => ends.push(error),
    }
    // Mallory, too, calls whom it can.
    let to_alice = mallory.send(alice.uuid(), said(&mallory, &alice));
    let to_bob = mallory.send(bob.uuid(), said(&mallory, &bob));
    let _ = tokio::join!(to_alice, to_bob);
    for connection in [alice.connections(), bob.connections()].concat() {
        if !connection.is_verified() {
            let end = within("it ends", connection.on_close()).await;
            assert!(matches!(end, Error::IdentityMismatch { .. }), "{name}: {end}");
        }
    }
    // Whatever has arrived came from whom it says, and was meant for whom it has reached.
    for peer in [&alice, &bob, &mallory] {
        while let Ok(Ok((from, message))) = timeout(Duration::from_millis(50), peer.recv()).await {
            let said = format!("{from}→{}", peer.uuid());
            assert_eq!(message, Message::from(said), "{name}: as from {from}");
        }
    }
    Outcome { ends, connected }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_dialled_is_reached_or_nobody() {
    let plays: Vec<_> = TRICKS
        .iter()
        .map(|(name, end, trick)| (*name, *end, tokio::spawn(play(name, *trick))))
        .collect();
    let mut wrong = Vec::new();
    for (name, end, play) in plays {
        let Outcome { ends, connected } = within(name, play).await.expect("no assertion fails");
        let named = ends.iter().any(|error| matches!(error, Error::IdentityMismatch { .. }));
        println!("{name}: connected {connected}, {ends:?}");
        let fits = match end {
            TrickEnd::Connected => connected,
            TrickEnd::Named => named && !connected,
            TrickEnd::Refused => !connected,
        };
        if !fits {
            wrong.push(format!("{name}: wanted {end:?}, connected {connected}, {ends:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
