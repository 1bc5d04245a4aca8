//! VP9: payload descriptor, RFC 9628 section 4.2, and the size of a key frame.

use crate::bits::Bits;
use crate::{Malformed, Summary, byte};

/// A payload descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// Bytes of the descriptor; the VP9 payload follows.
    pub len: u8,
    /// P: predicted from an earlier picture.
    pub inter_predicted: bool,
    /// F: flexible mode.
    pub flexible: bool,
    /// B: first packet of a layer frame.
    pub starts_frame: bool,
    /// E: last packet of a layer frame.
    pub ends_frame: bool,
    /// Z: not a reference for the layers above.
    pub not_inter_layer_reference: bool,
    /// 7 or 15 bits, and whether it is 15.
    pub picture_id: Option<(u16, bool)>,
    /// L: layer indices.
    pub layer: Option<Layer>,
    /// From the scalability structure: the highest layer's size.
    pub size: Option<(u16, u16)>,
    /// From the scalability structure: how many spatial layers there are.
    pub spatial_layers: Option<u8>,
}

/// Layer indices, RFC 9628 section 4.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layer {
    /// TID.
    pub temporal: u8,
    /// U: switching up point.
    pub switch_up: bool,
    /// SID.
    pub spatial: u8,
    /// D: depends on the spatial layer below in this picture.
    pub inter_layer: bool,
    /// TL0PICIDX, non-flexible mode only.
    pub tl0_picture_index: Option<u8>,
}

impl Descriptor {
    /// Reads the descriptor.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let first = byte(payload, 0)?;
        let mut d = Self {
            inter_predicted: first & 0x40 != 0,
            flexible: first & 0x10 != 0,
            starts_frame: first & 0x08 != 0,
            ends_frame: first & 0x04 != 0,
            not_inter_layer_reference: first & 0x01 != 0,
            ..Self::default()
        };
        let mut at = 1;
        if first & 0x80 != 0 {
            let high = byte(payload, at)?;
            at += 1;
            d.picture_id = Some(if high & 0x80 != 0 {
                let low = byte(payload, at)?;
                at += 1;
                (u16::from(high & 0x7f) << 8 | u16::from(low), true)
            } else {
                (u16::from(high), false)
            });
        }
        if first & 0x20 != 0 {
            let b = byte(payload, at)?;
            at += 1;
            let mut layer = Layer {
                temporal: b >> 5,
                switch_up: b & 0x10 != 0,
                spatial: (b >> 1) & 0x07,
                inter_layer: b & 0x01 != 0,
                tl0_picture_index: None,
            };
            if !d.flexible {
                layer.tl0_picture_index = Some(byte(payload, at)?);
                at += 1;
            }
            d.layer = Some(layer);
        }
        if d.flexible && d.inter_predicted {
            at = reference_indices(payload, at)?;
        }
        if first & 0x02 != 0 {
            at = d.scalability_structure(payload, at)?;
        }
        if at >= payload.len() {
            return Err(Malformed::Truncated);
        }
        d.len = u8::try_from(at).map_err(|_| Malformed::Forbidden)?;
        Ok(d)
    }

    fn scalability_structure(&mut self, payload: &[u8], mut at: usize) -> Result<usize, Malformed> {
        let head = byte(payload, at)?;
        at += 1;
        let layers = (head >> 5) + 1;
        self.spatial_layers = Some(layers);
        if head & 0x10 != 0 {
            for _ in 0..layers {
                let s = payload.get(at..at + 4).ok_or(Malformed::Truncated)?;
                self.size = Some((u16::from_be_bytes([s[0], s[1]]), u16::from_be_bytes([s[2], s[3]])));
                at += 4;
            }
        }
        if head & 0x08 != 0 {
            let pictures = byte(payload, at)?;
            at += 1;
            for _ in 0..pictures {
                let references = (byte(payload, at)? >> 2) & 0x03;
                at += 1 + usize::from(references);
            }
        }
        Ok(at)
    }

    /// A decoder can start here: nothing earlier and no lower layer is needed.
    pub fn key_frame(&self) -> bool {
        let base = self.layer.is_none_or(|l| l.spatial == 0 && !l.inter_layer);
        self.starts_frame && !self.inter_predicted && base
    }

    /// What forwarding asks.
    pub fn summary(&self) -> Summary {
        let layer = self.layer.unwrap_or_default();
        Summary {
            key_frame: self.key_frame(),
            starts_frame: self.starts_frame,
            spatial: layer.spatial,
            temporal: layer.temporal,
            switch_up: layer.switch_up || !self.inter_predicted,
            discardable: false,
            size: self.size,
        }
    }

    /// Puts other running ids into a payload that begins with this descriptor, or a copy of it; fields
    /// that are not there stay away.
    pub fn rewrite(&self, payload: &mut [u8], picture_id: u16, tl0_picture_index: u8) {
        let Some(d) = payload.get_mut(..usize::from(self.len)) else { return };
        let mut at = 1;
        match self.picture_id {
            Some((_, true)) => {
                if let Some(b) = d.get_mut(at..at + 2) {
                    b.copy_from_slice(&(picture_id | 0x8000).to_be_bytes());
                }
                at += 2;
            }
            Some((_, false)) => {
                if let Some(b) = d.get_mut(at) {
                    *b = (picture_id & 0x7f) as u8;
                }
                at += 1;
            }
            None => {}
        }
        if self.layer.is_some_and(|l| l.tl0_picture_index.is_some())
            && let Some(b) = d.get_mut(at + 1)
        {
            *b = tl0_picture_index;
        }
    }
}

