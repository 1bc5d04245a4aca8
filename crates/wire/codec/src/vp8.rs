//! VP8: payload descriptor (RFC 7741 section 4.2) and the frame header behind it (RFC 6386 section 9.1).

use crate::{Malformed, Summary, byte};

/// A payload descriptor, with the places of what a forwarder rewrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// Bytes of the descriptor; the VP8 payload follows.
    pub len: u8,
    /// S: start of a VP8 partition.
    pub start: bool,
    /// PID: partition index.
    pub partition: u8,
    /// N: not used as a reference.
    pub non_reference: bool,
    /// 7 or 15 bits.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX: running index of temporal base layer frames.
    pub tl0_picture_index: Option<u8>,
    /// TID: temporal layer index.
    pub temporal: Option<u8>,
    /// Y: depends on the base layer only, so one may go up to this layer here.
    pub layer_sync: bool,
    /// KEYIDX: running index of key frames, 5 bits.
    pub key_index: Option<u8>,
    /// P = 0 in the first packet of a frame.
    pub key_frame: bool,
    /// From a key frame's header.
    pub size: Option<(u16, u16)>,
}

/// A picture id and its width on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PictureId {
    /// The id itself.
    pub value: u16,
    /// 15 bits; 7 otherwise.
    pub wide: bool,
}

impl PictureId {
    /// Highest value; the next is 0.
    pub fn max(self) -> u16 {
        if self.wide { 0x7fff } else { 0x7f }
    }
}

/// Running ids to be put in place of a publisher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ids {
    /// Cut to 7 bits where the descriptor has no more.
    pub picture_id: u16,
    /// TL0PICIDX.
    pub tl0_picture_index: u8,
    /// KEYIDX, 5 bits.
    pub key_index: u8,
}

impl Descriptor {
    /// Reads the descriptor and, in a frame's first packet, whether it is a key frame.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let first = byte(payload, 0)?;
        let mut d = Self {
            start: first & 0x10 != 0,
            partition: first & 0x07,
            non_reference: first & 0x20 != 0,
            ..Self::default()
        };
        let mut at = 1;
        if first & 0x80 != 0 {
            let flags = byte(payload, at)?;
            at += 1;
            if flags & 0x80 != 0 {
                let high = byte(payload, at)?;
                let wide = high & 0x80 != 0;
                let mut value = u16::from(high & 0x7f);
                at += 1;
                if wide {
                    value = (value << 8) | u16::from(byte(payload, at)?);
                    at += 1;
                }
                d.picture_id = Some(PictureId { value, wide });
            }
            if flags & 0x40 != 0 {
                d.tl0_picture_index = Some(byte(payload, at)?);
                at += 1;
            }
            if flags & 0x30 != 0 {
                let b = byte(payload, at)?;
                if flags & 0x20 != 0 {
                    d.temporal = Some(b >> 6);
                    d.layer_sync = b & 0x20 != 0;
                }
                if flags & 0x10 != 0 {
                    d.key_index = Some(b & 0x1f);
                }
                at += 1;
            }
        }
        d.len = at as u8;
        let data = payload.get(at..).unwrap_or_default();
        if d.starts_frame() {
            d.key_frame = byte(data, 0)? & 0x01 == 0;
            if d.key_frame {
                d.size = frame_size(data);
            }
        } else if data.is_empty() {
            return Err(Malformed::Truncated);
        }
        Ok(d)
    }

    /// First packet of a frame.
    pub fn starts_frame(&self) -> bool {
        self.start && self.partition == 0
    }

    /// What forwarding asks.
    pub fn summary(&self) -> Summary {
        Summary {
            key_frame: self.key_frame,
            starts_frame: self.starts_frame(),
            spatial: 0,
            temporal: self.temporal.unwrap_or(0),
            switch_up: self.layer_sync || self.key_frame,
            discardable: self.non_reference,
            size: self.size,
        }
    }

    /// Puts other running ids into a payload that begins with this descriptor, or a copy of it. Fields that
    /// the descriptor does not have stay away, so its length stays. A `payload` shorter than the descriptor
    /// is left as it is.
    pub fn rewrite(&self, payload: &mut [u8], ids: Ids) {
        let Some(d) = payload.get_mut(..usize::from(self.len)) else { return };
        let mut at = 2;
        if let Some(id) = self.picture_id {
            let v = ids.picture_id;
            if id.wide {
                if let Some(b) = d.get_mut(at..at + 2) {
                    b.copy_from_slice(&(v | 0x8000).to_be_bytes());
                }
                at += 2;
            } else {
                if let Some(b) = d.get_mut(at) {
                    *b = (v & 0x7f) as u8;
                }
                at += 1;
            }
        }
        if self.tl0_picture_index.is_some() {
            if let Some(b) = d.get_mut(at) {
                *b = ids.tl0_picture_index;
            }
            at += 1;
        }
        if self.key_index.is_some()
            && let Some(b) = d.get_mut(at)
        {
            *b = (*b & 0xe0) | (ids.key_index & 0x1f);
        }
    }

    /// Writes the descriptor; `None` if `out` is too short. `len`, `key_frame` and `size` are not written.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let tk = self.temporal.is_some() || self.key_index.is_some();
        let extended = self.picture_id.is_some() || self.tl0_picture_index.is_some() || tk;
        let mut first = self.partition & 0x07;
        first |= u8::from(self.start) << 4 | u8::from(self.non_reference) << 5 | u8::from(extended) << 7;
        *out.first_mut()? = first;
        let mut at = 1;
        let mut put = |b: u8| -> Option<()> {
            *out.get_mut(at)? = b;
            at += 1;
            Some(())
        };
        if extended {
            put(u8::from(self.picture_id.is_some()) << 7
                | u8::from(self.tl0_picture_index.is_some()) << 6
                | u8::from(self.temporal.is_some()) << 5
                | u8::from(self.key_index.is_some()) << 4)?;
            if let Some(id) = self.picture_id {
                if id.wide {
                    put((id.value >> 8) as u8 | 0x80)?;
                    put(id.value as u8)?;
                } else {
                    put(id.value as u8 & 0x7f)?;
                }
            }
            if let Some(tl0) = self.tl0_picture_index {
                put(tl0)?;
            }
            if tk {
                put(self.temporal.unwrap_or(0) << 6
                    | u8::from(self.layer_sync) << 5
                    | self.key_index.unwrap_or(0) & 0x1f)?;
            }
        }
        Some(at)
    }
}

