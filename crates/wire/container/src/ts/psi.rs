//! Tables: what a program has in it (ISO/IEC 13818-1 section 2.4.4).

use codec::Kind;

use super::mux::crc;

/// Bytes of a section of either table, with its head: section_length has 10 bits that count.
const MAX_SECTION: usize = 1024;
/// Table and length in front, and the checksum behind.
const HEAD: usize = 3;
const CHECKSUM: usize = 4;
/// From the table's own id to the number of its last section.
const FIXED: usize = 8;

/// Puts sections together that go over several packets.
#[derive(Debug, Default)]
pub(super) struct Sections {
    bytes: Vec<u8>,
    /// A beginning was seen, and nothing has been lost since.
    is_whole: bool,
}

impl Sections {
    /// Something was lost.
    pub(super) fn lose(&mut self) {
        self.bytes.clear();
        self.is_whole = false;
    }

    /// Takes a packet's payload and hands on every section that is all there; how many were malformed.
    pub(super) fn push(&mut self, begins: bool, payload: &[u8], mut take: impl FnMut(&[u8])) -> u64 {
        if !begins {
            if !self.is_whole {
                return 0;
            }
            self.bytes.extend_from_slice(payload);
            return self.drain(&mut take);
        }
        // What is before the pointer ends the section before.
        let Some((&pointer, rest)) = payload.split_first() else { return 1 };
        let Some((tail, next)) = rest.split_at_checked(usize::from(pointer)) else {
            self.lose();
            return 1;
        };
        let mut malformed = 0;
        if self.is_whole {
            self.bytes.extend_from_slice(tail);
            malformed += self.drain(&mut take);
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(next);
        self.is_whole = true;
        malformed + self.drain(&mut take)
    }

    fn drain(&mut self, take: &mut impl FnMut(&[u8])) -> u64 {
        let mut malformed = 0;
        loop {
            // Stuffing follows the last section of a packet.
            if self.bytes.first().is_none_or(|table| *table == 0xff) {
                self.bytes.clear();
                return malformed;
            }
            let [_, high, low, ..] = self.bytes[..] else { return malformed };
            let len = HEAD + usize::from(u16::from_be_bytes([high, low]) & 0x0fff);
            if len > MAX_SECTION {
                self.lose();
                return malformed + 1;
            }
            let Some(section) = self.bytes.get(..len) else { return malformed };
            if len >= FIXED + CHECKSUM && crc(section) == 0 {
                take(section.get(..len - CHECKSUM).unwrap_or_default());
            } else {
                malformed += 1;
            }
            self.bytes.drain(..len);
        }
    }
}

/// What is in a table that is valid now, if it is that table.
fn body(section: &[u8], table: u8) -> Option<&[u8]> {
    let [id, _, _, _, _, version, _, _, body @ ..] = section else { return None };
    (*id == table && version & 1 == 1).then_some(body)
}

/// The PID of the first program's table.
pub(super) fn association(section: &[u8]) -> Option<u16> {
    let programs = body(section, 0x00)?.as_chunks::<4>().0;
    let program = programs.iter().find(|[high, low, ..]| (*high, *low) != (0, 0))?;
    let [_, _, high, low] = *program;
    Some(u16::from_be_bytes([high, low]) & 0x1fff)
}

/// A program's streams that are known here: PID and codec.
pub(super) fn map(section: &[u8]) -> Option<Vec<(u16, Kind)>> {
    let [_, _, high, low, rest @ ..] = body(section, 0x02)? else { return None };
    let mut rest = rest.get(usize::from(u16::from_be_bytes([*high, *low]) & 0x0fff)..)?;
    let mut streams = Vec::new();
    while let [kind, pid_high, pid_low, high, low, after @ ..] = rest {
        // Stream types: section 2.4.4.9, and ISO/IEC 13818-1:2013 amendment 3 for H.265.
        let codec = match kind {
            0x1b => Some(Kind::H264),
            0x24 => Some(Kind::H265),
            0x0f => Some(Kind::Aac),
            0x03 | 0x04 => Some(Kind::Mp3),
            _ => None,
        };
        let pid = u16::from_be_bytes([*pid_high, *pid_low]) & 0x1fff;
        streams.extend(codec.map(|codec| (pid, codec)));
        rest = after.get(usize::from(u16::from_be_bytes([*high, *low]) & 0x0fff)..)?;
    }
    Some(streams)
}
