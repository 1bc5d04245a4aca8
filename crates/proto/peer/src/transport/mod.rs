//! The transport: ICE, DTLS and SCTP as one machine.

mod liveness;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use clock::Time;

use crate::dtls::{self, Dtls};
use crate::ice::{self, Agent};
use crate::sctp::{self, Sctp};
use crate::{
    Candidate, Certificate, ChannelError, ChannelId, ChannelParams, Config, Credentials, DtlsRole, Event,
    FailReason, LocalTransport, Path, Reject, RemoteTransport, SctpRemote, SendError, Transmit,
};
use liveness::{Change, Liveness};

/// One end of a WebRTC transport.
///
/// After every call that takes datagrams, commands or the time, poll [`poll_transmit`](Self::poll_transmit)
/// and [`poll_event`](Self::poll_event) until they give nothing, then [`poll_timeout`](Self::poll_timeout).
/// Polling late is late, never wrong.
pub struct Transport {
    config: Config,
    agent: Agent,
    dtls: Dtls,
    /// There from the moment when DTLS is connected, if data channels are negotiated.
    sctp: Option<Box<Sctp>>,
    /// The far end's SCTP, and our DTLS role, which decides who opens the association.
    sctp_remote: Option<SctpRemote>,
    dtls_role: Option<DtlsRole>,
    /// Another one is an ICE restart.
    remote_ufrag: Option<String>,
    /// Channels asked for before there is SCTP.
    waiting: Vec<ChannelParams>,
    liveness: Liveness,
    selected: Option<Path>,
    /// Where DTLS goes before a path is selected: where it last came from, or whence the first check came.
    provisional: Option<Path>,
    events: VecDeque<Event>,
    over: bool,
}

impl Transport {
    /// A transport that waits for its far end. `seed` breaks a tie of roles (RFC 8445 section 7.3.1.1).
    pub fn new(
        now: Time,
        local: LocalTransport,
        certificate: &Certificate,
        config: &Config,
        seed: u64,
    ) -> Self {
        Self {
            config: config.clone(),
            agent: Agent::new(now, local, seed),
            dtls: Dtls::new(certificate.clone(), config.dtls),
            sctp: None,
            sctp_remote: None,
            dtls_role: None,
            remote_ufrag: None,
            waiting: Vec::new(),
            liveness: Liveness::new(config),
            selected: None,
            provisional: None,
            events: VecDeque::new(),
            over: false,
        }
    }

    /// The far end's description. The first one starts DTLS; a later one brings candidates, or, with other
    /// credentials, belongs to an ICE restart.
    pub fn set_remote(&mut self, now: Time, remote: &RemoteTransport) {
        if self.over {
            return;
        }
        self.agent.set_remote(now, remote);
        self.dtls.set_remote(remote.dtls_role, &remote.fingerprints);
        self.dtls_role.get_or_insert(remote.dtls_role);
        if self.sctp_remote.is_none() {
            self.sctp_remote = remote.sctp;
        }
        // A renegotiation that restarts nothing is no reason to wait longer for a silent peer.
        if self.remote_ufrag.as_ref() != Some(&remote.credentials.ufrag) {
            self.remote_ufrag = Some(remote.credentials.ufrag.clone());
            self.liveness.expect(now);
        }
        self.start_sctp();
        self.settle(now);
    }

    /// A trickled candidate of the far end.
    pub fn add_candidate(&mut self, now: Time, candidate: &Candidate) {
        if !self.over {
            self.agent.add_candidate(now, candidate);
            self.settle(now);
        }
    }

    /// New local credentials, RFC 8445 section 9. The selected path stays in use until another is selected,
    /// and a transport that failed for want of ICE comes back.
    pub fn restart_ice(&mut self, now: Time, credentials: Credentials) {
        if !self.over {
            self.agent.restart(now, credentials);
            self.liveness.expect(now);
            self.settle(now);
        }
    }

    /// A datagram whose first byte says STUN.
    pub fn handle_stun(
        &mut self,
        now: Time,
        from: SocketAddr,
        to: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), Reject> {
        if self.over {
            return Err(Reject::Unexpected);
        }
        self.agent.handle(now, Path { local: to, remote: from }, datagram)?;
        self.liveness.heard(now);
        self.settle(now);
        Ok(())
    }

