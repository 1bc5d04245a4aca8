//! How frames of each codec are laid out and cut into RTP payloads, and what a payload says when it comes.
//!
//! Owns: frame headers that parsers of real streams accept, with content of ours behind them; the payload
//! formats of VP8 (RFC 7741), VP9 (RFC 9628), H.264 (RFC 6184) and AV1 ("RTP Payload Format For AV1", AOM, v1.0).
//! Knows nothing of time and rates.

use codec::{av1, vp8, vp9};
use rtp::Pt;

/// Largest RTP payload: 1200 bytes of packet as in libwebrtc, less header, extensions and trailer.
pub(crate) const MAX_PAYLOAD: usize = 1132;
/// Parameter sets of 640x360 in the constrained baseline profile (H.264 sections 7.3.2.1 and 7.3.2.2).
const SPS: [u8; 10] = [0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0x40];
const PPS: [u8; 4] = [0x68, 0xce, 0x38, 0x80];
/// NAL units, H.264 table 7-1 and RFC 6184 table 1, with their `nal_ref_idc`.
const IDR: u8 = 0x65;
const SLICE: u8 = 0x61;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// `first_mb_in_slice` 0 and a slice type that says that all slices are of it.
const FIRST_MACROBLOCK: u8 = 0x88;

/// A sequence header without its size, main profile, 642x362, as libsvtav1 writes it.
const SEQUENCE_HEADER: [u8; 12] = [0x08, 0, 0, 0, 0x0c, 0xc5, 0x03, 0x69, 0, 0xbe, 0, 0x10];
/// OBU_FRAME without extension and size, AV1 section 5.3.2.
const FRAME: u8 = 0x30;

/// What video is coded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coding {
    #[default]
    Vp8,
    Vp9,
    H264,
    Av1,
}

/// What a frame's headers say of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Picture {
    pub(crate) key: bool,
    pub(crate) size: (u16, u16),
    pub(crate) number: u16,
    pub(crate) tl0: u8,
    pub(crate) key_index: u8,
    pub(crate) temporal: u8,
    pub(crate) layer_sync: bool,
    pub(crate) non_reference: bool,
}

/// What a payload says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// It starts a frame, and whether that is a key frame.
    pub(crate) start: Option<bool>,
    pub(crate) number: Option<u16>,
    pub(crate) size: Option<(u16, u16)>,
    /// Where its part of the frame begins.
    pub(crate) body: usize,
}

impl Coding {
    pub const ALL: [Self; 4] = [Self::Vp8, Self::Vp9, Self::H264, Self::Av1];

