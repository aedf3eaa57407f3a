//! A token that is given: on the command line, in a file, or in the environment.

use crate::failure::{Exit, Failure, Result};
use std::path::{Path, PathBuf};

/// Where the token is looked for that is not on the command line, which other users of this computer can see.
const VARIABLE: &str = "CROSSPEER_TOKEN";
/// Bytes of a token at most.
const MAX_BYTES: usize = 4096;

/// The token, if one is given.
pub(crate) fn given(token: Option<&str>, file: Option<&Path>) -> Result<Option<String>> {
    match (token, file) {
        (Some(token), _) => Ok(Some(token.to_owned())),
        (None, Some(path)) => match in_file(path) {
            Ok(token) => Ok(Some(token)),
            Err(message) => Err(Failure::new(Exit::Usage, message)),
        },
        (None, None) => Ok(std::env::var(VARIABLE).ok().filter(|token| !token.is_empty())),
    }
}

/// The same for a relay: a file is read again whenever the relay is called.
pub(crate) fn for_relay(token: Option<&str>, file: Option<&Path>) -> Result<Option<crosspeer::Token>> {
    let first = given(token, file)?;
    Ok(match file {
        Some(path) => {
            let path = PathBuf::from(path);
            Some(crosspeer::Token::provider(move || {
                let path = path.clone();
                async move { in_file(&path) }
            }))
        }
        None => first.map(crosspeer::Token::new),
    })
}

/// The file holds it alone on a line.
fn in_file(path: &Path) -> std::result::Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match text.trim() {
        token if token.is_empty() || token.len() > MAX_BYTES => Err(format!(
            "{}: a token of {} bytes; must be 1 to {MAX_BYTES}",
            path.display(),
            token.len()
        )),
        token => Ok(token.to_owned()),
    }
}
