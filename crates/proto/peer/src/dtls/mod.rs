//! The DTLS association: version, certificate check, keys, and sealed datagrams for SCTP.
//!
//! Owns: the choice of version as server, the check of the far end's certificate against the signalled
//! fingerprints (RFC 8122), and what is to be sent. Knows nothing of addresses: the transport hands in only
//! what came from an address that passed a connectivity check, and nothing is allocated before.

mod hello;
mod pieces;
mod plain12;
mod record;
mod session;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clock::Time;

use crate::{Certificate, DtlsRole, DtlsVersions, FailReason, Fingerprint, Keys, Reject};
use hello::Reassembly;
use session::{Broken, Output, Session};

/// The longest datagram taken during a handshake, bytes. With the library's queue of 30 datagrams it bounds
/// a certificate to what [`HANDSHAKE_SCRATCH`] holds, as the library demands.
const MAX_HANDSHAKE_DATAGRAM: usize = 2048;
/// Polled into during a handshake, bytes. Not kept.
const HANDSHAKE_SCRATCH: usize = 64 << 10;
/// Polled into afterwards, bytes, on the stack: the longest datagram that a path with Ethernet's MTU brings.
const SCRATCH: usize = 2048;
/// Polled into when [`SCRATCH`] is too short: a record's length has two bytes.
const MAX_RECORD: usize = 1 << 16;
/// Timers fire no faster than this. After a damaged flight the library's 1.3 acknowledges the same records
/// whenever it is asked, and asks to be asked at once.
const TIMER_FLOOR: Duration = Duration::from_millis(20);
/// Datagrams waiting to be polled. Handshake flights have fewer than ten.
const MAX_OUT: usize = 64;

/// What the association tells.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The handshake is done and the certificate is the right one. Without keys if the far end offered no
    /// SRTP (a transport for data only).
    Connected(Option<Box<Keys>>),
    /// Plaintext.
    Data(Bytes),
    /// It is over.
    Over(FailReason),
}

pub(crate) struct Dtls {
    state: State,
    certificate: Certificate,
    versions: DtlsVersions,
    fingerprints: Vec<Fingerprint>,
    /// The far end's certificate is one of `fingerprints`.
    checked: bool,
    /// `Connected` has been told.
    announced: bool,
    keys: Option<Box<Keys>>,
    out: VecDeque<Vec<u8>>,
    notices: VecDeque<Notice>,
    deadline: Option<Instant>,
    /// No timer before this.
    quiet_until: Option<Instant>,
}

enum State {
    /// The far end's description has not come.
    Idle,
    /// We are the server; the ClientHello is on its way.
    Hello(Reassembly),
    /// We are the client; there is no address yet to send the ClientHello to.
    Client,
    Handshake(Session),
    Connected(Session),
    /// The last datagrams may still be polled.
    Over,
}

impl Dtls {
    pub(crate) fn new(certificate: Certificate, versions: DtlsVersions) -> Self {
        Self {
            state: State::Idle,
            certificate,
            versions,
            fingerprints: Vec::new(),
            checked: false,
            announced: false,
            keys: None,
            out: VecDeque::new(),
            notices: VecDeque::new(),
            deadline: None,
            quiet_until: None,
        }
    }

    /// The far end's description; only the first one counts, since a role and an association outlive ICE
    /// restarts (RFC 8842 section 5.1).
    pub(crate) fn set_remote(&mut self, role: DtlsRole, fingerprints: &[Fingerprint]) {
        if let State::Idle = self.state {
            self.fingerprints = fingerprints.to_vec();
            self.state = match role {
                DtlsRole::Client => State::Client,
                DtlsRole::Server => State::Hello(Reassembly::default()),
            };
        }
    }

