//! From tags to tracks and frames.

use bytes::Bytes;
use codec::Kind;
use codec::config::{Format, format, updated};
use container::amf;
use container::flv::{AudioPacket, AudioTag, Malformed, TagKind, VideoPacket, VideoTag};
use media::{Frame, Picture, Shape, Sound, Ticks, Track, TrackId, Unwrap};

use crate::nal;

/// What a tag brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A track is announced or changed, from the next frame on.
    Track(Track),
    Frame(Frame),
}

/// The tags of one connection.
#[derive(Debug)]
pub struct Ingest {
    /// Audio and video share a clock of 32 bits.
    clock: Unwrap,
    tracks: Vec<Track>,
    /// Tracks whose NAL units have lengths of other sizes than the hub's, and which.
    narrow: Vec<(TrackId, usize)>,
    /// What `onMetaData` said.
    picture: Picture,
    sound: Sound,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            clock: Unwrap::new(32),
            tracks: Vec::new(),
            narrow: Vec::new(),
            picture: Picture::default(),
            sound: Sound::default(),
        }
    }
}

impl Ingest {
    /// Takes a tag, or a message of RTMP with its absolute timestamp. An error is of this tag alone.
    pub fn tag(
        &mut self,
        kind: TagKind,
        timestamp: u32,
        body: &Bytes,
        out: &mut Vec<Item>,
    ) -> Result<(), Malformed> {
        // An empty message is a sign of life that some encoders send.
        if body.is_empty() {
            return Ok(());
        }
        match kind {
            TagKind::Script => self.script(body),
            TagKind::Video => {
                let dts = self.time(timestamp);
                for tag in VideoTag::read(body)? {
                    self.video(dts, &tag, body, out)?;
                }
            }
            TagKind::Audio => {
                let dts = self.time(timestamp);
                for tag in AudioTag::read(body)? {
                    self.audio(dts, &tag, body, out);
                }
            }
        }
        Ok(())
    }

    fn time(&mut self, timestamp: u32) -> Ticks {
        Ticks::from_millis(self.clock.extend(u64::from(timestamp)))
    }

    fn video(
        &mut self,
        dts: Ticks,
        tag: &VideoTag<'_>,
        body: &Bytes,
        out: &mut Vec<Item>,
    ) -> Result<(), Malformed> {
        let Some(id) = number(TrackId::VIDEO, tag.track) else { return Ok(()) };
        match tag.packet {
            VideoPacket::Config(config) => {
                // The record knows better than `onMetaData`, which some publishers never send or change.
                let picture = match format(tag.codec, config) {
                    Ok(Format::Video { width, height }) => Picture { width, height },
                    _ => self.picture,
                };
                self.narrow.retain(|(narrow, _)| *narrow != id);
                match nal::size(tag.codec, config) {
                    nal::SIZE => self.announce(id, tag.codec, config, Shape::Video(picture), out),
                    size => {
                        self.narrow.push((id, size));
                        let config = nal::widen_config(tag.codec, config);
                        self.announce(id, tag.codec, &config, Shape::Video(picture), out);
                    }
                }
            }
            VideoPacket::Frame { cts, data } if !data.is_empty() => {
                self.expect(id, tag.codec, Shape::Video(self.picture), out);
                let pts = dts + Ticks::from_millis(cts.into());
                let payload = match self.narrow.iter().find(|(narrow, _)| *narrow == id) {
                    None => body.slice_ref(data),
                    Some((_, size)) => nal::widen(*size, data)?,
                };
                if tag.is_key() {
                    self.follow(id, &payload, out);
                }
                out.push(Item::Frame(Frame { track: id, key: tag.is_key(), dts, pts, payload }));
            }
            VideoPacket::Frame { .. } | VideoPacket::Metadata(_) | VideoPacket::End => {}
        }
        Ok(())
    }

