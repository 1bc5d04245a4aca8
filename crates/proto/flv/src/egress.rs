//! From tracks and frames to tags.
//!
//! What is the same for all players of a stream is written once: [`Tags`] keeps the tag of each frame under
//! the frame's index, for as long as the ring keeps the frame. FLV shows one track of pictures and one of
//! sound; others are left out.

use bytes::{BufMut, Bytes, BytesMut};
use codec::Kind;
use container::amf::Value;
use container::flv::{
    AudioPacket, TAG_OVERHEAD, TagKind, VideoPacket, file_header, write_audio_header, write_tag,
    write_video_header,
};
use media::{Beside, Frame, Headers, Shape, Stream, Ticks, Track};

/// Bytes of the largest header of a body.
const BODY_HEADER: usize = 8;

/// FLV's numbers for codecs that are older than FourCCs (annex E.4.2.1 and E.4.3.1).
const ID_AVC: f64 = 7.0;
const ID_AAC: f64 = 10.0;
const ID_MP3: f64 = 2.0;

/// The tags of one stream, beside its ring.
#[derive(Debug, Default)]
pub struct Tags(Beside);

impl Tags {
    /// The tag of the frame at `index`, written now if it was not yet; none if the frame is not in the ring
    /// any more or has no place in FLV.
    pub fn get(&mut self, stream: &Stream, index: u64) -> Option<Bytes> {
        self.0.get(stream, index, tag)
    }
}

/// What a new player of these tracks gets first: the file's header, metadata and configurations.
pub fn head(headers: &Headers, at: Ticks) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(&file_header(headers.audio().is_some(), headers.video().is_some()));
    put_headers(headers, at, &mut out);
    out.freeze()
}

/// What a player gets when the tracks are others: metadata and configurations.
pub fn change(headers: &Headers, at: Ticks) -> Bytes {
    let mut out = BytesMut::new();
    put_headers(headers, at, &mut out);
    out.freeze()
}

fn put_headers(headers: &Headers, at: Ticks, out: &mut BytesMut) {
    let timestamp = timestamp(at);
    // At any other time FFmpeg takes it for a track of text.
    write_tag(TagKind::Script, 0, out, |out| metadata(headers, out));
    for track in [headers.audio(), headers.video()].into_iter().flatten() {
        let kind = if track.is_video() { TagKind::Video } else { TagKind::Audio };
        let mut body = BytesMut::new();
        if config(track, &mut body) {
            write_tag(kind, timestamp, out, |out| out.put_slice(&body));
        }
    }
}

/// Appends the body of `onMetaData`.
pub fn metadata(headers: &Headers, out: &mut BytesMut) {
    let mut entries = vec![("duration".to_owned(), Value::Number(0.0))];
    let mut put = |key: &str, value: Value| entries.push((key.to_owned(), value));
    if let Some(track) = headers.video() {
        if let Shape::Video(picture) = track.shape
            && picture.width > 0
        {
            put("width", Value::Number(picture.width.into()));
            put("height", Value::Number(picture.height.into()));
        }
        put("videocodecid", Value::Number(codec_id(track.codec)));
    }
    if let Some(track) = headers.audio() {
        if let Shape::Audio(sound) = track.shape
            && sound.rate > 0
        {
            put("audiosamplerate", Value::Number(sound.rate.into()));
            put("stereo", Value::Boolean(sound.channels > 1));
        }
        put("audiocodecid", Value::Number(codec_id(track.codec)));
    }
    put("encoder", Value::String("Millrace".to_owned()));
    Value::String("onMetaData".to_owned()).write(out);
    Value::Map(entries).write(out);
}

/// FLV's number of a codec, or its FourCC read as one (Enhanced RTMP, "Metadata Frame").
fn codec_id(codec: Kind) -> f64 {
    let four_cc = match codec {
        Kind::H264 => return ID_AVC,
        Kind::Aac => return ID_AAC,
        Kind::Mp3 => return ID_MP3,
        Kind::H265 => b"hvc1",
        Kind::Av1 => b"av01",
        Kind::Vp9 => b"vp09",
        Kind::Vp8 => b"vp08",
        Kind::Opus => b"Opus",
        _ => return 0.0,
    };
    u32::from_be_bytes(*four_cc).into()
}

