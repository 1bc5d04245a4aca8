//! How many connections there may be.
//!
//! Owns: the count of all connections to listeners, by address, and of those that were not let in yet.
//! Knows nothing of what they say.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Connections at once to live listeners that were not let in.
const STRANGERS: usize = 1024;

/// How many connections an operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    pub per_address: usize,
}

impl Limits {
    /// As many as come.
    pub const NONE: Self = Self { connections: usize::MAX, per_address: usize::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 65_536, per_address: 4096 }
    }
}

/// Why a connection was closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("too many connections")]
    Connections,
    #[error("too many connections from this address")]
    Address,
    #[error("too many connections that were not let in")]
    Strangers,
}

impl Full {
    /// Seconds after which there may be room.
    pub const RETRY_AFTER: u32 = 10;

    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Connections, Self::Address, Self::Strangers];

    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::Strangers => "strangers",
        }
    }
}

/// Connections, for those who look after the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connections {
    pub open: usize,
    /// Of them, those that were not let in yet.
    pub strangers: usize,
    /// Closed at once until now, in the order of [`Full::ALL`].
    pub refused: [u64; 3],
}

/// The gate of all listeners.
#[derive(Debug)]
pub struct Gate {
    /// That were not let in, at once.
    strangers: usize,
    counts: Mutex<Counts>,
    /// Rung when there is one stranger less.
    fewer: Notify,
    refused: [AtomicU64; 3],
}

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    by_address: HashMap<IpAddr, Count>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    open: usize,
    strangers: usize,
}

/// The right of one connection to be there, given back when it is dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    address: IpAddr,
    is_stranger: AtomicBool,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(STRANGERS)
    }
}

impl Gate {
    /// A gate through which so many strangers may be on their way. One address has half of them, so that nobody alone
    /// keeps everybody else out, but addresses of private networks: behind one of those may be a proxy, and everybody.
    pub fn new(strangers: usize) -> Self {
        Self { strangers, counts: Mutex::default(), fewer: Notify::new(), refused: Default::default() }
    }

    /// Waits until there are fewer strangers than there may be.
    pub async fn room(&self) {
        loop {
            let fewer = self.fewer.notified();
            if self.lock().all.strangers < self.strangers {
                return;
            }
            fewer.await;
        }
    }

    /// Counts a connection, as a stranger, if there is room for it.
    pub fn enter(self: &Arc<Self>, from: IpAddr, limits: Limits) -> Result<Pass, Full> {
        let address = neighbourhood(from);
        let full = {
            let mut counts = self.lock();
            let here = counts.by_address.get(&address).copied().unwrap_or_default();
            if counts.all.open >= limits.connections {
                Full::Connections
            } else if here.open >= limits.per_address {
                Full::Address
            } else if counts.all.strangers >= self.strangers {
                Full::Strangers
            } else if here.strangers >= self.strangers.div_ceil(2) && !is_private(address) {
                Full::Address
            } else {
                let here = Count { open: here.open + 1, strangers: here.strangers + 1 };
                counts.by_address.insert(address, here);
                counts.all.open += 1;
                counts.all.strangers += 1;
                return Ok(Pass { gate: Arc::clone(self), address, is_stranger: AtomicBool::new(true) });
            }
        };
        if let Some(refused) = self.refused.get(full as usize) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        Err(full)
    }