    fn audio(&mut self, dts: Ticks, tag: &AudioTag<'_>, body: &Bytes, out: &mut Vec<Item>) {
        let Some(id) = number(TrackId::AUDIO, tag.track) else { return };
        match tag.packet {
            AudioPacket::Config(config) => {
                let sound = match format(tag.codec, config) {
                    Ok(Format::Audio { rate, channels }) => Sound { rate, channels },
                    _ => self.sound,
                };
                self.announce(id, tag.codec, config, Shape::Audio(sound), out);
            }
            AudioPacket::Frame(data) if !data.is_empty() => {
                self.expect(id, tag.codec, Shape::Audio(self.sound), out);
                let payload = body.slice_ref(data);
                out.push(Item::Frame(Frame { track: id, key: true, dts, pts: dts, payload }));
            }
            AudioPacket::Frame(_) | AudioPacket::Channels(_) | AudioPacket::End => {}
        }
    }

    /// Announces the track anew where a picture brings other parameter sets than its record has: whoever comes later
    /// is told the record.
    fn follow(&mut self, id: TrackId, payload: &[u8], out: &mut Vec<Item>) {
        let Some(track) = self.tracks.iter().find(|known| known.id == id) else { return };
        let (codec, shape) = (track.codec, track.shape);
        let Some(config) = updated(codec, &track.config, payload) else { return };
        let shape = match format(codec, &config) {
            Ok(Format::Video { width, height }) => Shape::Video(Picture { width, height }),
            _ => shape,
        };
        self.announce(id, codec, &config, shape, out);
    }

    fn announce(&mut self, id: TrackId, codec: Kind, config: &[u8], shape: Shape, out: &mut Vec<Item>) {
        // A copy: a few bytes that live as long as the track must not keep a whole buffer.
        let track = Track { id, codec, config: Bytes::copy_from_slice(config), shape };
        self.tracks.retain(|known| known.id != id);
        self.tracks.push(track.clone());
        out.push(Item::Track(track));
    }

    /// Announces the track of a frame that comes without a configuration, as MP3 and VP9 may.
    fn expect(&mut self, id: TrackId, codec: Kind, shape: Shape, out: &mut Vec<Item>) {
        if !self.tracks.iter().any(|known| known.id == id && known.codec == codec) {
            self.announce(id, codec, &[], shape, out);
        }
    }

    /// `onMetaData`, in RTMP behind `@setDataFrame`.
    fn script(&mut self, body: &[u8]) {
        let Ok(values) = amf::read_all(body) else { return };
        if !values.iter().take(2).any(|value| value.as_str() == Some("onMetaData")) {
            return;
        }
        let number = |key: &str| {
            let value = values.iter().find_map(|value| value.get(key))?.as_number()?;
            // Nobody's picture is wider, and a cast of a float saturates.
            (1.0..=65_535.0).contains(&value).then_some(value as u32)
        };
        let rate =
            values.iter().find_map(|value| value.get("audiosamplerate")).and_then(amf::Value::as_number);
        self.picture = Picture { width: number("width").unwrap_or(0), height: number("height").unwrap_or(0) };
        self.sound.rate = rate.filter(|rate| (1.0..=384_000.0).contains(rate)).map_or(0, |rate| rate as u32);
    }
}

