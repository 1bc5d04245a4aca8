//! Tracks as browsers publish and take them.

use codec::Kind as Codec;
use rtp::{Label, Pt, Rid, Ssrc};
use sfu::{
    CodecParams, Command, ConsumerId, ConsumerParams, Encoding, Kind, ProducerId, ProducerParams, Wish, id_on,
};

use crate::client::{IDS, Packet, vp8};
use crate::world::World;

pub(crate) const VP8: u8 = 96;
pub(crate) const VP8_RTX: u8 = 97;
pub(crate) const OPUS: u8 = 111;
pub(crate) const RED: u8 = 63;

pub(crate) fn wish(max_spatial: u8) -> Wish {
    Wish { paused: false, max_spatial, max_temporal: 7, priority: 0 }
}

pub(crate) fn paused() -> Wish {
    Wish { paused: true, ..wish(7) }
}

pub(crate) fn video_codec(pt: u8, rtx: Option<u8>) -> CodecParams {
    CodecParams {
        codec: Codec::Vp8,
        pt: Pt(pt),
        rtx: rtx.map(Pt),
        clock_rate: 90_000,
        nack: true,
        fmtp: String::new(),
    }
}

pub(crate) fn audio_codec(pt: u8) -> CodecParams {
    let fmtp = "minptime=10;useinbandfec=1".into();
    CodecParams { codec: Codec::Opus, pt: Pt(pt), rtx: None, clock_rate: 48_000, nack: true, fmtp }
}

pub(crate) fn encodings(rids: &[&str]) -> Vec<Encoding> {
    rids.iter().map(|rid| Encoding { rid: Rid::new(rid), ..Encoding::default() }).collect()
}

pub(crate) fn video_params(rids: &[&str]) -> ProducerParams {
    ProducerParams {
        kind: Kind::Video,
        mid: Label::new("v"),
        encodings: encodings(rids),
        codecs: vec![video_codec(VP8, Some(VP8_RTX))],
        svc: false,
        transport_cc: true,
    }
}

pub(crate) fn audio_params() -> ProducerParams {
    ProducerParams {
        kind: Kind::Audio,
        mid: Label::new("a"),
        encodings: vec![Encoding::default()],
        codecs: vec![audio_codec(OPUS)],
        svc: false,
        transport_cc: true,
    }
}

/// A subscriber's terms; its payload types are others than the publisher's.
pub(crate) fn take_video(ssrc: u32, rtx: bool, max_spatial: u8) -> ConsumerParams {
    ConsumerParams {
        mid: Label::new("7").unwrap(),
        ssrc: Ssrc(ssrc),
        rtx_ssrc: rtx.then_some(Ssrc(ssrc + 1)),
        codecs: vec![video_codec(120, rtx.then_some(121))],
        extensions: sfu::ExtensionIds { mid: Some(9), transport_cc: Some(8), ..IDS },
        playout_delay: None,
        trailers: sfu::Trailers::None,
        wish: wish(max_spatial),
    }
}

pub(crate) fn take_audio(ssrc: u32) -> ConsumerParams {
    ConsumerParams {
        mid: Label::new("8").unwrap(),
        ssrc: Ssrc(ssrc),
        rtx_ssrc: None,
        codecs: vec![audio_codec(109)],
        extensions: sfu::ExtensionIds { mid: Some(9), ..IDS },
        playout_delay: None,
        trailers: sfu::Trailers::None,
        wish: wish(0),
    }
}

impl World {
    /// One client, which publishes a picture in one layer, `q`, and another, which takes it under the SSRC 5000.
    pub(crate) fn with_a_picture() -> (Self, usize, usize) {
        let mut w = Self::new(1);
        let (alice, bob) = (w.join(0), w.join(0));
        let producer = w.publish(alice, 1, video_params(&["q"]));
        w.subscribe(bob, 1, producer, take_video(5000, true, 0));
        (w, alice, bob)
    }

    pub(crate) fn publish(&mut self, client: usize, serial: u64, params: ProducerParams) -> ProducerId {
        let (worker, peer) = (self.clients[client].worker, self.clients[client].id);
        let producer = ProducerId(id_on(worker as u8, serial));
        self.command(worker, Command::SetReceiveExtensions { peer, extensions: IDS });
        self.command(worker, Command::AddProducer { peer, producer, params });
        producer
    }

    pub(crate) fn subscribe(
        &mut self,
        client: usize,
        serial: u64,
        producer: ProducerId,
        p: ConsumerParams,
    ) -> ConsumerId {
        let (worker, peer) = (self.clients[client].worker, self.clients[client].id);
        let consumer = ConsumerId(id_on(worker as u8, serial));
        self.command(worker, Command::AddConsumer { peer, consumer, producer, params: p });
        consumer
    }

    pub(crate) fn set_wish(&mut self, worker: usize, consumer: ConsumerId, wish: Wish) {
        self.command(worker, Command::SetWish { consumer, wish });
    }
}

/// One encoding of a camera: VP8 frames at 30 Hz.
pub(crate) struct Camera {
    pub(crate) client: usize,
    pub(crate) ssrc: u32,
    pub(crate) rid: Option<&'static str>,
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    pub(crate) picture: u16,
    pub(crate) packets: usize,
    pub(crate) size: usize,
    /// Says mid and rid on each packet.
    pub(crate) named: bool,
    /// Of each frame a digit: `[0]` is T0 only, `[0, 2, 1, 2]` three layers.
    pub(crate) temporal: &'static [u8],
}

impl Camera {
    pub(crate) fn new(client: usize, ssrc: u32, rid: Option<&'static str>) -> Self {
        Self {
            client,
            ssrc,
            rid,
            seq: (ssrc * 1000) as u16,
            timestamp: ssrc.wrapping_mul(77_777),
            picture: ssrc as u16 * 100,
            packets: 3,
            size: 600,
            named: true,
            temporal: &[0],
        }
    }

    /// The packets of the next frame, sealed.
    pub(crate) fn frame(&mut self, world: &mut World, key: bool) -> Vec<Vec<u8>> {
        let rid = self.rid.map(str::as_bytes).unwrap_or_default();
        let mut extensions: Vec<(Option<u8>, &[u8])> = Vec::new();
        if self.named {
            extensions.push((IDS.mid, b"v"));
            if self.rid.is_some() {
                extensions.push((IDS.rid, rid));
            }
        }
        let temporal = self.temporal[usize::from(self.picture) % self.temporal.len()];
        let packets = (0..self.packets).map(|n| {
            let payload = vp8(self.picture, temporal, key, n == 0, self.size);
            let packet = Packet {
                ssrc: self.ssrc,
                pt: VP8,
                seq: self.seq.wrapping_add(n as u16),
                timestamp: self.timestamp,
                marker: n + 1 == self.packets,
                extensions: &extensions,
                payload: &payload,
            };
            world.clients[self.client].rtp(packet)
        });
        let packets = packets.collect();
        self.seq = self.seq.wrapping_add(self.packets as u16);
        self.picture = (self.picture + 1) & 0x7fff;
        self.timestamp = self.timestamp.wrapping_add(3000);
        packets
    }

    /// Sends the next frame.
    pub(crate) fn send(&mut self, world: &mut World, key: bool) {
        for packet in self.frame(world, key) {
            world.up(self.client, packet);
        }
    }
}
