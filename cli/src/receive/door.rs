//! Whose things are taken: of those that `--from` names, of anybody, or, where somebody sits at a terminal, of whom they say.

use crate::args::ReceiveArgs;
use crate::identity::shield;
use crate::output::Output;
use crosspeer::PeerConnection;
use std::collections::HashMap;
use std::io::IsTerminal;
use tokio::sync::Mutex;
use uuid::Uuid;

const NOT_FROM: &str = "this receiver takes things only from the peers named by its --from";
const REFUSED: &str = "the receiver was asked, and does not take it";

/// Decides who is welcome.
pub(super) struct Door {
    from: Vec<Uuid>,
    asks: bool,
    output: Output,
    /// What was said of whom; and held while somebody is asked.
    said: Mutex<HashMap<Uuid, bool>>,
}

impl Door {
    pub(super) fn new(args: &ReceiveArgs, output: &Output) -> Self {
        let somebody_is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Self {
            from: args.from.clone(),
            asks: !args.yes && args.from.is_empty() && !output.is_json() && somebody_is_there,
            output: output.clone(),
            said: Mutex::default(),
        }
    }

    /// Why this peer's things are not taken, if they are not.
    pub(super) async fn objection(&self, connection: &PeerConnection) -> Option<&'static str> {
        let peer = connection.peer().unwrap_or_default();
        if !self.from.is_empty() {
            return (!self.from.contains(&peer)).then_some(NOT_FROM);
        }
        if !self.asks {
            return None;
        }
        let mut said = self.said.lock().await;
        let welcome = match said.get(&peer) {
            Some(welcome) => *welcome,
            None => {
                let question = format!(
                    "{peer} ({}) wants to send something: take it? [y/N]",
                    shield(connection)
                );
                self.output.note(question);
                let answer = tokio::task::spawn_blocking(|| {
                    let mut line = String::new();
                    std::io::stdin().read_line(&mut line).map(|_| line)
                });
                let answer = answer.await.ok().and_then(Result::ok).unwrap_or_default();
                ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
            }
        };
        said.insert(peer, welcome);
        (!welcome).then_some(REFUSED)
    }
}
