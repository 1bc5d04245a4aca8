//! What is particular to a codec, and what is to none.

use codec::Kind as Codec;
use rtp::{Pt, Ssrc};
use sfu::{CodecParams, Command, Encoding, Event, ProducerParams};

use crate::client::{Got, IDS, Packet};
use crate::stage::*;
use crate::world::World;

fn params_of(codec: Codec, pt: u8, svc: bool) -> ProducerParams {
    let codecs = vec![CodecParams { codec, ..video_codec(pt, None) }];
    ProducerParams { codecs, svc, ..video_params(&[]) }
}

fn take(codec: Codec, max_spatial: u8) -> sfu::ConsumerParams {
    sfu::ConsumerParams {
        codecs: vec![CodecParams { codec, ..video_codec(45, None) }],
        ..take_video(5000, false, max_spatial)
    }
}

struct Sender {
    client: usize,
    pt: u8,
    seq: u16,
}

impl Sender {
    fn send(&mut self, w: &mut World, timestamp: u32, marker: bool, descriptor: &[u8], payload: &[u8]) {
        let mut extensions: Vec<(Option<u8>, &[u8])> = vec![(IDS.mid, b"v")];
        if !descriptor.is_empty() {
            extensions.push((IDS.dependency_descriptor, descriptor));
        }
        let (pt, seq, extensions) = (self.pt, self.seq, extensions.as_slice());
        let packet = Packet { ssrc: 11, pt, seq, timestamp, marker, extensions, payload };
        let packet = w.clients[self.client].rtp(packet);
        w.up(self.client, packet);
        self.seq = self.seq.wrapping_add(1);
    }
}

fn numbers(got: &[Got]) -> Vec<u16> {
    got.iter().map(|g| g.header.seq.wrapping_sub(got[0].header.seq)).collect()
}

/// VP9's descriptor in flexible mode, RFC 9628 section 4.2: picture id, layer indices.
fn vp9(picture: u8, spatial: u8, key: bool) -> Vec<u8> {
    let inter_picture = !key;
    let mut payload = vec![
        0x80 | 0x20 | u8::from(inter_picture) << 6 | 0x10 | 0x08 | 0x04,
        picture & 0x7f,
        spatial << 1 | u8::from(spatial > 0),
    ];
    if inter_picture {
        payload.push(1 << 1);
    }
    payload.extend([spatial; 50]);
    payload
}

#[test]
fn vp9_layers_go_up_at_key_frames_and_down_at_once_and_the_last_sent_one_closes_the_picture() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, params_of(Codec::Vp9, 98, true));
    let consumer = w.subscribe(bob, 1, producer, take(Codec::Vp9, 2));
    let mut sender = Sender { client: alice, pt: 98, seq: 100 };
    let mut picture = 0u8;
    let mut send = |w: &mut World, key: bool| {
        for spatial in 0..3 {
            sender.send(
                w,
                u32::from(picture) * 3000,
                spatial == 2,
                &[],
                &vp9(picture, spatial, key && spatial == 0),
            );
        }
        picture += 1;
        w.run(33);
    };
    let layers = |w: &World, from: usize| {
        w.clients[bob].of(5000)[from..]
            .iter()
            .map(|g| (*g.payload().last().unwrap(), g.header.marker))
            .collect::<Vec<_>>()
    };
    send(&mut w, false);
    assert_eq!(w.clients[bob].media.len(), 0);
    send(&mut w, true);
    assert_eq!(layers(&w, 0), [(0, false), (1, false), (2, true)]);
    w.set_wish(0, consumer, wish(0));
    send(&mut w, false);
    assert_eq!(layers(&w, 3), [(0, true)]);
    w.set_wish(0, consumer, wish(1));
    w.clients[alice].reports.clear();
    send(&mut w, false);
    assert_eq!(layers(&w, 4), [(0, true)]);
    w.run(1100);
    assert!(w.clients[alice].plis(11) > 0);
    send(&mut w, true);
    assert_eq!(layers(&w, 5), [(0, false), (1, true)]);
    let got = w.clients[bob].of(5000);
    assert_eq!(numbers(&got), (0..7).collect::<Vec<_>>());
    assert_eq!(got[0].header.pt, Pt(45));
    let told: Vec<_> = w.events[0]
        .iter()
        .filter_map(|e| match e {
            Event::LayerChanged { spatial, .. } => *spatial,
            _ => None,
        })
        .collect();
    assert_eq!(told, [2, 0, 1]);
}

