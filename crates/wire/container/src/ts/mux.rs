//! Packets, tables and PES.

use bytes::{BufMut, BytesMut};
use codec::Kind;

use super::SYNC;

/// Bytes of a packet.
pub const PACKET: usize = 188;
const PAT_PID: u16 = 0;
const PMT_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;
const PROGRAM: u16 = 1;
/// What times are later by than the stream's, so that the clock reference, which runs ahead of decoding, never
/// begins before zero: 1.4 s, as FFmpeg has it, of which decoding waits 0.7 s.
const DELAY: i64 = 126_000;
const AHEAD: i64 = 63_000;
/// PES stream ids (section 2.4.3.7).
const VIDEO_ID: u8 = 0xe0;
const AUDIO_ID: u8 = 0xc0;

/// Which of a program's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    Video,
    Audio,
}

/// Writes one program. Counters run on over all that it writes, so that segments follow each other without a
/// seam.
#[derive(Debug)]
pub struct Muxer {
    video: Option<u8>,
    audio: Option<u8>,
    counters: [(u16, u8); 4],
    /// Of the tables, in 5 bits.
    version: u8,
}

impl Muxer {
    /// A program of these codecs; none if none of them has a place in it.
    pub fn new(video: Option<Kind>, audio: Option<Kind>) -> Option<Self> {
        // Stream types: section 2.4.4.9, and ISO/IEC 13818-1:2013 amendment 3 for H.265.
        let video = video.and_then(|codec| match codec {
            Kind::H264 => Some(0x1b),
            Kind::H265 => Some(0x24),
            _ => None,
        });
        let audio = audio.and_then(|codec| match codec {
            Kind::Aac => Some(0x0f),
            Kind::Mp3 => Some(0x03),
            _ => None,
        });
        let counters = [PAT_PID, PMT_PID, VIDEO_PID, AUDIO_PID].map(|pid| (pid, 0));
        (video.is_some() || audio.is_some()).then_some(Self { video, audio, counters, version: 0 })
    }

    /// Goes on where `before` has ended: whoever reads both, one behind the other, misses no packet, and sees that the
    /// program is another if it is.
    #[must_use]
    pub fn following(mut self, before: &Self) -> Self {
        self.counters = before.counters;
        let is_same = (self.video, self.audio) == (before.video, before.audio);
        self.version = if is_same { before.version } else { (before.version + 1) & 0x1f };
        self
    }

    /// Whether the program has such a stream.
    pub fn has(&self, medium: Medium) -> bool {
        match medium {
            Medium::Video => self.video.is_some(),
            Medium::Audio => self.audio.is_some(),
        }
    }

    /// Appends the program's tables, which every segment begins with.
    pub fn tables(&mut self, out: &mut BytesMut) {
        let mut pat = BytesMut::new();
        pat.put_u16(PROGRAM);
        pat.put_u16(0xe000 | PMT_PID);
        self.section(PAT_PID, 0x00, 1, &pat, out);
        let mut pmt = BytesMut::new();
        let clock = if self.video.is_some() { VIDEO_PID } else { AUDIO_PID };
        pmt.put_u16(0xe000 | clock);
        pmt.put_u16(0xf000);
        for (kind, pid) in [(self.video, VIDEO_PID), (self.audio, AUDIO_PID)] {
            if let Some(kind) = kind {
                pmt.put_u8(kind);
                pmt.put_u16(0xe000 | pid);
                pmt.put_u16(0xf000);
            }
        }
        self.section(PMT_PID, 0x02, PROGRAM, &pmt, out);
    }

    /// Appends a table in a packet of its own (section 2.4.4).
    fn section(&mut self, pid: u16, table: u8, id: u16, body: &[u8], out: &mut BytesMut) {
        let mut section = BytesMut::new();
        section.put_u8(table);
        // Behind the length: 5 bytes of header, the body, 4 of checksum.
        section.put_u16(0xb000 | (body.len() + 9) as u16);
        section.put_u16(id);
        // Valid now, section 0 of 0.
        section.put_slice(&[0xc1 | (self.version << 1), 0, 0]);
        section.put_slice(body);
        let checksum = crc(&section);
        section.put_u32(checksum);
        let counter = self.count(pid);
        let end = out.len() + PACKET;
        out.put_u8(SYNC);
        out.put_u16(0x4000 | pid);
        out.put_u8(0x10 | counter);
        // The section begins at once.
        out.put_u8(0);
        out.put_slice(&section);
        out.resize(end, 0xff);
    }

