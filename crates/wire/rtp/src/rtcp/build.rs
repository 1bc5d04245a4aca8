//! Building compound packets in a caller's buffer.

use super::feedback::REMB_MAGIC;
use super::report::{BLOCK_LEN, CNAME};
use super::transport::REFERENCE_TICKS;
use super::{ReportBlock, SenderInfo, fmt, kind};
use crate::{Bitrate, Ssrc};

/// Statuses in one transport-wide feedback packet: at one packet a millisecond, a second of them.
pub const MAX_STATUSES: usize = 1024;
/// Report blocks in one report (5 bits).
const MAX_BLOCKS: usize = 31;

/// Appends packets to a compound. A packet that does not fit is refused whole (`None`).
#[derive(Debug)]
pub struct Builder<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Builder<'a> {
    /// Starts an empty compound.
    pub fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing was added.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Opens a packet whose body is `body_len` bytes, a multiple of four, and returns the body.
    fn packet(&mut self, fmt: u8, kind: u8, body_len: usize) -> Option<&mut [u8]> {
        let words = u16::try_from(body_len / 4).ok()?;
        let body_at = self.len + 4;
        let end = body_at + body_len;
        let [w0, w1] = words.to_be_bytes();
        let packet = self.buf.get_mut(self.len..end)?;
        let (head, body) = packet.split_first_chunk_mut::<4>()?;
        *head = [0x80 | fmt & 0x1f, kind, w0, w1];
        self.len = end;
        Some(body)
    }

    #[cfg(test)]
    pub(super) fn patch_for_test(&mut self, at: usize, byte: u8) {
        self.buf[at] = byte;
    }

    /// SR with up to 31 blocks; more are left out.
    pub fn sender_report(&mut self, info: &SenderInfo, blocks: &[ReportBlock]) -> Option<()> {
        let blocks = blocks.get(..MAX_BLOCKS).unwrap_or(blocks);
        let body = self.packet(blocks.len() as u8, kind::SENDER_REPORT, 24 + BLOCK_LEN * blocks.len())?;
        let mut w = Words(body);
        w.put(info.ssrc.0);
        w.put((info.ntp >> 32) as u32);
        w.put(info.ntp as u32);
        w.put(info.rtp_timestamp);
        w.put(info.packets);
        w.put(info.octets);
        w.blocks(blocks);
        Some(())
    }

    /// RR with up to 31 blocks; more are left out.
    pub fn receiver_report(&mut self, ssrc: Ssrc, blocks: &[ReportBlock]) -> Option<()> {
        let blocks = blocks.get(..MAX_BLOCKS).unwrap_or(blocks);
        let body = self.packet(blocks.len() as u8, kind::RECEIVER_REPORT, 4 + BLOCK_LEN * blocks.len())?;
        let mut w = Words(body);
        w.put(ssrc.0);
        w.blocks(blocks);
        Some(())
    }

    /// SDES with one canonical name of at most 255 bytes.
    pub fn cname(&mut self, ssrc: Ssrc, name: &[u8]) -> Option<()> {
        let len = u8::try_from(name.len()).ok()?;
        // At least one zero ends the item list.
        let body = self.packet(1, kind::SDES, (6 + name.len() + 1).next_multiple_of(4))?;
        body.fill(0);
        body.get_mut(..4)?.copy_from_slice(&ssrc.0.to_be_bytes());
        body.get_mut(4..6)?.copy_from_slice(&[CNAME, len]);
        body.get_mut(6..6 + name.len())?.copy_from_slice(name);
        Some(())
    }

    /// BYE of up to 31 sources.
    pub fn bye(&mut self, ssrcs: &[Ssrc]) -> Option<()> {
        let ssrcs = ssrcs.get(..MAX_BLOCKS).unwrap_or(ssrcs);
        let mut w = Words(self.packet(ssrcs.len() as u8, kind::BYE, 4 * ssrcs.len())?);
        ssrcs.iter().for_each(|s| w.put(s.0));
        Some(())
    }

    /// Generic NACK for `lost`, which ascends (past the wrap too). How many of them it holds is returned:
    /// all, unless the buffer is too short.
    pub fn nack(&mut self, sender: Ssrc, media: Ssrc, lost: &[u16]) -> Option<usize> {
        let room = self.buf.len().saturating_sub(self.len + 12) / 4;
        let (entries, taken) = nack_entries(lost).take(room).fold((0, 0), |(n, _), e| (n + 1, e.2));
        if entries == 0 {
            return None;
        }
        let body = self.packet(fmt::NACK, kind::TRANSPORT_FEEDBACK, 8 + 4 * entries)?;
        let mut w = Words(body);
        w.put(sender.0);
        w.put(media.0);
        for (pid, mask, _) in nack_entries(lost).take(entries) {
            w.put(u32::from(pid) << 16 | u32::from(mask));
        }
        Some(taken)
    }

    /// PLI
    pub fn pli(&mut self, sender: Ssrc, media: Ssrc) -> Option<()> {
        let mut w = Words(self.packet(fmt::PLI, kind::PAYLOAD_FEEDBACK, 8)?);
        w.put(sender.0);
        w.put(media.0);
        Some(())
    }

    /// FIR for one stream; `seq` counts commands, RFC 5104 section 4.3.1.
    pub fn fir(&mut self, sender: Ssrc, media: Ssrc, seq: u8) -> Option<()> {
        let mut w = Words(self.packet(fmt::FIR, kind::PAYLOAD_FEEDBACK, 16)?);
        w.put(sender.0);
        w.put(0);
        w.put(media.0);
        w.put(u32::from(seq) << 24);
        Some(())
    }

    /// REMB for up to 255 streams.
    pub fn remb(&mut self, sender: Ssrc, bitrate: Bitrate, ssrcs: &[Ssrc]) -> Option<()> {
        let count = u8::try_from(ssrcs.len()).ok()?;
        let mut w = Words(self.packet(fmt::APPLICATION, kind::PAYLOAD_FEEDBACK, 16 + 4 * ssrcs.len())?);
        w.put(sender.0);
        w.put(0);
        w.put(REMB_MAGIC);
        // The mantissa has 18 bits.
        let exponent = 46u32.saturating_sub(bitrate.0.leading_zeros());
        w.put(u32::from(count) << 24 | exponent << 18 | (bitrate.0 >> exponent) as u32);
        ssrcs.iter().for_each(|s| w.put(s.0));
        Some(())
    }

    /// Transport-wide feedback: `arrivals` are in [`super::TICK`]s, `None` for packets that did not come,
    /// from transport-wide number `base_seq` on. How many statuses it holds is returned: fewer than given
    /// when two arrivals lie too far apart (8 s) or after [`MAX_STATUSES`]; the rest goes into the next
    /// feedback. `None` if nothing arrived or it does not fit the buffer.
    pub fn transport(
        &mut self,
        sender: Ssrc,
        media: Ssrc,
        count: u8,
        base_seq: u16,
        arrivals: &[Option<i64>],
    ) -> Option<usize> {
        let reference = arrivals.iter().flatten().next()?.div_euclid(REFERENCE_TICKS);
        let mut symbols = [0u8; MAX_STATUSES];
        let mut at = reference * REFERENCE_TICKS;
        let mut statuses = 0;
        let mut delta_len = 0;
        for (arrival, symbol) in arrivals.iter().zip(&mut symbols) {
            if let Some(t) = *arrival {
                let Ok(delta) = i16::try_from(t - at) else { break };
                *symbol = if (0..=255).contains(&delta) { 1 } else { 2 };
                delta_len += usize::from(*symbol);
                at = t;
            }
            statuses += 1;
        }
        let symbols = symbols.get(..statuses)?;
        let chunk_len = 2 * Chunks(symbols).count();
        let body_len = (16 + chunk_len + delta_len).next_multiple_of(4);
        let body = self.packet(fmt::TRANSPORT_CC, kind::TRANSPORT_FEEDBACK, body_len)?;
        body.fill(0);
        let mut w = Words(body);
        w.put(sender.0);
        w.put(media.0);
        w.put(u32::from(base_seq) << 16 | statuses as u32);
        w.put((reference as u32) << 8 | u32::from(count));
        let (chunks, deltas) = body.get_mut(16..)?.split_at_mut_checked(chunk_len)?;
        for (out, chunk) in chunks.as_chunks_mut::<2>().0.iter_mut().zip(Chunks(symbols)) {
            *out = chunk.to_be_bytes();
        }
        put_deltas(deltas, symbols, arrivals, reference * REFERENCE_TICKS);
        Some(statuses)
    }
}

