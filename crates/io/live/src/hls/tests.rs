//! HLS as a player sees it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use codec::Kind;
use media::{Frame, Shape, Sound, Ticks, Track, TrackId};

use crate::testbed::{Browser, desk, listener, picture, publish, track, visit};
use crate::{Desk, Publishing};

async fn served(desk: &Desk) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(crate::http::serve(desk.clone(), listener, None, std::future::pending()));
    address
}

/// The number of the first segment of a playlist.
fn first(playlist: &str) -> u64 {
    let line = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    line.unwrap().parse().unwrap()
}

fn hint(playlist: &str) -> String {
    let hint = playlist.split("PRELOAD-HINT:TYPE=PART,URI=\"").nth(1).unwrap();
    hint.split('"').next().unwrap().to_owned()
}

/// Eight seconds that were sent before anybody came.
async fn published(desk: &Desk) -> Publishing {
    let publishing = publish(desk, "demo").await;
    publishing.push((0..200).map(|n| picture(n, 1000))).unwrap();
    publishing
}

/// With a codec that MPEG-TS has no place for.
async fn published_with_opus(desk: &Desk) -> Publishing {
    let publishing = publish(desk, "demo").await;
    let shape = Shape::Audio(Sound { rate: 48_000, channels: 2 });
    publishing
        .set_track(Track { id: TrackId::AUDIO, codec: Kind::Opus, config: Bytes::new(), shape })
        .unwrap();
    for n in 0..200 {
        let at = Ticks::from_millis(n * 40);
        // 20 ms, twice.
        let payload = Bytes::from_static(&[0xfd, 1, 2]);
        let sound = Frame { track: TrackId::AUDIO, key: true, dts: at, pts: at, payload };
        publishing.push([picture(n, 1000), sound]).unwrap();
    }
    publishing
}

#[tokio::test]
async fn hls_is_played_from_what_is_there_and_waits_for_what_comes() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let publishing = published(&desk).await;
    let mut browser = Browser::connect(address).await;
    let index = browser.playlist("index.m3u8").await;
    assert!(index.contains("#EXT-X-STREAM-INF:BANDWIDTH=") && index.ends_with("\nts.m3u8\n"), "{index}");
    assert!(index.contains("RESOLUTION=640x360,FRAME-RATE=25.000"), "{index}");
    let playlist = browser.playlist("ts.m3u8").await;
    let first = first(&playlist);
    let second = first + 1;
    assert!(playlist.contains(&format!("#EXTINF:3.00000,\n{first}.ts\n")), "{playlist}");
    let (status, head, body) = browser.get(&format!("/live/demo/{second}.ts")).await;
    assert_eq!((status, body.len() % 188, body[0]), (200, 0, 0x47));
    assert!(head.contains("Content-Type: video/mp2t\r\n"));
    // A segment is its parts.
    let (mut parts, mut number) = (Vec::new(), 0);
    while playlist.contains(&format!("\"{second}.{number}.ts\"")) {
        parts.extend(browser.get(&format!("/live/demo/{second}.{number}.ts")).await.2);
        number += 1;
    }
    assert_eq!(parts, body);
    // Whoever takes gzip gets the playlist so, and segments as they are.
    let gzip = "/live/demo/ts.m3u8 HTTP/1.1\r\nAccept-Encoding: gzip\r\nX: ";
    let (_, head, zipped) = browser.get(gzip).await;
    assert!(head.contains("Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"), "{head}");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&zipped[..]), &mut text).unwrap();
    assert_eq!(text, playlist);
    assert!(zipped.len() * 2 < text.len(), "{} of {}", zipped.len(), text.len());
    let (_, head, plain) = browser.get(&gzip.replace("ts.m3u8", &format!("{second}.ts"))).await;
    assert!(!head.contains("Content-Encoding") && plain == body, "{head}");
    // It is one player, however many files it asks for.
    assert_eq!(desk.streams()[0].players.len(), 1);
    assert_eq!(desk.streams()[0].players[0].viewer.label, "hls");

    // When: the next part is waited for. Then: it comes when there is one, with a playlist that lists it.
    let hint = hint(&playlist);
    let (segment, part) = hint.trim_end_matches(".ts").split_once('.').unwrap();
    let file = format!("ts.m3u8?_HLS_msn={segment}&_HLS_part={part}");
    let mut other = Browser::connect(address).await;
    let target = format!("/live/demo/{hint}");
    let (playlist, (status, _, bytes), ()) =
        tokio::join!(browser.playlist(&file), other.get(&target), async {
            // Both ask before it is there.
            tokio::task::yield_now().await;
            publishing.push((200..215).map(|n| picture(n, 1000))).unwrap();
        });
    assert!(playlist.contains(&format!("URI=\"{hint}\"")) && status == 200 && !bytes.is_empty());
}

