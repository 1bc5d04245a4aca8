//! An agent that checks (RFC 8445), over the ICE library.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use clock::Time;
use is::stun::{StunMessage, StunPacket};
use is::{IceAgent, IceAgentEvent, IceCreds, Protocol};

use super::Notice;
use super::hmac::Sha1;
use crate::{
    Candidate, CandidateKind, Carrier, Credentials, LocalTransport, Path, Reject, RemoteTransport, Transmit,
    plain_address,
};

/// Addresses from which checks are taken between two restarts. The library makes a candidate of each and
/// drops none, so this bounds its memory against a peer that hops from port to port.
const MAX_ADDRESSES: usize = 64;
/// Remote candidates taken from signalling between two restarts.
const MAX_REMOTE_CANDIDATES: usize = 64;

/// The checking agent.
pub(crate) struct Full {
    agent: IceAgent,
    /// The description belongs to credentials that no restart of ours has replaced.
    remote: Option<RemoteTransport>,
    known: Vec<SocketAddr>,
    candidates: usize,
    notices: VecDeque<Notice>,
}

impl Full {
    pub(crate) fn new(now: Time, local: LocalTransport, seed: u64) -> Self {
        let mut agent = IceAgent::with_hmac(creds(&local.credentials), &Sha1);
        agent.set_controlling(local.controlling);
        agent.set_control_tie_breaker(seed);
        for candidate in &local.candidates {
            agent.add_local_candidate(convert(candidate));
        }
        let mut full =
            Self { agent, remote: None, known: Vec::new(), candidates: 0, notices: VecDeque::new() };
        full.handle_timeout(now);
        full
    }

    pub(crate) fn set_remote(&mut self, now: Time, remote: &RemoteTransport) {
        let fresh =
            self.agent.remote_credentials().is_none_or(|known| known.ufrag != remote.credentials.ufrag);
        if fresh {
            self.candidates = 0;
        }
        self.agent.set_remote_credentials(creds(&remote.credentials));
        if remote.ice_lite {
            self.agent.set_controlling(true);
        }
        for candidate in &remote.candidates {
            self.add_candidate(now, candidate);
        }
        self.remote = fresh.then(|| remote.clone());
        self.handle_timeout(now);
    }

    pub(crate) fn add_candidate(&mut self, now: Time, candidate: &Candidate) {
        if self.candidates >= MAX_REMOTE_CANDIDATES {
            return;
        }
        self.candidates += 1;
        self.agent.add_remote_candidate(convert(candidate));
        self.handle_timeout(now);
    }

    pub(crate) fn restart(&mut self, now: Time, credentials: Credentials) {
        if self.agent.local_credentials().ufrag == credentials.ufrag {
            return;
        }
        self.agent.ice_restart(creds(&credentials), true);
        self.candidates = 0;
        for addr in self.known.drain(..) {
            self.notices.push_back(Notice::Removed(addr));
        }
        // A description that came before our own credentials belongs to this generation already.
        if let Some(remote) = self.remote.take() {
            self.set_remote(now, &remote);
            self.remote = None;
        }
        self.handle_timeout(now);
    }

    pub(crate) fn handle(&mut self, now: Time, path: Path, datagram: &[u8]) -> Result<(), Reject> {
        let message = StunMessage::parse(datagram).map_err(|_| Reject::Malformed)?;
        if !self.agent.accepts_message(&message) {
            return Err(Reject::Foreign);
        }
        if !self.knows(path.remote) {
            if self.known.len() >= MAX_ADDRESSES {
                return Err(Reject::Limit);
            }
            self.known.push(path.remote);
            self.notices.push_back(Notice::Added(path));
        }
        let packet = StunPacket {
            proto: protocol(Carrier::of(path.remote)),
            source: plain_address(path.remote),
            destination: path.local,
            message,
        };
        self.agent.handle_packet(now.mono, packet);
        self.handle_timeout(now);
        Ok(())
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.agent.handle_timeout(now.mono);
        while let Some(event) = self.agent.poll_event() {
            if let IceAgentEvent::NominatedSend { proto, source, destination } = event {
                let remote = carrier(proto).mark(destination);
                self.notices.push_back(Notice::Selected(Path { local: source, remote }));
            }
        }
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        self.agent.poll_timeout()
    }

    pub(crate) fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        loop {
            let transmit = self.agent.poll_transmit()?;
            let len = transmit.contents.len();
            if let Some(room) = buf.get_mut(..len) {
                room.copy_from_slice(&transmit.contents);
                let to = carrier(transmit.proto).mark(transmit.destination);
                return Some(Transmit { from: transmit.source, to, len });
            }
        }
    }

    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    pub(crate) fn knows(&self, remote: SocketAddr) -> bool {
        self.known.contains(&remote)
    }
}

fn creds(credentials: &Credentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.pwd.clone() }
}

fn protocol(carrier: Carrier) -> Protocol {
    match carrier {
        Carrier::Udp => Protocol::Udp,
        Carrier::Tcp => Protocol::Tcp,
    }
}

fn carrier(protocol: Protocol) -> Carrier {
    match protocol {
        Protocol::Tcp => Carrier::Tcp,
        _ => Carrier::Udp,
    }
}

fn convert(candidate: &Candidate) -> is::Candidate {
    let kind = match candidate.kind {
        CandidateKind::Host => is::CandidateKind::Host,
        CandidateKind::ServerReflexive => is::CandidateKind::ServerReflexive,
        CandidateKind::PeerReflexive => is::CandidateKind::PeerReflexive,
        CandidateKind::Relayed => is::CandidateKind::Relayed,
    };
    // Component 1: RTP and RTCP share one port, RFC 8834 section 4.5.
    is::Candidate::from_parts(
        candidate.foundation.clone(),
        1,
        protocol(candidate.carrier),
        candidate.priority,
        candidate.addr,
        kind,
        None,
        None,
        None,
    )
}
