//! One track on its way to one subscriber.
//!
//! Owns: the order in which a packet passes [`select::Select`] (does the subscriber get it), [`rewrite`]
//! (under which numbers), [`compose`] (its bytes) and the peer's gate and cipher, and what of it is
//! remembered in [`sent`] for a retransmission. Knows nothing of other subscribers.

mod compose;
mod feedback;
mod redundancy;
mod resend;
pub(crate) mod rewrite;
mod route;
pub(crate) mod select;
pub(crate) mod sent;

use clock::Time;
use peer::Path;
use rtp::rtcp::SenderInfo;
use srtp::{Outbound, Repeats, StreamIndex};

use crate::api::{ConsumerId, ConsumerParams, Kind, Wish};
use crate::bandwidth::allocate::Step;
use crate::counters::Counters;
use crate::gate::Gate;
use crate::packet::Meta;
use crate::producer::{Arrival, Producer, Track};
use crate::{Outbox, link::Mapping};
use compose::What;
use feedback::Feedback;
use redundancy::Content;
use rewrite::{Numbers, Rewrite};
use route::Route;
pub(crate) use route::plain;
use select::{Choice, Select, Shape};
use sent::{Sent, SentLog, Source, Stamp};

/// What a subscriber's packets pass on their way out: borrowed from its peer for a batch.
pub(crate) struct Egress<'a> {
    pub(crate) now: Time,
    /// The same in microseconds since the router began, wrapping after 71 minutes: what is remembered of each packet.
    pub(crate) micros: u32,
    /// The time as the abs-send-time extension has it.
    pub(crate) abs_send_time: u32,
    pub(crate) path: Path,
    pub(crate) outbound: &'a mut Outbound,
    pub(crate) gate: &'a mut Gate,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) counters: &'a mut Counters,
}

/// SRTP streams, opened when there are keys.
#[derive(Debug, Clone, Copy)]
struct Streams {
    media: StreamIndex,
    rtx: Option<StreamIndex>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    /// Slab key of the subscriber.
    pub(crate) peer: usize,
    /// Slab key of the track; none once it has ended.
    pub(crate) producer: Option<usize>,
    pub(crate) select: Select,
    pub(crate) feedback: Feedback,
    route: Route,
    rewrite: Rewrite,
    log: SentLog,
    streams: Option<Streams>,
    /// Where the subscriber's RTP clock lies, from the last report of an encoding it got.
    clock: Option<Mapping>,
    /// What the subscriber asks for, and what its line carries of it.
    wish: Wish,
    grant: Grant,
    /// The layer last told by an event.
    told: Option<u8>,
}

/// What a subscriber's line carries of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Whatever is asked for.
    All,
    /// Layers up to these.
    Up(Step),
    /// Nothing.
    Paused,
}

impl Consumer {
    /// `first_seq` and `first_rtx_seq` are where the subscriber's sequence numbers begin.
    pub(crate) fn new(
        id: ConsumerId,
        peer: usize,
        params: &ConsumerParams,
        first_seq: u16,
        first_rtx: u16,
    ) -> Self {
        Self {
            id,
            peer,
            producer: None,
            select: Select::new(params.wish, Shape { video: true, svc: false }),
            feedback: Feedback::new(first_rtx),
            route: Route::new(params),
            rewrite: Rewrite::new(first_seq),
            log: SentLog::new(true),
            streams: None,
            clock: None,
            wish: params.wish,
            grant: Grant::All,
            told: None,
        }
    }

    /// Takes what is known of the track, at first and when it changes.
    pub(crate) fn attach(&mut self, producer: usize, track: &Track) {
        let video = track.kind == Kind::Video;
        if self.producer != Some(producer) {
            self.log = SentLog::new(video);
        }
        self.producer = Some(producer);
        self.select.set_shape(Shape { video, svc: track.svc });
        self.route.match_codecs(&track.codecs);
    }

    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = rtp::Ssrc> {
        [Some(self.route.ssrc), self.route.rtx_ssrc].into_iter().flatten()
    }

    /// The subscriber's keys are new: streams must be opened again.
    pub(crate) fn forget_streams(&mut self) {
        self.streams = None;
    }

    /// How many times each payload goes out.
    pub(crate) fn copies(&self) -> u64 {
        self.route.copies()
    }

    /// What the subscriber asks for.
    pub(crate) fn wish(&self) -> Wish {
        self.wish
    }

