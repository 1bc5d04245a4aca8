//! AV1: aggregation header and OBU headers, "RTP Payload Format For AV1" (AOM, v1.0) section 4.4.
//!
//! Layers and dependencies of AV1 come from the dependency descriptor header extension (`rtp::dd`).

use crate::{Malformed, Summary, byte};

/// OBU types, AV1 bitstream specification section 6.2.2.
const SEQUENCE_HEADER: u8 = 1;

/// The byte in front of the OBU elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aggregation {
    /// Z: the first element continues one of the packet before.
    pub continues: bool,
    /// Y: the last element goes on in the next packet.
    pub continued: bool,
    /// W: number of elements, 0 when each has its length.
    pub elements: u8,
    /// N: first packet of a coded video sequence, which begins with a key frame.
    pub new_sequence: bool,
}

impl Aggregation {
    /// Reads the header; Z and N exclude one another.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let b = byte(payload, 0)?;
        let a = Self {
            continues: b & 0x80 != 0,
            continued: b & 0x40 != 0,
            elements: (b >> 4) & 0x03,
            new_sequence: b & 0x08 != 0,
        };
        if a.continues && a.new_sequence {
            return Err(Malformed::Forbidden);
        }
        Ok(a)
    }
}

/// LEB128 of at most 4 bytes (no element is longer than a datagram): value and length.
fn leb128(bytes: &[u8]) -> Result<(usize, usize), Malformed> {
    let mut value = 0;
    for at in 0..4 {
        let b = byte(bytes, at)?;
        value |= usize::from(b & 0x7f) << (7 * at);
        if b & 0x80 == 0 {
            return Ok((value, at + 1));
        }
    }
    Err(Malformed::Forbidden)
}

/// What forwarding asks. Without a dependency descriptor, `starts_frame` only says that no element is
/// continued: several packets of one frame may say so.
pub fn inspect(payload: &[u8]) -> Result<Summary, Malformed> {
    let head = Aggregation::parse(payload)?;
    let mut at = 1;
    if head.elements != 1 {
        let (len, used) = leb128(payload.get(at..).unwrap_or_default())?;
        at += used;
        if payload.len() < at + len {
            return Err(Malformed::Truncated);
        }
    }
    let obu = byte(payload, at)?;
    let mut s = Summary { starts_frame: !head.continues, key_frame: head.new_sequence, ..Summary::default() };
    if !head.continues {
        s.key_frame |= (obu >> 3) & 0x0f == SEQUENCE_HEADER;
        if obu & 0x04 != 0 {
            let extension = byte(payload, at + 1)?;
            s.temporal = extension >> 5;
            s.spatial = (extension >> 3) & 0x03;
        }
    }
    s.switch_up = s.key_frame;
    Ok(s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_header_begins_a_key_frame() {
        // W=2 N: one element with its length (sequence header), one to the end (frame).
        let p = [0x28, 0x02, 0x08, 0x00, 0x30, 0x11];
        assert!(inspect(&p).unwrap().key_frame);
        for n in 0..4 {
            assert!(inspect(&p[..n]).is_err(), "at {n}");
        }
    }

    #[test]
    fn layers_come_from_an_obu_extension() {
        // W=1, OBU_FRAME with extension: temporal 2, spatial 1.
        let s = inspect(&[0x10, 0x34, 0x48, 0x00]).unwrap();
        assert_eq!((s.temporal, s.spatial, s.key_frame, s.starts_frame), (2, 1, false, true));
        assert_eq!(inspect(&[0x10, 0x34]), Err(Malformed::Truncated));
    }

    #[test]
    fn continued_elements_start_nothing() {
        assert!(!inspect(&[0x90, 0x08]).unwrap().starts_frame);
        assert_eq!(inspect(&[0x98, 0x08]), Err(Malformed::Forbidden));
    }

    #[test]
    fn endless_lengths_are_refused() {
        assert_eq!(inspect(&[0x00, 0xff, 0xff, 0xff, 0xff, 0x01]), Err(Malformed::Forbidden));
    }
}
