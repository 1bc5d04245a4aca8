//! The whole SFU of one worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use clock::Time;

use crate::api::{Command, Event};
use crate::link::{Link, LinkBatch};
use crate::{Counters, Outbox};

/// Transports, producers and consumers of one worker. Pure: a driver gives it datagrams, commands and the
/// time, and takes datagrams, events and deadlines out of it.
#[derive(Debug, Default)]
pub struct Router {
    counters: Counters,
}

impl Router {
    /// Does as told; what is about an id that is not known here is counted and ignored.
    pub fn handle_command(&mut self, _now: Time, _command: Command) {}

    /// A datagram that arrived on `local` (the address it was sent to) from `remote`. Opened in place.
    pub fn handle_datagram(
        &mut self,
        _now: Time,
        _local: SocketAddr,
        _remote: SocketAddr,
        _datagram: &mut [u8],
    ) {
    }

    /// Forwards the media of all datagrams since the last call, subscriber by subscriber. True if the
    /// outbox became full before the end: send it, clear it and call again.
    #[must_use]
    pub fn fan_out(&mut self, _now: Time, _outbox: &mut Outbox) -> bool {
        false
    }

    /// Everything else that wants to leave: STUN, DTLS, SCTP, RTCP, retransmissions. True as in
    /// [`Router::fan_out`].
    #[must_use]
    pub fn poll_transmit(&mut self, _now: Time, _outbox: &mut Outbox) -> bool {
        false
    }

    /// What is due by `now`.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// When [`Router::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// A message for the router of another worker (never this one), in order.
    pub fn poll_link(&mut self) -> Option<(u8, Link)> {
        None
    }

    /// Media for the router of another worker; call after [`Router::fan_out`] has said false. One batch is
    /// shared by all workers it goes to. Messages of [`Router::poll_link`] go before it.
    pub fn poll_link_packets(&mut self) -> Option<(u8, Arc<LinkBatch>)> {
        None
    }

    /// A message from the router of another worker.
    pub fn handle_link(&mut self, _now: Time, _from: u8, _link: Link) {}

    /// Media from the router of another worker; goes out with the next [`Router::fan_out`].
    pub fn handle_link_packets(&mut self, _now: Time, _from: u8, _batch: &LinkBatch) {}

    /// Whether a peer of this router has passed a connectivity check with this far address, so that what
    /// comes from there and is not STUN is for this router.
    pub fn knows_address(&self, _remote: SocketAddr) -> bool {
        false
    }

    /// What was done and dropped so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
