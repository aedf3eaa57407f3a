//! Peers that are known by a name: whom a command calls, whom it takes things from, and what is said of them.

use crate::failure::{Exit, Failure, Result};
use crate::output::Output;
use crosspeer::PeerConnection;
use crosspeer::known::{KnownPeers, PeerName, Standing, Successor};
use crosspeer_native::{load_known_peers, update_known_peers};
use serde_json::json;
use std::convert::Infallible;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use uuid::Uuid;

/// A peer, as it stands on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Called {
    Id(Uuid),
    /// Which may turn out to be none.
    Name(String),
}

impl FromStr for Called {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Id))
    }
}

/// Where names are kept, if anywhere, and which there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    path: Option<PathBuf>,
    peers: KnownPeers,
}

impl Names {
    /// Those of the file, or of the one beside the identity.
    pub(crate) fn load(file: Option<&Path>, identity: Option<&Path>) -> Result<Self> {
        let path = file.map(Path::to_owned).or_else(|| Some(beside(identity?, ".known")));
        let peers = path.as_ref().map(load_known_peers).transpose()?.unwrap_or_default();
        Ok(Self { path, peers })
    }

    pub(crate) fn peers(&self) -> &KnownPeers {
        &self.peers
    }

    /// The same as they are now: another program may have changed them.
    pub(crate) fn reloaded(&self) -> Result<Self> {
        Self::load(self.path.as_deref(), None)
    }

    fn path(&self) -> Result<&Path> {
        let text = "names are kept in a file beside the identity: give --identity FILE, or --known FILE";
        self.path.as_deref().ok_or_else(|| Failure::new(Exit::Usage, text))
    }

    /// Whose id that is.
    pub(crate) fn find(&self, called: &Called) -> Result<Uuid> {
        let name = match called {
            Called::Id(id) => return Ok(*id),
            Called::Name(name) => name,
        };
        let path = self.path()?;
        let parsed: PeerName = name.parse().map_err(|error: crosspeer::Error| {
            Failure::new(Exit::Usage, format!("neither a UUID nor a name: {error}"))
        })?;
        self.peers.id(&parsed).ok_or_else(|| {
            let text = format!(
                "{} knows nobody by the name of {parsed}: give the UUID, and --as {parsed} to remember it",
                path.display()
            );
            Failure::new(Exit::Usage, text)
        })
    }

    /// Whether that peer may be called, and be given this name; whoever sits at a terminal is asked where the name stands
    /// for another one. Gives whether a changed id is confirmed.
    pub(crate) fn check(&self, id: Uuid, name: Option<&PeerName>, changed: bool, output: &Output) -> Result<bool> {
        if name.is_some() {
            self.path()?;
        }
        let warning = match (
            self.peers.standing(id),
            name.and_then(|name| Some((name, self.peers.id(name)?))),
        ) {
            (Standing::Former(known), _) => {
                format!(
                    "{id} was the id of {known}, who has given it up for another one: whoever uses it may have stolen it"
                )
            }
            (_, Some((name, known))) if known != id => {
                format!(
                    "{name} is known as {known}, and this is {id}: {name} has another key now, or this is somebody else"
                )
            }
            _ => return Ok(changed),
        };
        if changed {
            output.note(format_args!("WARNING: {warning}"));
            return Ok(true);
        }
        if !output.is_json() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
            output.note(format_args!(
                "WARNING: {warning}. Go on, and believe it from now on? [y/N]"
            ));
            let mut line = String::new();
            let _ = std::io::stdin().read_line(&mut line);
            if ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()) {
                return Ok(true);
            }
        }
        let text = format!("{warning}. Ask them by another way; if it is true, say --as NAME --changed-id");
        Err(Failure::new(Exit::Unverified, text))
    }

    /// A peer that is connected gets its name.
    pub(crate) fn remember(
        &mut self,
        connection: &PeerConnection,
        name: &PeerName,
        confirmed: bool,
        output: &Output,
    ) -> Result<()> {
        let id = connection.peer().unwrap_or_default();
        if !connection.is_verified() {
            let text = format!("{id} is not verified, so that it cannot be known by a name");
            return Err(Failure::new(Exit::Unverified, text));
        }
        let path = self.path()?.to_owned();
        update_known_peers(&path, |known| known.remember(name.clone(), id, confirmed))?;
        self.peers = load_known_peers(&path)?;
        output.detail(
            json!({"type": "known", "peer": id, "name": name.to_string()}),
            format_args!("{id} is known as {name} from now on"),
        );
        Ok(())
    }

    /// A peer has said which id it has from now on.
    ///
    /// # Errors
    /// Why it is not believed.
    pub(crate) fn succeed(
        &self,
        connection: &PeerConnection,
        successor: &Successor,
        output: &Output,
    ) -> std::result::Result<(), String> {
        let Some(path) = &self.path else {
            return Err("this receiver keeps no names of peers".into());
        };
        let (id, new) = (connection.peer().unwrap_or_default(), successor.fingerprint.uuid());
        let changed = update_known_peers(path, |known| {
            let name = known.succeed(id, connection.is_verified(), successor)?;
            Ok(name.map(ToString::to_string))
        });
        match changed {
            Ok(Some(name)) => output.detail(
                json!({"type": "successor", "peer": id, "name": name, "uuid": new}),
                format_args!("{name} has another id from now on, {new}: it has said so by its old key"),
            ),
            Ok(None) => {} // nobody here knows it by either
            Err(error) => {
                let text = format!("{id}: {error}");
                output.detail(json!({"type": "successor-refused", "peer": id, "message": text}), &text);
                return Err(error.to_string());
            }
        }
        Ok(())
    }

    /// For people: what that peer has been found to be.
    pub(crate) fn describe(&self, connection: &PeerConnection) -> String {
        if !connection.is_verified() {
            return "not verified".into();
        }
        match self.peers.standing(connection.peer().unwrap_or_default()) {
            Standing::Unknown => "verified".into(),
            Standing::Known(name) => format!("verified, known as {name}"),
            Standing::Former(name) => format!("verified, by a key that {name} has given up"),
        }
    }

    /// For programs: the name of that peer, where it is verified and has one.
    pub(crate) fn name_of(&self, connection: &PeerConnection) -> Option<String> {
        let standing = self.peers.standing(connection.peer().unwrap_or_default());
        match standing {
            Standing::Known(name) if connection.is_verified() => Some(name.to_string()),
            _ => None,
        }
    }

    /// Whether that id was given up for another one.
    pub(crate) fn is_former(&self, id: Uuid) -> bool {
        matches!(self.peers.standing(id), Standing::Former(_))
    }
}

/// A file beside another one.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
