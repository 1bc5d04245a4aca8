//! Subscribing: which track goes into which section of which connection, in either mode.

use std::time::Duration;

use clock::Time;
use livekit_protocol as proto;
use proto::signal_response::Message;
use room::{ParticipantSid, TrackKind, TrackSid};
use rtp::ext::PlayoutDelay;
use sfu::{ConsumerParams, ExtensionIds, ProducerId, Wish};

use crate::conference::Timer;
use crate::negotiation::{Chosen, Downstream, Line, Slot, SlotState, accepts, extension_ids, misses_first};
use crate::second_codec::Supply;
use crate::{Conference, Mode};

/// The highest temporal layer there is: all frames.
const ALL_FRAMES: u8 = 7;

impl Conference {
    pub(crate) fn on_subscribed(&mut self, now: Time, sid: &ParticipantSid, track: &TrackSid) {
        let Some(kind) = self.room.track(track).map(|t| t.draft.kind) else { return };
        let Some(session) = self.sessions.get_mut(sid) else { return };
        session.downstream.add(track.clone(), kind);
        self.regress(sid, track);
        self.count_in(track);
        self.want_negotiation(now, sid, true);
    }

    pub(crate) fn on_unsubscribed(&mut self, now: Time, sid: &ParticipantSid, track: &TrackSid) {
        self.count_out(sid, track);
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let Some(line) = session.downstream.remove(track) else { return };
        self.stop(&line);
        self.want_negotiation(now, sid, false);
    }

    pub(crate) fn on_adjusted(&mut self, sid: &ParticipantSid, track: &TrackSid) {
        let Some(wish) = self.wish(sid, track) else { return };
        let line = self.sessions.get(sid).and_then(|s| s.downstream.line(track));
        let Some(consumer) = line.filter(|l| l.started).map(|l| l.consumer) else { return };
        self.command(sfu::Command::SetWish { consumer, wish });
    }

    pub(crate) fn refuse_subscription(
        &mut self,
        sid: &ParticipantSid,
        track: &TrackSid,
        error: proto::SubscriptionError,
    ) {
        let response = proto::SubscriptionResponse { track_sid: track.0.clone(), err: error.into() };
        self.tell(sid, Message::SubscriptionResponse(response));
    }

    /// What is to be negotiated waits for more of its kind: less long where someone waits for it.
    pub(crate) fn want_negotiation(&mut self, now: Time, sid: &ParticipantSid, urgent: bool) {
        let limits = &self.config.limits;
        let at = now.mono + if urgent { limits.urgent_debounce } else { limits.debounce };
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let timer = match (&session.mode, &mut session.down) {
            (Mode::Dual, Some(down)) => down.want(at),
            // Made as soon as they may subscribe; what waits is offered then.
            (Mode::Dual, None) => None,
            (Mode::Single, _) if session.need.asked => None,
            (Mode::Single, _) => {
                let sooner = session.need.due.is_none_or(|due| at < due);
                sooner.then(|| *session.need.due.insert(at))
            }
        };
        if let Some(at) = timer {
            self.set_timer(at, Timer::Negotiate(sid.clone()));
        }
    }

    /// The debounce is over.
    pub(crate) fn negotiate(&mut self, now: Time, sid: &ParticipantSid) {
        match self.sessions.get(sid).map(|s| s.mode) {
            Some(Mode::Dual) => self.offer_if_due(now, sid),
            Some(Mode::Single) => self.ask_for_sections(now, sid),
            None => {}
        }
    }

    /// What we send for a track, as the media engine is told.
    pub(crate) fn wish(&self, sid: &ParticipantSid, track: &TrackSid) -> Option<Wish> {
        let published = self.room.track(track)?;
        let settings = self.room.participant(sid)?.settings(track)?;
        // A picture at full rate is sent in at most three temporal layers, each half of the next.
        let max_temporal = match settings.fps {
            0 => ALL_FRAMES,
            1..=8 => 0,
            9..=15 => 1,
            _ => ALL_FRAMES,
        };
        Some(Wish {
            paused: settings.disabled,
            max_spatial: published.spatial_for(settings),
            max_temporal,
            priority: if settings.priority == 0 { 0 } else { u32::MAX - settings.priority },
        })
    }

