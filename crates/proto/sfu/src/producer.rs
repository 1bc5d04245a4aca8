//! A published track.
//!
//! Owns: its encodings with their rings, which of them are arriving, and who takes them. A producer is at
//! home on its publisher's worker; on another worker that has subscribers it is a shadow, fed by a link.
//! Knows nothing of what its consumers make of it.

use std::time::{Duration, Instant};

use rtp::dd;
use rtp::{Mid, Pt, Rid, Ssrc};

use crate::Config;
use crate::api::{CodecParams, Encoding as EncodingParams, Kind, PeerId, ProducerId, ProducerParams};
use crate::levels::Meter;
use crate::link::{LinkParams, Mapping};
use crate::rates::Rates;
use crate::recv::keyframes::KeyFrames;
use crate::recv::nack::Nack;
use crate::recv::stream::Stream;
use crate::ring::{Place, Ring};

/// Encodings of one track: they are named by the bits of a byte.
pub(crate) const MAX_ENCODINGS: usize = 8;

/// Silence after which an encoding counts as gone, while another of the same track goes on.
const GONE_AFTER: Duration = Duration::from_millis(750);

/// Distance between the numbers of two epochs: larger than what any window looks back on.
const EPOCH_GAP: u64 = 1 << 20;

/// Where a producer's packets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// A peer of this router, by slab key.
    Peer(usize),
    /// The router of another worker.
    Worker(u8),
}

/// One packet that arrived and is to be forwarded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) encoding: u8,
    pub(crate) place: Place,
}

/// A worker that subscribed to a producer at home here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subscription {
    pub(crate) worker: u8,
    /// Encodings that it wants, a bit each.
    pub(crate) encodings: u8,
}

/// Packets between arrival and fan-out.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// For the next fan-out.
    pub(crate) arrived: Vec<Arrival>,
    /// Of the fan-out that is going on.
    pub(crate) sending: Vec<Arrival>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) id: ProducerId,
    pub(crate) home: Home,
    pub(crate) track: Track,
    pub(crate) encodings: Vec<Encoding>,
    pub(crate) consumers: Vec<usize>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) meter: Option<Meter>,
    pub(crate) batch: Batch,
    /// What a shadow has told its home that it wants.
    pub(crate) told: u8,
}

/// What a track is.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) origin: PeerId,
    pub(crate) kind: Kind,
    pub(crate) svc: bool,
    pub(crate) mid: Option<Mid>,
    pub(crate) transport_cc: bool,
    pub(crate) codecs: Vec<CodecParams>,
    pts: Box<[PtMeaning; 128]>,
}

/// What a payload type means in a track; the index is that of the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PtMeaning {
    Unknown,
    Media(u8),
    Rtx(u8),
}

/// One encoding.
#[derive(Debug)]
pub(crate) struct Encoding {
    pub(crate) ring: Ring,
    pub(crate) mapping: Option<Mapping>,
    /// Requests to the publisher, or to the home of a shadow.
    pub(crate) keys: KeyFrames,
    pub(crate) arriving: bool,
    pub(crate) last: Option<Instant>,
    pub(crate) codec: Option<u8>,
    /// Of its newest packet.
    pub(crate) epoch: u16,
    pub(crate) rates: Box<Rates>,
    /// At home only.
    pub(crate) receive: Box<Receive>,
}

/// How an encoding is received.
#[derive(Debug, Default)]
pub(crate) struct Receive {
    pub(crate) rid: Option<Rid>,
    pub(crate) ssrc: Option<Ssrc>,
    pub(crate) rtx_ssrc: Option<Ssrc>,
    pub(crate) stream: Option<Stream>,
    pub(crate) nack: Nack,
    pub(crate) dd: dd::State,
    /// Added to the stream's own numbers, so that epochs do not overlap.
    pub(crate) seq_base: u64,
}

impl Track {
    fn new(origin: PeerId, kind: Kind, svc: bool, codecs: &[CodecParams]) -> Self {
        let mut pts = Box::new([PtMeaning::Unknown; 128]);
        let mut set = |pt: Pt, meaning| {
            if let Some(entry) = pts.get_mut(usize::from(pt.0)) {
                *entry = meaning;
            }
        };
        for (n, codec) in codecs.iter().enumerate().take(128) {
            if let Some(rtx) = codec.rtx {
                set(rtx, PtMeaning::Rtx(n as u8));
            }
            set(codec.pt, PtMeaning::Media(n as u8));
        }
        Self { origin, kind, svc, mid: None, transport_cc: false, codecs: codecs.to_vec(), pts }
    }

