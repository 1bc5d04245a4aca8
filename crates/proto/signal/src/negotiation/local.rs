//! The two ends of a transport, as SDP says them.

use peer::{
    Candidate, CandidateKind, Carrier, Credentials, DtlsRole, Fingerprint, RemoteTransport, SctpRemote,
};
use rtp::Mid;
use sdp::{Address, Ice, Protocol, Section, Session, Setup};

/// The port of SCTP inside DTLS, RFC 8841 section 5.
pub(crate) const SCTP_PORT: u16 = 5000;
/// The largest data channel message that we take, in bytes. LiveKit's clients send 64,000 at most.
pub(crate) const MESSAGE_MAX: u64 = peer::MESSAGE_MAX as u64;
/// Remote candidates kept of one description.
const CANDIDATES_MAX: usize = 64;

/// Our end.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) credentials: Credentials,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) ice_lite: bool,
    pub(crate) fingerprint: Fingerprint,
    /// Of the `o=` line; grows with each description.
    pub(crate) version: u64,
}

impl Local {
    /// A description without sections.
    pub(crate) fn session(&self) -> Session {
        let mut session = Session { ice_lite: self.ice_lite, extmap_allow_mixed: true, ..Session::default() };
        session.origin.version = self.version;
        session
    }

    /// Says on `section` how to reach us. Candidates stand in the first section alone: the others share
    /// its transport.
    pub(crate) fn describe(&self, section: &mut Section, setup: Setup, first: bool) {
        section.transport.ice =
            Some(Ice { ufrag: self.credentials.ufrag.clone(), pwd: self.credentials.pwd.clone() });
        section.transport.fingerprints = vec![sdp::Fingerprint::sha256(self.fingerprint.0)];
        section.transport.setup = Some(setup);
        if first {
            section.transport.candidates = self.candidates.iter().map(to_sdp).collect();
            section.transport.end_of_candidates = true;
        }
    }

    /// The group of all sections that are not rejected.
    pub(crate) fn bundle(session: &mut Session) {
        let mids: Vec<Mid> =
            session.sections.iter().filter(|s| !s.is_rejected()).filter_map(|s| s.mid).collect();
        session.groups = vec![sdp::Group { semantics: "BUNDLE".into(), mids }];
    }
}

/// Why the far end's transport cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("no ICE credentials")]
    NoCredentials,
    #[error("no SHA-256 fingerprint")]
    NoFingerprint,
}

impl RemoteError {
    /// The same in words that do not change.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NoCredentials => "no ICE credentials",
            Self::NoFingerprint => "no SHA-256 fingerprint",
        }
    }
}

/// The far end.
#[derive(Debug, Clone)]
pub(crate) struct Remote(pub(crate) RemoteTransport);

impl Remote {
    /// Reads the bundle's transport. `Ok(None)` if no section is alive.
    pub(crate) fn of(session: &Session) -> Result<Option<Self>, RemoteError> {
        if session.sections.iter().all(Section::is_rejected) {
            return Ok(None);
        }
        let transport = session.bundle_transport().ok_or(RemoteError::NoCredentials)?;
        let ice = transport.ice.as_ref().ok_or(RemoteError::NoCredentials)?;
        let fingerprints: Vec<_> =
            transport.fingerprints.iter().filter_map(sdp::Fingerprint::as_sha256).map(Fingerprint).collect();
        if fingerprints.is_empty() {
            return Err(RemoteError::NoFingerprint);
        }
        // We wait for the ClientHello unless the far end insists on waiting itself.
        let dtls_role =
            if transport.setup == Some(Setup::Passive) { DtlsRole::Client } else { DtlsRole::Server };
        let data = session.sections.iter().find(|s| s.is_data() && !s.is_rejected());
        Ok(Some(Self(RemoteTransport {
            credentials: Credentials { ufrag: ice.ufrag.clone(), pwd: ice.pwd.clone() },
            ice_lite: session.ice_lite,
            fingerprints,
            dtls_role,
            candidates: transport.candidates.iter().filter_map(from_sdp).take(CANDIDATES_MAX).collect(),
            sctp: data.map(|s| SctpRemote {
                port: s.data.sctp_port.unwrap_or(SCTP_PORT),
                // RFC 8841 section 6: 65,536 where it is not said.
                max_message_size: u32::try_from(s.data.max_message_size.unwrap_or(65_536))
                    .unwrap_or(u32::MAX),
            }),
        })))
    }
}

/// What our role is called in an answer.
pub(crate) fn setup_of(role: DtlsRole) -> Setup {
    match role {
        DtlsRole::Client => Setup::Active,
        DtlsRole::Server => Setup::Passive,
    }
}

fn to_sdp(candidate: &Candidate) -> sdp::Candidate {
    sdp::Candidate {
        foundation: candidate.foundation.clone(),
        component: 1,
        protocol: match candidate.carrier {
            Carrier::Udp => Protocol::Udp,
            Carrier::Tcp => Protocol::Tcp,
        },
        priority: candidate.priority,
        address: Address::Ip(candidate.addr.ip()),
        port: candidate.addr.port(),
        kind: match candidate.kind {
            CandidateKind::Host => sdp::CandidateKind::Host,
            CandidateKind::ServerReflexive => sdp::CandidateKind::ServerReflexive,
            CandidateKind::PeerReflexive => sdp::CandidateKind::PeerReflexive,
            CandidateKind::Relayed => sdp::CandidateKind::Relayed,
        },
        // RFC 8839 section 5.1: required for all but host candidates; the base is nobody's business.
        related: (candidate.kind != CandidateKind::Host)
            .then(|| (Address::Ip(std::net::Ipv4Addr::UNSPECIFIED.into()), 0)),
        // Ours wait to be connected to, RFC 6544 section 4.5.
        tcp: (candidate.carrier == Carrier::Tcp).then_some(sdp::TcpKind::Passive),
        ufrag: None,
    }
}

/// A candidate that we can use: UDP, the only component, an address. mDNS names are none, nor is one over TCP: the
/// far end connects to ours.
pub(crate) fn from_sdp(candidate: &sdp::Candidate) -> Option<Candidate> {
    if candidate.protocol != Protocol::Udp || candidate.component != 1 || candidate.port == 0 {
        return None;
    }
    Some(Candidate {
        carrier: Carrier::Udp,
        kind: match candidate.kind {
            sdp::CandidateKind::Host => CandidateKind::Host,
            sdp::CandidateKind::ServerReflexive => CandidateKind::ServerReflexive,
            sdp::CandidateKind::PeerReflexive => CandidateKind::PeerReflexive,
            sdp::CandidateKind::Relayed => CandidateKind::Relayed,
        },
        addr: candidate.socket_addr()?,
        priority: candidate.priority,
        foundation: candidate.foundation.clone(),
    })
}