/// Writes dependency descriptors (AV1 RTP specification, appendix A.8) of a stream of two spatial layers
/// with a template each.
fn descriptors() -> impl Fn(u8, u16, bool) -> Vec<u8> {
    use rtp::dd::{ChainDiffs, Custom, Descriptor, Diffs, Indications, Structure, Template};
    let template = |spatial| Template { spatial, ..Template::default() };
    let known = Structure { targets: 2, templates: vec![template(0), template(1)], ..Structure::default() };
    move |spatial: u8, frame: u16, with_structure: bool| {
        let shared = std::sync::Arc::new(known.clone());
        let descriptor = Descriptor {
            start_of_frame: true,
            end_of_frame: true,
            template_id: spatial,
            frame_number: frame,
            structure: with_structure.then_some(shared),
            active_targets: None,
            spatial,
            temporal: 0,
            indications: Indications::default(),
            frame_diffs: Diffs::default(),
            chain_diffs: ChainDiffs::default(),
            custom: Custom::default(),
        };
        let mut out = [0; 255];
        let len = descriptor.write(&known, &mut out).unwrap();
        out[..len].to_vec()
    }
}

#[test]
fn encrypted_av1_is_chosen_by_its_descriptor_alone_and_passes_untouched() {
    let descriptor = descriptors();
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, params_of(Codec::Av1, 99, true));
    w.subscribe(bob, 1, producer, take(Codec::Av1, 0));
    let mut sender = Sender { client: alice, pt: 99, seq: 100 };
    let secret: Vec<u8> = (0..100u8).map(|n| n.wrapping_mul(151) ^ 0xa7).collect();
    for frame in 0..6u16 {
        for spatial in 0..2 {
            let number = frame * 2 + u16::from(spatial);
            let dd = descriptor(spatial, number, frame == 0 && spatial == 0);
            sender.send(&mut w, u32::from(frame) * 3000, spatial == 1, &dd, &secret);
        }
        w.run(33);
    }
    let got = w.clients[bob].of(5000);
    assert_eq!(numbers(&got), (0..6).collect::<Vec<_>>());
    for (n, g) in got.iter().enumerate() {
        assert_eq!(g.payload(), secret);
        assert!(g.header.marker);
        assert_eq!(g.extension(IDS.dependency_descriptor), Some(&descriptor(0, n as u16 * 2, n == 0)[..]));
    }
}

#[test]
fn h264_begins_with_its_parameter_sets() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, params_of(Codec::H264, 98, false));
    w.subscribe(bob, 1, producer, take(Codec::H264, 0));
    let mut sender = Sender { client: alice, pt: 98, seq: 100 };
    // A slice; then SPS, PPS and IDR of the next picture (RFC 6184 section 5.6: single NAL units).
    sender.send(&mut w, 0, true, &[], &[0x41, 0x9a, 1, 2]);
    sender.send(&mut w, 3000, false, &[], &[0x67, 0x42, 0xc0, 0x1f]);
    sender.send(&mut w, 3000, false, &[], &[0x68, 0xce, 0x3c, 0x80]);
    sender.send(&mut w, 3000, true, &[], &[0x65, 0x88, 0x84, 0x00]);
    sender.send(&mut w, 6000, true, &[], &[0x41, 0x9a, 3, 4]);
    w.run(33);
    let got = w.clients[bob].of(5000);
    let types: Vec<u8> = got.iter().map(|g| g.payload()[0] & 0x1f).collect();
    assert_eq!(types, [7, 8, 5, 1]);
    assert_eq!(numbers(&got), [0, 1, 2, 3]);
}

/// One field of an application's own, as in `codec::trailer`.
const TRAILER: [u8; 9] = [!3, !2, 7, 7, !9, b'L', b'K', b'T', b'S'];

