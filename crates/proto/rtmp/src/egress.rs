//! Frames as messages, the same bytes for every player of a stream.

use bytes::{Bytes, BytesMut};
use container::flv::TagKind;
use flv::egress;
use media::{Beside, Frame, Headers, Stream, Ticks};

use crate::server::write_media;

/// The chunks of one stream, beside its ring.
#[derive(Debug, Default)]
pub struct Messages(Beside);

impl Messages {
    /// The chunks of the frame at `index`, written now if they were not yet; none if the frame is not in the
    /// ring any more or has no place in RTMP.
    pub fn get(&mut self, stream: &Stream, index: u64) -> Option<Bytes> {
        self.0.get(stream, index, write)
    }
}

/// What a player of these tracks gets first: metadata, then the configuration of sound, then of pictures.
pub fn headers(headers: &Headers, at: Ticks) -> Bytes {
    let (mut out, mut body) = (BytesMut::new(), BytesMut::new());
    let timestamp = egress::timestamp(at);
    egress::metadata(headers, &mut body);
    // At any other time FFmpeg takes it for a track of text.
    write_media(TagKind::Script, 0, &body, &mut out);
    for (kind, body) in configs(headers) {
        write_media(kind, timestamp, &body, &mut out);
    }
    out.freeze()
}

/// The bodies of the configurations of sound and of pictures.
pub fn configs(headers: &Headers) -> Vec<(TagKind, BytesMut)> {
    let mut configs = Vec::new();
    for track in [headers.audio(), headers.video()].into_iter().flatten() {
        let mut body = BytesMut::new();
        if egress::config(track, &mut body) {
            configs.push((if track.is_video() { TagKind::Video } else { TagKind::Audio }, body));
        }
    }
    configs
}

fn write(headers: &Headers, frame: &Frame) -> Option<Bytes> {
    let (kind, body) = body(headers, frame)?;
    let mut out = BytesMut::new();
    write_media(kind, egress::timestamp(frame.dts), &body, &mut out);
    Some(out.freeze())
}

/// The body of a frame's message; none if it has no place in RTMP.
pub fn body(headers: &Headers, frame: &Frame) -> Option<(TagKind, BytesMut)> {
    let track = egress::track_of(headers, frame)?;
    let mut body = BytesMut::with_capacity(frame.payload.len() + 16);
    if !egress::body_header(track, frame, &mut body) {
        return None;
    }
    body.extend_from_slice(&frame.payload);
    let kind = if track.is_video() { TagKind::Video } else { TagKind::Audio };
    Some((kind, body))
}
