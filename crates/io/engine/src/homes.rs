//! Which worker a datagram on a shared port is for.
//!
//! Owns: the table of far addresses whose peers live on other workers. STUN says itself, by our user
//! fragment in it (`peer::home_of`); the rest goes by address. An address enters only when the home worker
//! confirms that a peer there has passed a connectivity check with it: a stranger cannot fill the table, nor
//! point somebody else's address elsewhere. Knows nothing of peers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peer::Class;

/// How long an address is remembered without a confirmation. Peers prove every few seconds that they are
/// there, and are given up after 30 s (RFC 7675 section 5.1).
const REMEMBERED: Duration = Duration::from_secs(40);
/// Addresses remembered.
const CAPACITY: usize = 65_536;
/// STUN's class bits of a response (RFC 8489 section 5), in the header's first byte.
const STUN_RESPONSE: u8 = 0x01;

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// This worker.
    Here,
    /// Another one.
    There(u8),
    /// The answer to a check that some worker sent, from an address that no peer has yet: its sender is
    /// the one who knows the transaction.
    Anywhere,
}

/// Far addresses of other workers' peers.
#[derive(Debug)]
pub(crate) struct Homes {
    /// This worker's index.
    here: u8,
    workers: u8,
    table: HashMap<SocketAddr, (u8, Instant)>,
}

impl Homes {
    pub(crate) fn new(here: u8, workers: u8) -> Self {
        Self { here, workers, table: HashMap::new() }
    }

    /// Whether there is another worker at all.
    pub(crate) fn alone(&self) -> bool {
        self.workers <= 1
    }

    /// Where `datagram` from `remote` goes; `known_here` says whether a peer of this worker has that address.
    pub(crate) fn of(&self, remote: SocketAddr, datagram: &[u8], known_here: impl FnOnce() -> bool) -> Home {
        if self.alone() {
            return Home::Here;
        }
        let Some(&first) = datagram.first() else { return Home::Here };
        let stun = peer::classify(first) == Class::Stun;
        if stun && let Some(ufrag) = peer::stun_ufrag(datagram) {
            return match peer::home_of(ufrag) {
                Some(worker) if worker != self.here && worker < self.workers => Home::There(worker),
                // What nobody claims is counted here.
                _ => Home::Here,
            };
        }
        match self.table.get(&remote) {
            Some(&(worker, _)) => Home::There(worker),
            None if stun && first & STUN_RESPONSE != 0 && !known_here() => Home::Anywhere,
            None => Home::Here,
        }
    }

    /// `worker` says that a peer of its own is at `remote`. The latest word counts: a client that comes back
    /// from the same port may have a new home.
    pub(crate) fn learn(&mut self, remote: SocketAddr, worker: u8, now: Instant) {
        if worker == self.here || worker >= self.workers {
            return;
        }
        if self.table.len() >= CAPACITY && !self.table.contains_key(&remote) {
            self.expire(now);
            if self.table.len() >= CAPACITY {
                return;
            }
        }
        self.table.insert(remote, (worker, now));
    }

    /// A peer of this worker is at `remote` now.
    pub(crate) fn claim(&mut self, remote: SocketAddr) {
        if !self.table.is_empty() {
            self.table.remove(&remote);
        }
    }

    /// Forgets what has not been confirmed for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.table.retain(|_, (_, seen)| now.saturating_duration_since(*seen) < REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    /// A binding message of the given class with USERNAME `ufrag`:x, if any.
    fn stun(kind: u16, ufrag: Option<&str>) -> Vec<u8> {
        let mut attributes = Vec::new();
        if let Some(ufrag) = ufrag {
            let username = format!("{ufrag}:x");
            attributes.extend([0, 6, 0, username.len() as u8]);
            attributes.extend(username.bytes());
            attributes.resize(attributes.len().next_multiple_of(4), 0);
        }
        let mut message = kind.to_be_bytes().to_vec();
        message.extend((attributes.len() as u16).to_be_bytes());
        message.extend([0x21, 0x12, 0xa4, 0x42]);
        message.extend([9; 12]);
        message.extend(attributes);
        message
    }

    #[test]
    fn checks_go_by_user_fragment_whatever_the_table_says() {
        let mut homes = Homes::new(0, 3);
        homes.learn(addr(1), 2, Instant::now());
        let to = |ufrag| homes.of(addr(1), &stun(1, Some(ufrag)), || true);
        assert_eq!(to("01AAAAAAAAAA"), Home::There(1));
        assert_eq!(to("00AAAAAAAAAA"), Home::Here);
        // Workers that do not exist, and fragments that are not ours.
        assert_eq!(to("03AAAAAAAAAA"), Home::Here);
        assert_eq!(to("ffAAAAAAAAAA"), Home::Here);
        assert_eq!(to("evtj"), Home::Here);
    }

    #[test]
    fn media_goes_by_what_its_home_confirmed_last() {
        let now = Instant::now();
        let mut homes = Homes::new(0, 3);
        let rtp = [0x80, 96];
        assert_eq!(homes.of(addr(1), &rtp, || false), Home::Here);
        homes.learn(addr(1), 1, now);
        assert_eq!(homes.of(addr(1), &rtp, || true), Home::There(1));
        homes.learn(addr(1), 2, now);
        assert_eq!(homes.of(addr(1), &rtp, || true), Home::There(2));
        homes.claim(addr(1));
        assert_eq!(homes.of(addr(1), &rtp, || true), Home::Here);
        // Nonsense is not learned.
        homes.learn(addr(1), 0, now);
        homes.learn(addr(1), 3, now);
        assert_eq!(homes.of(addr(1), &rtp, || false), Home::Here);
    }

    #[test]
    fn answers_from_addresses_nobody_knows_yet_go_to_everybody() {
        let mut homes = Homes::new(1, 2);
        let answer = stun(0x0101, None);
        assert_eq!(homes.of(addr(1), &answer, || false), Home::Anywhere);
        assert_eq!(homes.of(addr(1), &answer, || true), Home::Here);
        homes.learn(addr(1), 0, Instant::now());
        assert_eq!(homes.of(addr(1), &answer, || false), Home::There(0));
        // A request without a user fragment is nobody's.
        assert_eq!(homes.of(addr(2), &stun(1, None), || false), Home::Here);
    }

    #[test]
    fn one_worker_needs_no_look() {
        let homes = Homes::new(0, 1);
        assert_eq!(homes.of(addr(1), &stun(1, Some("01AAAAAAAAAA")), || false), Home::Here);
    }

    #[test]
    fn the_table_is_bounded_and_forgets() {
        let start = Instant::now();
        let mut homes = Homes::new(0, 2);
        for i in 0..CAPACITY as u32 + 10 {
            homes.learn(SocketAddr::from((i.to_be_bytes(), 9)), 1, start);
        }
        assert_eq!(homes.table.len(), CAPACITY);
        // One known already is refreshed even so, and outlives the others.
        homes.learn(SocketAddr::from(([0, 0, 0, 1], 9)), 1, start + Duration::from_secs(30));
        homes.expire(start + REMEMBERED);
        assert_eq!(homes.table.len(), 1);
    }
}
