//! An agent that checks (RFC 8445), over the ICE library.
//!
//! The library keeps every candidate it has seen, and a path for as long as the far end may have fallen silent on it for
//! a quarter of a minute. Both make room by beginning anew under the same credentials: the path in use stays in use, and
//! the far end's next checks bring the others back.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clock::Time;
use is::stun::{StunMessage, StunPacket};
use is::{IceAgent, IceAgentEvent, IceCreds, Protocol};

use super::Notice;
use super::hmac::Sha1;
use crate::{
    Candidate, CandidateKind, Carrier, Credentials, LocalTransport, Path, Reject, RemoteTransport, Transmit,
    plain_address,
};

/// Candidates in the library, of either end, before it begins anew.
const MAX_CANDIDATES: usize = 64;
/// Of the far end's addresses, and of its candidates from signalling, those that outlast a new beginning. Together they
/// leave room for as many new ones.
const KEPT: usize = 16;
/// How long an answered check is consent to send, RFC 7675 section 5.1.
const CONSENT: Duration = Duration::from_secs(30);
/// After such a silence on the selected path another one that answers takes its place. The library checks each path
/// that works every 3 s.
const SILENCE: Duration = Duration::from_secs(4);

/// The checking agent.
pub(crate) struct Full {
    agent: IceAgent,
    local: LocalTransport,
    /// Breaks a tie of roles.
    seed: u64,
    /// The description belongs to credentials that no restart of ours has replaced.
    ahead: bool,
    /// Candidates from signalling, the oldest first.
    signalled: Vec<Candidate>,
    known: Vec<Known>,
    /// Whence the far end saw our checks come.
    mapped: Vec<SocketAddr>,
    /// Candidates that the library may have, besides our own.
    held: usize,
    selected: Option<SocketAddr>,
    /// When the library began.
    begun: Instant,
    notices: VecDeque<Notice>,
}

/// An address from which authentic messages came.
struct Known {
    remote: SocketAddr,
    heard: Instant,
    /// When a check of ours was last answered from there, which nobody can forge who only listens.
    answered: Option<Instant>,
}

impl Full {
    pub(crate) fn new(now: Time, local: LocalTransport, seed: u64) -> Self {
        let mut full = Self {
            agent: begin(&local, local.controlling, seed),
            local,
            seed,
            ahead: false,
            signalled: Vec::new(),
            known: Vec::new(),
            mapped: Vec::new(),
            held: 0,
            selected: None,
            begun: now.mono,
            notices: VecDeque::new(),
        };
        full.handle_timeout(now);
        full
    }

    pub(crate) fn set_remote(&mut self, now: Time, remote: &RemoteTransport) {
        let fresh =
            self.agent.remote_credentials().is_none_or(|known| known.ufrag != remote.credentials.ufrag);
        if fresh {
            self.signalled.clear();
        }
        self.agent.set_remote_credentials(creds(&remote.credentials));
        if remote.ice_lite {
            self.agent.set_controlling(true);
        }
        for candidate in &remote.candidates {
            self.add_candidate(now, candidate);
        }
        self.ahead = fresh;
        self.handle_timeout(now);
    }

    pub(crate) fn add_candidate(&mut self, now: Time, candidate: &Candidate) {
        if self.signalled.contains(candidate) {
            return;
        }
        self.signalled.push(candidate.clone());
        if self.held >= MAX_CANDIDATES {
            self.renew(now);
            return;
        }
        self.held += 1;
        self.agent.add_remote_candidate(convert(candidate));
        self.handle_timeout(now);
    }

    pub(crate) fn restart(&mut self, now: Time, credentials: Credentials) {
        if self.local.credentials.ufrag == credentials.ufrag {
            return;
        }
        self.local.credentials = credentials;
        // A description that came before our own credentials belongs to this generation already.
        let remote = self.agent.remote_credentials().filter(|_| self.ahead).cloned();
        if remote.is_none() {
            self.signalled.clear();
        }
        self.ahead = false;
        self.selected = None;
        self.notices.extend(self.known.drain(..).map(|known| Notice::Removed(known.remote)));
        self.begin(now, remote);
    }