/// Appends the body of a track's configuration; whether it has any.
pub fn config(track: &Track, out: &mut BytesMut) -> bool {
    if track.config.is_empty() {
        return false;
    }
    let written = if track.is_video() {
        write_video_header(track.codec, true, &VideoPacket::Config(&track.config), out)
    } else {
        write_audio_header(track.codec, &AudioPacket::Config(&track.config), out)
    };
    if written.is_some() {
        out.put_slice(&track.config);
    }
    written.is_some()
}

/// Appends what stands before the payload in the body of a frame; whether FLV can hold it.
pub fn body_header(track: &Track, frame: &Frame, out: &mut BytesMut) -> bool {
    let written = if track.is_video() {
        let cts = i32::try_from((frame.pts - frame.dts).millis()).unwrap_or(i32::MAX);
        write_video_header(track.codec, frame.key, &VideoPacket::Frame { cts, data: &frame.payload }, out)
    } else {
        write_audio_header(track.codec, &AudioPacket::Frame(&frame.payload), out)
    };
    written.is_some()
}

/// A time as FLV and RTMP have it: milliseconds modulo 2^32.
pub fn timestamp(at: Ticks) -> u32 {
    at.millis() as u32
}

/// The track of a frame, if FLV shows it: the first of its medium.
pub fn track_of<'a>(headers: &'a Headers, frame: &Frame) -> Option<&'a Track> {
    [headers.video(), headers.audio()].into_iter().flatten().find(|track| track.id == frame.track)
}

