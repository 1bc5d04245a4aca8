//! From packets to frames that a decoder could show, and how evenly they came.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clock::Time;
use rtp::seq::ExtSeq;

use crate::content;
use crate::payload::{Coding, Head};

/// A picture that stands this long is a freeze that people notice.
const SHORT_FREEZE: Duration = Duration::from_millis(500);
/// And this long one that they complain about.
const LONG_FREEZE: Duration = Duration::from_secs(1);
/// Packets kept while an earlier one is missing.
const MAX_BUFFERED: usize = 2000;

/// What a video track has been like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VideoStats {
    /// Frames that could be decoded.
    pub frames: u64,
    /// Key frames among them.
    pub key_frames: u64,
    /// Whole frames whose content is not what was sent; always 0 unless something is broken.
    pub corrupt: u64,
    /// Neighbouring frames whose picture ids do not follow one another, key frames aside.
    pub picture_id_jumps: u64,
    /// Frames whose timestamp is not after the one before.
    pub timestamp_errors: u64,
    /// Times between two frames above 500 ms, and above 1 s.
    pub freezes: u64,
    /// Those above 1 s.
    pub long_freezes: u64,
    /// The longest time between two frames.
    pub longest_gap: Duration,
    /// Times that decoding had to wait for a key frame, the first one aside.
    pub resyncs: u64,
    /// Size of the last key frame.
    pub size: Option<(u16, u16)>,
    /// Layer of its source that the last frame was from.
    pub layer: u8,
    /// Longest time from capture to completion, by wall clock.
    pub longest_delay: Duration,
}

#[derive(Debug)]
struct Packet {
    timestamp: u32,
    marker: bool,
    /// `None` for packets without payload.
    head: Option<Head>,
    /// Its part of the frame, where contents are looked at.
    body: Vec<u8>,
    /// Padding only.
    empty: bool,
}

/// Reassembles frames and decides what could be decoded: a key frame, or a frame right after a decoded one.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Whether the bytes of each frame are compared with what was sent, which costs a copy.
    verify: bool,
    coding: Coding,
    packets: BTreeMap<u64, Packet>,
    /// The packet after the last decoded frame; `None` while waiting for a key frame.
    next: Option<u64>,
    last_at: Option<Instant>,
    last_timestamp: Option<u32>,
    last_picture_id: Option<u16>,
    stats: VideoStats,
}

impl Frames {
    pub(crate) fn new(verify: bool) -> Self {
        Self { verify, ..Self::default() }
    }

    /// What the packets from now on are coded in.
    pub(crate) fn set_coding(&mut self, coding: Coding) {
        self.coding = coding;
    }

    pub(crate) fn receive(&mut self, now: Time, seq: ExtSeq, timestamp: u32, marker: bool, payload: &[u8]) {
        if self.next.is_some_and(|n| seq.0 < n) {
            return;
        }
        let head = self.coding.head(payload);
        let body = match (&head, content::split(payload)) {
            (Some(head), Some((body, _))) if self.verify => body.get(head.body..).unwrap_or_default(),
            _ => &[],
        };
        let body = body.to_vec();
        self.packets.insert(seq.0, Packet { timestamp, marker, head, body, empty: payload.is_empty() });
        self.advance(now);
        while self.packets.len() > MAX_BUFFERED {
            self.packets.pop_first();
        }
    }

    /// This packet will not come any more. If it is needed, decoding waits for a key frame from now on.
    pub(crate) fn give_up(&mut self, now: Time, seq: u64) {
        if self.next.is_some_and(|n| seq >= n) {
            self.next = None;
            self.stats.resyncs += 1;
            self.packets = self.packets.split_off(&seq);
            self.advance(now);
        }
    }

    /// Decoding cannot go on without a key frame.
    pub(crate) fn wants_key_frame(&self) -> bool {
        self.next.is_none()
    }

    /// Everything before this packet is settled.
    pub(crate) fn settled(&self) -> Option<u64> {
        self.next
    }