    pub(crate) fn set_wish(&mut self, wish: Wish) {
        self.wish = wish;
        self.follow();
    }

    pub(crate) fn grant(&self) -> Grant {
        self.grant
    }

    /// What the subscriber's line carries of the track. True if that is another than before.
    pub(crate) fn set_grant(&mut self, grant: Grant) -> bool {
        let layers = |grant| match grant {
            Grant::Up(step) => (false, step.spatial, step.temporal),
            Grant::All => (false, u8::MAX, u8::MAX),
            Grant::Paused => (true, 0, 0),
        };
        let changed = layers(self.grant) != layers(grant);
        self.grant = grant;
        if changed {
            self.follow();
        }
        changed
    }

    /// How many layers the line does not carry of what is wished and there; all of them where it is paused.
    pub(crate) fn missing_layers(&self, producer: &Producer) -> Option<u8> {
        if !producer.track.is_video() || self.wish.paused {
            return None;
        }
        Some(match self.grant {
            Grant::All => 0,
            Grant::Paused => u8::MAX,
            Grant::Up(step) => {
                let top = if producer.track.svc { self.select.highest_seen() } else { producer.highest()? };
                self.wish.max_spatial.min(top).saturating_sub(step.spatial)
            }
        })
    }

    fn follow(&mut self) {
        let wish = self.wish;
        self.select.set_wish(match self.grant {
            Grant::All => wish,
            Grant::Up(step) => Wish {
                max_spatial: wish.max_spatial.min(step.spatial),
                max_temporal: wish.max_temporal.min(step.temporal),
                ..wish
            },
            Grant::Paused => Wish { paused: true, ..wish },
        });
    }

    /// What the subscriber now gets, if that is news.
    pub(crate) fn layer_news(&mut self) -> Option<Option<u8>> {
        let layer = self.select.layer();
        (std::mem::replace(&mut self.told, layer) != layer).then_some(layer)
    }

    /// Reads what the next packets will need, for the memory to be there by then: with hundreds of subscribers
    /// none of it is in the caches, and what is read for several of them at once comes at the price of one.
    pub(crate) fn warm(&self, packets: usize, outbound: &Outbound) -> u64 {
        let stream = self.streams.map_or(0, |streams| outbound.warm(streams.media));
        u64::from(self.log.warm(self.rewrite.next(), packets)) ^ stream ^ self.route.warm()
    }

    /// Passes one packet on, or not.
    pub(crate) fn forward(&mut self, arrival: Arrival, producer: &Producer, egress: &mut Egress<'_>) {
        let encoding = arrival.encoding;
        let ring = producer.encodings.get(usize::from(encoding)).map(|e| &e.ring);
        let Some((meta, packet)) = ring.and_then(|ring| ring.get(arrival.place)) else {
            egress.counters.drops.evicted += 1;
            return;
        };
        let content = Content { meta, packet, ring };
        if self.route.target(meta.codec).is_none() {
            egress.counters.drops.unknown_pt += 1;
            return;
        }
        match self.select.choose(encoding, meta) {
            Choice::Ignore => {}
            Choice::Skip => {
                if let Some(numbers) = self.rewrite.skip(encoding, meta) {
                    self.send_new(Source::Blank, &content, numbers, false, egress);
                }
            }
            Choice::Begin { end } => {
                self.join(encoding, meta, producer);
                self.place(encoding, &content, end, egress);
            }
            Choice::Forward { end } => self.place(encoding, &content, end, egress),
        }
    }

    fn place(&mut self, encoding: u8, content: &Content<'_>, end: bool, egress: &mut Egress<'_>) {
        let meta = content.meta;
        match self.rewrite.place(encoding, meta) {
            Some(numbers) => {
                let source = Source::Packet { encoding, epoch: meta.epoch, seq: meta.seq as u32 };
                self.send_new(source, content, numbers, end, egress);
            }
            None => egress.counters.drops.late += 1,
        }
    }

    /// Joins a stretch that begins with this packet to what was sent.
    fn join(&mut self, encoding: u8, meta: &Meta, producer: &Producer) {
        let rate = producer.track.codec(meta.codec).map_or(90_000, |c| c.clock_rate);
        if let Some((before, epoch)) = self.rewrite.encoding() {
            self.note_clock(before, epoch, producer);
        }
        let mapping = producer.encodings.get(usize::from(encoding)).and_then(|e| e.mapping);
        let hint =
            self.clock.zip(mapping).map(|(clock, m)| clock.rtp_at(m.ntp_at(meta.timestamp, rate), rate));
        self.rewrite.begin(encoding, meta, rate, hint);
    }

