//! Everything but forwarded media leaves: what transports say, reports, feedback, retransmissions.

use clock::Time;
use peer::{Class, classify};
use rtp::Ssrc;
use rtp::ext::AbsSendTime;
use rtp::rtcp::{Builder, ReportBlock};

use super::Router;
use crate::Outbox;
use crate::api::PeerId;
use crate::consumer::Egress;
use crate::peer_state::Peer;
use crate::producer::Home;
use crate::recv::nack::Gap;

/// Bytes of a datagram that a transport may write.
const DATAGRAM: usize = 1500;

/// Bytes of a compound before sealing: with the tag it fits IPv6's minimum MTU of 1280.
const COMPOUND: usize = 1200;

/// Streams that one estimate names.
const REMB_SSRCS: usize = 64;

/// Report blocks put into one receiver report.
const BLOCKS: usize = 24;

impl Router {
    /// Everything else that wants to leave: STUN, DTLS, SCTP, RTCP, retransmissions. True as in
    /// [`Router::fan_out`].
    #[must_use]
    pub fn poll_transmit(&mut self, now: Time, outbox: &mut Outbox) -> bool {
        let before = (outbox.entries().len(), outbox.bytes().len());
        while !outbox.is_full() {
            let Some(key) = self.awake.pop_front() else { break };
            let Some(peer) = self.peers.get_mut(key) else { continue };
            if !std::mem::take(&mut peer.awake) {
                continue;
            }
            if peer.data.stalled && self.events.len() < self.config.event_queue {
                self.pump(key);
            }
            self.speak(now, key, outbox);
            self.flush_data(key);
            self.transport_out(now, key, outbox);
            self.schedule_peer(now, key);
        }
        self.count_out(outbox, before);
        !self.awake.is_empty()
    }

    fn transport_out(&mut self, now: Time, key: usize, outbox: &mut Outbox) {
        loop {
            let Some(peer) = self.peers.get_mut(key) else { return };
            let room = outbox.room(DATAGRAM);
            let Some(transmit) = peer.transport.poll_transmit(now, room) else { break };
            let stun = room.first().is_some_and(|first| classify(*first) == Class::Stun);
            outbox.commit(peer::Path { local: transmit.from, remote: transmit.to }, transmit.len);
            if stun {
                self.note_probe(key, transmit.to);
            }
        }
        if self.peers.get(key).is_some_and(|p| p.closing) {
            self.peers.remove(key);
        }
    }

    /// Sends RTCP and retransmissions, once there are keys and a path.
    fn speak(&mut self, now: Time, key: usize, outbox: &mut Outbox) {
        let Some(peer) = self.peers.get(key) else { return };
        if peer.keys.is_none() || peer.ice.path.is_none() || peer.closing {
            return;
        }
        let mut compound = Compound { buf: [0; COMPOUND + 64], len: 0 };
        self.sender_reports(now, key, &mut compound, outbox);
        self.receiver_reports(now, key, &mut compound, outbox);
        self.requests(now, key, &mut compound, outbox);
        self.transport_feedback(now, key, &mut compound, outbox);
        if let Some(peer) = self.peers.get_mut(key) {
            compound.flush(peer, outbox);
        }
        self.retransmit(now, key, outbox);
    }

    fn sender_reports(&mut self, now: Time, key: usize, compound: &mut Compound, outbox: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.sending.next_report.is_none_or(|due| due > now.mono) {
            return;
        }
        let any = !peer.sending.consumers.is_empty();
        peer.sending.next_report = any.then(|| now.mono + self.config.sender_report_interval);
        for n in 0..peer.sending.consumers.len() {
            let consumer = peer.sending.consumers.get(n).and_then(|key| self.consumers.get_mut(*key));
            let Some(consumer) = consumer else { continue };
            let Some(producer) = consumer.producer.and_then(|key| self.producers.get(key)) else { continue };
            let Some(info) = consumer.sender_report(now, producer) else { continue };
            compound.add(peer, outbox, |b| {
                b.sender_report(&info, &[])?;
                b.cname(info.ssrc, &cname(producer.track.origin))
            });
        }
    }

