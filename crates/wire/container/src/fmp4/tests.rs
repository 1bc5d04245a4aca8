//! What is written is read back by `mp4-atom`, which shares no line with it.

use bytes::Bytes;
use codec::Kind;
use mp4_atom::{Codec, Decode as _, Ftyp, Header, Mdat, Moof, Moov};

use super::*;
use crate::ts::Medium;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// `avcC` of FFmpeg 5.1 with libx264, 1280 x 720.
const AVCC: &str =
    "0164001fffe1001a6764001facd9405005bb0110000003001000000303c0f183196001000668ebe3cb22c0fdf8f800";
/// `hvcC` likewise with libx265, of whose arrays that of the sequence parameter sets is kept.
const HVCC: &str = "0101600000009000000000005df000fcfdf8f800000f01a10001002b42010101600000030090000003000003005da00280802d165959a4932bc05a020000030002000003003c10";
/// `av1C` likewise with libsvtav1.
const AV1C: &str = "81010c000a0b0000000cc5036900be0010";
/// `vpcC` with version and flags, as Enhanced RTMP has it.
const VPCC: &str = "010000000014820202020000";
/// Stereo, 312 samples to skip, 44.1 kHz before it was encoded, a gain of 256.
const OPUS_HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x44\xac\x00\x00\x00\x01\x00";

fn read(video: Option<(Kind, &[u8])>, audio: Option<(Kind, &[u8])>) -> Moov {
    let video = video.map(|(codec, config)| Video { codec, config, width: 1280, height: 720 });
    let audio = audio.map(|(codec, config)| Audio { codec, config, rate: 48_000, channels: 2 });
    let bytes = init(video, audio).unwrap();
    let mut rest = &bytes[..];
    assert_eq!(Ftyp::decode(&mut rest).unwrap().major_brand, b"iso6".into());
    let moov = Moov::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    moov
}

fn entry(moov: &Moov, track: usize) -> &Codec {
    let [codec] = &moov.trak[track].mdia.minf.stbl.stsd.codecs[..] else { panic!("one entry") };
    codec
}

#[test]
fn every_codec_is_told_with_its_record() {
    let moov = read(Some((Kind::H264, &hex(AVCC))), Some((Kind::Aac, &[0x11, 0x90])));
    let Codec::Avc1(avc1) = entry(&moov, 0) else { panic!() };
    assert_eq!((avc1.visual.width, avc1.visual.height), (1280, 720));
    assert_eq!((avc1.avcc.avc_profile_indication, avc1.avcc.avc_level_indication), (100, 31));
    assert_eq!((avc1.avcc.length_size, avc1.avcc.sequence_parameter_sets[0].len()), (4, 26));
    let Codec::Mp4a(mp4a) = entry(&moov, 1) else { panic!() };
    let decoder = &mp4a.esds.es_desc.dec_config;
    assert_eq!((decoder.object_type_indication, decoder.stream_type), (0x40, 5));
    let specific = decoder.dec_specific.as_ref().unwrap();
    assert_eq!((specific.profile, specific.freq_index, specific.chan_conf), (2, 3, 2));
    assert_eq!((moov.trak[0].mdia.mdhd.timescale, moov.trak[1].mdia.mdhd.timescale), (90_000, 48_000));
    assert_eq!((moov.trak[0].tkhd.width.integer(), moov.trak[0].tkhd.track_id), (1280, 1));
    let extends: Vec<u32> = moov.mvex.unwrap().trex.iter().map(|trex| trex.track_id).collect();
    assert_eq!(extends, [1, 2]);

    let moov = read(Some((Kind::H265, &hex(HVCC))), Some((Kind::Opus, OPUS_HEAD)));
    let Codec::Hvc1(hvc1) = entry(&moov, 0) else { panic!() };
    assert_eq!((hvc1.hvcc.general_level_idc, hvc1.hvcc.length_size_minus_one), (93, 3));
    let Codec::Opus(opus) = entry(&moov, 1) else { panic!() };
    let dops = &opus.dops;
    assert_eq!((dops.output_channel_count, dops.pre_skip, dops.input_sample_rate), (2, 312, 44_100));
    assert_eq!((dops.output_gain, &dops.channel_mapping), (256, &None));

    let moov = read(Some((Kind::Av1, &hex(AV1C))), Some((Kind::Mp3, &[])));
    let Codec::Av01(av01) = entry(&moov, 0) else { panic!() };
    assert_eq!(av01.av1c.config_obus, hex(AV1C)[4..]);
    let Codec::Mp4a(mp3) = entry(&moov, 1) else { panic!() };
    assert_eq!(mp3.esds.es_desc.dec_config.object_type_indication, 0x6b);

    let moov = read(Some((Kind::Vp9, &hex(VPCC))), None);
    let Codec::Vp09(vp09) = entry(&moov, 0) else { panic!() };
    assert_eq!((vp09.vpcc.level, vp09.vpcc.bit_depth), (20, 8));
    assert_eq!(moov.trak.len(), 1);
}

