#![allow(clippy::disallowed_methods)] // a test has to begin somewhere

mod checker;
mod cutting;
mod dates;
mod fmp4;
mod renditions;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use codec::Kind;
use media::{Frame, Headers, Picture, Shape, Sound, Ticks, Track, TrackId};

use crate::{Config, Container, Page, Segmenter, Variant};

const CONFIG: Config = Config {
    segment: Duration::from_secs(3),
    max_segment: Duration::from_secs(12),
    part: Duration::from_millis(200),
    window: 5,
    low_latency: true,
};

const TS: Variant = Variant::first(Container::Ts);
const FMP4: Variant = Variant::first(Container::Fmp4);

fn cutter(variant: Variant) -> Segmenter {
    Segmenter::new(CONFIG, variant, 0)
}

fn video(codec: Kind) -> Track {
    // FFmpeg 5.1 with libx264, 1280 x 720; with libsvtav1 and libvpx-vp9, 642 x 362.
    let config: &[u8] = match codec {
        Kind::Av1 => b"\x81\x01\x0c\x00\x0a\x0b\0\0\0\x0c\xc5\x03\x69\0\xbe\0\x10",
        Kind::Vp9 => &[1, 0, 0, 0, 0, 20, 0x82, 2, 2, 2, 0, 0],
        _ => b"\x01\x64\0\x1f\xff\xe1\0\x1a\x67\x64\0\x1f\xac\xd9\x40\x50\x05\xbb\x01\x10\0\0\x03\0\x10\0\0\x03\
               \x03\xc0\xf1\x83\x19\x60\x01\0\x06\x68\xeb\xe3\xcb\x22\xc0",
    };
    let config = Bytes::from_static(config);
    Track { id: TrackId::VIDEO, codec, config, shape: Shape::Video(Picture::default()) }
}

fn audio(codec: Kind) -> Track {
    let config: &[u8] = match codec {
        Kind::Aac => &[0x11, 0x90],
        Kind::Opus => b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0",
        _ => &[],
    };
    let shape = Shape::Audio(Sound { rate: 48_000, channels: 2 });
    Track { id: TrackId::AUDIO, codec, config: Bytes::from_static(config), shape }
}

fn headers(generation: u32, tracks: Vec<Track>) -> Arc<Headers> {
    Arc::new(Headers { version: u64::from(generation) + 1, generation, tracks })
}

/// H.264 and AAC.
fn usual() -> Arc<Headers> {
    headers(0, vec![video(Kind::H264), audio(Kind::Aac)])
}

fn frame(is_video: bool, key: bool, dts: Ticks) -> Frame {
    let track = if is_video { TrackId::VIDEO } else { TrackId::AUDIO };
    // A NAL unit; the table of contents of 20 ms of Opus is as good a sound as any.
    let payload: &[u8] = if is_video { &[0, 0, 0, 3, 0x65, 1, 2] } else { &[0xfc, 1, 2] };
    Frame { track, key, dts, pts: dts, payload: Bytes::from_static(payload) }
}

/// `seconds` of pictures at a rate of `numerator / denominator` a second, times rounded to milliseconds as
/// RTMP has them, with a key frame every `group` pictures.
fn feed(segmenter: &mut Segmenter, from: i64, seconds: i64, rate: (i64, i64), group: i64) {
    let (numerator, denominator) = rate;
    let first = from * numerator / denominator;
    for n in first..first + seconds * numerator / denominator {
        let millis = n * 1000 * denominator / numerator;
        let at = Ticks::from_millis(millis);
        segmenter.push(1_700_000_000_000 + millis, &frame(true, n % group == 0, at));
        segmenter.push(1_700_000_000_000 + millis, &frame(false, true, at));
    }
}

fn playlist(segmenter: &Segmenter) -> String {
    segmenter.playlist(&Page::default())
}

fn values<'a>(playlist: &'a str, tag: &str) -> Vec<&'a str> {
    playlist.lines().filter_map(|line| line.strip_prefix(tag)).collect()
}
