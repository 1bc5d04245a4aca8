//! Two connections (v0): we offer what we send, on a connection of its own.

use clock::Time;
use livekit_protocol as proto;
use peer::Credentials;
use proto::signal_response::Message;
use room::{LeaveReason, ParticipantSid, TrackKind};
use rtp::Mid;
use sfu::ChannelParams;

use crate::conference::Timer;
use crate::negotiation::{
    Answered, Chosen, Offerer, Phase, Remote, SPROP_STEREO, Slot, SlotState, defaults_for, extension_ids,
    misses_first, offered_extensions,
};
use crate::publishing::transport;
use crate::second_codec::Supply;
use crate::{Conference, Mode};

/// Data channels that we open: label, ordered, retransmissions.
pub(crate) const CHANNELS: [(&str, bool, Option<u16>); 3] =
    [("_reliable", true, None), ("_lossy", false, Some(0)), ("_data_track", false, Some(0))];
/// A trickled candidate's text, in bytes.
const CANDIDATE_MAX: usize = 2048;

impl Conference {
    /// Opens the transports that a participant is entitled to, as far as they are not open yet.
    pub(crate) fn start_media(&mut self, now: Time, sid: &ParticipantSid) {
        let may = self.room.participant(sid).is_some_and(|p| p.who.permission.can_subscribe);
        let Some(session) = self.sessions.get_mut(sid) else { return };
        match session.mode {
            Mode::Single => self.open_up(sid),
            Mode::Dual if may && session.down.is_none() => {
                let worker = session.worker;
                let peer = self.names.peer(worker);
                let credentials = Credentials::generate(worker, &mut self.names.rng);
                if let Some(session) = self.sessions.get_mut(sid) {
                    session.down = Some(Offerer::new(peer, credentials));
                }
                self.peers.insert(peer, sid.clone());
                let Some(local) = self.local(sid, true) else { return };
                self.command(sfu::Command::OpenPeer { peer, local: transport(&local, true) });
                self.allow_pause(sid);
                for (label, ordered, max_retransmits) in CHANNELS {
                    let params =
                        ChannelParams { label: label.into(), ordered, max_retransmits, negotiated_id: None };
                    self.command(sfu::Command::OpenChannel { peer, params });
                }
                self.make_offer(now, sid);
            }
            Mode::Dual => {}
        }
    }

    pub(crate) fn offer_if_due(&mut self, now: Time, sid: &ParticipantSid) {
        let down = self.sessions.get(sid).and_then(|s| s.down.as_ref());
        if matches!(down.map(|d| d.phase), Some(Phase::Due(due)) if due <= now.mono) {
            self.make_offer(now, sid);
        }
    }

    /// Puts waiting tracks into sections and offers.
    fn make_offer(&mut self, now: Time, sid: &ParticipantSid) {
        self.extend_slots(sid);
        let Some(local) = self.local(sid, true) else { return };
        let Some(session) = self.sessions.get(sid) else { return };
        let streams: Vec<_> = session.downstream.lines().map(|(_, line)| self.stream(sid, line)).collect();
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let Some(down) = session.down.as_mut() else { return };
        let offer = down.offer(&session.downstream, &local, &streams);
        let id = down.id;
        let offer = proto::SessionDescription {
            r#type: "offer".into(),
            sdp: offer.to_string(),
            id,
            mid_to_track_id: self.mids(sid),
        };
        self.tell(sid, Message::Offer(offer));
        let deadline = now.mono + self.config.limits.negotiation_timeout;
        self.set_timer(deadline, Timer::Answer(sid.clone(), id));
    }

