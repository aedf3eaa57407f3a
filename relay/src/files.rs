//! How many files the process may have open.

use tracing::{debug, info, warn};

/// More are never needed, and systems that say "unlimited" mean billions.
const ENOUGH: u64 = 1 << 20;

/// Raises this process's soft limit of open files to its hard limit, since each client or peer takes one or more, and logs
/// it. Systems start programs with as few as 256 or 1,024.
pub fn raise_file_limit() {
    let before = match rlimit::getrlimit(rlimit::Resource::NOFILE) {
        Ok((soft, _)) => soft,
        Err(error) => return debug!("the limit of open files is not known: {error}"),
    };
    if before >= ENOUGH {
        return;
    }
    match rlimit::increase_nofile_limit(ENOUGH) {
        Ok(after) if after > before => info!("may open {after} files at once (was {before})"),
        Ok(after) => debug!("may open {after} files at once, as many as the system allows"),
        Err(error) => warn!("may open only {before} files at once, and cannot raise that limit: {error}"),
    }
}

/// How many files this process may have open, where that is known.
pub(crate) fn file_limit() -> Option<usize> {
    let (soft, _) = rlimit::getrlimit(rlimit::Resource::NOFILE).ok()?;
    usize::try_from(soft).ok()
}