    /// How many there are and were refused.
    pub fn connections(&self) -> Connections {
        let refused = self.refused.each_ref().map(|refused| refused.load(Ordering::Relaxed));
        let Count { open, strangers } = self.lock().all;
        Connections { open, strangers, refused }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// It was let in: it does not count against strangers any more.
    pub(crate) fn let_in(&self) {
        if self.is_stranger.swap(false, Ordering::Relaxed) {
            let mut counts = self.gate.lock();
            counts.all.strangers -= 1;
            if let Some(here) = counts.by_address.get_mut(&self.address) {
                here.strangers -= 1;
            }
            self.gate.fewer.notify_one();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.let_in();
        let mut counts = self.gate.lock();
        counts.all.open -= 1;
        if let Entry::Occupied(mut here) = counts.by_address.entry(self.address) {
            here.get_mut().open -= 1;
            if here.get().open == 0 {
                here.remove();
            }
        }
    }
}

/// What counts as one address: of IPv6 a subscriber has 64 bits to choose from (RFC 6177 section 2).
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { connections: 6, per_address: 4 };

    fn enter(gate: &Arc<Gate>, from: &str) -> Result<Pass, Full> {
        gate.enter(from.parse().unwrap(), LIMITS)
    }

    #[test]
    fn one_address_has_its_share_and_all_together_theirs() {
        let gate = Arc::new(Gate::default());
        let mut passes: Vec<_> = (0..4).map(|_| enter(&gate, "192.0.2.1").unwrap()).collect();
        assert_eq!(enter(&gate, "192.0.2.1").unwrap_err(), Full::Address);
        assert_eq!(
            enter(&gate, "::ffff:192.0.2.1").unwrap_err(),
            Full::Address,
            "the same, written otherwise"
        );
        passes.push(enter(&gate, "192.0.2.2").unwrap());
        passes.push(enter(&gate, "192.0.2.3").unwrap());
        assert_eq!(enter(&gate, "192.0.2.4").unwrap_err(), Full::Connections);
        let refused = [1, 2, 0];
        assert_eq!(gate.connections(), Connections { open: 6, strangers: 6, refused });
        // Whoever leaves makes room, let in or not.
        passes[0].let_in();
        passes[0].let_in();
        assert_eq!(gate.connections(), Connections { open: 6, strangers: 5, refused });
        passes.drain(..2);
        assert!(enter(&gate, "192.0.2.1").is_ok());
        passes.clear();
        assert_eq!(gate.connections(), Connections { open: 0, strangers: 0, refused });
        assert!(gate.lock().by_address.is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn a_subscribers_ipv6_addresses_are_one() {
        let gate = Arc::new(Gate::default());
        let _passes: Vec<_> =
            (0..4).map(|n| enter(&gate, &format!("2001:db8:0:1::{n}:1")).unwrap()).collect();
        assert_eq!(enter(&gate, "2001:db8:0:1:ffff::1").unwrap_err(), Full::Address);
        assert!(enter(&gate, "2001:db8:0:2::1").is_ok());
    }

    #[test]
    fn nobody_alone_keeps_strangers_out() {
        let gate = Arc::new(Gate::default());
        let limits = Limits::NONE;
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let first: Vec<_> = (0..STRANGERS / 2).map(|_| gate.enter(address(1), limits).unwrap()).collect();
        assert_eq!(gate.enter(address(1), limits).unwrap_err(), Full::Address);
        let second: Vec<_> = std::iter::from_fn(|| gate.enter(address(2), limits).ok()).collect();
        assert_eq!(first.len() + second.len(), STRANGERS);
        assert_eq!(gate.enter(address(3), limits).unwrap_err(), Full::Strangers);
        // Who has been let in is none.
        first[0].let_in();
        assert!(gate.enter(address(3), limits).is_ok());
    }

    #[test]
    fn a_proxy_in_front_may_bring_everybody() {
        for proxy in ["127.0.0.1", "::1", "::ffff:10.1.2.3", "fd00::1"] {
            let gate = Arc::new(Gate::new(4));
            let enter = || gate.enter(proxy.parse().unwrap(), Limits::NONE);
            let _passes: Vec<_> = (0..4).map(|_| enter().unwrap()).collect();
            assert_eq!(enter().unwrap_err(), Full::Strangers, "{proxy}");
        }
    }

    #[tokio::test]
    async fn there_is_room_again_when_one_is_let_in_or_goes() {
        let gate = Arc::new(Gate::new(1));
        for let_in in [true, false] {
            let pass = enter(&gate, "192.0.2.1").unwrap();
            let waiting = tokio::spawn({
                let gate = Arc::clone(&gate);
                async move { gate.room().await }
            });
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            if let_in {
                pass.let_in();
            }
            drop(pass);
            waiting.await.unwrap();
        }
    }
}
