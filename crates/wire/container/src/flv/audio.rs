//! Bodies of audio tags: classic (`AUDIODATA`, annex E.4.2) and enhanced (`ExAudioTagHeader`).

use bytes::{BufMut, BytesMut};
use codec::Kind;

use super::{Body, Malformed, Track};

/// A packet of an audio track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioTag<'a> {
    /// 0 unless the body is multitrack.
    pub track: u8,
    pub codec: Kind,
    pub packet: AudioPacket<'a>,
}

/// What the packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioPacket<'a> {
    /// `AudioSpecificConfig` for AAC, the identification header (RFC 7845 section 5.1) for Opus.
    Config(&'a [u8]),
    /// One access unit, without ADTS.
    Frame(&'a [u8]),
    /// How channels lie; nothing here needs it.
    Channels(&'a [u8]),
    /// The sequence ends.
    End,
}

const FORMAT_MP3: u8 = 2;
const FORMAT_ENHANCED: u8 = 9;
const FORMAT_AAC: u8 = 10;
/// MP3 at 8 kHz has a format of its own.
const FORMAT_MP3_8K: u8 = 14;

/// "44 kHz, 16 bit, stereo": what AAC always says, whatever it is (annex E.4.2.1).
const AAC_FLAGS: u8 = 0x0f;

mod packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const CHANNELS: u8 = 4;
    pub(super) const MULTITRACK: u8 = 5;
}

impl<'a> AudioTag<'a> {
    /// Reads a body: one packet, or one of each track of a multitrack body.
    pub fn read(body: &'a [u8]) -> Result<Vec<Self>, Malformed> {
        let mut body = Body(body);
        let head = body.byte()?;
        let (codec, packet) = match head >> 4 {
            FORMAT_ENHANCED => {
                let kind = body.skip_mod_ex(head & 0x0f)?;
                if kind == packet::MULTITRACK {
                    return body.tracks()?.into_iter().map(enhanced).collect();
                }
                let four_cc = body.array()?;
                return enhanced(Track { id: 0, four_cc, packet: kind, body }).map(|tag| vec![tag]);
            }
            FORMAT_AAC => {
                let packet = match body.byte()? {
                    0 => AudioPacket::Config(body.rest()),
                    1 => AudioPacket::Frame(body.rest()),
                    other => return Err(Malformed::PacketType(other)),
                };
                (Kind::Aac, packet)
            }
            FORMAT_MP3 | FORMAT_MP3_8K => (Kind::Mp3, AudioPacket::Frame(body.rest())),
            other => return Err(Malformed::AudioCodec(other)),
        };
        Ok(vec![Self { track: 0, codec, packet }])
    }
}

fn enhanced(track: Track<'_>) -> Result<AudioTag<'_>, Malformed> {
    let Track { id, four_cc, packet: kind, body } = track;
    let codec = match &four_cc {
        b"mp4a" => Kind::Aac,
        b"Opus" => Kind::Opus,
        b".mp3" => Kind::Mp3,
        _ => return Err(Malformed::FourCc(four_cc)),
    };
    let packet = match kind {
        packet::SEQUENCE_START => AudioPacket::Config(body.rest()),
        packet::CODED_FRAMES => AudioPacket::Frame(body.rest()),
        packet::SEQUENCE_END => AudioPacket::End,
        packet::CHANNELS => AudioPacket::Channels(body.rest()),
        other => return Err(Malformed::PacketType(other)),
    };
    Ok(AudioTag { track: id, codec, packet })
}

/// Appends the header of an audio body; the packet's own bytes follow it. AAC and MP3 are written the
/// classic way, Opus the enhanced way.
///
/// `None` if the codec, or this packet of it, has no place in FLV.
pub fn write_audio_header(codec: Kind, packet: &AudioPacket<'_>, out: &mut BytesMut) -> Option<()> {
    match (codec, packet) {
        (Kind::Aac, AudioPacket::Config(_)) => out.put_slice(&[(FORMAT_AAC << 4) | AAC_FLAGS, 0]),
        (Kind::Aac, AudioPacket::Frame(_)) => out.put_slice(&[(FORMAT_AAC << 4) | AAC_FLAGS, 1]),
        (Kind::Mp3, AudioPacket::Frame(_)) => out.put_u8((FORMAT_MP3 << 4) | AAC_FLAGS),
        (Kind::Opus, packet) => {
            let kind = match packet {
                AudioPacket::Config(_) => packet::SEQUENCE_START,
                AudioPacket::Frame(_) => packet::CODED_FRAMES,
                AudioPacket::Channels(_) => packet::CHANNELS,
                AudioPacket::End => packet::SEQUENCE_END,
            };
            out.put_u8((FORMAT_ENHANCED << 4) | kind);
            out.put_slice(b"Opus");
        }
        _ => return None,
    }
    Some(())
}