#[tokio::test]
async fn opus_goes_out_in_fragmented_mp4_and_is_never_left_out() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let publishing = published_with_opus(&desk).await;
    let mut browser = Browser::connect(address).await;
    let index = browser.playlist("index.m3u8").await;
    assert!(index.ends_with("\nfmp4.m3u8\n"), "{index}");
    // MPEG-TS has no place for it, and says so at once.
    let (status, _, body) = browser.get("/live/demo/ts.m3u8").await;
    let text = String::from_utf8(body).unwrap();
    assert!(status == 404 && text.contains("index.m3u8 leads to others"), "{text}");
    let playlist = browser.playlist("fmp4.m3u8").await;
    let first = first(&playlist);
    assert!(playlist.contains(&format!("#EXT-X-MAP:URI=\"init-{first}.mp4\"\n")), "{playlist}");
    let (status, head, init) = browser.get(&format!("/live/demo/init-{first}.mp4")).await;
    assert!(status == 200 && head.contains("Content-Type: video/mp4\r\n"), "{head}");
    assert!(head.contains("Cache-Control: max-age=60\r\n") && init[4..8] == *b"ftyp");
    assert!(init.windows(4).any(|part| part == b"Opus") && init.windows(4).any(|part| part == b"avc1"));
    let (status, head, body) = browser.get(&format!("/live/demo/{first}.m4s")).await;
    assert!(status == 200 && head.contains("Content-Type: video/mp4\r\n") && body[4..8] == *b"moof");
    // The part that was hinted is waited for.
    let target = format!("/live/demo/{}", hint(&playlist));
    let ((status, _, bytes), ()) = tokio::join!(browser.get(&target), async {
        tokio::task::yield_now().await;
        publishing.push((200..215).map(|n| picture(n, 1000))).unwrap();
    });
    assert!(status == 200 && bytes[4..8] == *b"moof");
    for (file, expected) in [
        ("init-1.mp4", 404),
        ("1-fmp4.m3u8", 404),
        ("fmp4.m3u8?_HLS_skip=MAYBE", 400),
        ("fmp4.m3u8?_HLS_msn=9999999999", 400),
        ("fmp4.m3u8?_HLS_skip=YES", 200),
    ] {
        assert_eq!(browser.get(&format!("/live/demo/{file}")).await.0, expected, "{file}");
    }
}

#[tokio::test]
async fn the_container_is_what_an_application_says() {
    for (container, name) in [(vhost::HlsContainer::Fmp4, "fmp4"), (vhost::HlsContainer::Ts, "ts")] {
        let desk = desk(|app| app.hls.container = container);
        let address = served(&desk).await;
        let _publishing = published(&desk).await;
        let index = Browser::connect(address).await.playlist("index.m3u8").await;
        assert!(index.ends_with(&format!("\n{name}.m3u8\n")), "{index}");
    }
}

#[tokio::test]
async fn a_stream_is_cut_as_its_application_says() {
    for has_parts in [true, false] {
        let desk = desk(|app| {
            let (segment, max_segment) = (Duration::from_secs(1), Duration::from_secs(2));
            app.hls =
                vhost::Hls { segment, max_segment, part: Duration::from_millis(400), window: 7, ..app.hls };
            app.protocols.switch(vhost::Protocol::LlHls, has_parts);
        });
        let address = served(&desk).await;
        let _publishing = published(&desk).await;
        let playlist = Browser::connect(address).await.playlist("ts.m3u8").await;
        assert!(playlist.contains("#EXT-X-TARGETDURATION:2\n"), "{playlist}");
        assert_eq!(playlist.matches("#EXTINF:1.00000,\n").count(), 7, "{playlist}");
        assert_eq!(playlist.contains("#EXT-X-PART-INF:PART-TARGET=0.4"), has_parts, "{playlist}");
    }
}

#[tokio::test]
async fn tracks_of_pictures_are_renditions_that_know_of_each_other() {
    let desk = desk(|app| app.hls.container = vhost::HlsContainer::Fmp4);
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.set_track(Track { id: TrackId(1), ..track() }).unwrap();
    for n in 0..200 {
        let small = Frame { track: TrackId(1), ..picture(n, 100) };
        publishing.push([picture(n, 1000), small]).unwrap();
    }
    let mut browser = Browser::connect(address).await;
    let index = browser.playlist("index.m3u8").await;
    assert!(index.contains("\nfmp4.m3u8\n") && index.ends_with("\n1-fmp4.m3u8\n"), "{index}");
    let (big, small) = (browser.playlist("fmp4.m3u8").await, browser.playlist("1-fmp4.m3u8").await);
    assert_eq!(first(&big), first(&small));
    assert!(big.contains("#EXT-X-RENDITION-REPORT:URI=\"1-fmp4.m3u8\",LAST-MSN="), "{big}");
    assert!(small.contains("#EXT-X-RENDITION-REPORT:URI=\"fmp4.m3u8\",LAST-MSN="), "{small}");
    let number = first(&small);
    let (status, _, body) = browser.get(&format!("/live/demo/1-{number}.m4s")).await;
    assert!(status == 200 && body.len() < browser.get(&format!("/live/demo/{number}.m4s")).await.2.len());
}