    fn note_clock(&mut self, encoding: u8, epoch: u16, producer: &Producer) {
        let Some(e) = producer.encodings.get(usize::from(encoding)) else { return };
        if let Some(mapping) = e.mapping.filter(|_| e.epoch == epoch) {
            let rtp = mapping.rtp.wrapping_add(self.rewrite.timestamp_offset());
            self.clock = Some(Mapping { ntp: mapping.ntp, rtp });
        }
    }

    /// A sender report as of now, once something was sent and the publisher has reported.
    pub(crate) fn sender_report(&mut self, now: Time, producer: &Producer) -> Option<SenderInfo> {
        let (encoding, epoch) = self.rewrite.encoding()?;
        self.note_clock(encoding, epoch, producer);
        let ntp = now.ntp();
        let codec = producer.encodings.get(usize::from(encoding)).and_then(|e| e.codec);
        let codec = codec.and_then(|index| producer.track.codec(index));
        let clock_rate = codec.map_or_else(|| producer.track.clock_rate(), |c| c.clock_rate);
        let rtp_timestamp = self.clock?.rtp_at(ntp, clock_rate);
        let (packets, octets) = self.feedback.sent();
        self.feedback.reported(ntp);
        Some(SenderInfo { ssrc: self.route.ssrc, ntp, rtp_timestamp, packets, octets })
    }

    /// Sends under numbers that nothing has gone out under before.
    fn send_new(
        &mut self,
        source: Source,
        content: &Content<'_>,
        numbers: Numbers,
        marker: bool,
        egress: &mut Egress<'_>,
    ) {
        let abs_send_time = egress.abs_send_time;
        let stamp = Stamp { numbers, marker, transport_seq: 0, abs_send_time };
        let what = What { stamp, rtx: None, blank: source == Source::Blank, repeat: false };
        if let Some((transport_seq, payload_len)) = self.send(&what, content, egress) {
            self.feedback.count(payload_len);
            let stamp = Stamp { transport_seq, ..stamp };
            self.log.record(&Sent { source, codec: content.meta.codec, stamp, at: egress.micros });
        }
    }

    /// Composes, lets pass and seals into the outbox. The transport-wide number and the payload's length
    /// if it went.
    fn send(&mut self, what: &What, content: &Content<'_>, egress: &mut Egress<'_>) -> Option<(u16, usize)> {
        let Some(streams) = self.open_streams(egress.outbound) else {
            egress.counters.drops.not_sealed += 1;
            return None;
        };
        let stream = if what.rtx.is_some() { streams.rtx? } else { streams.media };
        let overhead = egress.outbound.profile().rtp_overhead();
        let buf = egress.outbox.room(self.route.room_for(content.meta) + overhead);
        let composed = self.route.compose(what, content, buf)?;
        let mut transport_seq = what.stamp.transport_seq;
        if let Some(place) = composed.transport_seq.and_then(|range| buf.get_mut(range)) {
            if !what.repeat {
                transport_seq = egress.gate.pass(egress.micros, composed.len);
            }
            place.copy_from_slice(&transport_seq.to_be_bytes());
        }
        match egress.outbound.seal_rtp_on(stream, buf, composed.header_len, composed.len) {
            Ok(len) => {
                egress.outbox.commit(egress.path, len);
                egress.counters.traffic.rtp_out += 1;
                Some((transport_seq, composed.payload_len))
            }
            Err(_) => {
                egress.counters.drops.not_sealed += 1;
                None
            }
        }
    }

    fn open_streams(&mut self, outbound: &mut Outbound) -> Option<Streams> {
        if self.streams.is_none() {
            let repeats = if self.route.has_rtx() { Repeats::Refuse } else { Repeats::Identical };
            let media = outbound.stream(self.route.ssrc, repeats).ok()?;
            let rtx = self.route.rtx_ssrc.and_then(|ssrc| outbound.stream(ssrc, Repeats::Refuse).ok());
            self.streams = Some(Streams { media, rtx });
        }
        self.streams
    }

    /// Ends the SRTP streams for good: their SSRCs are never used again under these keys.
    pub(crate) fn close_streams(&mut self, outbound: &mut Outbound) {
        for ssrc in self.ssrcs() {
            outbound.close(ssrc);
        }
        self.streams = None;
    }
}