#[test]
fn what_stands_behind_a_picture_reaches_those_who_read_it() {
    // An aggregate of parameter sets and a slice with the trailer, RFC 6184 section 5.7.1; VP9's last packet of each layer.
    let h264 = [&[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce, 0, 12, 0x65, 0x88, 0x84][..], &TRAILER].concat();
    let bare = &[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce, 0, 3, 0x65, 0x88, 0x84][..];
    let mut low = vp9(0, 0, true);
    low[0] |= 4;
    let low_with = [&low[..], &TRAILER].concat();
    for (codec, payload, bare) in [(Codec::H264, &h264, bare), (Codec::Vp9, &low_with, &low)] {
        let mut w = World::new(1);
        let [alice, bob, carol, dan] = [0; 4].map(|_| w.join(0));
        let producer = w.publish(alice, 1, params_of(codec, 98, false));
        let codecs = vec![CodecParams { codec, ..video_codec(120, Some(121)) }];
        let take = |ssrc| sfu::ConsumerParams { codecs: codecs.clone(), ..take_video(ssrc, true, 0) };
        w.subscribe(bob, 1, producer, take(5000));
        w.subscribe(carol, 2, producer, sfu::ConsumerParams { trailers: sfu::Trailers::All, ..take(6000) });
        // Of whom nobody knows it: decoders of H.264 pass over what follows a slice, those of VP9 do not.
        w.subscribe(
            dan,
            3,
            producer,
            sfu::ConsumerParams { trailers: sfu::Trailers::Harmless, ..take(7000) },
        );
        let mut sender = Sender { client: alice, pt: 98, seq: 100 };
        sender.send(&mut w, 0, true, &[], payload);
        w.run(33);
        let (plain, full) = (w.clients[bob].of(5000), w.clients[carol].of(6000));
        assert_eq!((plain[0].payload(), full[0].payload()), (bare, &payload[..]), "{codec:?}");
        let harmless = if codec == Codec::H264 { &payload[..] } else { bare };
        assert_eq!(w.clients[dan].of(7000)[0].payload(), harmless, "{codec:?}");
        // Sent again it is what it was.
        let lost = [plain[0].header.seq];
        let request = w.clients[bob].rtcp(|b| {
            b.nack(Ssrc(1), Ssrc(5000), &lost).unwrap();
        });
        w.up(bob, request);
        w.run(1);
        assert_eq!(rtp::read_rtx(w.clients[bob].of(5001)[0].payload()).unwrap().1, bare);
    }
}

/// The NAL unit whose fragments these are, put together by the words of RFC 6184 section 5.8.
fn fragmented(fragments: &[&[u8]]) -> Vec<u8> {
    let mut unit = vec![fragments[0][0] & 0xe0 | fragments[0][1] & 0x1f];
    for (n, fragment) in fragments.iter().enumerate() {
        let (indicator, header) = (fragment[0], fragment[1]);
        assert_eq!((indicator & 0x1f, indicator & 0xe0, header & 0x1f), (28, unit[0] & 0xe0, unit[0] & 0x1f));
        let (starts, ends) = (n == 0, n + 1 == fragments.len());
        assert_eq!(header & 0xe0, u8::from(starts) << 7 | u8::from(ends) << 6, "fragment {n}");
        unit.extend_from_slice(&fragment[2..]);
    }
    unit
}