    /// As `a=rtpmap` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::Av1 => "AV1",
        }
    }

    /// Payload types and parameters as in Chromium's offers.
    pub(crate) fn pt(self) -> Pt {
        Pt(match self {
            Self::Vp8 => 96,
            Self::Vp9 => 98,
            Self::H264 => 102,
            Self::Av1 => 45,
        })
    }

    pub(crate) fn fmtp(self) -> &'static str {
        match self {
            Self::Vp8 => "",
            Self::Vp9 => "profile-id=0",
            Self::H264 => "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            Self::Av1 => "level-idx=5;profile=0;tier=0",
        }
    }

    /// Bytes that the payload format puts in front of a part of a frame, at most; AV1's sequence header apart.
    fn head_len(self) -> usize {
        match self {
            Self::Vp8 => 8,
            Self::Vp9 => 10,
            Self::H264 => 2,
            Self::Av1 => 1,
        }
    }

    /// Bytes in front of a frame's content.
    pub(crate) fn header_len(self, key: bool) -> usize {
        match (self, key) {
            // RFC 6386 section 9.1.
            (Self::Vp8, true) => 10,
            (Self::Vp8, false) => 3,
            // VP9 bitstream specification section 6.2, as far as the size.
            (Self::Vp9, true) => 9,
            // Of H.264 without the NAL unit's header, which is carried apart.
            (Self::Vp9 | Self::H264 | Self::Av1, _) => 1,
        }
    }

    /// Writes them to the front of a frame.
    pub(crate) fn write_header(self, frame: &mut [u8], picture: &Picture) {
        let len = self.header_len(picture.key);
        let header = match self {
            Self::Vp8 => vp8_header(frame.len(), picture),
            Self::Vp9 => vp9_header(picture),
            Self::H264 => [FIRST_MACROBLOCK, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Self::Av1 => [FRAME, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        for (to, from) in frame.iter_mut().zip(header.iter().take(len)) {
            *to = *from;
        }
    }

    /// Cuts a frame into payloads whose sizes differ by one byte at most, the smaller ones first, as libwebrtc
    /// does; parameter sets go in front.
    pub(crate) fn packetise(self, frame: &[u8], picture: &Picture) -> Vec<Vec<u8>> {
        let before = if self == Self::Av1 && picture.key { SEQUENCE_HEADER.len() + 1 } else { 0 };
        let count = (frame.len() + before).div_ceil(MAX_PAYLOAD - self.head_len()).max(1);
        let all = frame.len() + before;
        let (small, larger) = (all / count, all % count);
        let mut payloads = Vec::with_capacity(count + 1);
        if self == Self::H264 && picture.key {
            let mut sets = vec![0x60 | STAP_A];
            for set in [&SPS[..], &PPS] {
                sets.extend((set.len() as u16).to_be_bytes());
                sets.extend(set);
            }
            payloads.push(sets);
        }
        let mut rest = frame;
        for i in 0..count {
            let share = small + usize::from(i >= count - larger);
            let len = if i == 0 { share.saturating_sub(before) } else { share };
            let Some((part, after)) = rest.split_at_checked(len) else { break };
            rest = after;
            let mut payload = Vec::with_capacity(self.head_len() + share);
            self.write_head(&mut payload, picture, i == 0, i + 1 == count);
            payload.extend_from_slice(part);
            payloads.push(payload);
        }
        payloads
    }

    fn write_head(self, out: &mut Vec<u8>, picture: &Picture, first: bool, last: bool) {
        let [high, low] = picture.number.to_be_bytes();
        match self {
            Self::Vp8 => {
                let mut head = [0; 8];
                let used = vp8_descriptor(picture, first).write(&mut head).unwrap_or(0);
                out.extend_from_slice(head.get(..used).unwrap_or_default());
            }
            Self::Vp9 => {
                // I, P, L, B, E and V; not in flexible mode.
                let structure = picture.key && first;
                out.push(
                    0x80 | u8::from(!picture.key) << 6
                        | 0x20
                        | u8::from(first) << 3
                        | u8::from(last) << 2
                        | u8::from(structure) << 1,
                );
                out.extend([high | 0x80, low]);
                out.extend([picture.temporal << 5 | u8::from(picture.layer_sync) << 4, picture.tl0]);
                if structure {
                    // One spatial layer with its size, no description of pictures.
                    out.push(0x10);
                    out.extend(picture.size.0.to_be_bytes());
                    out.extend(picture.size.1.to_be_bytes());
                }
            }
            Self::H264 => {
                let unit = if picture.key { IDR } else { SLICE };
                if first && last {
                    out.push(unit);
                } else {
                    out.push(unit & 0x60 | FU_A);
                    out.push(u8::from(first) << 7 | u8::from(last) << 6 | unit & 0x1f);
                }
            }
            Self::Av1 => {
                let sequence = picture.key && first;
                let elements = if sequence { 2 } else { 1 };
                out.push(
                    u8::from(!first) << 7 | u8::from(!last) << 6 | elements << 4 | u8::from(sequence) << 3,
                );
                if sequence {
                    out.push(SEQUENCE_HEADER.len() as u8);
                    out.extend(SEQUENCE_HEADER);
                }
            }
        }
    }

    /// Reads a payload; `None` if it is none.
    pub(crate) fn head(self, payload: &[u8]) -> Option<Head> {
        match self {
            Self::Vp8 => {
                let d = vp8::Descriptor::parse(payload).ok()?;
                let start = d.starts_frame().then_some(d.key_frame);
                let number = d.picture_id.map(|id| id.value);
                Some(Head { start, number, size: d.size, body: usize::from(d.len) })
            }
            Self::Vp9 => {
                let d = vp9::Descriptor::parse(payload).ok()?;
                let start = d.starts_frame.then_some(!d.inter_predicted);
                let number = d.picture_id.map(|(value, _)| value);
                Some(Head { start, number, size: d.size, body: usize::from(d.len) })
            }
            Self::H264 => match *payload {
                [indicator, ..] if indicator & 0x1f == STAP_A => {
                    Some(Head { start: Some(true), body: payload.len(), ..Head::default() })
                }
                // Without its parameter sets an IDR picture is nothing to begin with.
                [indicator, unit, ..] if indicator & 0x1f == FU_A => {
                    let start = (unit & 0x80 != 0 && unit & 0x1f == SLICE & 0x1f).then_some(false);
                    Some(Head { start, body: 2, ..Head::default() })
                }
                [unit, _, ..] => {
                    let start = (unit & 0x1f == SLICE & 0x1f).then_some(false);
                    Some(Head { start, body: 1, ..Head::default() })
                }
                _ => None,
            },
            Self::Av1 => {
                let aggregation = av1::Aggregation::parse(payload).ok()?;
                let start = (!aggregation.continues).then_some(aggregation.new_sequence);
                let before = if aggregation.new_sequence { 2 + usize::from(*payload.get(1)?) } else { 1 };
                Some(Head { start, body: before, ..Head::default() })
            }
        }
    }
}

/// The uncompressed data chunk, RFC 6386 section 9.1.
fn vp8_header(len: usize, picture: &Picture) -> [u8; 10] {
    // Version 0, shown, first partition as long as the frame allows in 19 bits.
    let partition = (len as u32).min(0x7_ffff);
    let tag = u32::from(!picture.key) | 1 << 4 | partition << 5;
    let [t0, t1, t2, _] = tag.to_le_bytes();
    let [w0, w1] = picture.size.0.to_le_bytes();
    let [h0, h1] = picture.size.1.to_le_bytes();
    [t0, t1, t2, 0x9d, 0x01, 0x2a, w0, w1, h0, h1]
}

/// Frame marker, profile 0, shown; a key frame's sync code, BT.601, and the size less one.
fn vp9_header(picture: &Picture) -> [u8; 10] {
    if !picture.key {
        return [0x86, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    }
    let (width, height) = (picture.size.0.wrapping_sub(1), picture.size.1.wrapping_sub(1));
    let bits = 0b0010_u64 << 36 | u64::from(width) << 20 | u64::from(height) << 4;
    let [_, _, _, b0, b1, b2, b3, b4] = bits.to_be_bytes();
    [0x82, 0x49, 0x83, 0x42, b0, b1, b2, b3, b4, 0]
}

fn vp8_descriptor(picture: &Picture, start: bool) -> vp8::Descriptor {
    vp8::Descriptor {
        start,
        non_reference: picture.non_reference,
        picture_id: Some(vp8::PictureId { value: picture.number, wide: true }),
        tl0_picture_index: Some(picture.tl0),
        temporal: Some(picture.temporal),
        layer_sync: picture.layer_sync,
        key_index: Some(picture.key_index),
        ..vp8::Descriptor::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [codec::Kind; 4] = [codec::Kind::Vp8, codec::Kind::Vp9, codec::Kind::H264, codec::Kind::Av1];

    fn picture(key: bool) -> Picture {
        Picture {
            key,
            size: (640, 360),
            number: 0x1234,
            tl0: 9,
            key_index: 1,
            temporal: 0,
            layer_sync: false,
            non_reference: false,
        }
    }

    #[test]
    fn what_is_cut_is_put_together_again_and_read_by_the_forwarders_own_eye() {
        for (coding, kind) in Coding::ALL.into_iter().zip(KINDS) {
            for (key, len) in [(true, 20_000), (true, 40), (false, 5000), (false, 1100), (false, 30)] {
                let mut frame: Vec<u8> = (0..len).map(|n| n as u8).collect();
                coding.write_header(&mut frame, &picture(key));
                let payloads = coding.packetise(&frame, &picture(key));
                let mut whole = Vec::new();
                for (n, payload) in payloads.iter().enumerate() {
                    assert!(payload.len() <= MAX_PAYLOAD, "{coding:?}");
                    let head = coding.head(payload).unwrap();
                    assert_eq!(head.start, (n == 0).then_some(key), "{coding:?} {key} {n}");
                    let seen = codec::inspect(kind, payload).unwrap();
                    assert!(!seen.key_frame || key, "{coding:?}");
                    if n == 0 {
                        assert!(seen.starts_frame && seen.key_frame == key, "{coding:?} {key}");
                    }
                    whole.extend_from_slice(&payload[head.body..]);
                }
                assert!(whole == frame, "{coding:?} {key} {len}");
            }
        }
    }

    /// By the words of RFC 6184 section 5.8, and not by what reads here.
    #[test]
    fn fragments_of_h264_have_a_header_each_and_lose_no_byte_to_it() {
        for (key, unit) in [(true, IDR), (false, SLICE)] {
            let frame: Vec<u8> = (0..5000u32).map(|n| (n * 31 % 251) as u8).collect();
            let payloads = Coding::H264.packetise(&frame, &picture(key));
            let fragments = payloads.get(usize::from(key)..).unwrap();
            assert!(fragments.len() > 3);
            let mut whole = Vec::new();
            for (n, fragment) in fragments.iter().enumerate() {
                let (starts, ends) = (n == 0, n + 1 == fragments.len());
                let header = u8::from(starts) << 7 | u8::from(ends) << 6 | unit & 0x1f;
                assert_eq!(fragment[..2], [unit & 0xe0 | 28, header], "fragment {n}");
                whole.extend_from_slice(&fragment[2..]);
            }
            assert!(whole == frame);
        }
    }

    #[test]
    fn headers_say_the_size_to_those_who_read_it() {
        let mut frame = [0; 20];
        Coding::Vp9.write_header(&mut frame, &picture(true));
        assert_eq!(vp9::size(&frame), Ok((640, 360)));
        let payloads = Coding::Vp8.packetise(&frame, &picture(false));
        assert_eq!(Coding::Vp8.head(&payloads[0]).unwrap().number, Some(0x1234));
        let record =
            [&[1, 66, 0xc0, 0x1e, 0xff, 0xe1, 0, SPS.len() as u8][..], &SPS, &[1, 0, 4], &PPS].concat();
        let format = codec::config::format(codec::Kind::H264, &record);
        assert_eq!(format, Ok(codec::config::Format::Video { width: 640, height: 360 }));
    }

    #[test]
    fn rubbish_is_no_payload() {
        for coding in Coding::ALL {
            assert_eq!(coding.head(&[]), None);
            for byte in 0..=255u8 {
                let _ = (coding.head(&[byte]), coding.head(&[byte, 0xff, 0xff]));
            }
        }
    }
}
