//! RTP came: which encoding of which track it is, and what it says.

use clock::Time;
use codec::trailer::Trailer;
use rtp::{Header, Ssrc, View};

use super::Router;
use crate::api::Event;
use crate::inspect;
use crate::packet::{Meta, Received, Span};
use crate::peer_state::{Peer, StreamRef};
use crate::producer::{Arrival, Encoding, Home, Producer, PtMeaning};
use crate::recv::nack::Gap;

use slab::Slab;

impl Router {
    /// Takes an opened packet of a peer.
    pub(super) fn media(&mut self, now: Time, key: usize, header: &Header, packet: &[u8]) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Ok(view) = View::with_header(*header, packet) else {
            self.counters.drops.malformed += 1;
            return;
        };
        let reception = &mut peer.reception;
        let received = reception.meanings.read(header, packet);
        if let Some(seq) = received.transport_seq {
            reception.twcc.packet(now.mono, seq, header.ssrc);
        } else {
            reception.remb.packet(now.mono, packet.len());
        }
        let known = reception.streams.get(header.ssrc);
        let Some(stream) = known.or_else(|| learn(peer, &mut self.producers, header, &received)) else {
            self.counters.drops.unknown_ssrc += 1;
            self.wake(key);
            return;
        };
        if let Some(peer) = self.peers.get_mut(key) {
            match known {
                // The first report that names an SSRC lets a browser leave mid and rid out.
                None => peer.reception.next_report = Some(now.mono),
                // One that was signalled is reported on from its first packet too.
                Some(_) => _ = peer.reception.next_report.get_or_insert(now.mono),
            }
        }
        self.accept(now, stream, &view, &received);
        self.wake(key);
    }

    fn accept(&mut self, now: Time, stream: StreamRef, view: &View<'_>, received: &Received) {
        let Some(producer) = self.producers.get_mut(stream.producer) else { return };
        let Some(encoding) = producer.encodings.get_mut(usize::from(stream.encoding)) else { return };
        let range = view.payload_range();
        let mut payload = Span { start: range.start as u16, len: range.len() as u16 };
        let (seq, codec) = match (stream.rtx, producer.track.meaning(view.header.pt)) {
            (false, PtMeaning::Media(codec)) => {
                let Some(receive) = encoding.receive.stream.as_mut() else { return };
                (receive.packet(now.mono, view.header.seq, view.header.timestamp), codec)
            }
            (true, PtMeaning::Rtx(codec)) => {
                let restored = rtp::read_rtx(view.payload()).filter(|(_, rest)| !rest.is_empty());
                let Some((seq, _)) = restored else {
                    // Bandwidth probes are padding on the RTX stream.
                    self.counters.drops.padding += 1;
                    return;
                };
                payload = Span { start: payload.start + 2, len: payload.len - 2 };
                let Some(receive) = encoding.receive.stream.as_mut().filter(|s| s.highest().is_some()) else {
                    self.counters.drops.unknown_ssrc += 1;
                    return;
                };
                (receive.repaired(seq), codec)
            }
            _ => {
                self.counters.drops.unknown_pt += 1;
                return;
            }
        };
        let Some(kind) = producer.track.codec(codec).map(|c| c.codec) else { return };
        // Padding alone probes for bandwidth, on the stream of sound where there is no other.
        let ours = payload.of(view.bytes());
        let probes = ours.is_empty();
        if kind == codec::Kind::Red && !probes && !inspect::is_sound(ours, &producer.track.codecs) {
            self.counters.drops.malformed += 1;
            return;
        }
        if producer.track.is_video() && encoding.codec.is_some_and(|known| known != codec) {
            // Another codec has nothing to do with what came before.
            encoding.epoch = encoding.epoch.wrapping_add(1);
        }
        let descriptor =
            received.carried[crate::packet::Carried::DependencyDescriptor as usize].of(view.bytes());
        let (frame, vp8) = inspect::frame(kind, ours, descriptor, &mut encoding.receive.dd);
        let closes = producer.track.is_video() && (view.header.marker || frame.end);
        let meta = Meta {
            at: now.mono,
            seq: seq.0 + encoding.receive.seq_base,
            epoch: encoding.epoch,
            timestamp: view.header.timestamp,
            marker: view.header.marker,
            codec,
            pad: false,
            payload,
            carried: received.carried,
            frame,
            vp8,
            trailer: closes.then(|| Trailer::find(kind, ours)).flatten(),
        };
        let end = usize::from(payload.start + payload.len);
        let bytes = view.bytes().get(..end).unwrap_or_default();
        if let (Some(meter), Some(level)) = (&mut producer.meter, received.audio_level) {
            meter.packet(now.mono, level.level);
        }
        if self.store(now, stream.producer, stream.encoding, meta, bytes) {
            self.look_for_gaps(now, stream, &meta);
        }
    }

    /// Notes what is missing before a packet that came.
    fn look_for_gaps(&mut self, now: Time, stream: StreamRef, meta: &Meta) {
        let Some(producer) = self.producers.get_mut(stream.producer) else { return };
        let Some(codec) = producer.track.codec(meta.codec).filter(|c| c.nack) else { return };
        // Without RTX a repeat looks like a packet that is late.
        let answer = stream.rtx || codec.rtx.is_none();
        let Some(e) = producer.encodings.get_mut(usize::from(stream.encoding)) else { return };
        let gap = e.receive.nack.packet(now.mono, meta.seq, answer);
        if gap == Gap::Lost && producer.track.is_video() {
            e.keys.want();
        }
        if meta.frame.key && meta.frame.start {
            e.receive.nack.key_frame(meta.seq);
        }
    }

    /// Puts a packet into its ring and into the batch. The same for a packet that crossed from another
    /// worker. False if it was there already.
    pub(super) fn store(&mut self, now: Time, key: usize, encoding: u8, meta: Meta, bytes: &[u8]) -> bool {
        let Some(producer) = self.producers.get_mut(key) else { return false };
        let Some(e) = producer.encodings.get_mut(usize::from(encoding)) else { return false };
        let Some(place) = e.ring.insert(meta, bytes) else {
            self.counters.drops.duplicate += 1;
            return false;
        };
        self.counters.traffic.rtp_in += 1;
        e.rates.count(&meta);
        e.epoch = meta.epoch;
        if e.codec.replace(meta.codec) != Some(meta.codec)
            && matches!(producer.home, Home::Peer(_))
            && let Some(codec) = producer.track.codec(meta.codec)
        {
            let (producer, codec) = (producer.id, codec.codec);
            self.mention(Event::EncodingStarted { producer, encoding, codec });
        }
        let Some(producer) = self.producers.get_mut(key) else { return false };
        if producer.batch.arrived.is_empty() {
            self.batch.dirty.push(key);
        }
        producer.batch.arrived.push(Arrival { encoding, place });
        let appeared = producer.note(now.mono, encoding);
        if appeared {
            self.tell_arriving(key);
            self.aim_all(key);
        }
        if meta.frame.key
            && let Some(e) =
                self.producers.get_mut(key).and_then(|p| p.encodings.get_mut(usize::from(encoding)))
        {
            e.keys.arrived();
        }
        self.next_sweep.get_or_insert(now.mono + super::timers::SWEEP);
        true
    }
}

