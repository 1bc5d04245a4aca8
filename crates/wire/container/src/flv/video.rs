//! Bodies of video tags: classic (`VIDEODATA`, annex E.4.3) and enhanced (`ExVideoTagHeader`).

use bytes::{BufMut, BytesMut};
use codec::Kind;

use super::{Body, Malformed, Track};

/// What a video tag says of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameType {
    Key,
    Inter,
    Disposable,
    /// Generated key frame, info or command: nothing to show.
    Other,
}

/// A packet of a video track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoTag<'a> {
    /// 0 unless the body is multitrack.
    pub track: u8,
    pub codec: Kind,
    pub frame: FrameType,
    pub packet: VideoPacket<'a>,
}

/// What the packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoPacket<'a> {
    /// The decoder configuration record: avcC, hvcC, av1C or vpcC.
    Config(&'a [u8]),
    /// A frame: NAL units with their lengths, AV1 OBUs or a VP9 frame, to be shown `cts` milliseconds after
    /// it is decoded.
    Frame { cts: i32, data: &'a [u8] },
    /// Colour metadata (`colorInfo`) in AMF.
    Metadata(&'a [u8]),
    /// The sequence ends.
    End,
}

const CODEC_AVC: u8 = 7;
/// HEVC as Chinese encoders and players agreed on it before Enhanced RTMP.
const CODEC_HEVC: u8 = 12;

mod packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const CODED_FRAMES_X: u8 = 3;
    pub(super) const METADATA: u8 = 4;
    pub(super) const MULTITRACK: u8 = 6;
}

impl<'a> VideoTag<'a> {
    /// Reads a body: one packet, or one of each track of a multitrack body. Empty for bodies that carry no
    /// picture.
    pub fn read(body: &'a [u8]) -> Result<Vec<Self>, Malformed> {
        let mut body = Body(body);
        let head = body.byte()?;
        if head & 0x80 == 0 {
            return classic(head, body);
        }
        let frame = frame_type((head >> 4) & 0x07);
        let kind = body.skip_mod_ex(head & 0x0f)?;
        if frame == FrameType::Other {
            return Ok(Vec::new());
        }
        if kind == packet::MULTITRACK {
            return body.tracks()?.into_iter().map(|track| enhanced(frame, track)).collect();
        }
        let four_cc = body.array()?;
        enhanced(frame, Track { id: 0, four_cc, packet: kind, body }).map(|tag| vec![tag])
    }

    /// Whether the frame can be decoded without others.
    pub fn is_key(&self) -> bool {
        self.frame == FrameType::Key
    }
}

fn frame_type(bits: u8) -> FrameType {
    match bits {
        1 => FrameType::Key,
        2 => FrameType::Inter,
        3 => FrameType::Disposable,
        _ => FrameType::Other,
    }
}

fn classic(head: u8, mut body: Body<'_>) -> Result<Vec<VideoTag<'_>>, Malformed> {
    let frame = frame_type(head >> 4);
    if frame == FrameType::Other {
        return Ok(Vec::new());
    }
    let codec = match head & 0x0f {
        CODEC_AVC => Kind::H264,
        CODEC_HEVC => Kind::H265,
        other => return Err(Malformed::VideoCodec(other)),
    };
    let kind = body.byte()?;
    let cts = body.signed_24()?;
    let packet = match kind {
        0 => VideoPacket::Config(body.rest()),
        1 => VideoPacket::Frame { cts, data: body.rest() },
        2 => VideoPacket::End,
        other => return Err(Malformed::PacketType(other)),
    };
    Ok(vec![VideoTag { track: 0, codec, frame, packet }])
}

fn enhanced(frame: FrameType, track: Track<'_>) -> Result<VideoTag<'_>, Malformed> {
    let Track { id, four_cc, packet: kind, mut body } = track;
    let codec = codec_of(four_cc)?;
    let packet = match kind {
        packet::SEQUENCE_START => VideoPacket::Config(body.rest()),
        packet::CODED_FRAMES => {
            // Only codecs with reordering have a composition time here.
            let cts = if matches!(codec, Kind::H264 | Kind::H265) { body.signed_24()? } else { 0 };
            VideoPacket::Frame { cts, data: body.rest() }
        }
        packet::CODED_FRAMES_X => VideoPacket::Frame { cts: 0, data: body.rest() },
        packet::SEQUENCE_END => VideoPacket::End,
        packet::METADATA => VideoPacket::Metadata(body.rest()),
        other => return Err(Malformed::PacketType(other)),
    };
    Ok(VideoTag { track: id, codec, frame, packet })
}

fn codec_of(four_cc: [u8; 4]) -> Result<Kind, Malformed> {
    match &four_cc {
        b"avc1" => Ok(Kind::H264),
        b"hvc1" => Ok(Kind::H265),
        b"av01" => Ok(Kind::Av1),
        b"vp09" => Ok(Kind::Vp9),
        b"vp08" => Ok(Kind::Vp8),
        _ => Err(Malformed::FourCc(four_cc)),
    }
}

/// Appends the header of a video body; the packet's own bytes follow it. H.264 is written the classic way,
/// which every player reads; other codecs the enhanced way.
///
/// `None` if the codec has no place in FLV.
pub fn write_video_header(
    codec: Kind,
    is_key: bool,
    packet: &VideoPacket<'_>,
    out: &mut BytesMut,
) -> Option<()> {
    let frame: u8 = if is_key { 1 } else { 2 };
    let four_cc = match codec {
        Kind::H264 => {
            let (kind, cts) = match packet {
                VideoPacket::Config(_) => (0, 0),
                VideoPacket::Frame { cts, .. } => (1, *cts),
                VideoPacket::End => (2, 0),
                VideoPacket::Metadata(_) => return None,
            };
            out.put_u8((frame << 4) | CODEC_AVC);
            out.put_u8(kind);
            put_signed_24(cts, out);
            return Some(());
        }
        Kind::H265 => b"hvc1",
        Kind::Av1 => b"av01",
        Kind::Vp9 => b"vp09",
        Kind::Vp8 => b"vp08",
        _ => return None,
    };
    let kind = match packet {
        VideoPacket::Config(_) => packet::SEQUENCE_START,
        VideoPacket::Frame { cts, .. } if codec == Kind::H265 && *cts != 0 => packet::CODED_FRAMES,
        // Without reordering the shorter form says the same; AV1 and VP9 have but this one meaning.
        VideoPacket::Frame { .. } if codec == Kind::H265 => packet::CODED_FRAMES_X,
        VideoPacket::Frame { .. } => packet::CODED_FRAMES,
        VideoPacket::Metadata(_) => packet::METADATA,
        VideoPacket::End => packet::SEQUENCE_END,
    };
    out.put_u8(0x80 | (frame << 4) | kind);
    out.put_slice(four_cc);
    if kind == packet::CODED_FRAMES
        && let VideoPacket::Frame { cts, .. } = packet
        && codec == Kind::H265
    {
        put_signed_24(*cts, out);
    }
    Some(())
}

fn put_signed_24(value: i32, out: &mut BytesMut) {
    let [_, a, b, c] = value.clamp(-(1 << 23), (1 << 23) - 1).to_be_bytes();
    out.put_slice(&[a, b, c]);
}