#[test]
fn lengths_before_nal_units_are_four_bytes_whatever_the_record_says() {
    let mut config = hex(AVCC);
    config[4] = 0xfd;
    let moov = read(Some((Kind::H264, &config)), None);
    let Codec::Avc1(avc1) = entry(&moov, 0) else { panic!() };
    assert_eq!(avc1.avcc.length_size, 4);
}

#[test]
fn opus_of_more_channels_has_its_table_and_none_has_what_encoders_say() {
    // 5.1 of RFC 7845 section 5.1.1.2.
    let head = b"OpusHead\x01\x06\x38\x01\x80\xbb\x00\x00\x00\x00\x01\x04\x02\x00\x04\x01\x02\x03\x05";
    let audio = Audio { codec: Kind::Opus, config: head, rate: 48_000, channels: 6 };
    let bytes = init(None, Some(audio)).unwrap();
    let moov = Moov::decode(&mut &bytes[24..]).unwrap();
    let Codec::Opus(opus) = entry(&moov, 0) else { panic!() };
    let mapping = opus.dops.channel_mapping.as_ref().unwrap();
    assert_eq!((mapping.family, mapping.stream_count, mapping.coupled_count), (1, 4, 2));
    assert_eq!(mapping.channel_mapping, [0, 4, 1, 2, 3, 5]);
    // A table that is cut off is none.
    for config in [&head[..22], b"OpusHead\x01", b""] {
        let moov = Moov::decode(&mut &init(None, Some(Audio { config, ..audio })).unwrap()[24..]).unwrap();
        let Codec::Opus(opus) = entry(&moov, 0) else { panic!() };
        assert_eq!((opus.dops.pre_skip, &opus.dops.channel_mapping), (312, &None));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let video = Video { codec: Kind::H264, config: &[], width: 1, height: 1 };
    assert_eq!(init(Some(video), None), Err(Unfit::Config));
    assert_eq!(init(Some(Video { codec: Kind::Vp8, ..video }), None), Err(Unfit::Codec));
    let config = &hex(AVCC);
    assert_eq!(init(Some(Video { config, width: 70_000, ..video }), None), Err(Unfit::Size));
    let audio = Audio { codec: Kind::Aac, config: &[1], rate: 48_000, channels: 2 };
    assert_eq!(init(None, Some(audio)), Err(Unfit::Config));
    assert_eq!(init(None, Some(Audio { codec: Kind::Pcma, ..audio })), Err(Unfit::Codec));
    assert_eq!(init(None, None), Err(Unfit::Empty));
}

#[test]
fn fragments_point_at_their_samples() {
    let sample = |n: u8, key| Sample {
        duration: 3600 + u32::from(n),
        offset: 7200,
        key,
        data: Bytes::from(vec![n; usize::from(n) + 1]),
    };
    let video: Vec<Sample> = (0..5).map(|n| sample(n, n == 0)).collect();
    let audio: Vec<Sample> = (100..103).map(|n| sample(n, true)).collect();
    let start = 5_000_000_000;
    let runs = [
        Run { medium: Medium::Video, start, samples: &video },
        Run { medium: Medium::Audio, start: 7, samples: &audio },
    ];
    let bytes = fragment(42, &runs);
    let mut rest = &bytes[..];
    let moof = Moof::decode(&mut rest).unwrap();
    assert_eq!((moof.mfhd.sequence_number, moof.traf.len()), (42, 2));
    for (traf, run) in moof.traf.iter().zip(&runs) {
        assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, run.start);
        assert!(traf.tfhd.default_base_is_moof);
        let mut at = usize::try_from(traf.trun[0].data_offset.unwrap()).unwrap();
        assert_eq!(traf.trun[0].samples.len(), run.samples.len());
        for (entry, sample) in traf.trun[0].samples.iter().zip(run.samples) {
            assert_eq!((entry.duration, entry.cts), (Some(sample.duration), Some(7200)));
            assert_eq!(entry.flags, Some(if sample.key { 0x0200_0000 } else { 0x0101_0000 }));
            let len = entry.size.unwrap() as usize;
            assert_eq!(bytes[at..at + len], sample.data);
            at += len;
        }
    }
    let header = Header::decode(&mut &rest[..]).unwrap();
    assert_eq!(header.size, Some(rest.len() - 8));
    assert_eq!(Mdat::decode(&mut rest).unwrap().data.len(), 15 + 101 + 102 + 103);
    assert!(rest.is_empty());
    // A track that has nothing to say is left out.
    let runs = [runs[1], Run { samples: &[], ..runs[0] }];
    assert_eq!(Moof::decode(&mut &fragment(43, &runs)[..]).unwrap().traf.len(), 1);
}