/// Width and height behind the start code of a key frame, RFC 6386 section 9.1.
fn frame_size(data: &[u8]) -> Option<(u16, u16)> {
    let head = data.get(3..10)?;
    let [0x9d, 0x01, 0x2a, w0, w1, h0, h1] = *head else { return None };
    Some((u16::from_le_bytes([w0, w1]) & 0x3fff, u16::from_le_bytes([h0, h1]) & 0x3fff))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by hand after RFC 7741 section 4.2: X S PID=0; I L T K; picture id 0x1234 in 15 bits;
    /// TL0PICIDX 7; TID 2, Y, KEYIDX 5; then a key frame header of 640x360 after RFC 6386 section 9.1.
    const KEY: [u8; 16] =
        [0x90, 0xf0, 0x92, 0x34, 0x07, 0xa5, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];

    #[test]
    fn every_field_is_read() {
        let d = Descriptor::parse(&KEY).unwrap();
        assert_eq!(d.len, 6);
        assert_eq!(d.picture_id, Some(PictureId { value: 0x1234, wide: true }));
        assert_eq!(d.tl0_picture_index, Some(7));
        assert_eq!((d.temporal, d.layer_sync, d.key_index), (Some(2), true, Some(5)));
        assert!(d.starts_frame() && d.key_frame && !d.non_reference);
        assert_eq!(d.size, Some((640, 360)));
        let s = d.summary();
        assert!(s.key_frame && s.starts_frame && s.switch_up && s.temporal == 2);
    }

    #[test]
    fn rewriting_touches_the_ids_and_nothing_else() {
        let mut p = KEY;
        let d = Descriptor::parse(&p).unwrap();
        d.rewrite(&mut p, Ids { picture_id: 0x7fff, tl0_picture_index: 9, key_index: 31 });
        let after = Descriptor::parse(&p).unwrap();
        assert_eq!(after.picture_id.unwrap().value, 0x7fff);
        assert_eq!((after.tl0_picture_index, after.key_index), (Some(9), Some(31)));
        assert_eq!((after.temporal, after.layer_sync), (Some(2), true));
        assert_eq!(p[6..], KEY[6..]);
    }

    #[test]
    fn seven_bit_picture_ids_stay_seven_bits() {
        let mut p = [0x80, 0x80, 0x11, 0x00];
        let d = Descriptor::parse(&p).unwrap();
        assert_eq!(d.picture_id, Some(PictureId { value: 0x11, wide: false }));
        d.rewrite(&mut p, Ids { picture_id: 0x1fe, ..Ids::default() });
        assert_eq!(p, [0x80, 0x80, 0x7e, 0x00]);
    }

    #[test]
    fn a_descriptor_without_extension_is_one_byte() {
        let d = Descriptor::parse(&[0x10, 0x01]).unwrap();
        assert_eq!((d.len, d.key_frame, d.starts_frame()), (1, false, true));
        let mut p = [0x10, 0x01];
        d.rewrite(&mut p, Ids { picture_id: 5, tl0_picture_index: 5, key_index: 5 });
        assert_eq!(p, [0x10, 0x01]);
    }

    #[test]
    fn written_descriptors_read_back() {
        let d = Descriptor::parse(&KEY).unwrap();
        let mut out = [0; 16];
        assert_eq!(d.write(&mut out), Some(6));
        assert_eq!(out[..6], KEY[..6]);
        for n in 0..6 {
            assert_eq!(d.write(&mut out[..n]), None);
        }
    }

    #[test]
    fn cut_anywhere_inside_the_descriptor_is_an_error() {
        for n in 0..7 {
            assert_eq!(Descriptor::parse(&KEY[..n]), Err(Malformed::Truncated), "at {n}");
        }
        for n in 7..KEY.len() {
            assert_eq!(Descriptor::parse(&KEY[..n]).unwrap().size, None, "at {n}");
        }
    }
}
