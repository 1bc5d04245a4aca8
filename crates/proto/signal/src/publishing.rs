//! Publishing: announced tracks, clients' offers, and how the two find each other.

use clock::Time;
use codec::Kind;
use livekit_protocol as proto;
use peer::{Credentials, DtlsRole, LocalTransport};
use proto::request_response::{Reason, Request};
use proto::signal_response::Message;
use room::{Command, LeaveReason, Outcome, ParticipantSid, TrackChange, TrackKind, TrackSid};

use crate::announcement::{ID_MAX, cids, draft, is_modest, track_codec, wish};
use crate::conference::Published;
use crate::messages;
use crate::negotiation::{
    Local, Pending, Plan, Remote, Wish, build_answer, choose_to_receive, restrict, track_kind,
};
use crate::offering::CHANNELS;
use crate::second_codec::{Second, first_alone};
use crate::{Conference, Mode};

/// The stream id of the first of [`CHANNELS`] where ids are agreed on; the others follow.
const AGREED_ID: u16 = 100;

impl Conference {
    /// A client announces a track, or a second codec for one.
    pub(crate) fn on_add_track(&mut self, now: Time, sid: &ParticipantSid, add: proto::AddTrackRequest) {
        let Some(session) = self.sessions.get(sid) else { return };
        if !is_modest(&add) {
            self.refuse(sid, 0, Reason::LimitExceeded, "request is too large", Request::AddTrack(add));
            return;
        }
        let tracks = self.room.participant(sid).map_or(0, |p| p.tracks.len());
        let limits = &self.config.limits;
        if session.up.pending.len() >= limits.pending_tracks || tracks >= limits.published_tracks {
            self.refuse(sid, 0, Reason::LimitExceeded, "too many tracks", Request::AddTrack(add));
            return;
        }
        let kind = match add.r#type() {
            proto::TrackType::Audio => TrackKind::Audio,
            proto::TrackType::Video => TrackKind::Video,
            proto::TrackType::Data => {
                self.refuse(sid, 0, Reason::UnsupportedType, "not audio or video", Request::AddTrack(add));
                return;
            }
        };
        if !add.sid.is_empty() {
            self.add_codec(now, sid, kind, add);
            return;
        }
        if let Some(published) = self.announced(sid, &add.cid) {
            // Asked again, perhaps since the first answer was lost with a socket.
            self.say_published(sid, add.cid, &published);
            return;
        }
        let draft = Box::new(draft(&add, kind, &self.config.codecs));
        let pending_wish = wish(&add, &draft);
        let cids = cids(&add);
        match self.tell_room(now, Command::Announce { publisher: sid.clone(), draft }) {
            Ok(Outcome::Track(track)) => {
                self.say_published(sid, add.cid, &track);
                if let Some(session) = self.sessions.get_mut(sid) {
                    session.up.pending.push(Pending { track, kind, cids, wish: pending_wish });
                }
                self.match_tracks(now, sid);
            }
            Ok(_) => {}
            Err(refusal) => {
                let reason = match refusal {
                    room::Refusal::NotAllowed => Reason::NotAllowed,
                    _ => Reason::LimitExceeded,
                };
                self.refuse(sid, 0, reason, &refusal.to_string(), Request::AddTrack(add));
            }
        }
    }

    /// The client's track of that id, if it waits for its section or is live.
    fn announced(&self, sid: &ParticipantSid, cid: &str) -> Option<TrackSid> {
        let participant = self.room.participant(sid)?;
        let mine = participant.tracks.iter().filter_map(|t| self.room.track(t));
        mine.filter(|t| !t.live).find(|t| t.draft.cid == cid).map(|t| t.sid.clone())
    }

    /// The same track in a second codec, which somebody lacks the first for.
    fn add_codec(&mut self, now: Time, sid: &ParticipantSid, kind: TrackKind, add: proto::AddTrackRequest) {
        let track = TrackSid(add.sid.clone());
        let known = self.room.track(&track).is_some_and(|t| t.publisher == *sid && t.draft.kind == kind);
        let Some(codec) = add.simulcast_codecs.first().filter(|_| known) else {
            self.refuse(sid, 0, Reason::NotFound, "no such track", Request::AddTrack(add));
            return;
        };
        let codec = track_codec(codec, kind, &add.layers);
        let rids = codec.layers.iter().map(|l| l.rid.clone()).filter(|r| !r.is_empty());
        let wish = Wish {
            preferred: Kind::from_name(&codec.mime),
            rids: rids.collect(),
            backup: true,
            ..Wish::default()
        };
        let change = TrackChange::AddCodec(codec);
        if self.tell_room(now, Command::Describe { track: track.clone(), change }).is_err() {
            self.refuse(sid, 0, Reason::LimitExceeded, "too many codecs", Request::AddTrack(add));
            return;
        }
        let cids = cids(&add);
        self.say_published(sid, add.cid, &track);
        if let Some(session) = self.sessions.get_mut(sid) {
            session.up.pending.push(Pending { track, kind, cids, wish });
        }
        self.match_tracks(now, sid);
    }

    fn say_published(&mut self, sid: &ParticipantSid, cid: String, track: &TrackSid) {
        let track = self.room.track(track).map(messages::track_info);
        self.tell(sid, Message::TrackPublished(proto::TrackPublishedResponse { cid, track }));
    }

    /// A client offers, on its publisher connection or on its only one.
    pub(crate) fn on_offer(&mut self, now: Time, sid: &ParticipantSid, said: proto::SessionDescription) {
        let limits = sdp::Limits::default();
        let parsed = sdp::parse(&said.sdp, &limits).ok();
        let remote = parsed.as_ref().map(Remote::of);
        let (Some(mut offer), Some(Ok(remote))) = (parsed, remote) else {
            // There is no answer to this, and waiting for one the client would hang.
            self.expel(now, sid, LeaveReason::StateMismatch);
            return;
        };
        let role = remote.as_ref().map_or(DtlsRole::Server, |r| r.0.dtls_role);
        if let Some(remote) = remote {
            self.connect_up(sid, remote);
        }
        restrict(&mut offer, &self.config.profiles);
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let ended = session.up.read(&offer);
        for section in ended {
            let Some(track) = section.track else { continue };
            if section.wish.backup {
                self.second_ended(now, &track);
                continue;
            }
            let _ = self.tell_room(now, Command::Unpublish { track, by_server: false });
        }
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let matched = session.up.match_tracks(session.make.alters_ids);
        let changed = session.up.agree(&offer, &self.config.codecs, session.make.firefox);
        let plans = self.plan(sid, &offer);
        let Some(session) = self.sessions.get_mut(sid) else { return };
        session.up.version += 1;
        let (peer, extensions) = (session.up.peer, session.up.extensions);
        let single = session.mode == Mode::Single;
        let local = self.local(sid, false);
        self.command(sfu::Command::SetReceiveExtensions { peer, extensions });
        self.update_producers(sid, &changed);
        let Some(local) = local else { return };
        let answer = build_answer(&offer, &plans, &local, role);
        let mid_to_track_id = if single { self.mids(sid) } else { Default::default() };
        let answer = proto::SessionDescription {
            r#type: "answer".into(),
            sdp: answer.to_string(),
            id: said.id,
            mid_to_track_id,
        };
        self.tell(sid, Message::Answer(answer));
        self.go_live(now, sid, &matched);
        if single {
            self.after_answer(now, sid);
        }
    }

    /// Opens the transport, or restarts its ICE, as the offer demands.
    fn connect_up(&mut self, sid: &ParticipantSid, remote: Remote) {
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let Remote(remote) = remote;
        let up = &mut session.up;
        let peer = up.peer;
        let restarts = up.remote.as_ref().is_some_and(|r| *r != remote.credentials);
        up.remote = Some(remote.credentials.clone());
        let early = up.early.take();
        if restarts {
            up.credentials = Credentials::generate(session.worker, &mut self.names.rng);
            let credentials = up.credentials.clone();
            self.command(sfu::Command::RestartIce { peer, credentials });
        }
        self.open_up(sid);
        self.command(sfu::Command::SetRemote { peer, remote });
        for candidate in early {
            self.command(sfu::Command::AddCandidate { peer, candidate });
        }
    }

    /// Tells the media engine of the transport on which the client offers.
    pub(crate) fn open_up(&mut self, sid: &ParticipantSid) {
        let Some(local) = self.local(sid, false) else { return };
        let Some(session) = self.sessions.get_mut(sid).filter(|s| !s.up.opened) else { return };
        session.up.opened = true;
        let (peer, mode) = (session.up.peer, session.mode);
        let agreed = mode == Mode::Single && session.make.protocol >= messages::AGREED_CHANNELS_PROTOCOL;
        self.command(sfu::Command::OpenPeer { peer, local: transport(&local, false) });
        if agreed {
            for ((label, ordered, max_retransmits), id) in CHANNELS.into_iter().zip(AGREED_ID..) {
                let negotiated_id = Some(id);
                let params =
                    sfu::ChannelParams { label: label.into(), ordered, max_retransmits, negotiated_id };
                self.command(sfu::Command::OpenChannel { peer, params });
            }
        }
        if mode == Mode::Single {
            self.allow_pause(sid);
        }
    }

    /// Our end of a participant's transport.
    pub(crate) fn local(&self, sid: &ParticipantSid, offering: bool) -> Option<Local> {
        let session = self.sessions.get(sid)?;
        let credentials = match (offering, &session.down) {
            (true, Some(down)) => down.credentials.clone(),
            (true, None) => return None,
            (false, _) => session.up.credentials.clone(),
        };
        Some(Local {
            credentials,
            candidates: self.candidates(session.worker, session.hold.way),
            ice_lite: session.ice_lite,
            fingerprint: self.config.media.fingerprint,
            version: session.up.version,
        })
    }

    /// What is to happen in each section of an offer.
    fn plan(&mut self, sid: &ParticipantSid, offer: &sdp::Session) -> Vec<Plan> {
        let single = self.sessions.get(sid).is_some_and(|s| s.mode == Mode::Single);
        let mut sending = if single { self.fill_slots(sid, offer) } else { Default::default() };
        let Some(session) = self.sessions.get(sid) else { return Vec::new() };
        let mut has_data = false;
        let plan = |section: &sdp::Section| {
            if section.is_rejected() {
                return Plan::Reject;
            }
            if section.is_data() {
                // There is one SCTP association in a DTLS connection.
                return if std::mem::replace(&mut has_data, true) { Plan::Reject } else { Plan::Data };
            }
            let (Some(mid), Some(_)) = (section.mid, track_kind(section)) else { return Plan::Reject };
            if let Some((codecs, stream)) = sending.remove(&mid) {
                return Plan::Send { codecs, stream };
            }
            let receiving = session.up.sections.iter().find(|s| s.mid == mid && s.sends);
            let codecs = match receiving {
                Some(receiving) => receiving.codecs.clone(),
                None => choose_to_receive(&section.rtp, &self.config.codecs, None, false),
            };
            match receiving {
                _ if codecs.is_empty() => Plan::Reject,
                Some(receiving) => Plan::Receive { codecs, rids: receiving.rids() },
                None if session.downstream.open.iter().any(|(open, _)| *open == mid) => Plan::Open { codecs },
                None => Plan::Inactive { codecs },
            }
        };
        let mut plans: Vec<_> = offer.sections.iter().map(plan).collect();
        level_opus(&mut plans);
        plans
    }

    /// Brings together what has been announced and what has been offered before.
    fn match_tracks(&mut self, now: Time, sid: &ParticipantSid) {
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let matched = session.up.match_tracks(session.make.alters_ids);
        self.go_live(now, sid, &matched);
    }

    /// Tracks have their sections: media may come, and everyone hears of them.
    fn go_live(&mut self, now: Time, sid: &ParticipantSid, matched: &[usize]) {
        for at in matched {
            let Some(session) = self.sessions.get_mut(sid) else { return };
            let (peer, worker) = (session.up.peer, session.worker);
            let Some(section) = session.up.sections.get_mut(*at) else { continue };
            let Some(track) = section.track.clone().filter(|_| !section.codecs.is_empty()) else { continue };
            let actual = section.codecs.first().map(|c| c.kind);
            let (mid, cid) = (section.mid, section.cid.clone());
            let backup = section.wish.backup;
            let producer = self.names.producer(worker);
            section.producer = Some(producer);
            let (params, sent) = (section.params(), section.codecs.clone());
            self.command(sfu::Command::AddProducer { peer, producer, params });
            if !backup {
                let published =
                    Published { producer, codecs: sent.clone(), second: Second::default(), foreign: false };
                self.published.insert(track.clone(), published);
                self.producers.insert(producer, track.clone());
            }
            let Some(known) = self.room.track(&track) else { continue };
            let mut codecs = known.draft.codecs.clone();
            let entry = if backup { codecs.last_mut() } else { codecs.first_mut() };
            if let (Some(entry), Some(actual)) = (entry, actual) {
                let asked = std::mem::replace(&mut entry.mime, actual.mime());
                if asked != entry.mime {
                    entry.asked = asked;
                }
                entry.mid = mid.to_string();
                if !cid.is_empty() && cid.len() <= ID_MAX && entry.cid != cid {
                    entry.sdp_cid = cid;
                }
            }
            if let (false, Some(actual)) = (backup, actual) {
                // What was to be fallen back to may be what comes: there is no second then.
                let mut is_first = true;
                codecs.retain(|c| std::mem::take(&mut is_first) || c.mime != actual.mime());
            }
            let _ = self.tell_room(now, Command::GoLive { track: track.clone(), codecs });
            if backup {
                self.second_arrived(now, &track, producer, sent);
            }
        }
    }

    /// Sections that carry tracks already have new terms.
    fn update_producers(&mut self, sid: &ParticipantSid, changed: &[usize]) {
        let Some(session) = self.sessions.get(sid) else { return };
        let sections = changed.iter().filter_map(|at| session.up.sections.get(*at));
        let updates: Vec<_> = sections
            .filter_map(|s| Some((s.track.clone()?, s.producer?, s.params(), s.codecs.clone())))
            .collect();
        for (track, producer, params, codecs) in updates {
            if let Some(published) = self.published.get_mut(&track) {
                if published.producer == producer {
                    published.codecs = codecs;
                } else if let Some(second) = published.second.sent.as_mut().filter(|s| s.0 == producer) {
                    second.1 = first_alone(codecs);
                }
            }
            self.command(sfu::Command::UpdateProducer { producer, params });
        }
    }
}

/// A payload type means the same in all sections of a bundle (RFC 9143 section 9.1), so what a publisher is
/// told about Opus stands in every section.
fn level_opus(plans: &mut [Plan]) {
    let told = plans.iter().find_map(|plan| match plan {
        Plan::Receive { codecs, .. } => codecs.iter().find(|c| c.kind == Kind::Opus),
        _ => None,
    });
    let Some(told) = told.map(|c| c.payload.clone()) else { return };
    for plan in plans {
        let (Plan::Receive { codecs, .. }
        | Plan::Send { codecs, .. }
        | Plan::Open { codecs }
        | Plan::Inactive { codecs }) = plan
        else {
            continue;
        };
        for chosen in codecs.iter_mut().filter(|c| c.payload.pt == told.pt) {
            chosen.payload.fmtp = told.fmtp.clone();
        }
    }
}

/// As the media engine is told.
pub(crate) fn transport(local: &Local, offering: bool) -> LocalTransport {
    LocalTransport {
        credentials: local.credentials.clone(),
        ice_lite: local.ice_lite,
        // The offerer nominates, and a lite agent never does (RFC 8445 section 6.1.1).
        controlling: offering && !local.ice_lite,
        candidates: local.candidates.clone(),
    }
}