    /// A datagram whose first byte says DTLS.
    pub fn handle_dtls(
        &mut self,
        now: Time,
        from: SocketAddr,
        to: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), Reject> {
        if self.over {
            return Err(Reject::Unexpected);
        }
        if !self.agent.knows(from) {
            return Err(Reject::Unchecked);
        }
        self.dtls.handle(now, datagram)?;
        if self.selected.is_none() {
            self.provisional = Some(Path { local: to, remote: from });
        }
        self.settle(now);
        Ok(())
    }

    /// Authentic SRTP came from here: as good a sign of life as a check, if it is the selected address.
    pub fn heard(&mut self, now: Time, from: SocketAddr) {
        if self.selected.is_some_and(|path| path.remote == from) {
            self.liveness.heard(now);
        }
    }

    /// Whether this address has passed a connectivity check.
    pub fn knows(&self, remote: SocketAddr) -> bool {
        self.agent.knows(remote)
    }

    /// Where to send.
    pub fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// Whether a path and keys are there and the far end is alive.
    pub fn is_connected(&self) -> bool {
        self.liveness.is_connected()
    }

    /// Time has come, or gone by.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.over {
            return;
        }
        self.agent.handle_timeout(now);
        self.dtls.handle_timeout(now);
        if let Some(sctp) = &mut self.sctp {
            sctp.handle_timeout(now);
        }
        self.settle(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let sctp = self.sctp.as_ref().and_then(|sctp| sctp.poll_timeout());
        [self.agent.poll_timeout(), self.dtls.poll_timeout(), sctp, self.liveness.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next datagram, written to the front of `buf`, which should have 1500 bytes.
    pub fn poll_transmit(&mut self, now: Time, buf: &mut [u8]) -> Option<Transmit> {
        if let Some(transmit) = self.agent.poll_transmit(buf) {
            return Some(transmit);
        }
        let path = self.selected.or(self.provisional)?;
        loop {
            if let Some(len) = self.dtls.poll_transmit(buf) {
                return Some(Transmit { from: path.local, to: path.remote, len });
            }
            if self.over || !self.dtls.is_connected() {
                return None;
            }
            let packet = self.sctp.as_mut()?.poll_transmit(now)?;
            self.dtls.send(now, &packet);
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.next_event(Sctp::poll_notice)
    }

    /// The next event, but messages are not read: they fill the receive window and stop their sender.
    pub fn poll_change(&mut self) -> Option<Event> {
        self.next_event(Sctp::poll_change)
    }

    fn next_event(&mut self, notice: impl FnOnce(&mut Sctp) -> Option<sctp::Notice>) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        match notice(self.sctp.as_mut()?)? {
            sctp::Notice::Open { channel, label } => Some(Event::ChannelOpen { channel, label }),
            sctp::Notice::Closed { channel } => Some(Event::ChannelClosed { channel }),
            sctp::Notice::Message { channel, binary, payload } => {
                Some(Event::Message { channel, binary, payload })
            }
            sctp::Notice::Over => {
                self.fail(FailReason::Sctp);
                self.events.pop_front()
            }
        }
    }

    /// Opens a data channel; [`Event::ChannelOpen`] tells when it is usable. May be called before the far
    /// end is known.
    pub fn open_channel(&mut self, params: ChannelParams) -> Result<(), ChannelError> {
        if self.over {
            return Err(ChannelError::NoSctp);
        }
        match &mut self.sctp {
            Some(sctp) => sctp.open(params),
            None if self.dtls.is_connected() && self.sctp_remote.is_none() => Err(ChannelError::NoSctp),
            None if self.waiting.len() >= self.config.max_channels => Err(ChannelError::TooMany),
            None => {
                self.waiting.push(params);
                Ok(())
            }
        }
    }

    /// The open channel of this label.
    pub fn channel(&self, label: &str) -> Option<ChannelId> {
        self.sctp.as_ref().and_then(|sctp| sctp.channel(label))
    }

    /// Closes a data channel; [`Event::ChannelClosed`] tells when the far end has, too.
    pub fn close_channel(&mut self, channel: ChannelId) {
        if let Some(sctp) = &mut self.sctp {
            sctp.close(channel);
        }
    }

    /// Queues a message; it is refused, not kept, when too much is waiting.
    pub fn send(&mut self, channel: ChannelId, binary: bool, payload: &Bytes) -> Result<(), SendError> {
        match &mut self.sctp {
            Some(sctp) if !self.over => sctp.send(channel, binary, payload),
            _ => Err(SendError::NotOpen),
        }
    }

    /// Whether a channel gives a message up that does not arrive, whoever opened it.
    pub fn is_lossy(&self, channel: ChannelId) -> bool {
        self.sctp.as_ref().is_some_and(|sctp| sctp.is_lossy(channel))
    }

    /// Bytes of a channel that the far end has not acknowledged.
    pub fn buffered_amount(&mut self, channel: ChannelId) -> usize {
        self.sctp.as_mut().map_or(0, |sctp| sctp.buffered_amount(channel))
    }

    /// Says goodbye (DTLS close_notify) and ends. Poll the last datagrams, then drop it.
    pub fn close(&mut self, now: Time) {
        self.dtls.close(now);
        self.over = true;
        self.sctp = None;
        self.events.clear();
    }

    /// Brings the layers' news to each other and to the events.
    fn settle(&mut self, now: Time) {
        while let Some(notice) = self.agent.poll_notice() {
            match notice {
                ice::Notice::Added(path) => {
                    self.provisional.get_or_insert(path);
                    self.events.push_back(Event::AddressAdded(path.remote));
                }
                ice::Notice::Removed(remote) => self.events.push_back(Event::AddressRemoved(remote)),
                ice::Notice::Selected(path) => {
                    if self.selected != Some(path) {
                        self.selected = Some(path);
                        self.events.push_back(Event::Selected(path));
                    }
                }
            }
        }
        if self.provisional.is_some() {
            self.dtls.start(now);
        }
        while let Some(notice) = self.dtls.poll_notice() {
            match notice {
                dtls::Notice::Connected(keys) => {
                    self.events.extend(keys.map(Event::Keys));
                    self.start_sctp();
                }
                dtls::Notice::Data(packet) => {
                    self.liveness.heard(now);
                    if let Some(sctp) = &mut self.sctp {
                        sctp.handle(now, packet);
                    }
                }
                dtls::Notice::Over(reason) => self.fail(reason),
            }
        }
        let ready = self.selected.is_some() && self.dtls.is_connected();
        match self.liveness.look(now, ready) {
            Some(Change::Connected) => self.events.push_back(Event::Connected),
            Some(Change::Disconnected) => self.events.push_back(Event::Disconnected),
            Some(Change::Failed) => self.events.push_back(Event::Failed(FailReason::IceTimeout)),
            None => {}
        }
    }

    /// SCTP exists only where it is negotiated, and not before there is DTLS to carry it.
    fn start_sctp(&mut self) {
        if let (None, Some(remote), Some(role)) = (&self.sctp, self.sctp_remote, self.dtls_role)
            && self.dtls.is_connected()
        {
            let mut sctp = Box::new(Sctp::new(&self.config, remote, role == DtlsRole::Client));
            for params in self.waiting.drain(..) {
                // What was wrong with it then is wrong now; its opener waits for an event in vain, as with a
                // far end that never answers.
                let _ = sctp.open(params);
            }
            self.sctp = Some(sctp);
        }
    }

    fn fail(&mut self, reason: FailReason) {
        if !self.over {
            self.over = true;
            self.sctp = None;
            self.events.push_back(Event::Failed(reason));
        }
    }
}

#[cfg(test)]
impl Transport {
    pub(crate) fn babble(&mut self, ids: std::ops::Range<u16>) {
        if let Some(sctp) = &mut self.sctp {
            sctp.babble(ids);
        }
    }

    pub(crate) fn abort_sctp(&mut self) {
        if let Some(sctp) = &mut self.sctp {
            sctp.abort();
        }
    }
}