    /// As of `now`: a gap that goes on counts.
    pub(crate) fn stats(&self, now: Time) -> VideoStats {
        let mut stats = self.stats;
        if let Some(last) = self.last_at {
            stats.gap(now.since(last));
        }
        stats
    }

    fn advance(&mut self, now: Time) {
        loop {
            match self.next {
                Some(next) => {
                    if self.packets.get(&next).is_some_and(|p| p.empty) {
                        self.packets.remove(&next);
                        self.next = Some(next + 1);
                    } else if let Some(end) = self.whole_frame(next) {
                        self.decode(now, next, end);
                    } else if let Some((start, end)) = self.whole_key_frame(next) {
                        // Whatever was missing before it is of no use any more.
                        self.stats.resyncs += 1;
                        self.decode(now, start, end);
                    } else {
                        return;
                    }
                }
                None => match self.whole_key_frame(0) {
                    Some((start, end)) => self.decode(now, start, end),
                    None => return,
                },
            }
        }
    }

    /// The end of the frame that starts at `start`, if all of it is there.
    fn whole_frame(&self, start: u64) -> Option<u64> {
        let first = self.packets.get(&start)?;
        first.start()?;
        for (seq, (at, packet)) in (start..).zip(self.packets.range(start..)) {
            if *at != seq || packet.timestamp != first.timestamp {
                return None;
            }
            if packet.marker {
                return Some(seq + 1);
            }
        }
        None
    }

    /// The first whole key frame after `from`.
    fn whole_key_frame(&self, from: u64) -> Option<(u64, u64)> {
        let mut keys = self.packets.range(from..).filter(|(_, p)| p.start() == Some(true));
        keys.find_map(|(start, _)| Some((*start, self.whole_frame(*start)?)))
    }

    fn decode(&mut self, now: Time, start: u64, end: u64) {
        let later = self.packets.split_off(&end);
        let frame = self.packets.split_off(&start);
        self.packets = later;
        self.next = Some(end);
        let mut whole = Vec::new();
        let mut head = None;
        let mut timestamp = 0;
        for packet in frame.into_values() {
            whole.extend_from_slice(&packet.body);
            head = head.or(packet.head);
            timestamp = packet.timestamp;
        }
        if let Some(head) = head {
            self.count(now, &head, timestamp, &whole);
        }
    }

    fn count(&mut self, now: Time, head: &Head, timestamp: u32, frame: &[u8]) {
        let s = &mut self.stats;
        s.frames += 1;
        let key = head.start == Some(true);
        s.key_frames += u64::from(key);
        s.size = head.size.or(s.size);
        if self.verify {
            match frame.get(self.coding.header_len(key)..).and_then(content::check) {
                Some(stamp) => {
                    s.layer = stamp.layer;
                    s.longest_delay = s.longest_delay.max(now.unix.saturating_sub(stamp.captured));
                }
                None => s.corrupt += 1,
            }
        }
        if let Some(last) = self.last_at.replace(now.mono) {
            s.gap(now.since(last));
        }
        if let Some(last) = self.last_timestamp.replace(timestamp) {
            s.timestamp_errors += u64::from(timestamp.wrapping_sub(last) as i32 <= 0);
        }
        let id = head.number;
        if let (Some(last), Some(id), false) = (self.last_picture_id, id, key) {
            s.picture_id_jumps += u64::from(id != (last + 1) & 0x7fff);
        }
        self.last_picture_id = id;
    }
}

impl Packet {
    /// Whether it starts a frame, and whether that is a key frame.
    fn start(&self) -> Option<bool> {
        self.head.and_then(|head| head.start)
    }
}

impl VideoStats {
    fn gap(&mut self, gap: Duration) {
        self.freezes += u64::from(gap > SHORT_FREEZE);
        self.long_freezes += u64::from(gap > LONG_FREEZE);
        self.longest_gap = self.longest_gap.max(gap);
    }
}

#[cfg(test)]
mod tests;
