//! Fragmented MP4, read back by `mp4-atom`.

use mp4_atom::{Codec, Decode as _, Moof, Moov};

use super::*;
use crate::{Facts, Tracks, index};

fn run(tracks: Vec<Track>, seconds: i64) -> Segmenter {
    let mut segmenter = cutter(FMP4);
    segmenter.set_headers(&headers(0, tracks));
    feed(&mut segmenter, 0, seconds, (25, 1), 25);
    segmenter
}

fn moof(bytes: &[u8]) -> Moof {
    Moof::decode(&mut &bytes[..]).unwrap()
}

fn codecs(segmenter: &Segmenter, id: u64) -> Vec<Codec> {
    let init = segmenter.init(id).unwrap();
    // Behind `ftyp`, of 24 bytes.
    let moov = Moov::decode(&mut &init[24..]).unwrap();
    moov.trak.iter().flat_map(|trak| trak.mdia.minf.stbl.stsd.codecs.clone()).collect()
}

#[test]
fn every_codec_has_its_place_and_nothing_is_left_out() {
    for video_codec in [Kind::H264, Kind::Av1, Kind::Vp9] {
        for audio_codec in [Kind::Aac, Kind::Opus] {
            let segmenter = run(vec![video(video_codec), audio(audio_codec)], 10);
            let entries = codecs(&segmenter, 0);
            match (video_codec, &entries[0]) {
                (Kind::H264, Codec::Avc1(_)) | (Kind::Av1, Codec::Av01(_)) | (Kind::Vp9, Codec::Vp09(_)) => {}
                other => panic!("{other:?}"),
            }
            match (audio_codec, &entries[1]) {
                (Kind::Aac, Codec::Mp4a(_)) | (Kind::Opus, Codec::Opus(_)) => {}
                other => panic!("{other:?}"),
            }
            let part = moof(&segmenter.part(0, 0).unwrap());
            assert_eq!(part.traf.len(), 2, "pictures and sound");
        }
    }
    // What MPEG-TS cannot have is not left out of it, but refused.
    for tracks in [vec![video(Kind::H264), audio(Kind::Opus)], vec![video(Kind::Av1), audio(Kind::Aac)]] {
        let headers = headers(0, tracks);
        assert_eq!(Tracks::of(&headers, 0).container(), Container::Fmp4);
        let mut segmenter = cutter(TS);
        segmenter.set_headers(&headers);
        feed(&mut segmenter, 0, 10, (25, 1), 25);
        assert!(segmenter.is_refused() && !segmenter.has_begun());
    }
    let mut low_delay = audio(Kind::Aac);
    low_delay.config = Bytes::from_static(&[0xb9, 0x90]);
    assert_eq!(Tracks::of(&headers(0, vec![low_delay]), 0).container(), Container::Fmp4);
    assert_eq!(Tracks::of(&usual(), 0).container(), Container::Ts);
    let segmenter = run(vec![video(Kind::H264), audio(Kind::Pcma)], 10);
    assert!(segmenter.is_refused());
}

#[test]
fn fragments_follow_each_other_without_a_gap() {
    let mut segmenter = cutter(FMP4);
    segmenter.set_headers(&headers(0, vec![video(Kind::H264), audio(Kind::Opus)]));
    for n in 0..600 {
        // 30 pictures a second in milliseconds, and as much sound of 20 ms.
        segmenter.push(0, &frame(true, n % 30 == 0, Ticks::from_millis(n * 1000 / 30)));
        let blocks = (n * 1000 / 30 + 19) / 20..((n + 1) * 1000 / 30 + 19) / 20;
        blocks.for_each(|n| segmenter.push(0, &frame(false, true, Ticks::from_millis(n * 20))));
    }
    let mut next = [None, None];
    let mut fragments = 0;
    for segment in segmenter.window.all() {
        for part in &segment.parts {
            let moof = moof(&part.bytes);
            fragments += 1;
            assert_eq!(moof.mfhd.sequence_number, fragments);
            for traf in &moof.traf {
                let track = usize::try_from(traf.tfhd.track_id).unwrap() - 1;
                let start = traf.tfdt.as_ref().unwrap().base_media_decode_time;
                assert!(next[track].is_none_or(|next| next == start), "{:?} {start}", next[track]);
                let length: u64 =
                    traf.trun[0].samples.iter().map(|entry| u64::from(entry.duration.unwrap())).sum();
                if track == 0 {
                    assert_eq!(length, u64::try_from(part.duration.0).unwrap());
                }
                next[track] = Some(start + length);
            }
        }
    }
    assert!(fragments > 80);
}