    /// There is somewhere to send to.
    pub(crate) fn start(&mut self, now: Time) {
        if let State::Client = self.state {
            let mut session = Session::client(now, &self.certificate, self.versions);
            let started = session.handle_timeout(now);
            self.state = State::Handshake(session);
            self.drain(now, started);
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub(crate) fn handle(&mut self, now: Time, datagram: &[u8]) -> Result<(), Reject> {
        let result = match &mut self.state {
            State::Idle | State::Client | State::Over => return Err(Reject::Unexpected),
            State::Hello(reassembly) => {
                let Some(hello) = reassembly.take(datagram)? else { return Ok(()) };
                let version = match hello.offer.choose(self.versions) {
                    Ok(version) => version,
                    Err(no_way) => {
                        // Else the client would ask until its patience ends, and not know why.
                        self.out.push_back(no_way.datagram());
                        self.end(FailReason::Dtls);
                        return Ok(());
                    }
                };
                let Ok((mut session, answered)) = Session::server(now, &self.certificate, version, &hello)
                else {
                    self.end(FailReason::Dtls);
                    return Err(Reject::Unexpected);
                };
                let result = if answered { Ok(()) } else { session.handle(now, &hello.datagram) };
                self.state = State::Handshake(session);
                result
            }
            // The library would take the records before a malformed one and then forget them.
            State::Handshake(_) | State::Connected(_) if !record::is_framed(datagram) => {
                return Err(Reject::Malformed);
            }
            State::Handshake(_) if datagram.len() > MAX_HANDSHAKE_DATAGRAM => return Err(Reject::Limit),
            State::Handshake(session) | State::Connected(session) => session.handle(now, datagram),
        };
        self.drain(now, result);
        Ok(())
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if self.deadline.is_some_and(|at| now.mono >= at)
            && let State::Handshake(session) | State::Connected(session) = &mut self.state
        {
            let result = session.handle_timeout(now);
            self.quiet_until = Some(now.mono + TIMER_FLOOR);
            self.drain(now, result);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Seals data to be sent. Ignored unless connected.
    pub(crate) fn send(&mut self, now: Time, data: &[u8]) {
        if let State::Connected(session) = &mut self.state {
            let result = session.send(data);
            self.drain(now, result);
        }
    }

    /// Says goodbye, if there is anyone to say it to.
    pub(crate) fn close(&mut self, now: Time) {
        if let State::Connected(session) = &mut self.state {
            session.close();
            self.drain(now, Ok(()));
        }
        self.state = State::Over;
        self.deadline = None;
    }

    /// The next datagram to send, copied to the front of `buf`; its length. One that does not fit is lost.
    pub(crate) fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<usize> {
        loop {
            let packet = self.out.pop_front()?;
            if self.out.is_empty() {
                // Nothing is kept for a peer that is idle.
                self.out = VecDeque::new();
            }
            if let Some(room) = buf.get_mut(..packet.len()) {
                room.copy_from_slice(&packet);
                return Some(packet.len());
            }
        }
    }

    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Takes everything out of the library. It must be done after every call into it: its queues are short
    /// and their overflow ends the association.
    fn drain(&mut self, now: Time, result: Result<(), Broken>) {
        if matches!(self.state, State::Handshake(_)) {
            let mut scratch = vec![0; HANDSHAKE_SCRATCH];
            self.drain_into(now, &mut scratch);
        } else if !self.drain_into(now, &mut [0; SCRATCH]) {
            let mut scratch = vec![0; MAX_RECORD];
            self.drain_into(now, &mut scratch);
        }
        if result.is_err() {
            self.end(FailReason::Dtls);
        }
    }

    /// Polls until nothing is left; false if an output needs more room than there is.
    fn drain_into(&mut self, now: Time, scratch: &mut [u8]) -> bool {
        loop {
            let (State::Handshake(session) | State::Connected(session)) = &mut self.state else {
                return true;
            };
            match session.poll(now, scratch) {
                Output::Packet(packet) => {
                    if self.out.len() < MAX_OUT {
                        self.out.push_back(packet.to_vec());
                    }
                }
                Output::Peer(fingerprint) => {
                    if !self.fingerprints.contains(&fingerprint) {
                        self.out.clear();
                        self.end(FailReason::Fingerprint);
                        return true;
                    }
                    self.checked = true;
                }
                Output::Keys(profile, material) => {
                    let role = match session.role() {
                        DtlsRole::Client => srtp::Role::Client,
                        DtlsRole::Server => srtp::Role::Server,
                    };
                    match srtp::contexts(profile, &material, role) {
                        Ok((inbound, outbound)) => {
                            self.keys = Some(Box::new(Keys { profile, inbound, outbound }))
                        }
                        Err(_) => {
                            self.end(FailReason::Dtls);
                            return true;
                        }
                    }
                }
                Output::Connected => self.connected(),
                Output::Data(data) => self.notices.push_back(Notice::Data(Bytes::copy_from_slice(data))),
                Output::Closed => {
                    self.end(FailReason::Closed);
                    return true;
                }
                Output::TooShort => return false,
                Output::Idle(at) => {
                    self.settle(at);
                    return true;
                }
            }
        }
    }

    fn connected(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Handshake(session) => State::Connected(session),
            other => other,
        };
    }

    /// The library has told all it has: keys come after `Connected`, so only now is the handshake's outcome
    /// known.
    fn settle(&mut self, deadline: Instant) {
        self.deadline = Some(self.quiet_until.map_or(deadline, |quiet| quiet.max(deadline)));
        if !self.is_connected() || self.announced {
            return;
        }
        if !self.checked {
            self.end(FailReason::Fingerprint);
            return;
        }
        self.announced = true;
        // Data may have come with the far end's last flight.
        let keys = self.keys.take();
        self.notices.push_front(Notice::Connected(keys));
    }

    fn end(&mut self, reason: FailReason) {
        if !self.is_over() {
            self.state = State::Over;
            self.deadline = None;
            self.keys = None;
            self.notices.push_back(Notice::Over(reason));
        }
    }
}
