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
    let mut by_dependency = || {
        let read = (!descriptor.is_empty()).then(|| state.read(descriptor).ok()).flatten()?;
        Some(from_dependency(&read, state.structure()?))
    };
    match kind {
        Kind::Vp8 => match vp8::Descriptor::parse(payload) {
            Ok(d) => {
                let frame = from_summary(&d.summary(), false);
                // Senders leave out of VP8's descriptor what the other one says too.
                let layers = d.temporal.is_none().then(&mut by_dependency).flatten();
                let layers = layers.map(|said| Frame { temporal: said.temporal, reach: said.reach, ..frame });
                (layers.unwrap_or(frame), Some(d))
            }
            Err(_) => (Frame::default(), None),
        },
        _ if kind.is_audio() => (Frame { start: true, ..Frame::default() }, None),
        _ => (by_dependency().unwrap_or_else(|| by_payload(kind, payload)), None),
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
        reach: 0,
    }
}

fn from_dependency(d: &dd::Descriptor, structure: &dd::Structure) -> Frame {
    let switches = |target: &u8| d.start_of_frame && d.indications.get(*target) == dd::Indication::Switch;
    let open = (0..structure.targets).filter(switches).map(|target| structure.target_layers(target).1);
    Frame {
        // A structure comes with each coded video sequence, which begins with a key frame.
        key: d.structure.is_some() && d.start_of_frame && d.spatial == 0,
        start: d.start_of_frame,
        end: d.end_of_frame,
        spatial: d.spatial,
        temporal: d.temporal,
        switch_up: false,
        reach: open.max().unwrap_or(0),
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

    /// The beginning of a payload, its dependency descriptor, and the temporal layers that it is of and opens.
    type Said = (&'static [u8], &'static [u8], (u8, u8));

    #[test]
    fn layers_in_time_of_vp8_are_read_where_chromium_says_them() {
        // Chromium 156, a canvas at 20 Hz published by livekit-client 2.23 as VP8 in simulcast, the layer of 640x360 from
        // its first key frame on: the beginning of each frame's first packet, and its dependency descriptor. The payload
        // descriptor is its first byte alone.
        let frames: [Said; 9] = [
            (
                &[0x10, 0xf0, 0x34, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01],
                &[
                    0xc0, 0x00, 0x02, 0x80, 0x02, 0x04, 0x4e, 0xaa, 0xaf, 0x28, 0x60, 0x41, 0x4d, 0x34, 0x53,
                    0x8a, 0x09, 0x40, 0x40, 0x9f, 0xc0, 0x59, 0xc0,
                ],
                (0, 2),
            ),
            (&[0x30, 0xd1, 0x0d, 0x00], &[0xc5, 0x00, 0x06, 0x12, 0x20], (2, 0)),
            (&[0x10, 0x71, 0x10, 0x00], &[0xc3, 0x00, 0x08, 0x12, 0x60], (1, 2)),
            (&[0x30, 0x31, 0x10, 0x00], &[0xc5, 0x00, 0x0a, 0x12, 0x20], (2, 0)),
            (&[0x10, 0x51, 0x12, 0x00], &[0xc2, 0x00, 0x0c, 0x12, 0xe0], (0, 0)),
            (&[0x30, 0x11, 0x19, 0x00], &[0xc5, 0x00, 0x0e, 0x12, 0xa8, 0x80], (2, 0)),
            (&[0x10, 0x31, 0x12, 0x00], &[0xc4, 0x00, 0x10, 0x12, 0xe9, 0x80], (1, 2)),
            (&[0x30, 0x31, 0x11, 0x00], &[0xc5, 0x00, 0x12, 0x12, 0x20], (2, 0)),
            (&[0x10, 0x11, 0x13, 0x00], &[0xc0, 0x00, 0x14, 0x12, 0xe0], (0, 2)),
        ];
        let mut state = dd::State::default();
        for (n, (payload, descriptor, layers)) in frames.into_iter().enumerate() {
            let (frame, vp8) = frame(Kind::Vp8, payload, descriptor, &mut state);
            assert_eq!((frame.temporal, frame.reach), layers, "frame {n}");
            assert_eq!((frame.start, frame.key, vp8.unwrap().len), (true, n == 0, 1));
        }
        // Without the structure, whose packet was lost, it is a frame as any other.
        let (_, descriptor, _) = frames[1];
        let lost = frame(Kind::Vp8, frames[1].0, descriptor, &mut dd::State::default()).0;
        assert_eq!((lost.temporal, lost.start), (0, true));
        // What VP8's descriptor says itself is believed.
        let (own, _) = frame(Kind::Vp8, &[0x90, 0x20, 0x60, 0x01, 0x01], descriptor, &mut state);
        assert_eq!((own.temporal, own.switch_up), (1, true));
    }
}