/// Numbered from the first of its medium; the numbers of video end where those of audio begin.
fn number(first: TrackId, track: u8) -> Option<TrackId> {
    (track < TrackId::AUDIO.0).then(|| TrackId(first.0 + track))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use container::flv::{write_audio_header, write_video_header};

    use super::*;

    fn video(codec: Kind, key: bool, packet: VideoPacket<'_>) -> Bytes {
        let mut out = BytesMut::new();
        write_video_header(codec, key, &packet, &mut out).unwrap();
        if let VideoPacket::Config(data) | VideoPacket::Frame { data, .. } = packet {
            out.extend_from_slice(data);
        }
        out.freeze()
    }

    fn audio(codec: Kind, packet: AudioPacket<'_>) -> Bytes {
        let mut out = BytesMut::new();
        write_audio_header(codec, &packet, &mut out).unwrap();
        if let AudioPacket::Config(data) | AudioPacket::Frame(data) = packet {
            out.extend_from_slice(data);
        }
        out.freeze()
    }

    fn take(ingest: &mut Ingest, kind: TagKind, at: u32, body: &Bytes) -> Vec<Item> {
        let mut out = Vec::new();
        ingest.tag(kind, at, body, &mut out).unwrap();
        out
    }

    #[test]
    fn tags_become_tracks_and_frames() {
        let mut ingest = Ingest::default();
        let mut script = BytesMut::new();
        amf::Value::String("@setDataFrame".into()).write(&mut script);
        amf::Value::String("onMetaData".into()).write(&mut script);
        let size = [("width", amf::Value::Number(1280.0)), ("height", amf::Value::Number(720.0))];
        amf::Value::object(size).write(&mut script);
        assert_eq!(take(&mut ingest, TagKind::Script, 0, &script.freeze()), []);

        let config = video(Kind::H264, true, VideoPacket::Config(b"avcC"));
        let items = take(&mut ingest, TagKind::Video, 0, &config);
        let [Item::Track(track)] = &items[..] else { panic!("{items:?}") };
        assert_eq!((track.id, track.codec, &track.config[..]), (TrackId::VIDEO, Kind::H264, &b"avcC"[..]));
        assert_eq!(track.shape, Shape::Video(Picture { width: 1280, height: 720 }));

        // 44.1 kHz stereo AAC-LC.
        let config = audio(Kind::Aac, AudioPacket::Config(&[0x12, 0x10]));
        let items = take(&mut ingest, TagKind::Audio, 0, &config);
        let [Item::Track(track)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(track.shape, Shape::Audio(Sound { rate: 44_100, channels: 2 }));

        let body = video(Kind::H264, false, VideoPacket::Frame { cts: 80, data: b"nal" });
        let items = take(&mut ingest, TagKind::Video, 40, &body);
        let [Item::Frame(frame)] = &items[..] else { panic!("{items:?}") };
        assert_eq!((frame.key, frame.dts.millis(), frame.pts.millis()), (false, 40, 120));
        assert_eq!(frame.payload, b"nal"[..]);
        // Not a copy.
        assert!(body.as_ptr_range().contains(&frame.payload.as_ptr()));
    }

    #[test]
    fn the_size_is_that_of_the_record_whatever_metadata_says() {
        // avcC with the parameter set of FFmpeg 5.1 and libx264 for 642 x 362, which is cropped.
        const CONFIG: &[u8] =
            b"\x01\x64\0\x1e\xff\xe1\0\x1b\x67\x64\0\x1e\xac\xd9\x40\xa4\x2f\xe2\x24\xc0\x44\0\0\
            \x03\0\x04\0\0\x03\0\xf0\x3c\x58\xb6\x58\x01\0\x06\x68\xeb\xe3\xcb\x22\xc0";
        let mut ingest = Ingest { picture: Picture { width: 1, height: 1 }, ..Ingest::default() };
        let items =
            take(&mut ingest, TagKind::Video, 0, &video(Kind::H264, true, VideoPacket::Config(CONFIG)));
        let [Item::Track(track)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(track.shape, Shape::Video(Picture { width: 642, height: 362 }));
    }

    #[test]
    fn lengths_of_other_sizes_are_widened_in_records_and_pictures() {
        let mut ingest = Ingest::default();
        let record =
            |marks: u8| video(Kind::H264, true, VideoPacket::Config(&[1, 0x64, 0, 0x1e, marks, 0xe0, 0]));
        let picture = |data| video(Kind::H264, true, VideoPacket::Frame { cts: 0, data });
        for (marks, body) in [
            (0xfc, picture(&b"\x02ab\x01c"[..])),
            (0xfd, picture(b"\0\x02ab\0\x01c")),
            (0xff, picture(b"\0\0\0\x02ab\0\0\0\x01c")),
        ] {
            let items = take(&mut ingest, TagKind::Video, 0, &record(marks));
            assert!(matches!(&items[..], [Item::Track(track)] if track.config[4] == 0xff), "{items:?}");
            let items = take(&mut ingest, TagKind::Video, 0, &body);
            let [Item::Frame(frame)] = &items[..] else { panic!("{items:?}") };
            assert_eq!(frame.payload, b"\0\0\0\x02ab\0\0\0\x01c"[..]);
        }
        // A length that lies is one error, and what follows is read.
        take(&mut ingest, TagKind::Video, 0, &record(0xfd));
        let mut out = Vec::new();
        assert_eq!(
            ingest.tag(TagKind::Video, 0, &picture(b"\xff\xffab"), &mut out),
            Err(Malformed::NalLength)
        );
        assert_eq!(take(&mut ingest, TagKind::Video, 0, &picture(b"\0\x01a")).len(), 1);
    }

    #[test]
    fn another_size_is_another_track_and_a_new_beginning_for_decoders() {
        // avcC of FFmpeg 5.1 and libx264 for 1280 x 720 and 642 x 362.
        const LARGE: &[u8] =
            b"\x01\x64\0\x1f\xff\xe1\0\x1a\x67\x64\0\x1f\xac\xd9\x40\x50\x05\xbb\x01\x10\0\0\
            \x03\0\x10\0\0\x03\x03\xc0\xf1\x83\x19\x60\x01\0\x06\x68\xeb\xe3\xcb\x22\xc0";
        const SMALL: &[u8] =
            b"\x01\x64\0\x1e\xff\xe1\0\x1b\x67\x64\0\x1e\xac\xd9\x40\xa4\x2f\xe2\x24\xc0\x44\0\0\
            \x03\0\x04\0\0\x03\0\xf0\x3c\x58\xb6\x58\x01\0\x06\x68\xeb\xe3\xcb\x22\xc0";
        let mut ingest = Ingest::default();
        let mut stream = media::Stream::new(media::Config::default());
        #[allow(clippy::disallowed_methods)] // a test has to begin somewhere
        let now = clock::Time { mono: std::time::Instant::now(), unix: std::time::Duration::ZERO };
        let session = stream.begin(now);
        let mut at = 0;
        let mut send = |ingest: &mut Ingest, config: &[u8], is_key: bool| {
            let bodies = [
                video(Kind::H264, true, VideoPacket::Config(config)),
                video(Kind::H264, is_key, VideoPacket::Frame { cts: 0, data: b"\0\0\0\x01a" }),
            ];
            for item in bodies.iter().flat_map(|body| take(ingest, TagKind::Video, at, body)) {
                match item {
                    Item::Track(track) => stream.set_track(session, track).unwrap(),
                    Item::Frame(frame) => drop(stream.push(session, now, frame).unwrap()),
                }
            }
            at += 40;
            let headers = stream.headers().unwrap();
            let Shape::Video(picture) = headers.video().unwrap().shape else { panic!() };
            (stream.head(), headers.generation, picture.width)
        };
        assert_eq!(send(&mut ingest, LARGE, true), (1, 0, 1280));
        // The same again, as some encoders send it with every group, is nothing new.
        assert_eq!(send(&mut ingest, LARGE, true), (2, 0, 1280));
        // Nothing is decoded with another before a key frame.
        assert_eq!(send(&mut ingest, SMALL, false), (2, 0, 1280));
        assert_eq!(send(&mut ingest, SMALL, true), (3, 1, 642));
        assert_eq!(send(&mut ingest, LARGE, true), (4, 2, 1280));
    }

    #[test]
    fn parameter_sets_inside_a_key_frame_are_told_to_whoever_comes_later() {
        // avcC of FFmpeg 5.1 and libx264 for 1280 x 720, and the sets of 642 x 362 in front of a picture.
        const LARGE: &[u8] =
            b"\x01\x64\0\x1f\xff\xe1\0\x1a\x67\x64\0\x1f\xac\xd9\x40\x50\x05\xbb\x01\x10\0\0\
            \x03\0\x10\0\0\x03\x03\xc0\xf1\x83\x19\x60\x01\0\x06\x68\xeb\xe3\xcb\x22\xc0";
        const IN_BAND: &[u8] = b"\0\0\0\x1b\x67\x64\0\x1e\xac\xd9\x40\xa4\x2f\xe2\x24\xc0\x44\0\0\
            \x03\0\x04\0\0\x03\0\xf0\x3c\x58\xb6\x58\0\0\0\x06\x68\xeb\xe3\xcb\x22\xc0\0\0\0\x02\x65\x88";
        let mut ingest = Ingest::default();
        take(&mut ingest, TagKind::Video, 0, &video(Kind::H264, true, VideoPacket::Config(LARGE)));
        let picture = |is_key| video(Kind::H264, is_key, VideoPacket::Frame { cts: 0, data: IN_BAND });
        // What is no key frame begins nothing.
        assert_eq!(take(&mut ingest, TagKind::Video, 40, &picture(false)).len(), 1);
        let items = take(&mut ingest, TagKind::Video, 80, &picture(true));
        let [Item::Track(track), Item::Frame(frame)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(track.shape, Shape::Video(Picture { width: 642, height: 362 }));
        assert_eq!(frame.payload, IN_BAND);
        assert_eq!(take(&mut ingest, TagKind::Video, 120, &picture(true)).len(), 1, "said once");
        // As does a record that says the same as a picture before it.
        let record = track.config.clone();
        let items =
            take(&mut ingest, TagKind::Video, 160, &video(Kind::H264, true, VideoPacket::Config(&record)));
        assert!(matches!(&items[..], [Item::Track(again)] if again == track));
    }

    #[test]
    fn frames_without_configuration_announce_their_track_once() {
        let mut ingest = Ingest::default();
        let body = audio(Kind::Mp3, AudioPacket::Frame(b"mp3"));
        assert_eq!(take(&mut ingest, TagKind::Audio, 0, &body).len(), 2);
        assert_eq!(take(&mut ingest, TagKind::Audio, 26, &body).len(), 1);
    }

    #[test]
    fn the_clock_runs_on_where_32_bits_end() {
        let mut ingest = Ingest::default();
        let body = audio(Kind::Mp3, AudioPacket::Frame(b"mp3"));
        let mut times = Vec::new();
        // Past 24 bits, where FLV's field is split, and past 32, after 49.7 days.
        for at in [0x00ff_ffff, 0x0100_0016, 0x7000_0000, 0xc000_0000, 0xffff_fff0, 6, 32] {
            for item in take(&mut ingest, TagKind::Audio, at, &body) {
                if let Item::Frame(frame) = item {
                    times.push(frame.dts.millis());
                }
            }
        }
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(times[6] - times[4], 48);
    }

    #[test]
    fn nonsense_is_one_error_and_what_follows_is_read() {
        let mut ingest = Ingest::default();
        let mut out = Vec::new();
        for body in [&b"\x17"[..], b"\x90nope", b"\x12\0\0\0\0", b"\x17\x09\0\0\0"] {
            assert!(ingest.tag(TagKind::Video, 0, &Bytes::copy_from_slice(body), &mut out).is_err());
        }
        ingest.tag(TagKind::Video, 0, &Bytes::new(), &mut out).unwrap();
        ingest.tag(TagKind::Script, 0, &Bytes::from_static(b"\x03\x03\x03"), &mut out).unwrap();
        assert_eq!(out, []);
        let body = video(Kind::Vp9, true, VideoPacket::Frame { cts: 0, data: b"vp9" });
        assert_eq!(take(&mut ingest, TagKind::Video, 0, &body).len(), 2);
    }
}
