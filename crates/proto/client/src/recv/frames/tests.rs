#![allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]

use super::*;
use crate::source::{VideoSource, VideoSourceParams};

/// Packets of two seconds of video: sequence number, time in ms, timestamp, marker, payload.
type Sample = (u64, Time, u32, bool, Vec<u8>);

fn video(keys: &[usize]) -> (Time, Vec<Sample>) {
    let t = Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
    let mut source = VideoSource::new(t, VideoSourceParams::single(1_000_000), 1);
    let mut packets = Vec::new();
    for i in 0..60 {
        let now = t.after(source.due() - t.mono);
        if keys.contains(&i) {
            source.request_key_frame(0);
        }
        for f in source.poll(now) {
            let count = f.payloads.len();
            for (n, mut p) in f.payloads.into_iter().enumerate() {
                p.extend(content::trailer(now.unix));
                packets.push((70_000 + packets.len() as u64, now, f.timestamp, n + 1 == count, p));
            }
        }
    }
    (t, packets)
}

fn feed(frames: &mut Frames, p: &Sample, now: Time) {
    frames.receive(now, ExtSeq(p.0), p.2, p.3, &p.4);
}

#[test]
fn an_untouched_stream_is_decoded_whole() {
    let (t, packets) = video(&[]);
    let mut frames = Frames::new(true);
    assert!(frames.wants_key_frame());
    for p in &packets {
        feed(&mut frames, p, p.1);
    }
    let s = frames.stats(t.after(Duration::from_secs(2)));
    assert_eq!((s.frames, s.key_frames, s.corrupt, s.picture_id_jumps), (60, 1, 0, 0));
    assert_eq!((s.freezes, s.resyncs, s.timestamp_errors, s.size), (0, 0, 0, Some((640, 360))));
    // Silence afterwards is a freeze.
    assert_eq!(frames.stats(t.after(Duration::from_millis(3100))).long_freezes, 1);
}

#[test]
fn order_and_duplicates_do_not_matter() {
    let (t, mut packets) = video(&[]);
    // Everything but the first frame comes backwards and twice.
    let first = packets.iter().position(|p| p.3).unwrap() + 1;
    packets[first..].reverse();
    let mut frames = Frames::new(true);
    for p in packets.iter().chain(&packets) {
        feed(&mut frames, p, t);
    }
    let s = frames.stats(t);
    assert_eq!((s.frames, s.corrupt, s.picture_id_jumps), (60, 0, 0));
    assert!(frames.packets.is_empty());
}

#[test]
fn a_late_packet_ends_the_wait() {
    let (_, packets) = video(&[]);
    let mut frames = Frames::new(true);
    for p in packets.iter().filter(|p| p.0 != packets[60].0) {
        feed(&mut frames, p, p.1);
    }
    let last = packets.last().unwrap().1;
    assert!(frames.stats(last).frames < 60 && !frames.wants_key_frame());
    feed(&mut frames, &packets[60], last);
    let s = frames.stats(last);
    assert_eq!((s.frames, s.resyncs), (60, 0));
    assert!(s.longest_gap > Duration::from_secs(1));
}

#[test]
fn a_packet_given_up_costs_the_frames_up_to_the_next_key_frame() {
    let (t, packets) = video(&[40]);
    let mut frames = Frames::new(true);
    for p in packets.iter().filter(|p| p.0 != packets[60].0) {
        feed(&mut frames, p, p.1);
        if p.0 == packets[70].0 {
            frames.give_up(p.1, packets[60].0);
            assert!(frames.wants_key_frame());
        }
    }
    let s = frames.stats(t);
    assert_eq!((s.key_frames, s.resyncs, s.corrupt), (2, 1, 0));
    assert!(s.frames < 60 && s.frames >= 20);
    // To give up what is long settled changes nothing.
    frames.give_up(t, packets[0].0);
    assert!(!frames.wants_key_frame());
}

#[test]
fn a_whole_key_frame_is_not_kept_waiting_by_older_losses() {
    let (t, packets) = video(&[40]);
    let mut frames = Frames::new(true);
    for p in packets.iter().filter(|p| p.0 != packets[60].0) {
        feed(&mut frames, p, p.1);
    }
    let s = frames.stats(t);
    assert_eq!((s.key_frames, s.resyncs), (2, 1));
    assert_eq!(frames.settled(), Some(packets.last().unwrap().0 + 1));
}

#[test]
fn a_changed_byte_is_seen() {
    let (t, mut packets) = video(&[]);
    packets[30].4[50] ^= 1;
    let mut frames = Frames::new(true);
    for p in &packets {
        feed(&mut frames, p, t);
    }
    assert_eq!(frames.stats(t).corrupt, 1);
}

#[test]
fn padding_between_frames_is_stepped_over() {
    let (t, packets) = video(&[]);
    let mut frames = Frames::new(true);
    let mut shift = 0;
    for p in &packets {
        frames.receive(t, ExtSeq(p.0 + shift), p.2, p.3, &p.4);
        if p.3 {
            shift += 1;
            frames.receive(t, ExtSeq(p.0 + shift), p.2, false, &[]);
        }
    }
    assert_eq!(frames.stats(t).frames, 60);
}
