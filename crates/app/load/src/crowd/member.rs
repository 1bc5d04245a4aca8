//! One participant of a crowd with its sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use client::{Config, Endpoint, Mode, Participant};
use clock::Time;
use livekit_protocol as proto;
use net::{Message, Options, Poller, Receiver, Sender, Socket};
use tokio::sync::mpsc::UnboundedSender;

use super::{Part, Snapshot, now};

/// Kernel buffer of each socket, bytes: what comes at once from a server that was kept waiting. Taken as it fills.
const BUFFER: usize = 2 << 20;

pub(super) struct Member {
    pub(super) participant: Participant,
    sockets: Vec<(Socket, Sender)>,
    say: UnboundedSender<proto::SignalRequest>,
    began: Instant,
    pub(super) connected: bool,
    pub(super) over: bool,
    /// The deadline that the crowd has been told.
    pub(super) next: Option<Instant>,
}

impl Member {
    /// Somebody whose WebSocket is open: since when it was wanted, from which address, and its way out.
    pub(super) fn enter(
        index: usize,
        part: &Part,
        (began, ip, say): (Instant, IpAddr, UnboundedSender<proto::SignalRequest>),
        certificate: &peer::Certificate,
        poller: Option<&Poller>,
    ) -> io::Result<Self> {
        let count = if part.mode == Mode::Dual { 2 } else { 1 };
        let mut sockets = Vec::with_capacity(count);
        for n in 0..count {
            let options = Options { reuse_port: false, buffer: BUFFER, gro: false };
            let socket = Socket::bind(SocketAddr::new(ip, 0), options)?;
            socket.stamp_arrivals()?;
            if let Some(poller) = poller {
                poller.add(&socket, (index * 2 + n) as u64)?;
            }
            sockets.push((socket, Sender::new(true)));
        }
        let (Some((first, _)), Some((last, _))) = (sockets.first(), sockets.last()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let config = Config {
            mode: part.mode,
            endpoint: Endpoint {
                address: first.local_addr(),
                certificate: certificate.clone(),
                verify: false,
                pacing: part.pacing,
                // Differs between participants, and between runs: SSRCs and passwords come from it.
                seed: now().unix.as_nanos() as u64 ^ (index as u64) << 40,
            },
            second_address: last.local_addr(),
            publish: part.publish.clone(),
            quality: part.quality,
        };
        let participant = Participant::new(now(), config);
        Ok(Self { participant, sockets, say, began, connected: false, over: false, next: None })
    }

    /// From now on the poller tells nothing of the sockets.
    pub(super) fn forget_poller(&self, poller: &Poller) {
        for (socket, _) in &self.sockets {
            // One that it does not know is one less to forget.
            let _ = poller.remove(socket);
        }
    }

    /// Datagrams that its sockets have had no room for.
    pub(super) fn dropped(&self) -> u64 {
        // Before Linux 4.12 nobody knows.
        self.sockets
            .iter()
            .map(|(socket, _)| u64::from(socket.receive_queue().unwrap_or_default().dropped))
            .sum()
    }

    /// Neither in nor given up.
    pub(super) fn is_joining(&self) -> bool {
        !self.connected && !self.over
    }

    /// Takes what all sockets have. Whether there was anything.
    pub(super) fn receive_all(&mut self, receiver: &mut Receiver) -> bool {
        (0..self.sockets.len()).fold(false, |any, which| self.receive(which, receiver) | any)
    }

    /// Takes what one socket has. Whether there was anything.
    pub(super) fn receive(&mut self, which: usize, receiver: &mut Receiver) -> bool {
        let Some((socket, _)) = self.sockets.get(which) else { return false };
        let to = socket.local_addr();
        let mut any = false;
        loop {
            // An ICMP error of an earlier packet is told here and means nothing.
            let more = receiver.receive(socket).unwrap_or(false);
            let clock = now();
            for datagram in receiver.datagrams() {
                any = true;
                let at = Time { unix: datagram.at.unwrap_or(clock.unix), ..clock };
                self.participant.handle_datagram(at, datagram.remote, to, datagram.payload);
            }
            if !more {
                return any;
            }
        }
    }

    /// Sends what is to be sent and counts what has changed. The next deadline, if it is a new one.
    pub(super) fn settle(&mut self, now: Time, snapshot: &mut Snapshot) -> Option<Instant> {
        while let Some(request) = self.participant.poll_signal() {
            // The WebSocket's end is told by itself.
            let _ = self.say.send(request);
        }
        let mut buf = [0; 1500];
        while let Some(transmit) = self.participant.poll_transmit(now, &mut buf) {
            let socket = self.sockets.iter_mut().find(|(socket, _)| socket.local_addr() == transmit.from);
            let Some((socket, sender)) = socket else { continue };
            let payload = buf.get(..transmit.len).unwrap_or_default();
            let message = Message { remote: transmit.to, local: None, payload, segment: payload.len() };
            sender.send(socket, [message]);
        }
        self.participant.take_delays(|delay| {
            snapshot.delays.record(delay.took);
            if !delay.video {
                snapshot.audio_delays.record(delay.took);
            }
        });
        if self.is_joining() && self.participant.is_connected() {
            self.connected = true;
            snapshot.connected += 1;
            snapshot.joins.push(now.since(self.began));
        }
        if !self.over
            && let Some(why) = self.participant.over()
        {
            self.over = true;
            snapshot.connected -= usize::from(self.connected);
            *snapshot.failures.entry(why).or_default() += 1;
        }
        let next = if self.over { None } else { self.participant.poll_timeout(now.mono) };
        let news = next.filter(|_| next != self.next);
        self.next = next;
        news
    }
}