    fn receiver_reports(&mut self, now: Time, key: usize, compound: &mut Compound, outbox: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.reception.next_report.is_none_or(|due| due > now.mono) {
            return;
        }
        let any = !peer.reception.producers.is_empty();
        peer.reception.next_report = any.then(|| now.mono + self.config.receiver_report_interval);
        let reporter = peer.reception.reporter;
        let mut blocks = [ReportBlock::default(); BLOCKS];
        let mut count = 0;
        let mut worst = 0;
        for n in 0..peer.reception.producers.len() {
            let producer = peer.reception.producers.get(n).and_then(|key| self.producers.get_mut(*key));
            let Some(producer) = producer else { continue };
            for encoding in &mut producer.encodings {
                let block = encoding.receive.stream.as_mut().and_then(|s| s.report(now.mono));
                let Some(block) = block else { continue };
                worst = worst.max(block.fraction_lost);
                peer.quality.hear(&block);
                if let Some(slot) = blocks.get_mut(count) {
                    *slot = block;
                    count += 1;
                }
                if count == BLOCKS {
                    compound.add(peer, outbox, |b| b.receiver_report(reporter, &blocks));
                    count = 0;
                }
            }
        }
        peer.reception.fraction_lost = worst;
        if let Some(blocks) = blocks.get(..count).filter(|b| !b.is_empty()) {
            compound.add(peer, outbox, |b| b.receiver_report(reporter, blocks));
        }
    }

    /// NACKs and key frame requests.
    fn requests(&mut self, now: Time, key: usize, compound: &mut Compound, outbox: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let round_trip = peer.round_trip();
        let reporter = peer.reception.reporter;
        for n in 0..peer.reception.producers.len() {
            let producer = peer.reception.producers.get(n).and_then(|key| self.producers.get_mut(*key));
            let Some(producer) = producer else { continue };
            for encoding in &mut producer.encodings {
                let Some(ssrc) = encoding.receive.ssrc else { continue };
                if encoding.receive.nack.next().is_some_and(|due| due <= now.mono) {
                    self.scratch.clear();
                    let gap = encoding.receive.nack.poll(now.mono, round_trip, &mut self.scratch);
                    encoding.keys.answers_take(encoding.receive.nack.patience(round_trip));
                    if gap == Gap::Lost && producer.track.kind == crate::Kind::Video {
                        encoding.keys.want();
                    }
                    let mut rest = self.scratch.as_slice();
                    while !rest.is_empty() {
                        let told = compound.add(peer, outbox, |b| b.nack(reporter, ssrc, rest));
                        let Some(told) = told.filter(|n| *n > 0) else { break };
                        self.counters.repair.nacks_out += told as u64;
                        rest = rest.get(told..).unwrap_or_default();
                    }
                }
                if producer.track.kind == crate::Kind::Video
                    && encoding.arriving
                    && encoding.keys.poll(now.mono)
                    && compound.add(peer, outbox, |b| b.pli(reporter, ssrc)).is_some()
                {
                    self.counters.repair.key_frames_out += 1;
                }
            }
        }
    }

    fn transport_feedback(&mut self, now: Time, key: usize, compound: &mut Compound, outbox: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let reporter = peer.reception.reporter;
        if peer.reception.twcc.next().is_some_and(|due| due <= now.mono) {
            loop {
                // Feedback is as long as what it has to tell: it gets a datagram of its own.
                compound.flush(peer, outbox);
                let twcc = &mut peer.reception.twcc;
                let before = twcc.next();
                let more = compound.build(|b| twcc.poll(now.mono, reporter, b));
                if compound.len == 0 && more && twcc.next() == before {
                    break;
                }
                if !more {
                    break;
                }
            }
        }
        if peer.reception.remb.next().is_none_or(|due| due > now.mono) {
            return;
        }
        let lost = peer.reception.fraction_lost;
        let by_remb = peer.reception.producers.iter().filter_map(|key| self.producers.get(*key));
        if !by_remb.clone().any(|p| !p.track.transport_cc) {
            return;
        }
        let mut ssrcs = [Ssrc(0); REMB_SSRCS];
        let known = by_remb.flat_map(|p| p.encodings.iter().filter_map(|e| e.receive.ssrc));
        let mut count = 0;
        for (place, ssrc) in ssrcs.iter_mut().zip(known) {
            *place = ssrc;
            count += 1;
        }
        let told = ssrcs.get(..count).unwrap_or_default();
        if let Some(bitrate) = peer.reception.remb.poll(now.mono, lost) {
            compound.add(peer, outbox, |b| b.remb(reporter, bitrate, told));
        }
    }

