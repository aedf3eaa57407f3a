//! Whose things are taken: of those that `--from` names, of anybody, or, where somebody sits at a terminal, of whom they say.

use crate::args::ReceiveArgs;
use crate::failure::Result;
use crate::known::{Called, Names};
use crate::output::Output;
use crosspeer::PeerConnection;
use std::collections::HashMap;
use std::io::IsTerminal;
use tokio::sync::Mutex;
use uuid::Uuid;

const NOT_FROM: &str = "this receiver takes things only from the peers named by its --from";
const GIVEN_UP: &str = "this id was given up by its owner for another one";
const REFUSED: &str = "the receiver was asked, and does not take it";

/// Decides who is welcome.
pub(super) struct Door {
    from: Vec<Called>,
    names: Names,
    asks: bool,
    output: Output,
    /// What was said of whom; and held while somebody is asked.
    said: Mutex<HashMap<Uuid, bool>>,
}

impl Door {
    /// # Errors
    /// `--from` names somebody who is not known.
    pub(super) fn new(args: &ReceiveArgs, names: Names, output: &Output) -> Result<Self> {
        args.from.iter().try_for_each(|called| names.find(called).map(drop))?;
        let somebody_is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Ok(Self {
            from: args.from.clone(),
            names,
            asks: !args.yes && args.from.is_empty() && !output.is_json() && somebody_is_there,
            output: output.clone(),
            said: Mutex::default(),
        })
    }

    /// The names as they are now; as they were where they cannot be read any more.
    pub(super) fn names(&self) -> Names {
        self.names.reloaded().unwrap_or_else(|failure| {
            self.output.note(format_args!("{failure}"));
            self.names.clone()
        })
    }

    /// Why this peer's things are not taken, if they are not.
    pub(super) async fn objection(&self, connection: &PeerConnection) -> Option<&'static str> {
        let peer = connection.peer().unwrap_or_default();
        let names = self.names();
        if !self.from.is_empty() {
            let welcome = self
                .from
                .iter()
                .any(|called| names.find(called).is_ok_and(|id| id == peer));
            return (!welcome).then_some(NOT_FROM);
        }
        if names.is_former(peer) {
            return Some(GIVEN_UP);
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
                    names.describe(connection)
                );
                self.output.note(question);
                let answer = tokio::task::spawn_blocking(|| {
                    let mut line = String::new();
                    std::io::stdin().read_line(&mut line).map(|_| line)
                });
                let answer = answer.await.ok().and_then(std::result::Result::ok).unwrap_or_default();
                ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
            }
        };
        said.insert(peer, welcome);
        (!welcome).then_some(REFUSED)
    }
}
