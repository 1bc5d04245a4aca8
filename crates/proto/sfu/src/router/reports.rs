//! RTCP came.

use clock::Time;
use rtp::Ssrc;
use rtp::rtcp::{Blocks, Packet, SenderInfo, packets};

use super::Router;
use super::allocation::Strictness;
use crate::bandwidth::Fate;
use crate::link::{Link, Mapping};
use crate::peer_state::Sending;

/// Sequence numbers taken out of one datagram: what fits is far less, unless bits are all set.
const MAX_NACKS: usize = 1024;

/// Packets whose fate is taken out of one datagram: twice what a gate remembers. Two bytes may say that 8191 were
/// lost, so that one datagram could keep a worker busy for as long as a thousand.
const MAX_FATES: u16 = 8192;

impl Router {
    /// Takes an opened compound of a peer. Most of them want no answer: who is to send something is woken by what asks
    /// for it.
    pub(super) fn reports(&mut self, now: Time, key: usize, compound: &[u8]) {
        let (mut nacks, mut fates) = (MAX_NACKS, MAX_FATES);
        for packet in packets(compound) {
            match packet {
                Ok(Packet::SenderReport(report)) => {
                    self.sender_report(now, key, &report.info);
                    self.report_blocks(now, key, report.blocks);
                }
                Ok(Packet::ReceiverReport(report)) => self.report_blocks(now, key, report.blocks),
                Ok(Packet::Nack(nack)) => {
                    nacks -= self.nack(key, nack.media, nack.lost.take(nacks));
                }
                Ok(Packet::Pli(pli)) => self.picture_lost(key, pli.media),
                Ok(Packet::Fir(fir)) => {
                    for (ssrc, _) in fir.entries {
                        self.picture_lost(key, ssrc);
                    }
                }
                Ok(Packet::Remb(remb)) => {
                    let Some(peer) = self.peers.get_mut(key) else { return };
                    peer.sending.remb = Some(remb.bitrate);
                    if peer.sending.budget.remb(now.mono, remb.bitrate.0) {
                        self.allocate(now, key, Strictness::Strict);
                    }
                }
                Ok(Packet::Transport(feedback)) => {
                    let count = feedback.statuses.min(fates);
                    fates -= count;
                    self.transport_report(now, key, feedback.arrivals().take(count.into()));
                }
                Ok(Packet::Sdes(_) | Packet::Bye(_) | Packet::Other { .. }) => {}
                Err(_) => self.counters.drops.malformed += 1,
            }
        }
    }

    fn transport_report(
        &mut self,
        now: Time,
        key: usize,
        arrivals: impl Iterator<Item = (u16, Option<i64>)>,
    ) {
        let micros = self.micros(now);
        let Some(Sending { gate, budget, .. }) = self.peers.get_mut(key).map(|p| &mut p.sending) else {
            return;
        };
        let mut less = false;
        for (seq, arrived) in arrivals {
            let Some((ago, size)) = gate.report(micros, seq, arrived.is_some()) else { continue };
            let Some(departed) = now.mono.checked_sub(ago) else { continue };
            let fate = Fate { departed, size, arrived };
            less |= self.config.adapt && budget.take(now.mono, fate);
        }
        if less {
            self.allocate(now, key, Strictness::Strict);
        }
    }

    fn sender_report(&mut self, now: Time, key: usize, info: &SenderInfo) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(stream) = peer.reception.streams.get(info.ssrc).filter(|s| !s.rtx) else { return };
        // A sender without a clock says zero.
        if info.ntp == 0 {
            return;
        }
        let ntp = peer.reception.placement.place(now.ntp(), info.ntp);
        let mapping = Mapping { ntp, rtp: info.rtp_timestamp };
        let Some(producer) = self.producers.get_mut(stream.producer) else { return };
        let Some(encoding) = producer.encodings.get_mut(usize::from(stream.encoding)) else { return };
        if let Some(receive) = &mut encoding.receive.stream {
            receive.sender_report(now.mono, info.ntp);
        }
        encoding.mapping = Some(mapping);
        for subscription in &producer.subscriptions {
            let link = Link::Report { producer: producer.id, encoding: stream.encoding, mapping };
            self.links.out.push_back((subscription.worker, link));
        }
    }

    fn report_blocks(&mut self, now: Time, key: usize, blocks: Blocks<'_>) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        for block in blocks {
            let Some(consumer) = peer.sending.streams.get(block.ssrc) else { continue };
            let Some(consumer) = self.consumers.get_mut(consumer) else { continue };
            peer.quality.hear(&block);
            if let Some(round_trip) = consumer.feedback.report(now.ntp(), &block) {
                peer.sending.note_round_trip(round_trip);
            }
        }
    }

    /// Returns how many numbers there were.
    fn nack(&mut self, key: usize, media: Ssrc, lost: impl Iterator<Item = u16>) -> usize {
        let Some(peer) = self.peers.get_mut(key) else { return 0 };
        let Some(consumer) = peer.sending.streams.get(media) else {
            self.counters.drops.unknown_ssrc += 1;
            return 0;
        };
        let mut count = 0;
        for seq in lost {
            count += 1;
            self.counters.repair.nacks_in += 1;
            peer.sending.ask_again(consumer, seq);
        }
        self.wake(key);
        count
    }

    /// A subscriber cannot decode on: its publisher, wherever it is, must send a key frame.
    fn picture_lost(&mut self, key: usize, media: Ssrc) {
        self.counters.repair.key_frames_in += 1;
        let Some(consumer) = self.peers.get_mut(key).and_then(|p| p.sending.streams.get(media)) else {
            self.counters.drops.unknown_ssrc += 1;
            return;
        };
        let Some(consumer) = self.consumers.get(consumer) else { return };
        let wanted = consumer.select.current().or(consumer.select.waiting_for());
        let Some(producer_key) = consumer.producer else { return };
        self.want_key_frame(producer_key, wanted);
    }

    /// Asks for a key frame of an encoding.
    pub(super) fn want_key_frame(&mut self, producer_key: usize, encoding: Option<u8>) {
        let Some(producer) = self.producers.get_mut(producer_key) else { return };
        let Some(e) = encoding.and_then(|n| producer.encodings.get_mut(usize::from(n))) else { return };
        e.keys.want();
        self.wake_home(producer_key);
    }
}