    /// A line for a track, in these codecs.
    pub(crate) fn new_line(
        &mut self,
        worker: u8,
        track: TrackSid,
        producer: ProducerId,
        codecs: Vec<Chosen>,
    ) -> Line {
        let repairs = codecs.iter().any(|c| c.rtx.is_some());
        Line {
            track,
            consumer: self.names.consumer(worker),
            producer,
            ssrc: self.names.ssrc(),
            rtx: repairs.then(|| self.names.ssrc()),
            codecs,
            started: false,
            paused: None,
        }
    }

    /// Tells the media engine to send a line.
    pub(crate) fn start(
        &mut self,
        sid: &ParticipantSid,
        mid: rtp::Mid,
        line: &Line,
        codecs: &[Chosen],
        extensions: ExtensionIds,
    ) {
        let Some(peer) = self.sessions.get(sid).map(crate::session::Session::sending_peer) else { return };
        let producer = line.producer;
        let Some(wish) = self.wish(sid, &line.track) else { return };
        let rtx_ssrc = line.rtx.filter(|_| codecs.iter().any(|c| c.rtx.is_some()));
        let params = ConsumerParams {
            mid,
            ssrc: line.ssrc,
            rtx_ssrc,
            codecs: codecs.iter().map(Chosen::params).collect(),
            extensions,
            playout_delay: self.playout_delay(),
            trailers: self.trailers_for(sid),
            wish,
        };
        let track = line.track.clone();
        self.consumers.insert(line.consumer, (sid.clone(), track.clone()));
        let consumer = line.consumer;
        self.command(sfu::Command::AddConsumer { peer, consumer, producer, params });
        self.tell_quality_of_publisher(sid, &track);
    }

    /// What stands behind pictures goes to who says that they read it. livekit-client does not say so over two connections.
    fn trailers_for(&self, sid: &ParticipantSid) -> sfu::Trailers {
        let capability = i32::from(proto::client_info::Capability::CapPacketTrailer);
        let says = |p: &room::Participant| p.who.client.capabilities.contains(&capability);
        if self.room.participant(sid).is_some_and(says) {
            sfu::Trailers::All
        } else if self.sessions.get(sid).is_some_and(|s| s.mode == Mode::Dual) {
            sfu::Trailers::Harmless
        } else {
            sfu::Trailers::None
        }
    }

    /// What every subscriber's buffer is told.
    fn playout_delay(&self) -> Option<PlayoutDelay> {
        let delay = self.room.config().playout_delay?;
        let units =
            |d: Duration| u16::try_from(d.as_millis() / 10).unwrap_or(u16::MAX).min(PLAYOUT_DELAY_MAX);
        let min = units(delay.min);
        Some(PlayoutDelay { min, max: units(delay.max).max(min) })
    }

    /// Tells the media engine to send a line no longer.
    pub(crate) fn stop(&mut self, line: &Line) {
        self.names.release_line(line);
        self.consumers.remove(&line.consumer);
        if line.started {
            self.command(sfu::Command::RemoveConsumer { consumer: line.consumer });
        }
    }

    /// The stream's and the track's names towards a client: `PA_…|TR_…` and `TR_…`. Where streams are to be
    /// played in time, the tracks of one have its name in common instead: `PA_…|camera`.
    pub(crate) fn stream(&self, to: &ParticipantSid, line: &Line) -> crate::negotiation::Stream {
        let track = self.room.track(&line.track);
        let publisher = track.map(|t| t.publisher.0.clone()).unwrap_or_default();
        let together = self.room.config().sync_streams
            && self.sessions.get(to).is_some_and(|s| s.make.takes_stream_names());
        let name = track.map(|t| t.draft.stream.as_str()).filter(|name| together && is_stream_name(name));
        crate::negotiation::Stream {
            msid: sdp::Msid {
                stream: format!("{publisher}|{}", name.unwrap_or(&line.track.0)),
                track: Some(line.track.0.clone()),
            },
            cname: publisher,
            ssrc: line.ssrc,
            rtx: line.rtx,
        }
    }

