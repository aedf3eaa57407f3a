//! How many connections each address has that are nobody yet.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts, for each address, connections that have not registered: a file and some memory for whoever opens one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strangers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One that counts, until this is dropped.
#[derive(Debug)]
pub(crate) struct Stranger {
    all: Strangers,
    address: IpAddr,
}

impl Strangers {
    /// One more from this address, unless it has as many as that.
    pub(crate) fn enter(&self, address: IpAddr, most: usize) -> Option<Stranger> {
        let address = site(address);
        let mut counts = self.lock();
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(counts);
        let all = self.clone();
        Some(Stranger { all, address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.all.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// What one host, or household, can choose its addresses from: of IPv6 a /64; IPv4 as itself, also where IPv6 says it.
pub fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_gets_it_back() {
        let strangers = Strangers::default();
        let enter = |address: &str| strangers.enter(address.parse().unwrap(), 2);
        let (first, _second) = (enter("2001:db8::1").unwrap(), enter("2001:db8::2:1").unwrap());
        assert!(enter("2001:db8::3").is_none());
        let others = ["2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1"].map(|address| enter(address).unwrap());
        assert!(enter("192.0.2.1").is_none(), "also as IPv6 says it");
        drop(first);
        assert!(enter("2001:db8::4").is_some());
        drop((others, _second));
        assert!(strangers.lock().is_empty());
    }
}