fn put_deltas(out: &mut [u8], symbols: &[u8], arrivals: &[Option<i64>], mut at: i64) {
    let mut pos = 0;
    for (symbol, arrival) in symbols.iter().zip(arrivals) {
        let Some(t) = *arrival else { continue };
        let [high, low] = ((t - at) as i16).to_be_bytes();
        at = t;
        let bytes: &[u8] = if *symbol == 1 { &[low] } else { &[high, low] };
        if let Some(slot) = out.get_mut(pos..pos + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
        pos += bytes.len();
    }
}

/// `(pid, mask, numbers covered so far)` of each NACK entry.
fn nack_entries(lost: &[u16]) -> impl Iterator<Item = (u16, u16, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let pid = *lost.get(at)?;
        at += 1;
        let mut mask = 0;
        while let Some(&next) = lost.get(at) {
            match next.wrapping_sub(pid) {
                0 => {}
                d @ 1..=16 => mask |= 1 << (d - 1),
                _ => break,
            }
            at += 1;
        }
        Some((pid, mask, at))
    })
}

/// Status chunks that say these symbols: run lengths where they are longer than a vector, else vectors.
struct Chunks<'a>(&'a [u8]);

impl Iterator for Chunks<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        /// Longest run in one chunk (13 bits).
        const MAX_RUN: usize = 0x1fff;
        let first = *self.0.first()?;
        let run = self.0.iter().take(MAX_RUN).take_while(|s| **s == first).count();
        let small = self.0.iter().take(14).take_while(|s| **s < 2).count();
        let last = run == self.0.len();
        let (len, chunk) = if run >= 14 || last || (run >= 7 && small < 14) {
            (run, u16::from(first) << 13 | run as u16)
        } else if small == self.0.len().min(14) {
            let bits = self.0.iter().take(14).enumerate().map(|(i, s)| u16::from(*s) << (13 - i));
            (small, 0x8000 | bits.sum::<u16>())
        } else {
            let bits = self.0.iter().take(7).enumerate().map(|(i, s)| u16::from(*s) << (12 - 2 * i));
            (self.0.len().min(7), 0xc000 | bits.sum::<u16>())
        };
        self.0 = self.0.get(len..).unwrap_or_default();
        Some(chunk)
    }
}

/// Fills a body of known length, word by word.
struct Words<'a>(&'a mut [u8]);

impl Words<'_> {
    fn put(&mut self, word: u32) {
        let body = std::mem::take(&mut self.0);
        let Some((slot, rest)) = body.split_first_chunk_mut::<4>() else { return };
        *slot = word.to_be_bytes();
        self.0 = rest;
    }

    fn blocks(&mut self, blocks: &[ReportBlock]) {
        for b in blocks {
            let lost = b.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0x00ff_ffff;
            self.put(b.ssrc.0);
            self.put(u32::from(b.fraction_lost) << 24 | lost);
            self.put(b.highest_seq);
            self.put(b.jitter);
            self.put(b.last_sr);
            self.put(b.delay_since_last_sr);
        }
    }
}