    /// Which section carries which track.
    pub(crate) fn mids(&self, sid: &ParticipantSid) -> std::collections::HashMap<String, String> {
        let Some(session) = self.sessions.get(sid) else { return Default::default() };
        session.downstream.lines().map(|(mid, line)| (mid.to_string(), line.track.0.clone())).collect()
    }

    /// One connection: tracks that wait move into free sections of the client's offer. Returns what is
    /// sent in which section.
    pub(crate) fn fill_slots(&mut self, sid: &ParticipantSid, offer: &sdp::Session) -> Sending {
        let mut sending = Sending::default();
        let Some(session) = self.sessions.get_mut(sid) else { return sending };
        let (worker, media_only) = (session.worker, session.media_only);
        let mut downstream = std::mem::take(&mut session.downstream);
        self.follow_sections(&mut downstream, offer);
        self.place_waiting(sid, worker, &mut downstream, |mid| offer.section(mid).map(|s| &s.rtp));
        downstream.open = match media_only {
            true => downstream
                .slots
                .iter()
                .filter_map(|s| Some((s.mid, offer.section(s.mid)?.rtp.clone())))
                .collect(),
            false => Vec::new(),
        };
        let mut starting = Vec::new();
        for slot in &mut downstream.slots {
            let mid = slot.mid;
            match &mut slot.state {
                SlotState::Busy(line) => {
                    sending.insert(mid, (line.codecs.clone(), self.stream(sid, line)));
                    if !std::mem::replace(&mut line.started, true) {
                        starting.push((mid, line.clone()));
                    }
                }
                // This answer tells the client that the section is inactive.
                SlotState::Closing => slot.state = SlotState::Free,
                SlotState::Free => {}
            }
        }
        if let Some(session) = self.sessions.get_mut(sid) {
            session.downstream = downstream;
        }
        for (mid, line) in starting {
            let Some(section) = offer.section(mid) else { continue };
            let extensions = extension_ids(&accepts(&section.rtp));
            self.start(sid, mid, &line, &line.codecs, extensions);
        }
        sending
    }