/// The tag of a frame; none if it has no place in FLV.
pub fn tag(headers: &Headers, frame: &Frame) -> Option<Bytes> {
    let track = track_of(headers, frame)?;
    let kind = if track.is_video() { TagKind::Video } else { TagKind::Audio };
    let mut out = BytesMut::with_capacity(TAG_OVERHEAD + BODY_HEADER + frame.payload.len());
    let mut is_carried = false;
    let is_written = write_tag(kind, timestamp(frame.dts), &mut out, |out| {
        is_carried = body_header(track, frame, out);
        out.put_slice(&frame.payload);
    });
    (is_written && is_carried).then(|| out.freeze())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test has to begin somewhere
mod tests {
    use std::time::{Duration, Instant};

    use clock::Time;
    use container::flv::Demuxer;
    use media::{Config, Picture, Session, Sound, TrackId};

    use super::*;
    use crate::{Ingest, Item};

    fn now() -> Time {
        Time { mono: Instant::now(), unix: Duration::ZERO }
    }

    fn track(id: TrackId, codec: Kind, config: &'static [u8]) -> Track {
        let shape = match id < TrackId::AUDIO {
            true => Shape::Video(Picture { width: 640, height: 360 }),
            false => Shape::Audio(Sound { rate: 48_000, channels: 2 }),
        };
        Track { id, codec, config: Bytes::from_static(config), shape }
    }

    fn stream(tracks: &[Track]) -> (Stream, Session) {
        let mut stream = Stream::new(Config { max_frames: 20, ..Config::default() });
        let session = stream.begin(now());
        for track in tracks {
            stream.set_track(session, track.clone()).unwrap();
        }
        (stream, session)
    }

    fn push(stream: &mut Stream, session: Session, track: TrackId, key: bool, millis: i64, cts: i64) {
        let dts = Ticks::from_millis(millis);
        let pts = dts + Ticks::from_millis(cts);
        let payload = Bytes::from(format!("frame at {millis}"));
        stream.push(session, now(), Frame { track, key, dts, pts, payload }).unwrap();
    }

    /// Reads a file as a player does.
    fn read(file: &[u8]) -> Vec<Item> {
        let (mut demuxer, mut ingest, mut items) = (Demuxer::default(), Ingest::default(), Vec::new());
        demuxer.push(file);
        while let Some((header, body)) = demuxer.poll().unwrap() {
            ingest.tag(header.kind, header.timestamp, &body, &mut items).unwrap();
        }
        items
    }

    #[test]
    fn what_goes_out_comes_in_again_the_same() {
        for (video, audio) in [
            (track(TrackId::VIDEO, Kind::H264, b"avcC"), track(TrackId::AUDIO, Kind::Aac, &[0x11, 0x90])),
            (
                track(TrackId::VIDEO, Kind::H265, b"hvcC"),
                track(TrackId::AUDIO, Kind::Opus, b"OpusHead\x01\x02"),
            ),
            (track(TrackId::VIDEO, Kind::Av1, b"av1C"), track(TrackId::AUDIO, Kind::Mp3, b"")),
            (track(TrackId::VIDEO, Kind::Vp9, b"vpcC"), track(TrackId::AUDIO, Kind::Aac, &[0x11, 0x90])),
        ] {
            let (mut stream, session) = stream(&[video.clone(), audio.clone()]);
            let reorders = matches!(video.codec, Kind::H264 | Kind::H265);
            for n in 0..5 {
                push(&mut stream, session, TrackId::VIDEO, n == 0, n * 40, if reorders { 80 } else { 0 });
                push(&mut stream, session, TrackId::AUDIO, true, n * 40 + 7, 0);
            }
            let headers = stream.headers().unwrap().clone();
            let mut tags = Tags::default();
            let mut file = head(&headers, Ticks(0)).to_vec();
            for index in 0..stream.head() {
                file.extend_from_slice(&tags.get(&stream, index).unwrap());
            }
            let items = read(&file);
            let frames: Vec<_> = items
                .iter()
                .filter_map(|item| match item {
                    Item::Frame(frame) => Some(frame.clone()),
                    Item::Track(_) => None,
                })
                .collect();
            let sent: Vec<_> = stream.frames(0..stream.head()).map(|(_, frame)| frame.clone()).collect();
            assert_eq!(frames, sent, "{:?}", video.codec);
            let announced = |wanted: &Track| {
                items.iter().any(|item| matches!(item, Item::Track(track) if track.id == wanted.id && track.config == wanted.config))
            };
            assert!(announced(&video) && announced(&audio), "{:?}", video.codec);
        }
    }

    #[test]
    fn a_tag_is_written_once_and_leaves_with_its_frame() {
        let (mut stream, session) = stream(&[track(TrackId::AUDIO, Kind::Aac, &[0x11, 0x90])]);
        let mut tags = Tags::default();
        for n in 0..20 {
            push(&mut stream, session, TrackId::AUDIO, true, n * 20, 0);
        }
        let first = tags.get(&stream, 15).unwrap();
        assert_eq!(first.as_ptr(), tags.get(&stream, 15).unwrap().as_ptr(), "the same bytes for everybody");
        assert_eq!(tags.0.len(), 1, "nothing that nobody asks for");
        assert!(tags.get(&stream, 20).is_none());
        for n in 20..60 {
            push(&mut stream, session, TrackId::AUDIO, true, n * 20, 0);
            tags.get(&stream, n as u64);
            assert!(tags.0.len() <= 21);
        }
        assert!(tags.get(&stream, 15).is_none());
        // A gap that nobody asked for is no trouble either.
        for n in 60..100 {
            push(&mut stream, session, TrackId::AUDIO, true, n * 20, 0);
        }
        assert!(tags.get(&stream, 99).is_some());
    }

    #[test]
    fn timestamps_pass_24_and_32_bits() {
        assert_eq!(timestamp(Ticks::from_millis(0x00ff_ffff + 1)), 0x0100_0000);
        assert_eq!(timestamp(Ticks::from_millis(0xffff_ffff + 6)), 5);
        let (mut stream, session) = stream(&[track(TrackId::AUDIO, Kind::Mp3, b"")]);
        let mut file = Vec::new();
        let mut tags = Tags::default();
        // Steps of 3 s, the longest that is no jump, over 24 bits (4 h 39 min).
        for n in 0..5700 {
            push(&mut stream, session, TrackId::AUDIO, true, n * 3000, 0);
            if n == 0 {
                file.extend_from_slice(&head(stream.headers().unwrap(), Ticks(0)));
            }
            file.extend_from_slice(&tags.get(&stream, n as u64).unwrap());
        }
        let times: Vec<_> = read(&file)
            .into_iter()
            .filter_map(|item| match item {
                Item::Frame(frame) => Some(frame.dts.millis()),
                Item::Track(_) => None,
            })
            .collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 3000));
        assert!(*times.last().unwrap() > 0x0100_0000);
    }
}