#[test]
fn fragments_of_h264_keep_their_headers_and_every_byte_also_when_sent_again() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, params_of(Codec::H264, 98, false));
    let codecs = vec![CodecParams { codec: Codec::H264, ..video_codec(120, Some(121)) }];
    w.subscribe(bob, 1, producer, sfu::ConsumerParams { codecs, ..take_video(5000, true, 0) });
    let mut sender = Sender { client: alice, pt: 98, seq: 100 };
    sender.send(&mut w, 0, false, &[], &[0x78, 0, 4, 0x67, 0x42, 0xc0, 0x1f, 0, 3, 0x68, 0xce, 0x3c]);
    // An IDR slice whose every byte is another than its neighbours; its parts differ by one byte, so that padding is added.
    let unit: Vec<u8> = [0x65, 0x88].into_iter().chain((0..3001u32).map(|n| (n * 31 % 251) as u8)).collect();
    let parts: Vec<&[u8]> = unit[1..].chunks(751).collect();
    for (n, part) in parts.iter().enumerate() {
        let (starts, ends) = (n == 0, n + 1 == parts.len());
        let payload = [&[0x7c, u8::from(starts) << 7 | u8::from(ends) << 6 | 5][..], part].concat();
        sender.send(&mut w, 0, ends, &[], &payload);
    }
    w.run(33);
    let got = w.clients[bob].of(5000);
    let fragments: Vec<&[u8]> = got.iter().skip(1).map(Got::payload).collect();
    assert!(fragmented(&fragments) == unit);
    let lost: Vec<u16> = got.iter().skip(1).map(|g| g.header.seq).collect();
    let request = w.clients[bob].rtcp(|b| {
        b.nack(Ssrc(1), Ssrc(5000), &lost).unwrap();
    });
    w.up(bob, request);
    w.run(1);
    let again = w.clients[bob].of(5001);
    let fragments: Vec<&[u8]> = again.iter().map(|g| rtp::read_rtx(g.payload()).unwrap().1).collect();
    assert!(fragmented(&fragments) == unit);
}

#[test]
fn redundant_audio_reaches_who_knows_it_and_its_newest_block_who_does_not() {
    let mut w = World::new(1);
    let (alice, bob, carol) = (w.join(0), w.join(0), w.join(0));
    let red = CodecParams { codec: Codec::Red, fmtp: String::new(), ..audio_codec(RED) };
    let mut params = audio_params();
    params.codecs.insert(0, red.clone());
    let producer = w.publish(alice, 1, params);
    w.subscribe(bob, 1, producer, take_audio(5000));
    let mut both = take_audio(6000);
    both.codecs = vec![CodecParams { pt: Pt(62), ..red }, audio_codec(111)];
    w.subscribe(carol, 2, producer, both);
    // RFC 2198 section 3: one old block of three bytes, then the new one.
    let payload = [0x80 | 111, 0x0f, 0x00, 0x03, 111, 1, 1, 1, 2, 2, 2, 2];
    let extensions: &[(Option<u8>, &[u8])] = &[(IDS.mid, b"a")];
    let packet =
        Packet { ssrc: 13, pt: RED, seq: 1, timestamp: 0, marker: false, extensions, payload: &payload };
    let packet = w.clients[alice].rtp(packet);
    w.up(alice, packet);
    w.run(5);
    let (plain, full) = (w.clients[bob].of(5000), w.clients[carol].of(6000));
    assert_eq!((plain[0].header.pt, plain[0].payload()), (Pt(109), &[2, 2, 2, 2][..]));
    assert_eq!((full[0].header.pt, full[0].payload()), (Pt(62), &payload[..]));
}

/// Two blocks of type `pt`: an old one of three bytes, and the new one (RFC 2198 section 3).
fn two_blocks(pt: u8, newest: &[u8]) -> Vec<u8> {
    [&[0x80 | pt, 0x0f, 0x00, 0x03, pt, 1, 1, 1][..], newest].concat()
}

/// A publisher of redundant audio with Opus as 111 and RED as 63, and what sends it.
fn redundant(w: &mut World, alice: usize) -> (sfu::ProducerId, Sender) {
    let red = CodecParams { codec: Codec::Red, fmtp: String::new(), ..audio_codec(RED) };
    let mut params = audio_params();
    params.codecs.insert(0, red);
    params.mid = rtp::Label::new("v");
    (w.publish(alice, 1, params), Sender { client: alice, pt: RED, seq: 100 })
}

