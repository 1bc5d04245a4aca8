//! Sample entries: what a decoder is told of a track.
//!
//! ISO/IEC 14496-12 sections 12.1.3 and 12.2.3; 14496-15 (`avc1`, `hvc1`); AV1 in ISOBMFF (`av01`); VP codecs in
//! ISOBMFF (`vp09`); 14496-14 and 14496-1 section 7.2.6 (`mp4a`, `esds`); Opus in ISOBMFF (`Opus`).

use bytes::{BufMut as _, BytesMut};
use codec::Kind;

use super::boxes::{put, put_full};
use super::{Audio, Unfit, Video};

/// 72 dots an inch, as every file says.
const RESOLUTION: u32 = 0x0048_0000;
/// What a picture's compressor is called at most.
const COMPRESSOR_LEN: usize = 32;
/// `objectTypeIndication`s (14496-1 table 5, and the registration authority's list).
const OBJECT_AAC: u8 = 0x40;
const OBJECT_MP3: u8 = 0x6b;
/// `streamType` of sound with the bit that is always set.
const STREAM_AUDIO: u8 = 0x15;
/// Samples at 48 kHz that an Opus decoder needs before it is right, where no header says it (RFC 7845 section 4.2
/// recommends 3840 after a seek; encoders say 312).
const OPUS_PRE_SKIP: u16 = 312;

pub(super) fn video(video: &Video<'_>, out: &mut BytesMut) -> Result<(), Unfit> {
    let (entry, record) = match video.codec {
        Kind::H264 => (b"avc1", b"avcC"),
        Kind::H265 => (b"hvc1", b"hvcC"),
        Kind::Av1 => (b"av01", b"av1C"),
        Kind::Vp9 => (b"vp09", b"vpcC"),
        _ => return Err(Unfit::Codec),
    };
    if video.config.len() < 4 {
        return Err(Unfit::Config);
    }
    let size = |pixels: u32| u16::try_from(pixels).map_err(|_| Unfit::Size);
    let (width, height) = (size(video.width)?, size(video.height)?);
    put(entry, out, |out| {
        sample_entry(out);
        out.put_bytes(0, 16);
        out.put_u16(width);
        out.put_u16(height);
        out.put_u32(RESOLUTION);
        out.put_u32(RESOLUTION);
        out.put_u32(0);
        // Frames in a sample.
        out.put_u16(1);
        out.put_bytes(0, COMPRESSOR_LEN);
        // Colour, without alpha; and no colour table.
        out.put_u16(0x0018);
        out.put_u16(0xffff);
        put(record, out, |out| {
            let start = out.len();
            out.put_slice(video.config);
            four_byte_lengths(video.codec, start, out);
        });
    });
    Ok(())
}

/// Frames have lengths of four bytes before their NAL units, whatever the publisher's record said of its own.
fn four_byte_lengths(codec: Kind, record: usize, out: &mut BytesMut) {
    let at = match codec {
        Kind::H264 => 4,
        Kind::H265 => 21,
        _ => return,
    };
    if let Some(byte) = out.get_mut(record + at) {
        *byte |= 3;
    }
}

pub(super) fn audio(audio: &Audio<'_>, out: &mut BytesMut) -> Result<(), Unfit> {
    let entry = match audio.codec {
        Kind::Aac if audio.config.len() >= 2 => b"mp4a",
        Kind::Aac => return Err(Unfit::Config),
        Kind::Mp3 => b"mp4a",
        Kind::Opus => b"Opus",
        _ => return Err(Unfit::Codec),
    };
    put(entry, out, |out| {
        sample_entry(out);
        out.put_u64(0);
        out.put_u16(u16::from(audio.channels));
        out.put_u16(16);
        out.put_u32(0);
        // 16 bits and 16 behind the point; a rate beyond is told by the decoder's configuration.
        out.put_u32(u32::from(u16::try_from(audio.rate).unwrap_or(0)) << 16);
        match audio.codec {
            Kind::Opus => opus(audio, out),
            Kind::Aac => esds(OBJECT_AAC, audio.config, out),
            _ => esds(OBJECT_MP3, &[], out),
        }
    });
    Ok(())
}

fn sample_entry(out: &mut BytesMut) {
    out.put_bytes(0, 6);
    // Where the samples are: in the first of one data references.
    out.put_u16(1);
}

/// `ES_Descriptor` with what a decoder needs.
fn esds(object: u8, specific: &[u8], out: &mut BytesMut) {
    put_full(b"esds", 0, 0, out, |out| {
        let specific_len = if specific.is_empty() { 0 } else { specific.len() + 5 };
        // DecoderConfigDescriptor has 13 bytes, SLConfigDescriptor 1, ES_Descriptor 3 of its own.
        let decoder_len = 13 + specific_len;
        descriptor(0x03, 3 + 5 + decoder_len + 5 + 1, out);
        out.put_u16(0);
        out.put_u8(0);
        descriptor(0x04, decoder_len, out);
        out.put_u8(object);
        out.put_u8(STREAM_AUDIO);
        // Buffer size, highest and mean bitrate: unknown.
        out.put_bytes(0, 11);
        if !specific.is_empty() {
            descriptor(0x05, specific.len(), out);
            out.put_slice(specific);
        }
        descriptor(0x06, 1, out);
        out.put_u8(2);
    });
}

/// Tag and length, in four bytes of seven bits.
fn descriptor(tag: u8, len: usize, out: &mut BytesMut) {
    out.put_u8(tag);
    for shift in [21, 14, 7] {
        out.put_u8(0x80 | (len >> shift & 0x7f) as u8);
    }
    out.put_u8((len & 0x7f) as u8);
}

/// `OpusHead` (RFC 7845 section 5.1) with its numbers turned round, and without its name.
fn opus(audio: &Audio<'_>, out: &mut BytesMut) {
    put(b"dOps", out, |out| {
        out.put_u8(0);
        out.put_u8(audio.channels);
        let head = audio.config.strip_prefix(b"OpusHead").unwrap_or_default();
        match head {
            [_, _, s0, s1, r0, r1, r2, r3, g0, g1, family, table @ ..] => {
                out.put_slice(&[*s1, *s0, *r3, *r2, *r1, *r0, *g1, *g0]);
                // Streams, coupled ones, and where each channel comes from.
                let table_len = 2 + usize::from(audio.channels);
                match table.get(..table_len).filter(|_| *family != 0) {
                    Some(table) => {
                        out.put_u8(*family);
                        out.put_slice(table);
                    }
                    None => out.put_u8(0),
                }
            }
            _ => {
                out.put_u16(OPUS_PRE_SKIP);
                out.put_u32(48_000);
                out.put_u16(0);
                out.put_u8(0);
            }
        }
    });
}
