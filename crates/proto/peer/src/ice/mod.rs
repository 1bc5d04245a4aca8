//! Connectivity: which addresses the far end is reached at (RFC 8445).
//!
//! Owns: checks, nomination and the list of addresses that have passed a check. Two agents: [`Lite`]
//! answers only and is what a server with a public address runs; [`Full`] checks, too. Knows nothing of how
//! long silence may last: that is the transport's.

mod full;
mod hmac;
mod lite;

use std::net::SocketAddr;

use clock::Time;

pub(crate) use full::Full;
pub(crate) use lite::Lite;

use crate::{Candidate, Credentials, LocalTransport, Path, Reject, RemoteTransport, Transmit};

/// What an agent tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Passed a check.
    Added(Path),
    /// Gave way to others.
    Removed(SocketAddr),
    /// Send here from now on.
    Selected(Path),
}

/// Either agent.
pub(crate) enum Agent {
    Lite(Box<Lite>),
    Full(Box<Full>),
}

impl Agent {
    pub(crate) fn new(now: Time, local: LocalTransport, seed: u64) -> Self {
        if local.ice_lite {
            Self::Lite(Box::new(Lite::new(local)))
        } else {
            Self::Full(Box::new(Full::new(now, local, seed)))
        }
    }

    /// The far end's credentials and candidates.
    pub(crate) fn set_remote(&mut self, now: Time, remote: &RemoteTransport) {
        match self {
            Self::Lite(lite) => lite.set_remote(&remote.credentials),
            Self::Full(full) => full.set_remote(now, remote),
        }
    }

    /// A trickled candidate. A lite agent has no use for it: it never sends first.
    pub(crate) fn add_candidate(&mut self, now: Time, candidate: &Candidate) {
        match self {
            Self::Lite(_) => {}
            Self::Full(full) => full.add_candidate(now, candidate),
        }
    }

    /// New local credentials, RFC 8445 section 9.
    pub(crate) fn restart(&mut self, now: Time, credentials: Credentials) {
        match self {
            Self::Lite(lite) => lite.restart(credentials),
            Self::Full(full) => full.restart(now, credentials),
        }
    }

    pub(crate) fn handle(&mut self, now: Time, path: Path, datagram: &[u8]) -> Result<(), Reject> {
        match self {
            Self::Lite(lite) => lite.handle(now, path, datagram),
            Self::Full(full) => full.handle(now, path, datagram),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        match self {
            Self::Lite(_) => {}
            Self::Full(full) => full.handle_timeout(now),
        }
    }

    /// The next time at which checks are due; a lite agent has none.
    pub(crate) fn poll_timeout(&mut self) -> Option<std::time::Instant> {
        match self {
            Self::Lite(_) => None,
            Self::Full(full) => full.poll_timeout(),
        }
    }

    pub(crate) fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        match self {
            Self::Lite(lite) => lite.poll_transmit(buf),
            Self::Full(full) => full.poll_transmit(buf),
        }
    }

    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        match self {
            Self::Lite(lite) => lite.poll_notice(),
            Self::Full(full) => full.poll_notice(),
        }
    }

    /// Whether this address of the far end has passed a check.
    pub(crate) fn knows(&self, remote: SocketAddr) -> bool {
        match self {
            Self::Lite(lite) => lite.knows(remote),
            Self::Full(full) => full.knows(remote),
        }
    }
}