#[test]
fn blocks_get_the_subscribers_payload_types_again_and_again() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let (producer, mut sender) = redundant(&mut w, alice);
    // Opus is 109 with this subscriber.
    let mut theirs = take_audio(5000);
    theirs.codecs.push(CodecParams { codec: Codec::Red, nack: false, ..audio_codec(62) });
    w.subscribe(bob, 1, producer, theirs);
    for n in 0..4u8 {
        sender.send(&mut w, u32::from(n) * 960, false, &[], &two_blocks(111, &[n, n]));
        w.run(20);
    }
    let got = w.clients[bob].of(5000);
    assert_eq!(numbers(&got), [0, 1, 2, 3]);
    for (n, g) in got.iter().enumerate() {
        assert_eq!((g.header.pt, g.payload()), (Pt(62), &two_blocks(109, &[n as u8, n as u8])[..]));
    }
    // Asked for again, it is the same packet byte for byte.
    w.run(100);
    let seq = got[1].header.seq;
    let nack = w.clients[bob].rtcp(|b| {
        b.nack(Ssrc(1), Ssrc(5000), &[seq]).unwrap();
    });
    w.up(bob, nack);
    w.run(20);
    assert_eq!(w.clients[bob].replayed, [got[1].datagram.clone()]);
}

#[test]
fn plain_audio_is_made_redundant_for_who_agreed_on_it_and_mends_what_is_lost_without_being_asked() {
    let mut w = World::new(2);
    let (alice, bob, carol) = (w.join(0), w.join(0), w.join(1));
    let mut params = audio_params();
    params.mid = rtp::Label::new("v");
    let producer = w.publish(alice, 1, params);
    w.subscribe(bob, 1, producer, take_audio(5000));
    let mut both = take_audio(6000);
    both.codecs.insert(0, CodecParams { codec: Codec::Red, ..audio_codec(62) });
    w.subscribe(carol, 2, producer, both);
    w.run(20);
    let mut sender = Sender { client: alice, pt: OPUS, seq: 100 };
    for n in 0..6u8 {
        if n == 3 {
            // Never comes.
            sender.seq += 1;
            continue;
        }
        sender.send(&mut w, u32::from(n) * 960, false, &[], &[n; 3]);
        w.run(20);
    }
    let plain: Vec<_> = w.clients[bob].of(5000).iter().map(|g| g.payload().to_vec()).collect();
    assert_eq!(plain, [0, 1, 2, 4, 5].map(|n| vec![n; 3]));
    let got = w.clients[carol].of(6000);
    let blocks = |g: &Got| -> Vec<_> {
        let blocks = codec::red::Blocks::parse(g.payload()).unwrap();
        blocks.map(|b| (b.pt, b.timestamp_offset, b.data[0])).collect()
    };
    assert!(got.iter().all(|g| g.header.pt == Pt(62)));
    assert_eq!(numbers(&got), [0, 1, 2, 4, 5]);
    assert_eq!(blocks(&got[0]), [(109, 0, 0)]);
    assert_eq!(blocks(&got[2]), [(109, 1920, 0), (109, 960, 1), (109, 0, 2)]);
    assert_eq!(blocks(&got[3]), [(109, 1920, 2), (109, 0, 4)]);
    assert_eq!(blocks(&got[4]), [(109, 960, 4), (109, 0, 5)]);
    // Asked for, a packet is not sent again: what it brought has come with the next two.
    let seq = got[2].header.seq;
    let nack = w.clients[carol].rtcp(|b| {
        b.nack(Ssrc(1), Ssrc(6000), &[seq]).unwrap();
    });
    w.up(carol, nack);
    w.run(50);
    assert_eq!((w.clients[carol].replayed.len(), w.clients[carol].of(6000).len()), (0, got.len()));
}

