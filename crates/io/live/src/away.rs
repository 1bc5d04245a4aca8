//! Who was sent away, and may not come back at once.
//!
//! Owns: for each player that was sent away its address, stream and protocol, for a while. A player has no name of its
//! own, and one of HLS is nothing but an address; another one behind the same address is kept out for that while, too,
//! where it wants to play in the same way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use media::Name;
use tokio::time::Instant;
use vhost::Protocol;

use crate::gate::neighbourhood;

/// Longer than players try again by themselves. Whoever is to stay away has to lose the token.
pub(crate) const AWAY: Duration = Duration::from_secs(30);

/// See the module's description. It grows with what an operator does, and shrinks with the next time.
#[derive(Debug, Default)]
pub(crate) struct Away(HashMap<(Name, Protocol, IpAddr), Instant>);

impl Away {
    /// Keeps an address out of a stream from now on.
    pub(crate) fn send(&mut self, name: Name, protocol: Protocol, from: IpAddr) {
        let now = Instant::now();
        self.0.retain(|_, until| *until > now);
        self.0.insert((name, protocol, neighbourhood(from)), now + AWAY);
    }

    /// Whether it is still kept out.
    pub(crate) fn has(&self, name: &Name, protocol: Protocol, from: IpAddr) -> bool {
        if self.0.is_empty() {
            return false;
        }
        self.0
            .get(&(name.clone(), protocol, neighbourhood(from)))
            .is_some_and(|until| *until > Instant::now())
    }
}