/// P_DIFF with its N bit, at most three.
fn reference_indices(payload: &[u8], mut at: usize) -> Result<usize, Malformed> {
    for n in 0..3 {
        let more = byte(payload, at)? & 0x01 != 0;
        at += 1;
        if !more {
            return Ok(at);
        }
        if n == 2 {
            return Err(Malformed::Forbidden);
        }
    }
    Ok(at)
}

/// Width and height of a key frame, out of its uncompressed header (VP9 bitstream specification section 6.2).
pub fn size(frame: &[u8]) -> Result<(u32, u32), Malformed> {
    let mut bits = Bits::new(frame);
    if bits.bits(2)? != 2 {
        return Err(Malformed::Forbidden);
    }
    let profile = bits.bits(1)? | bits.bits(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    // show_existing_frame, frame_type, show_frame, error_resilient_mode; behind them the sync code.
    let (shows_other, is_not_key) = (bits.bit()?, bits.bit()?);
    bits.skip(2)?;
    if shows_other || is_not_key || bits.bits(24)? != 0x49_8342 {
        return Err(Malformed::Forbidden);
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    // color_config: of sRGB there is no range, and subsampling only in the odd profiles.
    let is_rgb = bits.bits(3)? == 7;
    bits.skip(match (is_rgb, profile & 1) {
        (false, 0) => 1,
        (false, _) => 4,
        (true, 0) => 0,
        (true, _) => 1,
    })?;
    Ok((bits.bits(16)? + 1, bits.bits(16)? + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_has_a_size() {
        // The first bytes of FFmpeg 5.1 with libvpx-vp9: `-f lavfi -i testsrc=s=642x362 -c:v libvpx-vp9`.
        const KEY: [u8; 9] = [0x82, 0x49, 0x83, 0x42, 0x00, 0x28, 0x10, 0x16, 0x96];
        assert_eq!(size(&KEY), Ok((642, 362)));
        for cut in 0..9 {
            assert_eq!(size(&KEY[..cut]), Err(Malformed::Truncated));
        }
        // Not a key frame, and not VP9 at all.
        assert_eq!(size(&[0x86, 0, 0x40, 0x92, 0x88]), Err(Malformed::Forbidden));
        assert_eq!(size(b"hello"), Err(Malformed::Forbidden));
    }

    /// Made by hand after RFC 9628 section 4.2: I L B V; 15-bit picture id 0x0102; TID 0 U SID 0;
    /// TL0PICIDX 4; structure with two layers (320x180, 640x360) and one picture of the group with one
    /// reference; one byte of payload.
    const KEY: [u8; 18] = [
        0xaa, 0x81, 0x02, 0x10, 0x04, 0x38, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68, 0x01, 0x04, 0x01,
        0xff,
    ];

    #[test]
    fn the_first_packet_of_a_key_frame_is_read_whole() {
        let d = Descriptor::parse(&KEY).unwrap();
        assert_eq!(d.len, 17);
        assert_eq!(d.picture_id, Some((0x0102, true)));
        assert_eq!(d.size, Some((640, 360)));
        assert_eq!(d.spatial_layers, Some(2));
        assert!(d.key_frame() && d.summary().key_frame);
    }

    #[test]
    fn an_upper_layer_of_a_key_picture_is_no_place_to_start() {
        // I L B: not predicted from earlier pictures, but SID 1 with D.
        let d = Descriptor::parse(&[0xa8, 0x05, 0x03, 0x04, 0xff]).unwrap();
        assert_eq!(d.layer.unwrap().spatial, 1);
        assert!(!d.key_frame());
    }

    #[test]
    fn flexible_mode_reads_reference_indices() {
        // I P L F B: 7-bit id, layers, two differences.
        let d = Descriptor::parse(&[0xf8, 0x05, 0x20, 0x03, 0x02, 0xff]).unwrap();
        assert_eq!((d.len, d.flexible, d.layer.unwrap().temporal), (5, true, 1));
        assert_eq!(Descriptor::parse(&[0xf8, 0x05, 0x20, 3, 3, 3, 0xff]), Err(Malformed::Forbidden));
    }

    #[test]
    fn rewriting_touches_the_ids_only() {
        let mut p = KEY;
        let d = Descriptor::parse(&p).unwrap();
        d.rewrite(&mut p, 0x7ffe, 200);
        let after = Descriptor::parse(&p).unwrap();
        assert_eq!(after.picture_id, Some((0x7ffe, true)));
        assert_eq!(after.layer.unwrap().tl0_picture_index, Some(200));
        assert_eq!(p[5..], KEY[5..]);
    }

    #[test]
    fn cut_anywhere_is_an_error() {
        for n in 0..KEY.len() {
            assert_eq!(Descriptor::parse(&KEY[..n]), Err(Malformed::Truncated), "at {n}");
        }
    }
}