#[tokio::test]
async fn codecs_that_hls_does_not_carry_are_said_at_once_and_leave_nothing_behind() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    // VP8 has no place in any segment.
    publishing.set_track(Track { codec: Kind::Vp8, ..track() }).unwrap();
    publishing.push((0..30).map(|n| picture(n, 10))).unwrap();
    let asked = std::time::Instant::now();
    let mut browser = Browser::connect(address).await;
    for file in ["index.m3u8", "ts.m3u8", "fmp4.m3u8"] {
        assert_eq!(browser.get(&format!("/live/demo/{file}")).await.0, 404);
    }
    assert!(asked.elapsed() < crate::hls::WAIT, "and not when patience ends");
}

#[tokio::test]
async fn whoever_is_refused_is_no_player() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let _publishing = publish(&desk, "demo").await;
    let mut browser = Browser::connect(address).await;
    assert_eq!(browser.get("/live/demo/9-7.m4s").await.0, 404);
    assert!(desk.streams()[0].players.is_empty());
}

#[tokio::test]
async fn a_token_is_repeated_in_every_address_and_a_stream_that_ends_is_gone() {
    let desk = desk(|app| app.stream.idle_time = Duration::from_millis(10));
    let address = served(&desk).await;
    let publishing = published(&desk).await;
    let mut browser = Browser::connect(address).await;
    let index = browser.playlist("index.m3u8?token=a.b-c_d").await;
    assert!(index.ends_with("\nts.m3u8?token=a.b-c_d\n"), "{index}");
    let playlist = browser.playlist("ts.m3u8?token=a.b-c_d").await;
    assert!(playlist.contains(&format!("\n{}.ts?token=a.b-c_d\n", first(&playlist))));
    let playlist = browser.playlist("ts.m3u8?token=%0a%23EXT").await;
    let plain = format!("\n{}.ts\n", first(&playlist));
    assert!(playlist.contains(&plain), "what is no token is not repeated");
    let mut events = desk.events();
    drop(publishing);
    while !matches!(events.recv().await.unwrap(), media::Event::Ended { .. }) {}
    assert_eq!(browser.get("/live/demo/index.m3u8").await.0, 404);
    assert_eq!(browser.get("/live/demo/ts.m3u8").await.0, 404);
}

#[tokio::test]
async fn playlists_and_parts_far_ahead_are_refused_at_once_and_hold_nothing() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let _publishing = published(&desk).await;
    let mut browser = Browser::connect(address).await;
    let list = browser.playlist("ts.m3u8").await;
    let hint = hint(&list);
    let (segment, part) = hint.trim_end_matches(".ts").split_once('.').unwrap();
    let (segment, part): (u64, u64) = (segment.parse().unwrap(), part.parse().unwrap());
    let before = desk.census();
    let far = [
        format!("ts.m3u8?_HLS_msn={}", segment + 2),
        format!("ts.m3u8?_HLS_msn={segment}&_HLS_part={}", part + 15),
        format!("ts.m3u8?_HLS_msn={}&_HLS_part=1000000", segment + 1),
        format!("ts.m3u8?_HLS_msn={segment}&_HLS_part={}", u64::MAX),
        format!("ts.m3u8?_HLS_msn={}", u64::MAX),
        "ts.m3u8?_HLS_msn=99999999999999999999".to_owned(),
        "ts.m3u8?_HLS_msn=-1".to_owned(),
        format!("{}.0.ts", segment + 2),
        format!("{segment}.{}.ts", part + 15),
        format!("{}.0.ts", u64::MAX),
    ];
    // None of them waits: as many as are sent are answered one after the other on one connection.
    for file in far.iter().cycle().take(1000) {
        let (status, head, _) = browser.get(&format!("/live/demo/{file}")).await;
        assert_eq!(status, 400, "{file}: {head}");
    }
    for file in [format!("{}.ts", segment + 1), "99999999999999999999.ts".into(), "init-99.mp4".into()] {
        let (status, head, _) = browser.get(&format!("/live/demo/{file}")).await;
        assert_eq!(status, 404, "{file}: {head}");
    }
    assert_eq!(desk.census(), before);
}

#[tokio::test]
async fn who_goes_away_while_it_waits_leaves_nothing_behind() {
    let desk = desk(|_| {});
    // Of this stream nothing has come, so there is nothing to cut.
    let _publishing = publish(&desk, "demo").await;
    let pass = desk.gate().enter([192, 0, 2, 1].into(), crate::Limits::default()).unwrap();
    let ask = |last: u8| {
        let address = Some(SocketAddr::from(([192, 0, 2, last], 9)));
        let visit = crate::Visit { protocol: vhost::Protocol::Hls, address, ..visit(&desk, "demo") };
        Box::pin(super::file(&desk, visit, "index.m3u8", &pass))
    };
    let (mut first, mut second) = (ask(1), ask(2));
    for request in [&mut first, &mut second] {
        assert!(tokio::time::timeout(Duration::ZERO, request).await.is_err(), "it waits");
    }
    let kept = || (desk.census()[4], desk.streams()[0].players.len());
    assert_eq!(kept(), (1, 2));
    // When: they are dropped, as over HTTP/2. Then: nobody is sent away for another.
    drop(second);
    assert_eq!(kept(), (1, 2));
    drop(first);
    assert_eq!(kept(), (0, 0));
}
