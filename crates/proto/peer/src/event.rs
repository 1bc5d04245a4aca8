//! What a transport tells and hands out.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::ChannelId;

/// Two addresses between which datagrams pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// Ours.
    pub local: SocketAddr,
    /// The far end's.
    pub remote: SocketAddr,
}

/// SRTP contexts made from the keys that DTLS agreed on.
pub struct Keys {
    /// What both directions use.
    pub profile: srtp::Profile,
    /// Opens what the far end sends.
    pub inbound: srtp::Inbound,
    /// Seals what we send.
    pub outbound: srtp::Outbound,
}

impl fmt::Debug for Keys {
    /// Keys are secrets: only the profile is printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Why a transport has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailReason {
    /// No valid check or consent in time. An ICE restart may still bring it back.
    IceTimeout,
    /// The handshake failed or timed out.
    Dtls,
    /// The certificate is not the one that was signalled.
    Fingerprint,
    /// The far end said goodbye.
    Closed,
    /// SCTP gave up.
    Sctp,
}

/// Why a datagram was dropped; each is a counter's name, none needs handling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// Not what its first byte promised.
    #[error("malformed")]
    Malformed,
    /// A STUN message that is not a binding request or response for us: another user fragment, another
    /// transaction.
    #[error("not for this transport")]
    Foreign,
    /// The message integrity does not verify.
    #[error("not authentic")]
    Unauthentic,
    /// DTLS from an address that has not passed a connectivity check.
    #[error("unchecked address")]
    Unchecked,
    /// One of the bounds on memory is reached.
    #[error("limit reached")]
    Limit,
    /// DTLS before the far end's description, or after the end.
    #[error("unexpected now")]
    Unexpected,
}

/// What a transport tells.
#[derive(Debug)]
pub enum Event {
    /// This address passed a connectivity check: what comes from it now belongs to this transport.
    AddressAdded(SocketAddr),
    /// The address gave way to others or an ICE restart made it worthless.
    AddressRemoved(SocketAddr),
    /// Send here from now on.
    Selected(Path),
    /// DTLS is done and the certificate is the signalled one. Comes once, before the first `Connected`.
    Keys(Box<Keys>),
    /// A path and keys are there (again).
    Connected,
    /// Silence for a while; may come back.
    Disconnected,
    /// Gone. Only [`FailReason::IceTimeout`] can be undone, by an ICE restart.
    Failed(FailReason),
    /// A data channel is usable, whoever opened it.
    ChannelOpen { channel: ChannelId, label: String },
    /// The far end closed a channel, or its close is complete.
    ChannelClosed { channel: ChannelId },
    /// A data channel message. Per channel in the order in which it may be delivered.
    Message { channel: ChannelId, binary: bool, payload: Bytes },
}

/// A datagram that has been written to the front of the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Leaves from this local address.
    pub from: SocketAddr,
    /// Goes there.
    pub to: SocketAddr,
    /// Bytes written.
    pub len: usize,
}
