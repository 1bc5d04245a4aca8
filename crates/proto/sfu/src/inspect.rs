//! Frames out of packets: what the dependency descriptor, or else the payload descriptor, says.

use codec::{Kind, red, vp8, vp9};
use rtp::dd;

use crate::api::CodecParams;
use crate::consumer::plain;
use crate::packet::Frame;

/// Reads what a packet of codec `kind` says about its frame. A payload that says nothing readable (it may
/// be encrypted end to end) is a packet in the middle of a frame.
pub(crate) fn frame(
    kind: Kind,
    payload: &[u8],
    descriptor: &[u8],
    state: &mut dd::State,
) -> (Frame, Option<vp8::Descriptor>) {
    match kind {
        // The descriptor that is rewritten is the one that is believed.
        Kind::Vp8 => match vp8::Descriptor::parse(payload) {
            Ok(d) => (from_summary(&d.summary(), false), Some(d)),
            Err(_) => (Frame::default(), None),
        },
        _ if kind.is_audio() => (Frame { start: true, ..Frame::default() }, None),
        _ => {
            let by_dependency = (!descriptor.is_empty()).then(|| state.read(descriptor).ok()).flatten();
            (by_dependency.map_or_else(|| by_payload(kind, payload), |d| from_dependency(&d)), None)
        }
    }
}

/// Whether redundant audio (RFC 2198) is what was negotiated: blocks that fit their payload, all of the
/// plain codec, with something in the newest. Anything else is nobody's to decode.
pub(crate) fn is_sound(payload: &[u8], codecs: &[CodecParams]) -> bool {
    let Some(inner) = plain(codecs) else { return false };
    let Ok(blocks) = red::Blocks::parse(payload) else { return false };
    let alike = blocks.clone().all(|block| block.pt == inner.pt.0);
    alike && blocks.last().is_some_and(|newest| !newest.data.is_empty())
}

fn by_payload(kind: Kind, payload: &[u8]) -> Frame {
    if kind == Kind::Vp9 {
        return vp9::Descriptor::parse(payload)
            .map(|d| from_summary(&d.summary(), d.ends_frame))
            .unwrap_or_default();
    }
    codec::inspect(kind, payload).map(|s| from_summary(&s, false)).unwrap_or_default()
}

fn from_summary(s: &codec::Summary, end: bool) -> Frame {
    Frame {
        // A later slice of an H.264 key frame is one of its packets, but a decoder cannot start there.
        key: s.key_frame && s.starts_frame,
        start: s.starts_frame,
        end,
        spatial: s.spatial,
        temporal: s.temporal,
        switch_up: s.switch_up,
    }
}

fn from_dependency(d: &dd::Descriptor) -> Frame {
    let targets = d.structure.as_ref().map_or(dd::MAX_TARGETS as u8, |s| s.targets);
    let switch_up = (0..targets).any(|t| d.indications.get(t) == dd::Indication::Switch);
    Frame {
        // A structure comes with each coded video sequence, which begins with a key frame.
        key: d.structure.is_some() && d.start_of_frame && d.spatial == 0,
        start: d.start_of_frame,
        end: d.end_of_frame,
        spatial: d.spatial,
        temporal: d.temporal,
        switch_up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_starts_at_the_first_slice_of_a_key_frame_and_not_at_a_later_one() {
        let of = |kind, payload: &[u8]| frame(kind, payload, &[], &mut dd::State::default()).0;
        // H.264: first fragment of an IDR slice, `first_mb_in_slice` of zero and of one.
        let (first, second) = (of(Kind::H264, &[0x7c, 0x85, 0x88]), of(Kind::H264, &[0x7c, 0x85, 0x40]));
        assert_eq!((first.key, second.key), (true, false));
        // H.265: the same of IDR_W_RADL, by `first_slice_segment_in_pic_flag`.
        let (first, second) =
            (of(Kind::H265, &[0x62, 0x01, 0x93, 0x80]), of(Kind::H265, &[0x62, 0x01, 0x93, 0x00]));
        assert_eq!((first.key, second.key), (true, false));
    }
}
