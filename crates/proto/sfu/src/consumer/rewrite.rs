//! How a subscriber sees one unbroken stream, whatever it is made of.
//!
//! Owns: sequence numbers, timestamps and VP8's running ids (RFC 7741 section 4.2) of what is sent, kept
//! continuous when another encoding is switched to and when layers are taken out. What was given out is
//! kept as segments, stretches of one encoding with fixed offsets, so that a packet that comes late (got
//! back by NACK) gets the number that was left free for it.

use std::time::{Duration, Instant};

use codec::vp8;

use crate::packet::Meta;

/// Segments remembered. A stream of temporal base layers alone needs two a picture: half a second.
const SEGMENTS: usize = 32;
/// Of which all but the newest lie apart: where nothing is switched or taken out there are none.
const OLDER: usize = SEGMENTS - 1;

/// How far a timestamp from sender reports may lie from one by arrival before it is not believed.
const MAX_CLOCK_ERROR: Duration = Duration::from_secs(2);

/// Offsets under which a stretch of an encoding goes out.
#[derive(Debug, Clone, Copy)]
struct Segment {
    encoding: u8,
    epoch: u16,
    /// Source sequence numbers.
    from: u64,
    until: u64,
    /// Sent minus source.
    seq: i64,
    timestamp: u32,
    picture: u16,
    tl0: u8,
    key: u8,
}

/// The numbers under which a packet goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) vp8: vp8::Ids,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Rewrite {
    newest: Option<Segment>,
    /// The ones before it, a ring: the oldest is written over.
    older: Vec<Segment>,
    /// Index of the last one in it.
    last_older: usize,
    /// Number of the next new packet.
    next: u64,
    /// Highest source number seen in the newest segment.
    highest: u64,
    last: Last,
}

/// The newest picture that was sent.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    at: Option<Instant>,
    timestamp: u32,
    vp8: vp8::Ids,
    /// Picture id, at the source, of the last picture that was taken out.
    skipped_picture: Option<u16>,
}

impl Rewrite {
    /// A stream whose first packet is numbered `first`, which lies in the lower half so that the far end's
    /// rollover counter begins as ours does (RFC 3711 section 3.3.1).
    pub(crate) fn new(first: u16) -> Self {
        let next = (1 << 16) + u64::from(first & 0x7fff);
        Self { newest: None, older: Vec::new(), last_older: 0, next, highest: 0, last: Last::default() }
    }

    /// Timestamp offset of the newest segment: sent minus source.
    pub(crate) fn timestamp_offset(&self) -> u32 {
        self.newest.map_or(0, |s| s.timestamp)
    }

    /// Joins a stretch of `encoding` that begins with this packet to what was sent. `hint` is the
    /// timestamp that sender reports make of it, if they do.
    pub(crate) fn begin(&mut self, encoding: u8, meta: &Meta, clock_rate: u32, hint: Option<u32>) {
        let source = ids_of(meta);
        let mut segment = Segment {
            encoding,
            epoch: meta.epoch,
            from: meta.seq,
            until: u64::MAX,
            seq: self.next.wrapping_sub(meta.seq) as i64,
            timestamp: 0,
            picture: 0,
            tl0: 0,
            key: 0,
        };
        if let Some(at) = self.last.at {
            let timestamp = self.join_timestamp(at, meta.at, clock_rate, hint);
            segment.timestamp = timestamp.wrapping_sub(meta.timestamp);
            segment.picture = self.last.vp8.picture_id.wrapping_add(1).wrapping_sub(source.picture_id);
            segment.tl0 =
                self.last.vp8.tl0_picture_index.wrapping_add(1).wrapping_sub(source.tl0_picture_index);
            segment.key = self.last.vp8.key_index.wrapping_add(1).wrapping_sub(source.key_index);
        }
        if let Some(old) = &mut self.newest {
            old.until = old.until.min(self.highest + 1);
        }
        self.highest = meta.seq;
        self.last.skipped_picture = None;
        self.push(segment);
    }

    fn join_timestamp(&self, last_at: Instant, at: Instant, clock_rate: u32, hint: Option<u32>) -> u32 {
        let elapsed = at.saturating_duration_since(last_at);
        let by_arrival = self.last.timestamp.wrapping_add(ticks(elapsed, clock_rate));
        let believed = |hint: &u32| hint.wrapping_sub(by_arrival) as i32;
        let bound = ticks(MAX_CLOCK_ERROR, clock_rate) as i32;
        let chosen = hint.filter(|h| (-bound..=bound).contains(&believed(h))).unwrap_or(by_arrival);
        // A decoder takes an equal timestamp for the same picture and an older one for garbage.
        let ahead = chosen.wrapping_sub(self.last.timestamp) as i32;
        if ahead > 0 { chosen } else { self.last.timestamp.wrapping_add(1) }
    }

