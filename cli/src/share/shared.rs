//! What all visits share.

use super::folder::Folder;
use super::room::Room;
use crate::output::Output;
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct Shared {
    pub(super) room: Arc<Room>,
    pub(super) folder: Arc<Folder>,
    pub(super) output: Output,
}
