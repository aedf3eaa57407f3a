//! `crosspeer id`: who this peer is; and whether others are who they say.

use crate::args::IdArgs;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crosspeer::{Identity, PeerConnection};
use crosspeer_native::{fingerprint_of, load_identity};
use serde_json::json;
use std::path::Path;

/// Prints the UUID that an identity file gives; makes the file if there is none.
pub(crate) fn run(args: &IdArgs, output: &Output) -> Result<()> {
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
