//! Whether this host's network has changed: the paths that connections use may be dead then, long before they are silent.

use crate::rtc::network;
use crosspeer::platform::{Event, Events};
use std::net::IpAddr;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Between two looks at the addresses, which cost some microseconds. Every system has its own way to tell of changes;
/// this one works on all.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reports [`Event::NetworkChanged`] whenever this host has other addresses than before. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Watch(AbortHandle);

impl Watch {
    pub(crate) fn start(runtime: &Handle, events: Events) -> Self {
        Self(runtime.spawn(watch(events)).abort_handle())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch(events: Events) {
    let mut known = network();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let found = network();
        if is_news(&known, &found) {
            tracing::debug!(?found, "this host's addresses have changed");
            events.push(Event::NetworkChanged);
        }
        known = found;
    }
}

/// Without any address there is nothing to be tried.
fn is_news(known: &[IpAddr], found: &[IpAddr]) -> bool {
    known != found && !found.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn other_addresses_are_news_and_none_are_not() {
        let [a, b] = [1, 2].map(|last| IpAddr::from(Ipv4Addr::new(192, 168, 0, last)));
        for (known, found, news) in [
            (vec![a], vec![a], false),
            (vec![a], vec![b], true),
            (vec![a], vec![a, b], true),
            (vec![a, b], vec![b], true),
            (vec![a], vec![], false),
            (vec![], vec![a], true),
        ] {
            assert_eq!(is_news(&known, &found), news, "{known:?} {found:?}");
        }
    }
}