    fn extend_slots(&mut self, sid: &ParticipantSid) {
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let worker = session.worker;
        for (track, kind) in session.downstream.take_queue() {
            let (producer, codecs) = match self.supply(sid, &track) {
                Some(Supply::Sent(producer, codecs)) => (producer, defaults_for(&codecs)),
                Some(Supply::Awaited) | None => continue,
            };
            if codecs.is_empty() {
                self.refuse_subscription(sid, &track, proto::SubscriptionError::SeCodecUnsupported);
                continue;
            }
            let mut codecs = codecs;
            if self.room.track(&track).is_some_and(is_stereo) {
                let opus = codecs.iter_mut().filter(|c| c.kind == codec::Kind::Opus);
                opus.for_each(|c| c.payload.fmtp.set(SPROP_STEREO, "1"));
            }
            let line = self.new_line(worker, track, producer, codecs);
            let Some(session) = self.sessions.get_mut(sid) else { return };
            let slots = &mut session.downstream.slots;
            let free = slots.iter_mut().find(|s| s.kind == kind && matches!(s.state, SlotState::Free));
            match free {
                Some(slot) => slot.state = SlotState::Busy(line),
                None => {
                    // Data has the first section.
                    let Some(mid) = Mid::new(&(slots.len() + 1).to_string()) else { continue };
                    slots.push(Slot { mid, kind, state: SlotState::Busy(line) });
                }
            }
        }
    }

    pub(crate) fn on_answer(&mut self, now: Time, sid: &ParticipantSid, said: &proto::SessionDescription) {
        let Some(down) = self.sessions.get_mut(sid).and_then(|s| s.down.as_mut()) else { return };
        let Answered::Current { again } = down.answered(said.id) else { return };
        let answer = sdp::parse(&said.sdp, &sdp::Limits::default()).ok();
        let remote = answer.as_ref().map(Remote::of);
        let (Some(answer), Some(Ok(Some(remote)))) = (answer, remote) else {
            self.expel(now, sid, LeaveReason::StateMismatch);
            return;
        };
        let Remote(remote) = remote;
        let peer = down.peer;
        down.remote = Some(remote.credentials.clone());
        let early = down.early.take();
        self.command(sfu::Command::SetRemote { peer, remote });
        for candidate in early {
            self.command(sfu::Command::AddCandidate { peer, candidate });
        }
        self.start_answered(sid, &answer);
        let unsettled = self.sessions.get(sid).is_some_and(|s| s.downstream.is_unsettled());
        if again || unsettled {
            self.want_negotiation(now, sid, true);
        }
    }

    /// Starts what the answer takes, and gives up what it does not.
    fn start_answered(&mut self, sid: &ParticipantSid, answer: &sdp::Session) {
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let mut downstream = std::mem::take(&mut session.downstream);
        let mut started = Vec::new();
        let mut refused = Vec::new();
        for slot in &mut downstream.slots {
            let section = answer.section(slot.mid);
            match &mut slot.state {
                SlotState::Free => {}
                // Closed since the offer went out, or closed by it: it is the answer that tells.
                SlotState::Closing => {
                    if section.is_none_or(|s| !s.direction.receives() || s.is_rejected()) {
                        slot.state = SlotState::Free;
                    }
                }
                SlotState::Busy(line) if line.started => {}
                SlotState::Busy(line) => {
                    let taken = section.filter(|s| s.direction.receives() && !s.is_rejected());
                    let codecs = taken.map(|s| agreed(&line.codecs, &s.rtp)).unwrap_or_default();
                    match taken {
                        Some(section) if !misses_first(&line.codecs, &codecs) => {
                            line.started = true;
                            let audio = slot.kind == TrackKind::Audio;
                            let ours = offered_extensions(audio);
                            let both =
                                ours.iter().filter(|e| section.rtp.extension_id(&e.extension) == Some(e.id));
                            started.push((slot.mid, line.clone(), codecs, extension_ids(both)));
                        }
                        _ => {
                            refused.push(line.clone());
                            slot.state = SlotState::Closing;
                        }
                    }
                }
            }
        }
        if let Some(session) = self.sessions.get_mut(sid) {
            session.downstream = downstream;
        }
        for (mid, line, codecs, extensions) in started {
            self.start(sid, mid, &line, &codecs, extensions);
        }
        for line in refused {
            self.stop(&line);
            let Some(session) = self.sessions.get_mut(sid) else { return };
            let mut downstream = std::mem::take(&mut session.downstream);
            // Of a track in two codecs, what was refused may be the first or already the second.
            let falls_back = self.fall_back(sid, &line.track, &mut downstream);
            if let Some(session) = self.sessions.get_mut(sid) {
                session.downstream = downstream;
            }
            if !falls_back {
                self.refuse_subscription(sid, &line.track, proto::SubscriptionError::SeCodecUnsupported);
            }
        }
    }