#[test]
fn redundancy_that_does_not_fit_goes_nowhere_and_the_rest_goes_on() {
    let mut w = World::new(1);
    let (alice, bob, carol) = (w.join(0), w.join(0), w.join(0));
    let (producer, mut sender) = redundant(&mut w, alice);
    w.subscribe(bob, 1, producer, take_audio(5000));
    let mut both = take_audio(6000);
    both.codecs.push(CodecParams { codec: Codec::Red, ..audio_codec(62) });
    w.subscribe(carol, 2, producer, both);
    let good = two_blocks(111, &[9, 9]);
    let bad: [&[u8]; 7] = [
        // Ends in a header, in the old block, before the newest one.
        &good[..3],
        &good[..6],
        &good[..8],
        // Another type inside: of the newest block, of the old one.
        &[0x80 | 111, 0x0f, 0x00, 0x01, 0, 1, 2],
        &[0x80 | 13, 0x0f, 0x00, 0x01, 111, 1, 2],
        // Headers without end.
        &[0xef; 200],
        // One block, and nothing in it.
        &[111],
    ];
    let mut timestamp = 0;
    let mut send = |w: &mut World, payload: &[u8]| {
        sender.send(w, timestamp, false, &[], payload);
        timestamp += 960;
        w.run(20);
    };
    for payload in bad {
        send(&mut w, payload);
        send(&mut w, &good);
    }
    let dropped = w.counters(0).drops;
    assert_eq!(dropped.malformed, bad.len() as u64);
    assert_eq!(w.clients[bob].of(5000).len(), bad.len());
    assert!(w.clients[bob].of(5000).iter().all(|g| g.payload() == [9, 9]));
    assert!(w.clients[carol].of(6000).iter().all(|g| g.payload() == two_blocks(109, &[9, 9])));
    // Padding alone, which browsers probe with, leaves no gap.
    let before = w.clients[bob].of(5000).last().unwrap().header.seq;
    send(&mut w, &[]);
    send(&mut w, &good);
    assert_eq!(w.counters(0).drops.malformed, bad.len() as u64);
    assert_eq!(w.clients[bob].of(5000).last().unwrap().header.seq, before.wrapping_add(1));
    // Plain Opus between them, as browsers send it when a packet would become too large.
    sender.pt = OPUS;
    sender.send(&mut w, 99_999, false, &[], &[5, 5]);
    w.run(20);
    let last = |client: usize, ssrc| w.clients[client].of(ssrc).last().cloned().unwrap();
    assert_eq!((last(bob, 5000).header.pt, last(bob, 5000).payload()), (Pt(109), &[5, 5][..]));
    assert_eq!((last(carol, 6000).header.pt, last(carol, 6000).payload()), (Pt(109), &[5, 5][..]));
}

#[test]
fn redundant_audio_crosses_workers() {
    let mut w = World::new(2);
    let (alice, bob) = (w.join(0), w.join(1));
    let (producer, mut sender) = redundant(&mut w, alice);
    w.subscribe(bob, 1, producer, take_audio(5000));
    w.run(5);
    for n in 0..3 {
        sender.send(&mut w, n * 960, false, &[], &two_blocks(111, &[7]));
        w.run(20);
    }
    let got = w.clients[bob].of(5000);
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|g| g.payload() == [7] && g.header.pt == Pt(109)));
}

#[test]
fn streams_named_by_the_description_need_no_extensions() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let named = |ssrc| Encoding { rid: None, ssrc: Some(Ssrc(ssrc)), rtx_ssrc: Some(Ssrc(ssrc + 1)) };
    let mut params = video_params(&[]);
    params.encodings = vec![named(21), named(31)];
    let producer = w.publish(alice, 1, params.clone());
    w.subscribe(bob, 1, producer, take_video(5000, true, 1));
    let mut camera = Camera::new(alice, 31, None);
    camera.named = false;
    camera.send(&mut w, true);
    w.run(33);
    assert_eq!(w.clients[bob].of(5000).len(), 3);
    // The description changes: the same encoding comes under another SSRC.
    params.encodings[1] = named(41);
    w.command(0, Command::UpdateProducer { producer, params });
    let mut camera = Camera::new(alice, 41, None);
    camera.named = false;
    camera.send(&mut w, false);
    camera.send(&mut w, true);
    w.run(33);
    assert_eq!(w.clients[bob].of(5000).len(), 6);
    assert_eq!(numbers(&w.clients[bob].of(5000)), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_codec_that_the_subscriber_does_not_know_is_not_sent_to_it() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, params_of(Codec::H264, 98, false));
    w.subscribe(bob, 1, producer, take_video(5000, true, 0));
    let mut sender = Sender { client: alice, pt: 98, seq: 100 };
    sender.send(&mut w, 3000, true, &[], &[0x65, 0x88, 0x84, 0x00]);
    sender.pt = 55;
    sender.send(&mut w, 6000, true, &[], &[0x65, 0x88, 0x84, 0x00]);
    w.run(33);
    assert_eq!(w.clients[bob].media.len(), 0);
    assert_eq!(w.counters(0).drops.unknown_pt, 2);
}
