//! Answering a subscriber's NACK (RFC 4585 section 6.2.1).
//!
//! With RTX (RFC 4588) the answer is a packet of its own. Without, it is the same packet again, byte for
//! byte: header extensions, transport-wide number and padding as they were, because a different packet
//! under the same number would give the AES-GCM key away (RFC 7714 section 8.4). What cannot be made the
//! same again is not sent, and the cipher's own guard stands behind that.

use crate::bandwidth::Budget;
use crate::consumer::compose::{Rtx, What};
use crate::consumer::redundancy::Content;
use crate::consumer::sent::{Source, Stamp};
use crate::consumer::{Consumer, Egress};
use crate::packet::Meta;
use crate::producer::Producer;

impl Consumer {
    /// Answers for one sequence number, if the line has room for it.
    pub(crate) fn resend(
        &mut self,
        seq: u16,
        producer: &Producer,
        budget: &mut Budget,
        egress: &mut Egress<'_>,
    ) {
        let seq = self.rewrite.extend(seq);
        let Some((source, codec, stamp)) = self.log.find(seq) else {
            self.send_missed(seq, producer, egress);
            return;
        };
        let blank = Meta::blank(egress.now.mono, codec);
        let found = match source {
            Source::Packet { encoding, epoch, seq } => find(producer, encoding, epoch, seq),
            Source::Blank => Some(Content { meta: &blank, packet: &[], ring: None }),
        };
        let Some(content) = found else {
            egress.counters.repair.not_cached += 1;
            return;
        };
        if !self.log.may_go(seq, egress.micros, self.feedback.round_trip()) {
            return;
        }
        if !budget.may_repair(egress.now.mono, content.packet.len()) {
            egress.counters.repair.no_room += 1;
            return;
        }
        self.log.note_gone(seq, egress.micros);
        let Some(what) = self.repetition(source, codec, stamp, egress) else {
            egress.counters.repair.not_cached += 1;
            return;
        };
        if self.send(&what, &content, egress).is_some() {
            egress.counters.repair.resent += 1;
        }
    }

    fn repetition(&mut self, source: Source, codec: u8, stamp: Stamp, egress: &Egress<'_>) -> Option<What> {
        let target = self.route.target(codec)?;
        let blank = source == Source::Blank;
        match (self.route.rtx_ssrc, target.rtx) {
            (Some(ssrc), Some(pt)) => {
                let rtx = Some(Rtx { ssrc, pt, seq: self.feedback.next_rtx() });
                let stamp = Stamp { abs_send_time: egress.abs_send_time, ..stamp };
                Some(What { stamp, rtx, blank, repeat: false })
            }
            _ if target.nack => Some(What { stamp, rtx: None, blank, repeat: true }),
            _ => None,
        }
    }

    /// A number that was left free for a packet which came, but was passed over when it did: the beginning
    /// of its key frame was late. It goes out now, for the first time.
    fn send_missed(&mut self, seq: u64, producer: &Producer, egress: &mut Egress<'_>) {
        let source = self.rewrite.source(seq).filter(|_| self.rewrite.is_recent(seq, self.log.len()));
        let found = source.and_then(|(encoding, epoch, seq)| {
            find(producer, encoding, epoch, seq as u32).map(|content| (encoding, content))
        });
        match found {
            Some((encoding, content)) if !content.payload().is_empty() => {
                self.place(encoding, &content, content.meta.marker, egress);
                egress.counters.repair.resent += 1;
            }
            _ => egress.counters.repair.not_cached += 1,
        }
    }
}

fn find(producer: &Producer, encoding: u8, epoch: u16, seq: u32) -> Option<Content<'_>> {
    let ring = &producer.encodings.get(usize::from(encoding))?.ring;
    let (meta, packet) = ring.get(ring.find_low(seq)?).filter(|(meta, _)| meta.epoch == epoch)?;
    Some(Content { meta, packet, ring: Some(ring) })
}
