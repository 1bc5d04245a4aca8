//! PES packets: frames with their times (ISO/IEC 13818-1 section 2.4.3.6).

use bytes::{Bytes, BytesMut};

/// Bytes of one that is put together: a second of 4K at 64 Mbit/s in one picture.
const MAX_PES: usize = 8 << 20;
/// Start code, stream id and length, and two bytes of flags with the length of what follows.
const HEAD: usize = 9;
/// Values of a 33-bit clock.
const WRAP: i64 = 1 << 33;

/// What one PES packet carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pes {
    /// 33 bits each.
    pub(super) pts: i64,
    pub(super) dts: i64,
    pub(super) is_random_access: bool,
    pub(super) data: Bytes,
}

/// Puts a PES packet together. Nothing that lost a part comes out of it.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    bytes: BytesMut,
    /// A beginning was seen, and nothing has been lost since.
    is_whole: bool,
    is_random_access: bool,
}

impl Assembler {
    /// Something was lost; whether that cost a frame that had begun.
    pub(super) fn lose(&mut self) -> bool {
        self.bytes.clear();
        std::mem::take(&mut self.is_whole)
    }

    /// A packet begins here: what came before is complete. An error is a frame that is dropped.
    pub(super) fn begin(&mut self, is_random_access: bool, payload: &[u8]) -> Result<Option<Pes>, Malformed> {
        let before = self.finish();
        self.is_whole = true;
        self.is_random_access = is_random_access;
        self.bytes.clear();
        self.bytes.extend_from_slice(payload);
        before
    }

    /// More of it; the frame, as soon as it is all there and can be known to be.
    pub(super) fn go_on(&mut self, payload: &[u8]) -> Result<Option<Pes>, Malformed> {
        if !self.is_whole {
            return Ok(None);
        }
        if self.bytes.len() + payload.len() > MAX_PES {
            self.lose();
            return Err(Malformed);
        }
        self.bytes.extend_from_slice(payload);
        self.poll()
    }

    /// The frame, if its length says that it is all there.
    pub(super) fn poll(&mut self) -> Result<Option<Pes>, Malformed> {
        match self.bytes[..] {
            [_, _, _, _, high, low, ..] if self.is_whole && (high, low) != (0, 0) => {
                let len = 6 + usize::from(u16::from_be_bytes([high, low]));
                if self.bytes.len() < len {
                    return Ok(None);
                }
                self.bytes.truncate(len);
                self.finish()
            }
            _ => Ok(None),
        }
    }

    /// What has been put together, as far as it goes.
    pub(super) fn finish(&mut self) -> Result<Option<Pes>, Malformed> {
        if !std::mem::take(&mut self.is_whole) {
            return Ok(None);
        }
        let bytes = std::mem::take(&mut self.bytes).freeze();
        parse(&bytes, self.is_random_access).map(Some)
    }
}

/// It is not a PES packet, or lacks a part, or has no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

fn parse(bytes: &Bytes, is_random_access: bool) -> Result<Pes, Malformed> {
    let [0, 0, 1, id, high, low, marks, flags, header_len, rest @ ..] = &bytes[..] else {
        return Err(Malformed);
    };
    // Sound and pictures; others have no such header.
    if !(0xc0..=0xef).contains(id) && *id != 0xbd || marks & 0xc0 != 0x80 {
        return Err(Malformed);
    }
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    if len != 0 && bytes.len() != 6 + len {
        return Err(Malformed);
    }
    let header = rest.get(..usize::from(*header_len)).ok_or(Malformed)?;
    let (pts, dts) = match flags >> 6 {
        2 => (time(header, 0)?, time(header, 0)?),
        3 => (time(header, 0)?, time(header, 5)?),
        _ => return Err(Malformed),
    };
    Ok(Pes { pts, dts, is_random_access, data: bytes.slice(HEAD + header.len()..) })
}

fn time(header: &[u8], at: usize) -> Result<i64, Malformed> {
    let bytes = header.get(at..).and_then(|rest| rest.first_chunk::<5>()).ok_or(Malformed)?;
    let [a, b, c, d, e] = bytes.map(i64::from);
    // Each of its three parts ends with a mark.
    if a & c & e & 1 == 0 {
        return Err(Malformed);
    }
    Ok((a & 0x0e) << 29 | b << 22 | (c & 0xfe) << 14 | d << 7 | e >> 1)
}

/// A clock of 33 bits that goes on where it wraps.
#[derive(Debug, Default)]
pub(super) struct Unwrap {
    last: Option<i64>,
}

impl Unwrap {
    /// The time that is nearest to the one before, of those that `time` may stand for.
    pub(super) fn at(&mut self, time: i64) -> i64 {
        let last = *self.last.get_or_insert(time);
        let now = self.near(time, last);
        self.last = Some(now);
        now
    }

    /// The time nearest to `other`.
    pub(super) fn near(&self, time: i64, other: i64) -> i64 {
        let distance = (time - other).rem_euclid(WRAP);
        other + if distance >= WRAP / 2 { distance - WRAP } else { distance }
    }
}