    /// The numbers of a packet that is forwarded; `None` if nothing is left free for it.
    pub(crate) fn place(&mut self, encoding: u8, meta: &Meta) -> Option<Numbers> {
        let (newest, segment) = self.segment(encoding, meta)?;
        let numbers = segment.apply(meta);
        if newest {
            self.highest = self.highest.max(meta.seq);
        }
        if numbers.seq >= self.next {
            self.next = numbers.seq + 1;
            let ahead = numbers.timestamp.wrapping_sub(self.last.timestamp) as i32;
            if self.last.at.is_none() || ahead >= 0 {
                self.last = Last {
                    at: Some(meta.at),
                    timestamp: numbers.timestamp,
                    vp8: numbers.vp8,
                    skipped_picture: self.last.skipped_picture,
                };
            }
        }
        Some(numbers)
    }

    /// Takes out a packet of the current encoding. If later ones have gone already, a number was left free
    /// for it and is returned: something must fill it, or the subscriber asks for it for ever.
    pub(crate) fn skip(&mut self, encoding: u8, meta: &Meta) -> Option<Numbers> {
        let (newest, segment) = self.segment(encoding, meta)?;
        if !newest || meta.seq < self.highest {
            return Some(segment.apply(meta));
        }
        let mut next = segment;
        next.from = meta.seq + 1;
        next.seq -= 1;
        if let Some(vp8) = &meta.vp8
            && let Some(id) = vp8.picture_id
            && self.last.skipped_picture != Some(id.value)
        {
            self.last.skipped_picture = Some(id.value);
            next.picture = next.picture.wrapping_sub(1);
        }
        self.highest = meta.seq;
        if segment.from == meta.seq {
            // Nothing of it has gone or can still come.
            self.newest = Some(next);
        } else {
            if let Some(old) = &mut self.newest {
                old.until = meta.seq;
            }
            self.push(next);
        }
        None
    }

    /// The source of a number that was given out or left free: encoding, epoch, sequence number.
    pub(crate) fn source(&self, seq: u64) -> Option<(u8, u16, u64)> {
        self.newest.iter().chain(&self.older).find_map(|s| {
            let source = seq.wrapping_sub(s.seq as u64);
            let inside = (s.from..s.until).contains(&source) && seq < self.next;
            inside.then_some((s.encoding, s.epoch, source))
        })
    }

    /// The extended form of a number the subscriber names.
    pub(crate) fn extend(&self, seq: u16) -> u64 {
        let newest = self.next.wrapping_sub(1);
        newest.wrapping_add_signed(i64::from(seq.wrapping_sub(newest as u16) as i16))
    }

    /// The number of the next new packet.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether a number lies among the last `count`.
    pub(crate) fn is_recent(&self, seq: u64, count: usize) -> bool {
        seq < self.next && seq.saturating_add(count as u64) >= self.next
    }

    /// The encoding that was begun last, and its epoch.
    pub(crate) fn encoding(&self) -> Option<(u8, u16)> {
        self.newest.map(|s| (s.encoding, s.epoch))
    }

    /// The stretch that a packet belongs to, and whether it is the newest.
    fn segment(&self, encoding: u8, meta: &Meta) -> Option<(bool, Segment)> {
        let inside = |s: &Segment| {
            s.encoding == encoding && s.epoch == meta.epoch && (s.from..s.until).contains(&meta.seq)
        };
        if let Some(newest) = self.newest.filter(|s| inside(s)) {
            return Some((true, newest));
        }
        let (wrapped, before) =
            self.older.split_at_checked(self.last_older + 1).unwrap_or((&self.older, &[]));
        let found = wrapped.iter().rev().chain(before.iter().rev()).find(|s| inside(s));
        found.map(|segment| (false, *segment))
    }

    fn push(&mut self, segment: Segment) {
        let Some(old) = self.newest.replace(segment) else { return };
        if self.older.len() < OLDER {
            self.last_older = self.older.len();
            self.older.push(old);
            return;
        }
        self.last_older = (self.last_older + 1) % OLDER;
        if let Some(place) = self.older.get_mut(self.last_older) {
            *place = old;
        }
    }
}

impl Segment {
    fn apply(&self, meta: &Meta) -> Numbers {
        let source = ids_of(meta);
        Numbers {
            seq: meta.seq.wrapping_add(self.seq as u64),
            timestamp: meta.timestamp.wrapping_add(self.timestamp),
            vp8: vp8::Ids {
                picture_id: source.picture_id.wrapping_add(self.picture) & 0x7fff,
                tl0_picture_index: source.tl0_picture_index.wrapping_add(self.tl0),
                key_index: source.key_index.wrapping_add(self.key) & 0x1f,
            },
        }
    }
}

fn ids_of(meta: &Meta) -> vp8::Ids {
    let Some(d) = &meta.vp8 else { return vp8::Ids::default() };
    vp8::Ids {
        picture_id: d.picture_id.map_or(0, |id| id.value),
        tl0_picture_index: d.tl0_picture_index.unwrap_or(0),
        key_index: d.key_index.unwrap_or(0),
    }
}

/// A duration on an RTP clock.
pub(crate) fn ticks(duration: Duration, clock_rate: u32) -> u32 {
    (duration.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