    fn retransmit(&mut self, now: Time, key: usize, outbox: &mut Outbox) {
        let micros = self.micros(now);
        let Some(peer) = self.peers.get_mut(key) else { return };
        while let Some((consumer, seq)) = peer.sending.next_resend() {
            let (Some(path), Some(keys)) = (peer.ice.path, &mut peer.keys) else { return };
            let Some(consumer) = self.consumers.get_mut(consumer).filter(|c| c.peer == key) else { continue };
            let Some(producer) = consumer.producer.and_then(|key| self.producers.get(key)) else { continue };
            let mut egress = Egress {
                now,
                micros,
                abs_send_time: AbsSendTime::from_ntp(now.ntp()).0,
                path,
                outbound: &mut keys.outbound,
                gate: &mut peer.sending.gate,
                outbox,
                counters: &mut self.counters,
            };
            let before = egress.outbox.bytes().len();
            consumer.resend(seq, producer, &mut peer.sending.budget, &mut egress);
            peer.sending.budget.spend(egress.outbox.bytes().len() - before);
        }
    }

    /// When the peer is to be looked at again.
    fn schedule_peer(&mut self, now: Time, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let mut next = peer.transport.poll_timeout();
        let mut sooner = |at: Option<std::time::Instant>| next = [next, at].into_iter().flatten().min();
        let speaks = peer.keys.is_some() && peer.ice.path.is_some();
        if speaks {
            sooner(peer.sending.next_report);
            sooner(peer.reception.next_report);
            sooner(peer.reception.twcc.next());
            for producer in peer.reception.producers.iter().filter_map(|key| self.producers.get(*key)) {
                if !producer.track.transport_cc {
                    sooner(peer.reception.remb.next());
                }
                for encoding in &producer.encodings {
                    sooner(encoding.receive.nack.next());
                    sooner(encoding.keys.next().filter(|_| encoding.arriving));
                }
            }
        }
        if let Some(at) = next {
            // What is overdue has been tried a moment ago.
            self.schedule.at(key, at.max(now.mono + super::timers::RESOLUTION));
        }
    }

    pub(super) fn wake_home(&mut self, producer: usize) {
        match self.producers.get(producer).map(|p| p.home) {
            Some(Home::Peer(peer)) => self.wake(peer),
            Some(Home::Worker(_)) => self.ask_home(producer),
            None => {}
        }
    }
}

/// A canonical name (RFC 3550 section 6.5.1): one for all tracks of a publisher, so that they are played
/// together, and none that says who it is.
fn cname(origin: PeerId) -> [u8; 16] {
    let mut name = [0; 16];
    for (n, digit) in name.iter_mut().enumerate() {
        let nibble = (origin.0 >> (60 - 4 * n)) as u32 & 15;
        *digit = char::from_digit(nibble, 16).map_or(b'0', |c| c as u8);
    }
    name
}

/// A compound packet being filled.
struct Compound {
    buf: [u8; COMPOUND + 64],
    len: usize,
}

impl Compound {
    /// Appends packets; if they do not fit, what is there goes first.
    fn add<T>(
        &mut self,
        peer: &mut Peer,
        outbox: &mut Outbox,
        mut write: impl FnMut(&mut Builder<'_>) -> Option<T>,
    ) -> Option<T> {
        for _ in 0..2 {
            let mut builder = Builder::new(self.buf.get_mut(self.len..COMPOUND)?);
            if let Some(written) = write(&mut builder) {
                self.len += builder.len();
                return Some(written);
            }
            self.flush(peer, outbox);
        }
        None
    }

    /// Fills an empty compound.
    fn build<T>(&mut self, write: impl FnOnce(&mut Builder<'_>) -> T) -> T {
        let mut builder = Builder::new(self.buf.get_mut(self.len..COMPOUND).unwrap_or_default());
        let result = write(&mut builder);
        self.len += builder.len();
        result
    }

    /// Seals what is there into the outbox.
    fn flush(&mut self, peer: &mut Peer, outbox: &mut Outbox) {
        let len = std::mem::take(&mut self.len);
        let (Some(path), Some(keys)) = (peer.ice.path, &mut peer.keys) else { return };
        if len == 0 {
            return;
        }
        let room = outbox.room(len + keys.outbound.profile().rtcp_overhead());
        if let (Some(to), Some(from)) = (room.get_mut(..len), self.buf.get(..len)) {
            to.copy_from_slice(from);
            if let Ok(sealed) = keys.outbound.seal_rtcp(room, len) {
                outbox.commit(path, sealed);
            }
        }
    }
}