    pub(crate) fn handle(&mut self, now: Time, path: Path, datagram: &[u8]) -> Result<(), Reject> {
        let message = StunMessage::parse(datagram).map_err(|_| Reject::Malformed)?;
        let answers = !message.is_binding_request();
        // RFC 8445 section 7.2.5.2.1: an answer comes from where it was asked for.
        if !self.agent.accepts_message(&message) || (answers && !self.may_answer(path.remote)) {
            return Err(Reject::Foreign);
        }
        let mapped = message.mapped_address().filter(|mapped| answers && !self.mapped.contains(mapped));
        let added = usize::from(!self.knows(path.remote)) + usize::from(mapped.is_some());
        if self.held + added > MAX_CANDIDATES {
            self.renew(now);
        }
        self.held += added;
        self.mapped.extend(mapped);
        self.note(now, path, answers);
        let packet = StunPacket {
            proto: protocol(Carrier::of(path.remote)),
            source: plain_address(path.remote),
            destination: path.local,
            message,
        };
        self.agent.handle_packet(now.mono, packet);
        self.handle_timeout(now);
        if answers && self.is_elsewhere(now, path.remote) {
            self.renew(now);
        }
        Ok(())
    }

    /// Whether checks have gone there.
    fn may_answer(&self, remote: SocketAddr) -> bool {
        self.knows(remote) || self.signalled.iter().any(|c| c.carrier.mark(c.addr) == remote)
    }

    fn note(&mut self, now: Time, path: Path, answers: bool) {
        let answered = answers.then_some(now.mono);
        if let Some(known) = self.known.iter_mut().find(|known| known.remote == path.remote) {
            known.heard = now.mono;
            known.answered = answered.or(known.answered);
        } else {
            self.known.push(Known { remote: path.remote, heard: now.mono, answered });
            self.notices.push_back(Notice::Added(path));
        }
    }

    /// Whether the far end, which answers from here, has fallen silent where we send.
    fn is_elsewhere(&self, now: Time, here: SocketAddr) -> bool {
        let is_silent = |selected: SocketAddr| {
            let known = self.known.iter().find(|known| known.remote == selected);
            selected != here && known.is_none_or(|known| now.since(known.heard) >= SILENCE)
        };
        self.selected.is_some_and(is_silent) && now.since(self.begun) >= SILENCE
    }

    /// Forgets what is not in use. The path that is selected stays, and those with fresh consent.
    fn renew(&mut self, now: Time) {
        let selected = self.selected;
        let rank = |known: &Known| Reverse((selected == Some(known.remote), known.answered));
        self.known.sort_by_key(rank);
        let has_consent = |known: &&Known| {
            selected == Some(known.remote) || known.answered.is_some_and(|at| now.since(at) < CONSENT)
        };
        let kept = self.known.iter().take(KEPT).take_while(has_consent).count();
        self.notices.extend(self.known.drain(kept..).map(|known| Notice::Removed(known.remote)));
        self.signalled.drain(..self.signalled.len().saturating_sub(KEPT));
        let remote = self.agent.remote_credentials().cloned();
        self.begin(now, remote);
    }

    fn begin(&mut self, now: Time, remote: Option<IceCreds>) {
        self.agent = begin(&self.local, self.agent.controlling(), self.seed);
        if let Some(remote) = remote {
            self.agent.set_remote_credentials(remote);
        }
        for candidate in &self.signalled {
            self.agent.add_remote_candidate(convert(candidate));
        }
        self.mapped.clear();
        self.held = self.signalled.len() + self.known.len();
        self.begun = now.mono;
        self.handle_timeout(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.agent.handle_timeout(now.mono);
        while let Some(event) = self.agent.poll_event() {
            if let IceAgentEvent::NominatedSend { proto, source, destination } = event {
                let remote = carrier(proto).mark(destination);
                self.selected = Some(remote);
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
        self.known.iter().any(|known| known.remote == remote)
    }
}

fn begin(local: &LocalTransport, controlling: bool, seed: u64) -> IceAgent {
    let mut agent = IceAgent::with_hmac(creds(&local.credentials), &Sha1);
    agent.set_controlling(controlling);
    agent.set_control_tie_breaker(seed);
    for candidate in &local.candidates {
        agent.add_local_candidate(convert(candidate));
    }
    agent
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
