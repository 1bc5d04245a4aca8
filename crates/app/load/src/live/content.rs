//! What is published: a small grey H.264 picture that decodes, filled up to its bitrate, and silent AAC.
//!
//! Owns: the bitstreams, and the stamp in every picture: when it was sent, and which it is. Both are bytes that
//! decoders skip (user data, ITU-T H.264 annex D.1.7; fill elements, ISO/IEC 14496-3 section 4.4.1.1), and
//! servers carry through every container.

mod aac;
mod bits;
mod h264;
mod stamp;

use bytes::{BufMut as _, BytesMut};
use codec::Kind;
use container::amf::Value;
use container::flv::{AudioPacket, VideoPacket, write_audio_header, write_video_header};

pub(crate) use stamp::{Finder, Stamp};

/// Bits a second of the sound, if there is any.
pub(crate) const AUDIO_BITRATE: u64 = 128_000;
/// Samples of a block of AAC, and in a second.
pub(crate) const BLOCK: u64 = 1024;
pub(crate) const RATE: u64 = 48_000;
/// A key frame is so many times as large as another picture.
const KEY_FRAME_FACTOR: u64 = 6;

/// The form of every stream of a run.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) fps: u64,
    pub(crate) audio: bool,
    /// Pictures from one key frame to the next.
    group: u64,
    /// Bytes of a key frame, and of others on average.
    key: usize,
    other: usize,
    sound: Vec<u8>,
}

impl Content {
    pub(crate) fn new(bitrate: u64, fps: u64, group_seconds: u64, audio: bool) -> Self {
        let video = bitrate.saturating_sub(if audio { AUDIO_BITRATE } else { 0 });
        let group = (fps * group_seconds).max(1);
        let other = video / 8 * group_seconds / (group - 1 + KEY_FRAME_FACTOR);
        let sound = aac::silence((AUDIO_BITRATE * BLOCK / RATE / 8) as usize);
        Self { fps, audio, group, key: (other * KEY_FRAME_FACTOR) as usize, other: other as usize, sound }
    }

    /// The body of `onMetaData`.
    pub(crate) fn metadata(&self) -> BytesMut {
        let (width, height) = h264::SIZE;
        let mut entries = vec![
            ("width".to_owned(), Value::Number(width.into())),
            ("height".to_owned(), Value::Number(height.into())),
            ("framerate".to_owned(), Value::Number(self.fps as f64)),
            ("videocodecid".to_owned(), Value::Number(7.0)),
        ];
        if self.audio {
            entries.push(("audiocodecid".to_owned(), Value::Number(10.0)));
            entries.push(("audiosamplerate".to_owned(), Value::Number(RATE as f64)));
            entries.push(("stereo".to_owned(), Value::Boolean(false)));
        }
        let mut out = BytesMut::new();
        Value::String("onMetaData".to_owned()).write(&mut out);
        Value::Map(entries).write(&mut out);
        out
    }

    /// The body of the tag that configures pictures.
    pub(crate) fn video_config(&self) -> BytesMut {
        let (mut out, config) = (BytesMut::new(), h264::record());
        write_video_header(Kind::H264, true, &VideoPacket::Config(&config), &mut out);
        out.put_slice(&config);
        out
    }

    /// The body of the tag that configures sound.
    pub(crate) fn audio_config(&self) -> BytesMut {
        let mut out = BytesMut::new();
        write_audio_header(Kind::Aac, &AudioPacket::Config(&aac::CONFIG), &mut out);
        out.put_slice(&aac::CONFIG);
        out
    }

    /// Writes the body of the tag of a picture.
    pub(crate) fn picture(&self, stamp: Stamp, out: &mut BytesMut) {
        let n = u64::from(stamp.number);
        let place = n % self.group;
        let is_key = place == 0;
        // Between 0.8 and 1.2 of the average, and the average over five.
        let wanted = if is_key { self.key } else { self.other * (8 + place as usize % 5) / 10 };
        out.clear();
        write_video_header(Kind::H264, is_key, &VideoPacket::Frame { cts: 0, data: &[] }, out);
        h264::put_picture(is_key, (n / self.group) as u32, place as u32, stamp, wanted, out);
    }

    /// Writes the body of the tag of a block of sound.
    pub(crate) fn block(&self, out: &mut BytesMut) {
        out.clear();
        write_audio_header(Kind::Aac, &AudioPacket::Frame(&self.sound), out);
        out.put_slice(&self.sound);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use codec::config::{Format, format};

    use super::*;

    #[test]
    fn the_bitrate_is_as_asked() {
        for (bitrate, audio) in [(2_000_000, true), (500_000, false)] {
            let content = Content::new(bitrate, 25, 2, audio);
            let mut body = BytesMut::new();
            let mut bytes = 0;
            for number in 0..500 {
                content.picture(Stamp { at: Duration::from_micros(1), number }, &mut body);
                bytes += body.len();
            }
            if audio {
                content.block(&mut body);
                bytes += body.len() * (20 * RATE / BLOCK) as usize;
            }
            let got = bytes as f64 * 8.0 / 20.0 / bitrate as f64;
            assert!((0.95..1.05).contains(&got), "{got} of {bitrate}");
        }
    }

    #[test]
    fn records_and_pictures_are_what_a_server_reads_of_them() {
        let (width, height) = h264::SIZE;
        assert_eq!(format(Kind::H264, &h264::record()).unwrap(), Format::Video { width, height });
        let sound = Format::Audio { rate: RATE as u32, channels: 1 };
        assert_eq!(format(Kind::Aac, &aac::CONFIG).unwrap(), sound);
        let content = Content::new(1_000_000, 25, 2, true);
        let mut body = BytesMut::new();
        for number in [0, 1, 49, 50] {
            let stamp = Stamp { at: Duration::from_micros(1_700_000_000_123_456), number };
            content.picture(stamp, &mut body);
            assert_eq!(Stamp::find(&body), Some(stamp));
            let tag = container::flv::VideoTag::read(&body).unwrap()[0];
            assert_eq!(tag.is_key(), number % 50 == 0);
            let VideoPacket::Frame { data, .. } = tag.packet else { panic!("{tag:?}") };
            // Units with their lengths, to the last byte.
            let (mut rest, mut kinds) = (data, Vec::new());
            while let Some((length, more)) = rest.split_first_chunk::<4>() {
                let (unit, more) = more.split_at(u32::from_be_bytes(*length) as usize);
                kinds.push(unit[0] & 0x1f);
                rest = more;
            }
            assert_eq!(kinds, [6, 6, if tag.is_key() { 5 } else { 1 }]);
        }
    }
}
