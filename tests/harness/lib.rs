//! What the interop tests need: relays, real Python ProxyStore peers, and messages of many sizes.
//!
//! Everything panics when it fails, with words that say what to do. Nothing sleeps: readiness is read from the
//! processes' output. Processes end with the values that own them.

mod exchange;
mod hostile;
#[path = "../lab/mod.rs"]
pub mod lab;
mod matrix;
mod python;
mod raw;
mod relay;
mod samples;

pub use exchange::{config, exchange};
pub use hostile::{End as TrickEnd, Seen, TRICKS, Trick, hostile_relay};
pub use python::{ProxyStoreClient, ProxyStoreConnection, ProxyStoreManager};
pub use raw::{RawClient, Received};
pub use relay::{Relay, RelayKind};
pub use samples::{assert_same, bytes_of, every_size, hundred_small};

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

/// The longest that anything here may take. It only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(100);

/// Waits for what must come; a hang fails with `what`.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing after {PATIENCE:?}"))
}

/// The Python with ProxyStore that `cargo xtask setup` made.
fn python() -> PathBuf {
    let python = target().join("venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run `cargo xtask setup` once",
        python.display()
    );
    python
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    workspace().join(target)
}

fn script(name: &str) -> PathBuf {
    workspace().join("tests/python").join(name)
}

fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