    pub(crate) fn meaning(&self, pt: Pt) -> PtMeaning {
        self.pts.get(usize::from(pt.0)).copied().unwrap_or(PtMeaning::Unknown)
    }

    pub(crate) fn codec(&self, index: u8) -> Option<&CodecParams> {
        self.codecs.get(usize::from(index))
    }

    pub(crate) fn clock_rate(&self) -> u32 {
        self.codecs.first().map_or(90_000, |c| c.clock_rate)
    }

    pub(crate) fn is_video(&self) -> bool {
        self.kind == Kind::Video
    }
}

impl Producer {
    /// A track of a peer of this router.
    pub(crate) fn at_home(
        id: ProducerId,
        peer: (PeerId, usize),
        params: &ProducerParams,
        config: &Config,
    ) -> Self {
        let track = Track::new(peer.0, params.kind, params.svc, &params.codecs);
        let mut producer = Self::empty(id, Home::Peer(peer.1), track);
        producer.update(params, config);
        producer
    }

    /// A track of another worker's router, about which nothing is known yet.
    pub(crate) fn shadow(id: ProducerId, worker: u8) -> Self {
        Self::empty(id, Home::Worker(worker), Track::new(PeerId(0), Kind::Video, false, &[]))
    }

    fn empty(id: ProducerId, home: Home, track: Track) -> Self {
        Self {
            id,
            home,
            track,
            encodings: Vec::new(),
            consumers: Vec::new(),
            subscriptions: Vec::new(),
            meter: None,
            batch: Batch::default(),
            told: 0,
        }
    }

    /// Takes new parameters; encodings that stay keep what they know.
    pub(crate) fn update(&mut self, params: &ProducerParams, config: &Config) {
        self.track = Track::new(self.track.origin, params.kind, params.svc, &params.codecs);
        self.track.mid = params.mid;
        self.track.transport_cc = params.transport_cc;
        let one = [EncodingParams::default()];
        let encodings = if params.encodings.is_empty() { &one[..] } else { &params.encodings };
        let count = encodings.len().min(MAX_ENCODINGS);
        self.resize(count, config);
        for (encoding, params) in self.encodings.iter_mut().zip(encodings) {
            encoding.receive.rid = params.rid;
            encoding.receive.ssrc = params.ssrc.or(encoding.receive.ssrc);
            encoding.receive.rtx_ssrc = params.rtx_ssrc.or(encoding.receive.rtx_ssrc);
        }
        if params.kind == Kind::Audio && self.meter.is_none() {
            self.meter = Some(Meter::new(config.audio_interval, config.audio_active_level));
        }
    }

    /// As [`Producer::update`], for a shadow.
    pub(crate) fn update_shadow(&mut self, params: &LinkParams, config: &Config) {
        self.track = Track::new(params.origin, params.kind, params.svc, &params.codecs);
        self.resize(usize::from(params.encodings).clamp(1, MAX_ENCODINGS), config);
    }

    fn resize(&mut self, count: usize, config: &Config) {
        let packets = match self.track.kind {
            Kind::Video => config.cache_video_packets,
            Kind::Audio => config.cache_audio_packets,
        };
        self.encodings.truncate(count);
        for n in self.encodings.len()..count {
            let interval = match n {
                _ if n + 1 == count => config.key_frame_interval_high,
                0 => config.key_frame_interval_low,
                _ => config.key_frame_interval_mid,
            };
            self.encodings.push(Encoding {
                ring: Ring::new(config.cache_time, config.cache_bytes, packets),
                mapping: None,
                keys: KeyFrames::new(interval),
                arriving: false,
                last: None,
                codec: None,
                epoch: 0,
                rates: Box::default(),
                receive: Box::default(),
            });
        }
    }

    /// What a shadow elsewhere must know.
    pub(crate) fn link_params(&self) -> LinkParams {
        LinkParams {
            origin: self.track.origin,
            kind: self.track.kind,
            encodings: self.encodings.len() as u8,
            codecs: self.track.codecs.clone(),
            svc: self.track.svc,
        }
    }

