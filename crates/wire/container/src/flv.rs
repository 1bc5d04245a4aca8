//! FLV: the tags of HTTP-FLV and, without their frame, the audio, video and data messages of RTMP.
//!
//! "Adobe Flash Video File Format Specification" 10.1 annex E, and Enhanced RTMP v2 (veovera, 2024) for
//! codecs named by FourCC, multitrack and ModEx. Owns: tag headers, the header of an audio or video body.
//! Times are milliseconds modulo 2^32; what wraps is put straight by whoever has the stream.

mod audio;
mod demux;
mod tag;
#[cfg(test)]
mod tests;
mod video;

pub use audio::{AudioPacket, AudioTag, write_audio_header};
pub use demux::{DemuxError, Demuxer};
pub use tag::{FILE_HEADER_LEN, TAG_OVERHEAD, TagHeader, TagKind, file_header, write_tag};
pub use video::{FrameType, VideoPacket, VideoTag, write_video_header};

/// An audio or video body that is not what its first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("FLV body ends inside its header")]
    Truncated,
    #[error("FLV video codec id {0} is not carried")]
    VideoCodec(u8),
    #[error("FLV sound format {0} is not carried")]
    AudioCodec(u8),
    #[error("FourCC {0:?} is not carried")]
    FourCc([u8; 4]),
    #[error("FLV packet type {0} is not known")]
    PacketType(u8),
    #[error("FLV body extends itself more than {0} times")]
    ModEx(usize),
    #[error("a NAL unit is longer than its picture")]
    NalLength,
}

/// Bounds on what one body may hold, so that a byte cannot ask for work without end.
const MAX_MOD_EX: usize = 8;
const MAX_TRACKS: usize = 16;

/// A cursor over a body.
#[derive(Debug, Clone, Copy)]
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[b]| b)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// Three bytes, signed: a composition time.
    fn signed_24(&mut self) -> Result<i32, Malformed> {
        let [a, b, c] = self.array()?;
        Ok(i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    fn unsigned_24(&mut self) -> Result<usize, Malformed> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]) as usize)
    }

    /// The rest of the body.
    fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Steps over ModEx packets (type 7), which say more about the packet behind them: a nanosecond offset
    /// so far, which nothing here needs. Returns the type of that packet.
    fn skip_mod_ex(&mut self, mut kind: u8) -> Result<u8, Malformed> {
        for _ in 0..MAX_MOD_EX {
            if kind != MOD_EX {
                return Ok(kind);
            }
            let mut len = usize::from(self.byte()?) + 1;
            if len == 256 {
                len = usize::from(u16::from_be_bytes(self.array()?)) + 1;
            }
            self.take(len)?;
            kind = self.byte()? & 0x0f;
        }
        Err(Malformed::ModEx(MAX_MOD_EX))
    }

    /// Splits a multitrack body (types 5 and 6) into tracks: (track id, FourCC, packet type, body).
    fn tracks(&mut self) -> Result<Vec<Track<'a>>, Malformed> {
        let head = self.byte()?;
        let (layout, packet) = (head >> 4, head & 0x0f);
        let shared = if layout == MANY_TRACKS_MANY_CODECS { None } else { Some(self.array::<4>()?) };
        let mut tracks = Vec::new();
        while !self.0.is_empty() && tracks.len() < MAX_TRACKS {
            let four_cc = match shared {
                Some(four_cc) => four_cc,
                None => self.array::<4>()?,
            };
            let id = self.byte()?;
            let body = if layout == ONE_TRACK {
                std::mem::take(&mut self.0)
            } else {
                let len = self.unsigned_24()?;
                self.take(len)?
            };
            tracks.push(Track { id, four_cc, packet, body: Body(body) });
        }
        Ok(tracks)
    }
}

/// `AvMultitrackType` of Enhanced RTMP v2.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS_MANY_CODECS: u8 = 2;
/// Packet type ModEx, the same for audio and video.
const MOD_EX: u8 = 7;

/// One track of a multitrack body.
struct Track<'a> {
    id: u8,
    four_cc: [u8; 4],
    packet: u8,
    body: Body<'a>,
}
