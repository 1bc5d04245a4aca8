//! A transport's description as signalling sees it: no socket, no library type.

use std::fmt;
use std::net::SocketAddr;

use crate::Carrier;

/// ICE user fragment and password, RFC 8839 section 5.4.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub ufrag: String,
    pub pwd: String,
}

impl fmt::Debug for Credentials {
    /// The password is a secret: it is not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.ufrag)
    }
}

/// SHA-256 of a DER certificate, RFC 8122 section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    /// As in `a=fingerprint:sha-256`: upper-case hexadecimal with colons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// Not 32 bytes in hexadecimal with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint")]
pub struct FingerprintError;

impl std::str::FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads what [`Display`](fmt::Display) writes, in either case.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut hash = [0; 32];
        let mut parts = text.trim().split(':');
        for byte in &mut hash {
            let part = parts.next().ok_or(FingerprintError)?;
            if part.len() != 2 || !part.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(FingerprintError);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| FingerprintError)?;
        }
        if parts.next().is_some() {
            return Err(FingerprintError);
        }
        Ok(Self(hash))
    }
}

/// How a candidate came to be, RFC 8445 section 5.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    Host,
    ServerReflexive,
    PeerReflexive,
    Relayed,
}

/// A candidate, RFC 8839 section 5.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub kind: CandidateKind,
    /// Over TCP it is one to connect to: passive, RFC 6544 section 4.5.
    pub carrier: Carrier,
    pub addr: SocketAddr,
    pub priority: u32,
    pub foundation: String,
}

/// Who sends the ClientHello, RFC 8842.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// `a=setup:active`
    Client,
    /// `a=setup:passive`
    Server,
}

/// Our end of a transport, as it is told to the far end.
#[derive(Debug, Clone)]
pub struct LocalTransport {
    pub credentials: Credentials,
    /// Answers checks only (RFC 8445 section 2.5).
    pub ice_lite: bool,
    /// Nominates. Offerers are, unless one side is lite.
    pub controlling: bool,
    /// Addresses on which the driver receives, as candidates.
    pub candidates: Vec<Candidate>,
}

/// The far end's description.
#[derive(Debug, Clone)]
pub struct RemoteTransport {
    pub credentials: Credentials,
    pub ice_lite: bool,
    /// Any one of these is accepted.
    pub fingerprints: Vec<Fingerprint>,
    /// Our role against it.
    pub dtls_role: DtlsRole,
    pub candidates: Vec<Candidate>,
    /// `a=sctp-port` and `a=max-message-size`, if data channels are negotiated.
    pub sctp: Option<SctpRemote>,
}

/// The far end's SCTP, RFC 8841.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SctpRemote {
    pub port: u16,
    /// Bytes; 0 means any.
    pub max_message_size: u32,
}