#[test]
fn reordered_pictures_keep_both_times() {
    let mut segmenter = cutter(FMP4);
    segmenter.set_headers(&headers(0, vec![video(Kind::H264)]));
    for n in 0..100 {
        let mut frame = frame(true, n % 25 == 0, Ticks(n * 3600));
        frame.pts = frame.dts + Ticks(3600 * (n % 3));
        segmenter.push(0, &frame);
    }
    let moof = moof(&segmenter.part(0, 0).unwrap());
    let offsets: Vec<_> = moof.traf[0].trun[0].samples.iter().map(|entry| entry.cts.unwrap()).collect();
    assert_eq!(offsets, [0, 3600, 7200, 0, 3600]);
    let keys: Vec<_> = moof.traf[0].trun[0].samples.iter().map(|entry| entry.flags.unwrap()).collect();
    assert_eq!(keys, [0x0200_0000, 0x0101_0000, 0x0101_0000, 0x0101_0000, 0x0101_0000]);
}

#[test]
fn other_codecs_get_a_map_of_their_own() {
    let mut segmenter = run(vec![video(Kind::H264), audio(Kind::Aac)], 10);
    segmenter.set_headers(&headers(1, vec![video(Kind::Av1), audio(Kind::Opus)]));
    feed(&mut segmenter, 10, 10, (25, 1), 25);
    let text = playlist(&segmenter);
    let maps = values(&text, "#EXT-X-MAP:URI=");
    assert_eq!(maps, ["\"init-0.mp4\"", "\"init-4.mp4\""]);
    let at = |what: &str| text.find(what).unwrap();
    assert!(at("3.m4s") < at("EXT-X-DISCONTINUITY\n") && at("EXT-X-DISCONTINUITY\n") < at("init-4"));
    assert!(at("init-4") < at("4.0.m4s"));
    assert!(
        matches!(codecs(&segmenter, 0)[0], Codec::Avc1(_))
            && matches!(codecs(&segmenter, 4)[0], Codec::Av01(_))
    );
    // The first map goes when the last segment that needs it goes.
    feed(&mut segmenter, 20, 100, (25, 1), 25);
    assert!(segmenter.init(0).is_none() && segmenter.init(4).is_some());
    assert_eq!(values(&playlist(&segmenter), "#EXT-X-MAP:").len(), 1);
}

#[test]
fn the_index_says_what_players_choose_by() {
    let facts = run(vec![video(Kind::H264), audio(Kind::Opus)], 20).facts();
    assert_eq!(facts.codecs.as_deref(), Some("avc1.64001f,opus"));
    assert_eq!((facts.resolution, facts.frame_rate), (Some((1280, 720)), Some(25.0)));
    assert!(facts.peak > facts.average && facts.average > 1000, "{facts:?}");
    let text = index("?token=t", &[Facts { peak: 2, average: 1, ..facts.clone() }]);
    assert_eq!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-STREAM-INF:BANDWIDTH=2,AVERAGE-BANDWIDTH=1,CODECS=\"avc1.64001f,opus\",\
         RESOLUTION=1280x720,FRAME-RATE=25.000\nfmp4.m3u8?token=t\n"
    );
    // What is not known is not said.
    let text = index("", &[Facts { codecs: None, resolution: None, frame_rate: None, ..facts }]);
    assert!(!text.contains("CODECS") && !text.contains("RESOLUTION") && !text.contains("FRAME-RATE"));
    let facts = run(vec![audio(Kind::Opus)], 20).facts();
    assert_eq!((facts.codecs.as_deref(), facts.frame_rate), (Some("opus"), None));
}

#[test]
fn vp9_says_its_size_in_its_pictures() {
    let mut segmenter = cutter(FMP4);
    segmenter.set_headers(&headers(0, vec![video(Kind::Vp9)]));
    for n in 0..100 {
        let mut frame = frame(true, n % 25 == 0, Ticks(n * 3600));
        // FFmpeg 5.1 with libvpx-vp9, 642 x 362.
        frame.payload = Bytes::from_static(&[0x82, 0x49, 0x83, 0x42, 0x00, 0x28, 0x10, 0x16, 0x96]);
        segmenter.push(0, &frame);
    }
    let Codec::Vp09(vp09) = &codecs(&segmenter, 0)[0] else { panic!() };
    assert_eq!((vp09.visual.width, vp09.visual.height), (642, 362));
}

#[test]
fn tracks_that_cannot_be_described_are_refused() {
    let mut track = video(Kind::Av1);
    track.config = Bytes::new();
    let segmenter = run(vec![track], 10);
    assert!(segmenter.is_refused() && !segmenter.has_begun());
}

#[test]
fn sound_that_is_none_is_left_out_and_stops_nobody() {
    let mut segmenter = cutter(FMP4);
    segmenter.set_headers(&headers(0, vec![video(Kind::H264), audio(Kind::Opus)]));
    for n in 0..250 {
        let at = Ticks(n * 3600);
        segmenter.push(0, &frame(true, n % 25 == 0, at));
        let mut sound = frame(false, true, at);
        if n % 2 == 0 {
            // 63 frames of 20 ms: longer than any packet may be.
            sound.payload = Bytes::from_static(&[0xff, 0x3f]);
        }
        segmenter.push(0, &sound);
    }
    let moof = moof(&segmenter.part(0, 0).unwrap());
    assert_eq!(moof.traf[1].trun[0].samples.len(), 2);
}
