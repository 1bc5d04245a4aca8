//! The initialisation segment: `ftyp` and `moov`.

use bytes::{BufMut as _, Bytes, BytesMut};
use codec::Kind;

use super::boxes::{put, put_full};
use super::{VIDEO_SCALE, entry};
use crate::ts::Medium;

/// The matrix that changes nothing (ISO/IEC 14496-12 section 8.2.2), in 16.16 and 2.30.
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
/// `und` in letters of five bits.
const NO_LANGUAGE: u16 = 0x55c4;

/// A track of pictures.
#[derive(Debug, Clone, Copy)]
pub struct Video<'a> {
    pub codec: Kind,
    /// Its configuration record, without a box header.
    pub config: &'a [u8],
    /// Pixels as shown.
    pub width: u32,
    pub height: u32,
}

/// A track of sound.
#[derive(Debug, Clone, Copy)]
pub struct Audio<'a> {
    pub codec: Kind,
    /// `AudioSpecificConfig` or Opus' identification header; of MP3 nothing.
    pub config: &'a [u8],
    /// Samples a second, which its times are in.
    pub rate: u32,
    pub channels: u8,
}

/// Why a track has no place in an MP4 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("the codec has no place in fragmented MP4 here")]
    Codec,
    #[error("the decoder's configuration is not known")]
    Config,
    #[error("the picture's size does not fit")]
    Size,
    #[error("there is no track")]
    Empty,
}

/// The number of a track.
pub(super) fn number(medium: Medium) -> u32 {
    match medium {
        Medium::Video => 1,
        Medium::Audio => 2,
    }
}

/// What a decoder is given before the first fragment.
pub fn init(video: Option<Video<'_>>, audio: Option<Audio<'_>>) -> Result<Bytes, Unfit> {
    if video.is_none() && audio.is_none() {
        return Err(Unfit::Empty);
    }
    // Sample entries may be refused, the boxes around them not.
    let mut entries = (BytesMut::new(), BytesMut::new());
    if let Some(video) = &video {
        entry::video(video, &mut entries.0)?;
    }
    if let Some(audio) = &audio {
        entry::audio(audio, &mut entries.1)?;
    }
    let mut out = BytesMut::with_capacity(1024 + entries.0.len() + entries.1.len());
    put(b"ftyp", &mut out, |out| {
        out.put_slice(b"iso6\0\0\0\x01iso6mp41");
    });
    put(b"moov", &mut out, |out| {
        movie_header(out);
        if let Some(video) = &video {
            let size = (video.width, video.height);
            track(Medium::Video, VIDEO_SCALE, size, &entries.0, out);
        }
        if let Some(audio) = &audio {
            track(Medium::Audio, audio.rate, (0, 0), &entries.1, out);
        }
        put(b"mvex", out, |out| {
            let has = [(Medium::Video, video.is_some()), (Medium::Audio, audio.is_some())];
            for (medium, _) in has.into_iter().filter(|(_, has)| *has) {
                put_full(b"trex", 0, 0, out, |out| {
                    out.put_u32(number(medium));
                    // The first description; no defaults, since fragments say all.
                    out.put_u32(1);
                    out.put_bytes(0, 12);
                });
            }
        });
    });
    Ok(out.freeze())
}

fn movie_header(out: &mut BytesMut) {
    put_full(b"mvhd", 0, 0, out, |out| {
        out.put_u64(0);
        out.put_u32(1000);
        out.put_u32(0);
        // Rate and volume: as they are.
        out.put_u32(0x1_0000);
        out.put_u16(0x0100);
        out.put_bytes(0, 10);
        matrix(out);
        out.put_bytes(0, 24);
        // The number that a next track would have.
        out.put_u32(3);
    });
}

fn matrix(out: &mut BytesMut) {
    UNITY.iter().for_each(|value| out.put_u32(*value));
}

fn track(medium: Medium, scale: u32, size: (u32, u32), entry: &[u8], out: &mut BytesMut) {
    let is_video = medium == Medium::Video;
    put(b"trak", out, |out| {
        // Enabled, and used in the presentation.
        put_full(b"tkhd", 0, 3, out, |out| {
            out.put_u64(0);
            out.put_u32(number(medium));
            out.put_bytes(0, 16);
            // Tracks with the same group are alternatives to each other.
            out.put_u16(0);
            out.put_u16(if is_video { 0 } else { 1 });
            out.put_u16(if is_video { 0 } else { 0x0100 });
            out.put_u16(0);
            matrix(out);
            out.put_u32(size.0 << 16);
            out.put_u32(size.1 << 16);
        });
        put(b"mdia", out, |out| {
            put_full(b"mdhd", 0, 0, out, |out| {
                out.put_u64(0);
                out.put_u32(scale);
                out.put_u32(0);
                out.put_u16(NO_LANGUAGE);
                out.put_u16(0);
            });
            put_full(b"hdlr", 0, 0, out, |out| {
                out.put_u32(0);
                out.put_slice(if is_video { b"vide" } else { b"soun" });
                out.put_bytes(0, 12);
                out.put_slice(if is_video { b"video\0" } else { b"audio\0" });
            });
            put(b"minf", out, |out| media_information(is_video, entry, out));
        });
    });
}

fn media_information(is_video: bool, entry: &[u8], out: &mut BytesMut) {
    if is_video {
        put_full(b"vmhd", 0, 1, out, |out| out.put_bytes(0, 8));
    } else {
        put_full(b"smhd", 0, 0, out, |out| out.put_bytes(0, 4));
    }
    put(b"dinf", out, |out| {
        put_full(b"dref", 0, 0, out, |out| {
            out.put_u32(1);
            // In this very file.
            put_full(b"url ", 0, 1, out, |_| {});
        });
    });
    put(b"stbl", out, |out| {
        put_full(b"stsd", 0, 0, out, |out| {
            out.put_u32(1);
            out.put_slice(entry);
        });
        // Samples are in fragments only.
        put_full(b"stts", 0, 0, out, |out| out.put_u32(0));
        put_full(b"stsc", 0, 0, out, |out| out.put_u32(0));
        put_full(b"stsz", 0, 0, out, |out| out.put_u64(0));
        put_full(b"stco", 0, 0, out, |out| out.put_u32(0));
    });
}
