//! Several tracks of pictures.

use super::*;
use crate::{Tracks, index};

fn ladder() -> Arc<Headers> {
    let mut small = video(Kind::H264);
    small.id = TrackId(1);
    headers(0, vec![video(Kind::H264), small, audio(Kind::Aac)])
}

#[test]
fn each_track_of_pictures_is_a_variant_with_the_same_sound() {
    let headers = ladder();
    assert_eq!((Tracks::renditions(&headers), Tracks::renditions(&usual())), (2, 1));
    let mut cutters = [TS, Variant { container: Container::Ts, rendition: 1 }].map(cutter);
    for segmenter in &mut cutters {
        segmenter.set_headers(&headers);
    }
    for n in 0..300 {
        let at = Ticks(n * 3600);
        let mut small = frame(true, n % 25 == 0, at);
        small.track = TrackId(1);
        for segmenter in &mut cutters {
            segmenter.push(0, &frame(true, n % 25 == 0, at));
            segmenter.push(0, &small);
            segmenter.push(0, &frame(false, true, at));
        }
    }
    let [first, second] = &cutters;
    assert_eq!(first.segment(0).unwrap().len(), second.segment(0).unwrap().len());
    let facts = [first.facts(), second.facts()];
    let text = index("", &facts);
    assert!(text.contains("\nts.m3u8\n") && text.ends_with("\n1-ts.m3u8\n"), "{text}");
    // Each reports how far the other is, where there are parts.
    let (segment, part) = second.last().unwrap();
    let reports = [(second.variant, segment, part)];
    let text = first.playlist(&Page { suffix: "?a", reports: &reports, ..Page::default() });
    let report = values(&text, "#EXT-X-RENDITION-REPORT:");
    let part = part.unwrap();
    assert_eq!(report, [format!("URI=\"1-ts.m3u8?a\",LAST-MSN={segment},LAST-PART={part}")]);
    let text = second.playlist(&Page::default());
    assert!(text.contains("\n1-0.ts\n") && text.contains("URI=\"1-3.0.ts\""), "{text}");
    // The last part that it tells of is the last that it lists.
    let own = second.last().unwrap();
    assert!(text.contains(&format!("URI=\"1-{}.{}.ts\"", own.0, own.1.unwrap())));
    assert!(text.contains(&format!("TYPE=PART,URI=\"1-{}.{}.ts\"", own.0, own.1.unwrap() + 1)));
}

#[test]
fn a_rendition_that_is_not_there_is_refused() {
    let mut segmenter = cutter(Variant { container: Container::Fmp4, rendition: 7 });
    segmenter.set_headers(&usual());
    assert!(segmenter.is_refused());
}