    /// An offer that nobody answers: the client needs a fresh start.
    pub(crate) fn check_answer(&mut self, now: Time, sid: &ParticipantSid, id: u32) {
        let Some(session) = self.sessions.get(sid) else { return };
        let Some(down) = session.down.as_ref() else { return };
        let unanswered = matches!(down.phase, Phase::Waiting { .. }) && down.id == id;
        // Without a socket there is nobody to answer; a resume offers again.
        if unanswered && session.socket.is_some() {
            self.expel(now, sid, LeaveReason::StateMismatch);
        }
    }

    /// A resumed client gets an offer with fresh credentials.
    pub(crate) fn restart_subscriber(&mut self, now: Time, sid: &ParticipantSid) {
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let Some(down) = session.down.as_mut() else { return };
        down.credentials = Credentials::generate(session.worker, &mut self.names.rng);
        let (peer, credentials) = (down.peer, down.credentials.clone());
        self.command(sfu::Command::RestartIce { peer, credentials });
        self.make_offer(now, sid);
    }

    /// A candidate of the client's.
    pub(crate) fn on_trickle(&mut self, sid: &ParticipantSid, trickle: &proto::TrickleRequest) {
        if trickle.candidate_init.len() > CANDIDATE_MAX {
            return;
        }
        let Some(candidate) = read_candidate(&trickle.candidate_init) else { return };
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let to_down = session.mode == Mode::Dual && trickle.target() == proto::SignalTarget::Subscriber;
        let (peer, ready) = match (&mut session.down, to_down) {
            (Some(down), true) if down.remote.is_none() => return down.early.keep(candidate),
            (Some(down), true) => (down.peer, true),
            (None, true) => return,
            (_, false) if session.up.remote.is_none() => return session.up.early.keep(candidate),
            (_, false) => (session.up.peer, true),
        };
        if ready {
            self.command(sfu::Command::AddCandidate { peer, candidate });
        }
    }
}

fn is_stereo(track: &room::Track) -> bool {
    track.draft.opaque.audio_features.contains(&proto::AudioTrackFeature::TfStereo.into())
}

/// What remains of offered codecs in an answer. Payload types are ours: the answerer may not change them.
fn agreed(offered: &[Chosen], answer: &sdp::Rtp) -> Vec<Chosen> {
    let keep = |chosen: &Chosen| {
        let theirs = answer.payload(chosen.payload.pt)?;
        let mut chosen = chosen.clone();
        chosen.payload.feedback.retain(|f| theirs.feedback.contains(f));
        chosen.rtx = chosen.rtx.filter(|_| answer.rtx_of(chosen.payload.pt) == chosen.rtx);
        Some(chosen)
    };
    offered.iter().filter_map(keep).collect()
}

/// An `RTCIceCandidateInit` in JSON. An empty candidate marks the end and is none, as are those of TCP
/// and those behind mDNS names.
fn read_candidate(text: &str) -> Option<peer::Candidate> {
    let init: serde_json::Value = serde_json::from_str(text).ok()?;
    let line = init.get("candidate")?.as_str().filter(|l| !l.is_empty())?;
    crate::negotiation::from_sdp(&sdp::Candidate::parse(line).ok()?)
}
