//! Tags of a publisher, all the way through the hub and out again.
#![no_main]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clock::Time;
use container::flv::TagKind;
use flv::{Ingest, Item, Tags};
use libfuzzer_sys::fuzz_target;
use media::{Config, Stream};
use rtmp::egress::Messages;

const MAX_BYTES: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let now = Time { mono: Instant::now(), unix: Duration::ZERO };
    let mut stream = Stream::new(Config { max_frames: 20, max_bytes: MAX_BYTES, ..Config::default() });
    let session = stream.begin(now);
    let (mut ingest, mut items) = (Ingest::default(), Vec::new());
    let (mut tags, mut messages) = (Tags::default(), Messages::default());
    let mut decoded = HashMap::new();
    let mut rest = data;
    // A kind, four bytes of time, two of length, and what the length says.
    while let [kind, t0, t1, t2, t3, high, low, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (body, after) = tail.split_at(len);
        rest = after;
        let kind = [TagKind::Audio, TagKind::Video, TagKind::Script][usize::from(kind % 3)];
        let timestamp = u32::from_be_bytes([*t0, *t1, *t2, *t3]);
        let _ = ingest.tag(kind, timestamp, &Bytes::copy_from_slice(body), &mut items);
        for item in items.drain(..) {
            let frame = match item {
                Item::Track(track) => {
                    stream.set_track(session, track).expect("it publishes");
                    continue;
                }
                Item::Frame(frame) => frame,
            };
            let Some(index) = stream.push(session, now, frame).expect("it publishes") else { continue };
            let _ = (tags.get(&stream, index), messages.get(&stream, index));
            if let Some(frame) = stream.frame(index) {
                let before = decoded.insert(frame.track, frame.dts);
                assert!(before.is_none_or(|before| before <= frame.dts), "decoding times go back");
                assert!(frame.pts >= frame.dts, "shown before it is decoded");
            }
        }
    }
    assert!(stream.stats(now).ring_bytes <= MAX_BYTES + (1 << 17));
});