/// Finds out what an SSRC is by what its packet says, and remembers it: browsers leave the extensions out
/// after a while (RFC 8852 section 3.3, RFC 8843 section 9.2).
fn learn(
    peer: &mut Peer,
    producers: &mut Slab<Producer>,
    header: &Header,
    received: &Received,
) -> Option<StreamRef> {
    let key = track_of(peer, producers, header, received)?;
    let producer = producers.get_mut(key)?;
    let rate = producer.track.clock_rate();
    let by_rid = |rid: Option<rtp::Rid>| {
        let named = producer.encodings.iter().position(|e| rid.is_some() && e.receive.rid == rid);
        // A track with one encoding needs no name for it.
        named.or((producer.encodings.len() == 1).then_some(0))
    };
    let (at, rtx) = match producer.track.meaning(header.pt) {
        PtMeaning::Media(_) => (by_rid(received.rid)?, false),
        PtMeaning::Rtx(_) => (by_rid(received.repaired_rid.or(received.rid))?, true),
        PtMeaning::Unknown => return None,
    };
    let stream = StreamRef { producer: key, encoding: at as u8, rtx };
    if !peer.reception.streams.set(header.ssrc, stream) {
        return None;
    }
    bind(producer.encodings.get_mut(at)?, header.ssrc, rtx, rate);
    Some(stream)
}

fn bind(encoding: &mut Encoding, ssrc: Ssrc, rtx: bool, rate: u32) {
    if rtx {
        encoding.receive.rtx_ssrc = Some(ssrc);
    } else {
        encoding.rebind(ssrc, rate);
    }
}

/// The track of a packet: by mid; else by a rid, or a payload type, that only one track has.
fn track_of(peer: &Peer, producers: &Slab<Producer>, header: &Header, received: &Received) -> Option<usize> {
    let all = || peer.reception.producers.iter().filter_map(|key| producers.get(*key).map(|p| (*key, p)));
    if let Some(mid) = received.mid {
        return all().find(|(_, p)| p.track.mid == Some(mid)).map(|(key, _)| key);
    }
    let rid = received.rid.or(received.repaired_rid);
    let fits = |p: &Producer| {
        let named = rid.is_none() || p.encodings.iter().any(|e| e.receive.rid == rid);
        named && p.track.meaning(header.pt) != PtMeaning::Unknown
    };
    let mut fitting = all().filter(|(_, p)| fits(p)).map(|(key, _)| key);
    let first = fitting.next()?;
    fitting.next().is_none().then_some(first)
}