    /// Appends a frame, in the form that its codec has here, with its times in 1/90,000 s. `is_key`: decoding
    /// can begin here.
    pub fn frame(
        &mut self,
        medium: Medium,
        is_key: bool,
        dts: i64,
        pts: i64,
        data: &[u8],
        out: &mut BytesMut,
    ) {
        let (pid, id) = match medium {
            Medium::Video => (VIDEO_PID, VIDEO_ID),
            Medium::Audio => (AUDIO_PID, AUDIO_ID),
        };
        let carries_clock = medium == Medium::Video || self.video.is_none();
        let pes = pes_header(id, dts + DELAY, pts + DELAY, data.len());
        let mut first = Some((carries_clock.then_some(dts + DELAY - AHEAD), is_key));
        let (mut header, mut rest) = (&pes[..], data);
        while !header.is_empty() || !rest.is_empty() {
            let counter = self.count(pid);
            let is_first = first.is_some();
            let field = adaptation(first.take());
            let len = header.len() + rest.len();
            // Sync byte, flags and counter are 4.
            let room = PACKET - 4 - field.len();
            out.put_u8(SYNC);
            out.put_u16(if is_first { 0x4000 | pid } else { pid });
            if len >= room {
                out.put_u8(if field.is_empty() { 0x10 } else { 0x30 } | counter);
                out.put_slice(&field);
            } else {
                out.put_u8(0x30 | counter);
                stuff(&field, room - len, out);
            }
            let taken = header.len().min(room);
            out.put_slice(&header[..taken]);
            header = &header[taken..];
            let taken = rest.len().min(room - taken);
            out.put_slice(&rest[..taken]);
            rest = &rest[taken..];
        }
    }

    fn count(&mut self, pid: u16) -> u8 {
        let Some((_, counter)) = self.counters.iter_mut().find(|(known, _)| *known == pid) else { return 0 };
        let now = *counter;
        *counter = (now + 1) & 0x0f;
        now
    }
}

/// The adaptation field of a frame's first packet, with its length; empty for the others (section 2.4.3.4).
fn adaptation(first: Option<(Option<i64>, bool)>) -> Vec<u8> {
    let Some((clock, is_key)) = first else { return Vec::new() };
    if clock.is_none() && !is_key {
        return Vec::new();
    }
    let random_access = if is_key { 0x40 } else { 0 };
    let Some(clock) = clock else { return vec![1, random_access] };
    let base = (clock & 0x1_ffff_ffff) as u64;
    // 33 bits of base, 6 reserved, 9 of extension.
    let field = base << 15 | 0x3f << 9;
    let [_, _, a, b, c, d, e, f] = field.to_be_bytes();
    vec![7, random_access | 0x10, a, b, c, d, e, f]
}

/// An adaptation field that is longer by `by` bytes than `field`, or begins to be one.
fn stuff(field: &[u8], by: usize, out: &mut BytesMut) {
    match (field, by) {
        ([], 1) => out.put_u8(0),
        ([], by) => {
            out.put_slice(&[(by - 1) as u8, 0]);
            out.put_bytes(0xff, by - 2);
        }
        ([len, rest @ ..], by) => {
            out.put_u8(len + by as u8);
            out.put_slice(rest);
            out.put_bytes(0xff, by);
        }
    }
}

/// Section 2.4.3.6.
fn pes_header(id: u8, dts: i64, pts: i64, len: usize) -> Vec<u8> {
    let has_dts = dts != pts;
    let times = if has_dts { 10 } else { 5 };
    // Video may leave its length open, and does, because 16 bits are few.
    let total = if id == VIDEO_ID { 0 } else { u16::try_from(len + 3 + times).unwrap_or(0) };
    let [high, low] = total.to_be_bytes();
    let mut header = vec![0, 0, 1, id, high, low, 0x80, if has_dts { 0xc0 } else { 0x80 }, times as u8];
    header.extend_from_slice(&timestamp(if has_dts { 3 } else { 2 }, pts));
    if has_dts {
        header.extend_from_slice(&timestamp(1, dts));
    }
    header
}

fn timestamp(prefix: u8, time: i64) -> [u8; 5] {
    let time = (time & 0x1_ffff_ffff) as u64;
    [
        prefix << 4 | ((time >> 30) as u8 & 7) << 1 | 1,
        (time >> 22) as u8,
        (time >> 14) as u8 | 1,
        (time >> 7) as u8,
        (time << 1) as u8 | 1,
    ]
}

/// CRC-32 of MPEG-2 (annex A): polynomial 0x04c11db7, from the top, nothing reflected.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc & 0x8000_0000 == 0 { crc << 1 } else { crc << 1 ^ 0x04c1_1db7 }
        })
    })
}