    /// Encodings that arrive, a bit each.
    pub(crate) fn arriving(&self) -> u8 {
        self.encodings.iter().enumerate().filter(|(_, e)| e.arriving).fold(0, |bits, (n, _)| bits | 1 << n)
    }

    /// The best encoding that arrives.
    pub(crate) fn highest(&self) -> Option<u8> {
        self.encodings.iter().rposition(|e| e.arriving).map(|n| n as u8)
    }

    /// How many encodings up to `top` no longer arrive above the best that does. What never came is not missing: a
    /// publisher may have fewer than it has announced.
    pub(crate) fn missing_layers(&self, top: u8) -> u8 {
        let Some(highest) = self.highest() else { return 0 };
        let known = self.encodings.iter().take(usize::from(top) + 1).rposition(|e| e.last.is_some());
        known.map_or(0, |known| (known as u8).saturating_sub(highest))
    }

    /// What a shadow's home says of its encodings. True if something changed.
    pub(crate) fn set_arriving(&mut self, encodings: u8) -> bool {
        let before = self.arriving();
        for (n, e) in self.encodings.iter_mut().enumerate() {
            e.arriving = encodings >> n & 1 == 1;
        }
        before != self.arriving()
    }

    /// Notes that a packet of an encoding came. True if the encoding is (again) there since.
    pub(crate) fn note(&mut self, now: Instant, encoding: u8) -> bool {
        let Some(e) = self.encodings.get_mut(usize::from(encoding)) else { return false };
        e.last = Some(now);
        !std::mem::replace(&mut e.arriving, true)
    }

    /// Looks which encodings have gone. A track of which nothing comes has not lost an encoding: it is
    /// muted, or its picture stands still. True if something changed.
    pub(crate) fn sweep(&mut self) -> bool {
        if matches!(self.home, Home::Worker(_)) {
            // Only what is wanted crosses: its home knows what there is.
            return false;
        }
        let Some(newest) = self.encodings.iter().filter_map(|e| e.last).max() else { return false };
        let mut changed = false;
        for e in &mut self.encodings {
            let gone = e.last.is_some_and(|last| newest.saturating_duration_since(last) > GONE_AFTER);
            if e.arriving && gone {
                e.arriving = false;
                changed = true;
            }
        }
        changed
    }

    /// Marks the packets of the batch that one byte of padding makes as long as the longest of their
    /// frame. They are the first ones of the frame, so that the frame is one GSO run.
    pub(crate) fn equalise(&mut self) {
        let batch = &self.batch.sending;
        let mut at = 0;
        while let Some(first) = batch.get(at) {
            let Some(encoding) = self.encodings.get_mut(usize::from(first.encoding)) else { return };
            let timestamp = encoding.ring.get(first.place).map(|(m, _)| m.timestamp);
            let of_frame = |ring: &Ring, a: &Arrival| {
                let (meta, _) = (a.encoding == first.encoding).then(|| ring.get(a.place)).flatten()?;
                (Some(meta.timestamp) == timestamp && meta.payload.len > 0).then(|| meta.weight())
            };
            let rest = batch.get(at..).unwrap_or_default();
            let longest = rest.iter().map_while(|a| of_frame(&encoding.ring, a)).max();
            let count = rest.iter().map_while(|a| of_frame(&encoding.ring, a)).count().max(1);
            for arrival in rest.iter().take(count) {
                let weight = of_frame(&encoding.ring, arrival);
                if weight.zip(longest).is_some_and(|(weight, longest)| weight + 1 == longest) {
                    encoding.ring.set_pad(arrival.place);
                }
            }
            at += count;
        }
    }
}

impl Encoding {
    /// The stream is received under another SSRC from now on: what comes has nothing to do with what came.
    pub(crate) fn rebind(&mut self, ssrc: Ssrc, clock_rate: u32) {
        let receive = &mut self.receive;
        if let Some(old) = &receive.stream {
            receive.seq_base += old.highest().map_or(0, |h| h.0) + EPOCH_GAP;
            self.epoch = self.epoch.wrapping_add(1);
            self.mapping = None;
        }
        receive.ssrc = Some(ssrc);
        receive.stream = Some(Stream::new(ssrc, clock_rate));
        receive.nack = Nack::default();
        receive.dd = dd::State::default();
    }
}
