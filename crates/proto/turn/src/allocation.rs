//! One client's relay address: what it may reach, and until when (RFC 8656 sections 6, 9, 12).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::server::RelayId;

/// How long a permission lasts, RFC 8656 section 9.
pub(crate) const PERMISSION_TIME: Duration = Duration::from_secs(300);
/// How long a channel lasts, RFC 8656 section 12.
pub(crate) const CHANNEL_TIME: Duration = Duration::from_secs(600);
/// Permissions, and channels, of one allocation. A browser asks for as many as its peer has candidates.
const LIST_MAX: usize = 64;

/// Why a peer could not be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdded {
    /// No room for more.
    Full,
    /// The channel or the peer is bound to another one.
    Conflict,
}

#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) relay: RelayId,
    pub(crate) relayed: SocketAddr,
    pub(crate) user: String,
    pub(crate) username: String,
    pub(crate) key: [u8; 16],
    pub(crate) expires: Instant,
    /// Of the request that made it: it may come twice over UDP.
    pub(crate) transaction: [u8; 12],
    permissions: Vec<(IpAddr, Instant)>,
    channels: Vec<Channel>,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    expires: Instant,
}

impl Allocation {
    pub(crate) fn new(
        relay: RelayId,
        relayed: SocketAddr,
        granted: crate::access::Granted,
        username: String,
        (transaction, expires): ([u8; 12], Instant),
    ) -> Self {
        Self {
            relay,
            relayed,
            user: granted.user,
            username,
            key: granted.key,
            expires,
            transaction,
            permissions: Vec::new(),
            channels: Vec::new(),
        }
    }

    pub(crate) fn permits(&self, now: Instant, ip: IpAddr) -> bool {
        self.permissions.iter().any(|&(known, expires)| known == ip && now < expires)
    }

    /// Installs or refreshes all of `ips`, or none.
    pub(crate) fn permit(&mut self, now: Instant, ips: &[IpAddr]) -> Result<(), NotAdded> {
        self.forget(now);
        let mut fresh: Vec<IpAddr> = Vec::new();
        for ip in ips {
            if !fresh.contains(ip) && !self.permissions.iter().any(|(known, _)| known == ip) {
                fresh.push(*ip);
            }
        }
        if self.permissions.len() + fresh.len() > LIST_MAX {
            return Err(NotAdded::Full);
        }
        self.permissions.extend(fresh.into_iter().map(|ip| (ip, now)));
        for (ip, expires) in &mut self.permissions {
            if ips.contains(ip) {
                *expires = now + PERMISSION_TIME;
            }
        }
        Ok(())
    }

    /// Binds or refreshes a channel, with the permission that goes with it (RFC 8656 section 12.2).
    pub(crate) fn bind(&mut self, now: Instant, number: u16, peer: SocketAddr) -> Result<(), NotAdded> {
        self.forget(now);
        let matches = |c: &Channel| (c.number == number, c.peer == peer);
        let known = self.channels.iter().position(|c| matches(c) == (true, true));
        if known.is_none() {
            if self.channels.iter().any(|c| matches(c) != (false, false)) {
                return Err(NotAdded::Conflict);
            }
            if self.channels.len() >= LIST_MAX {
                return Err(NotAdded::Full);
            }
        }
        self.permit(now, &[peer.ip()])?;
        let channel = Channel { number, peer, expires: now + CHANNEL_TIME };
        match known.and_then(|at| self.channels.get_mut(at)) {
            Some(known) => *known = channel,
            None => self.channels.push(channel),
        }
        Ok(())
    }

    /// The peer of a channel.
    pub(crate) fn peer_of(&self, now: Instant, number: u16) -> Option<SocketAddr> {
        self.channels.iter().find(|c| c.number == number && now < c.expires).map(|c| c.peer)
    }

    /// The channel of a peer.
    pub(crate) fn channel_of(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        self.channels.iter().find(|c| c.peer == peer && now < c.expires).map(|c| c.number)
    }

    /// Drops what has expired.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.permissions.retain(|(_, expires)| now < *expires);
        self.channels.retain(|c| now < c.expires);
    }
}