    /// Gives tracks that wait a free section each, of those that `offered` tells of.
    fn place_waiting<'o>(
        &mut self,
        sid: &ParticipantSid,
        worker: u8,
        downstream: &mut Downstream,
        offered: impl Fn(rtp::Mid) -> Option<&'o sdp::Rtp>,
    ) {
        for (track, kind) in downstream.take_queue() {
            let (producer, codecs) = match self.supply(sid, &track) {
                Some(Supply::Sent(producer, codecs)) => (producer, codecs),
                // Comes back when it is there.
                Some(Supply::Awaited) | None => continue,
            };
            let Some(at) = downstream.free_slot(kind) else {
                downstream.add(track, kind);
                continue;
            };
            let section = downstream.slots.get(at).and_then(|slot| offered(slot.mid));
            let chosen = section
                .map(|rtp| crate::negotiation::choose_for(rtp, &self.config.codecs, &codecs))
                .unwrap_or_default();
            if misses_first(&codecs, &chosen) {
                let takes = section.is_some_and(|rtp| self.takes_second(&track, rtp));
                if !(takes && self.fall_back(sid, &track, downstream)) {
                    self.refuse_subscription(sid, &track, proto::SubscriptionError::SeCodecUnsupported);
                }
                continue;
            }
            let line = self.new_line(worker, track, producer, chosen);
            if let Some(slot) = downstream.slots.get_mut(at) {
                slot.state = SlotState::Busy(line);
            }
        }
    }

    /// Nobody can ask a client over HTTP for another offer: what waits goes into the sections that its answer left
    /// open, unannounced. The client knows it by its MID (RFC 9143 section 9.2) or its payload type.
    fn fill_open(&mut self, sid: &ParticipantSid) {
        let Some(session) = self.sessions.get_mut(sid) else { return };
        session.need.due = None;
        let worker = session.worker;
        let mut downstream = std::mem::take(&mut session.downstream);
        let open = std::mem::take(&mut downstream.open);
        let offered = |mid| open.iter().find(|(known, _)| *known == mid).map(|(_, rtp)| rtp);
        downstream.free_closing();
        self.place_waiting(sid, worker, &mut downstream, offered);
        let mut starting = Vec::new();
        for slot in &mut downstream.slots {
            if let SlotState::Busy(line) = &mut slot.state
                && !std::mem::replace(&mut line.started, true)
            {
                starting.push((slot.mid, line.clone()));
            }
        }
        // The session has to know its lines before one of them is started.
        let extensions: Vec<_> =
            starting.iter().map(|(mid, _)| offered(*mid).map(|rtp| extension_ids(&accepts(rtp)))).collect();
        downstream.open = open;
        if let Some(session) = self.sessions.get_mut(sid) {
            session.downstream = downstream;
        }
        for ((mid, line), extensions) in starting.into_iter().zip(extensions) {
            self.start(sid, mid, &line, &line.codecs, extensions.unwrap_or_default());
        }
    }

    /// Makes the slots those sections in which the client receives and does not send.
    fn follow_sections(&mut self, downstream: &mut Downstream, offer: &sdp::Session) {
        let receives = |section: &&sdp::Section| {
            section.is_rtp()
                && !section.is_rejected()
                && section.direction.receives()
                && !section.direction.sends()
        };
        let mut slots = std::mem::take(&mut downstream.slots);
        for section in offer.sections.iter().filter(receives) {
            let (Some(mid), Some(kind)) = (section.mid, crate::negotiation::track_kind(section)) else {
                continue;
            };
            let known = slots.iter().position(|s| s.mid == mid && s.kind == kind);
            let slot = known.map(|at| slots.swap_remove(at));
            downstream.slots.push(slot.unwrap_or(Slot { mid, kind, state: SlotState::Free }));
        }
        // Sections that the client has taken away: their tracks wait again.
        for slot in slots {
            if let SlotState::Busy(line) = slot.state {
                self.stop(&line);
                downstream.add(line.track, slot.kind);
            }
        }
    }

    /// One connection: after each answer, what still has no place is asked for again.
    pub(crate) fn after_answer(&mut self, now: Time, sid: &ParticipantSid) {
        let Some(session) = self.sessions.get_mut(sid) else { return };
        session.need.asked = false;
        if session.downstream.is_unsettled() {
            self.want_negotiation(now, sid, true);
        } else {
            session.need.fruitless = 0;
        }
    }

    fn ask_for_sections(&mut self, now: Time, sid: &ParticipantSid) {
        let Some(session) = self.sessions.get_mut(sid) else { return };
        if session.media_only && session.up.version > 0 {
            return self.fill_open(sid);
        }
        if session.need.due.is_none_or(|due| due > now.mono) {
            return;
        }
        session.need.due = None;
        // Before the first offer there is nothing to add to: the client is about to make it.
        if session.need.asked || session.up.version == 0 || !session.downstream.is_unsettled() {
            return;
        }
        // A client that offers again and again without new sections would be asked for ever.
        if session.need.fruitless >= FRUITLESS_MAX {
            return;
        }
        session.need.fruitless += 1;
        session.need.asked = true;
        let requirement = proto::MediaSectionsRequirement {
            num_audios: session.downstream.shortage(TrackKind::Audio),
            num_videos: session.downstream.shortage(TrackKind::Video),
        };
        self.tell(sid, Message::MediaSectionsRequirement(requirement));
    }
}

/// Whether a client's name of a stream can stand in an msid (RFC 8830 section 2) and is not taken for that
/// of a track.
fn is_stream_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= STREAM_NAME_MAX && name.bytes().all(plain) && !name.starts_with("TR")
}

/// Bytes of a stream's name: an msid has 64 (RFC 8830 section 2), of which a participant and a bar take some.
const STREAM_NAME_MAX: usize = 32;
/// In units of 10 ms: 12 bits.
const PLAYOUT_DELAY_MAX: u16 = 0x0fff;
/// Requests for sections in a row that leave tracks without one.
const FRUITLESS_MAX: u32 = 16;

/// What is sent in which section.
pub(crate) type Sending = std::collections::HashMap<rtp::Mid, (Vec<Chosen>, crate::negotiation::Stream)>;
