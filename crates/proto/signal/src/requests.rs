//! What clients say, apart from descriptions and candidates.

use clock::Time;
use livekit_protocol as proto;
use proto::request_response::{Reason, Request};
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;
use room::{
    Audience, Command, LeaveReason, ParticipantSid, Permit, ProfileChange, Refusal, TrackChange, TrackSid,
};

use crate::{Conference, SessionId};

/// A client's request that concerns one of its tracks fails like this.
pub(crate) fn reason_of(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::NotAllowed => Reason::NotAllowed,
        Refusal::TooLarge | Refusal::Full => Reason::LimitExceeded,
        Refusal::NoTrack | Refusal::NoParticipant => Reason::NotFound,
        Refusal::Ended => Reason::UnclassifiedError,
        Refusal::InvalidHandle => Reason::InvalidHandle,
        Refusal::InvalidName => Reason::InvalidName,
        Refusal::DuplicateHandle => Reason::DuplicateHandle,
        Refusal::DuplicateName => Reason::DuplicateName,
    }
}

/// What a client hears that asks faster than it may.
const TOO_MANY: &str = "too many requests";

/// Bytes of a participant that are told the others for the price of one change.
const CHANGE_BYTES: usize = 16 << 10;
/// Tracks named in one request; the rest is not read.
pub(crate) const TRACKS_MAX: usize = 10_000;
/// Tracks for the price of one request.
const TRACKS_A_REQUEST: usize = 100;

/// Who hears of what is asked. A few bytes from one client become a participant with all its metadata for each of the
/// others, which one that reads slowly is dropped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Whom it concerns.
    Nobody,
    /// Everybody, as soon as it is done.
    AtOnce,
    /// Everybody, and it is enough if they hear the last of it.
    InTime,
}

fn told_of(ask: &Ask) -> Told {
    match ask {
        Ask::Mute(_)
        | Ask::UpdateAudioTrack(_)
        | Ask::UpdateVideoTrack(_)
        | Ask::PublishDataTrackRequest(_)
        | Ask::UnpublishDataTrackRequest(_) => Told::InTime,
        Ask::AddTrack(_) | Ask::Simulate(_) => Told::AtOnce,
        // Changes of itself are counted where they are made. Whom a publisher admits is never refused: it would go on
        // being heard by those whom it has just forbidden.
        _ => Told::Nobody,
    }
}

/// What a request is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cost {
    /// Without these the connection would break, or its end would not be told. Answers are looked at only where we have
    /// asked.
    Nothing,
    /// What is not done breaks the connection.
    Description,
    Requests(u32),
}

fn cost_of(ask: &Ask) -> Cost {
    let named = match ask {
        Ask::Answer(_) | Ask::Leave(_) | Ask::Ping(_) | Ask::PingReq(_) => return Cost::Nothing,
        Ask::Offer(_) | Ask::SyncState(_) => return Cost::Description,
        Ask::Subscription(update) => {
            let groups = update.participant_tracks.iter().map(|p| p.track_sids.len());
            update.track_sids.len() + groups.sum::<usize>()
        }
        Ask::TrackSetting(settings) => settings.track_sids.len(),
        Ask::UpdateDataSubscription(update) => update.updates.len(),
        _ => 0,
    };
    Cost::Requests(u32::try_from(1 + named / TRACKS_A_REQUEST).unwrap_or(u32::MAX))
}

impl Conference {
    pub(crate) fn on_request(&mut self, now: Time, socket: SessionId, request: proto::SignalRequest) {
        // A socket that was replaced or never joined has no say.
        let Some(sid) = self.sockets.get(&socket).cloned() else { return };
        if let Some(session) = self.sessions.get_mut(&sid) {
            session.hold.heard = now.mono;
        }
        // What a newer client may say is none of our business.
        let Some(ask) = request.message else { return };
        match cost_of(&ask) {
            Cost::Nothing => {}
            Cost::Description if self.may_describe(now, &sid) => {}
            Cost::Description => return self.expel(now, &sid, LeaveReason::StateMismatch),
            Cost::Requests(count) if self.may_ask(now, &sid, count) => {}
            Cost::Requests(_) => return self.refuse_too_many(&sid, ask),
        }
        let defers = match told_of(&ask) {
            Told::Nobody => false,
            _ if self.may_change(now, &sid, 0) => false,
            Told::AtOnce => {
                self.refuse_too_many(&sid, ask);
                return;
            }
            Told::InTime => true,
        };
        self.crowd.defers = defers;
        self.obey(now, &sid, socket, ask);
        self.crowd.defers = false;
    }

    #[allow(deprecated)] // Old clients say `update_layers`.
    fn obey(&mut self, now: Time, sid: &ParticipantSid, socket: SessionId, ask: Ask) {
        match ask {
            Ask::Offer(offer) => self.on_offer(now, sid, offer),
            Ask::Answer(answer) => self.on_answer(now, sid, &answer),
            Ask::Trickle(trickle) => self.on_trickle(sid, &trickle),
            Ask::AddTrack(add) => self.on_add_track(now, sid, add),
            Ask::Mute(mute) => self.on_mute(now, sid, mute),
            Ask::Subscription(subscription) => self.on_subscription(now, sid, subscription),
            Ask::TrackSetting(settings) => self.on_settings(now, sid, &settings),
            Ask::Leave(_) => self.expel(now, sid, LeaveReason::ClientInitiated),
            Ask::SubscriptionPermission(permission) => self.on_permission(now, sid, permission),
            Ask::SyncState(state) => self.on_sync_state(now, sid, state),
            Ask::Simulate(simulate) => self.on_simulate(now, sid, simulate),
            Ask::Ping(_) => self.send(socket, Message::Pong(now.unix_millis())),
            Ask::PingReq(ping) => {
                let pong = proto::Pong { last_ping_timestamp: ping.timestamp, timestamp: now.unix_millis() };
                self.send(socket, Message::PongResp(pong));
            }
            Ask::UpdateMetadata(update) => self.on_update_metadata(now, sid, update),
            Ask::UpdateAudioTrack(update) => {
                let change = TrackChange::AudioFeatures(update.features.iter().copied().take(16).collect());
                let request = Request::UpdateAudioTrack(update.clone());
                self.describe(now, sid, &update.track_sid, change, request);
            }
            Ask::UpdateVideoTrack(update) => {
                let change = TrackChange::Size { width: update.width, height: update.height };
                self.describe(now, sid, &update.track_sid, change, Request::UpdateVideoTrack(update.clone()));
            }
            Ask::PublishDataTrackRequest(request) => self.on_publish_data(now, sid, request),
            Ask::UnpublishDataTrackRequest(request) => self.on_unpublish_data(now, sid, request),
            Ask::UpdateDataSubscription(update) => self.on_data_subscription(now, sid, update),
            Ask::StoreDataBlobRequest(request) => self.on_store_blob(sid, request),
            Ask::GetDataBlobRequest(request) => self.on_get_blob(sid, &request),
            Ask::UpdateLayers(_) => {}
        }
    }

    fn may_ask(&mut self, now: Time, sid: &ParticipantSid, count: u32) -> bool {
        let rate = self.config.limits.requests;
        self.sessions.get_mut(sid).is_some_and(|session| session.requests.take_many(rate, count, now.mono))
    }

    fn may_describe(&mut self, now: Time, sid: &ParticipantSid) -> bool {
        let rate = self.config.limits.descriptions;
        self.sessions.get_mut(sid).is_some_and(|session| session.descriptions.take(rate, now.mono))
    }

    /// Whether everybody may be told of this participant once more, with so many bytes that are new.
    fn may_change(&mut self, now: Time, sid: &ParticipantSid, new: usize) -> bool {
        let rate = self.config.limits.updates;
        let Some(profile) = self.room.participant(sid).map(|p| &p.who.profile) else { return false };
        let attributes: usize = profile.attributes.iter().map(|(k, v)| k.len() + v.len()).sum();
        let bytes = profile.metadata.len() + attributes + new;
        let price = u32::try_from(1 + bytes / CHANGE_BYTES).unwrap_or(u32::MAX);
        self.sessions.get_mut(sid).is_some_and(|session| session.updates.take_many(rate, price, now.mono))
    }

    /// Each is told, so that whoever waits for an answer has one; a client that does not read them is dropped.
    fn refuse_too_many(&mut self, sid: &ParticipantSid, ask: Ask) {
        let (request_id, request) = match ask {
            Ask::Trickle(trickle) => (0, Some(Request::Trickle(trickle))),
            Ask::AddTrack(add) => (0, Some(Request::AddTrack(add))),
            Ask::Mute(mute) => (0, Some(Request::Mute(mute))),
            Ask::UpdateMetadata(update) => (update.request_id, Some(Request::UpdateMetadata(update))),
            Ask::UpdateAudioTrack(update) => (0, Some(Request::UpdateAudioTrack(update))),
            Ask::UpdateVideoTrack(update) => (0, Some(Request::UpdateVideoTrack(update))),
            Ask::PublishDataTrackRequest(publish) => (0, Some(Request::PublishDataTrack(publish))),
            _ => (0, None),
        };
        let reason = Reason::LimitExceeded.into();
        let message = TOO_MANY.to_owned();
        self.tell(
            sid,
            Message::RequestResponse(proto::RequestResponse { request_id, reason, message, request }),
        );
    }

    /// Says that a request was not done, and why.
    pub(crate) fn refuse(
        &mut self,
        sid: &ParticipantSid,
        request_id: u32,
        reason: Reason,
        message: &str,
        request: Request,
    ) {
        self.tell(
            sid,
            Message::RequestResponse(proto::RequestResponse {
                request_id,
                reason: reason.into(),
                message: message.to_owned(),
                request: Some(request),
            }),
        );
    }

    fn owns(&self, sid: &ParticipantSid, track: &TrackSid) -> bool {
        self.room.track(track).is_some_and(|t| t.publisher == *sid)
    }

    fn on_mute(&mut self, now: Time, sid: &ParticipantSid, mute: proto::MuteTrackRequest) {
        let track = TrackSid(mute.sid.clone());
        if !self.owns(sid, &track) {
            self.refuse(sid, 0, Reason::NotFound, "no such track", Request::Mute(mute));
            return;
        }
        let _ = self.tell_room(now, Command::Mute { track, muted: mute.muted, by_server: false });
    }

    fn describe(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        track: &str,
        change: TrackChange,
        request: Request,
    ) {
        let track = TrackSid(track.to_owned());
        if !self.owns(sid, &track) {
            self.refuse(sid, 0, Reason::NotFound, "no such track", request);
            return;
        }
        if let Err(refusal) = self.tell_room(now, Command::Describe { track, change }) {
            self.refuse(sid, 0, reason_of(refusal), &refusal.to_string(), request);
        }
    }

    pub(crate) fn on_subscription(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        update: proto::UpdateSubscription,
    ) {
        let named = update.participant_tracks.into_iter().flat_map(|p| p.track_sids);
        let tracks = update.track_sids.into_iter().chain(named).take(TRACKS_MAX).map(TrackSid).collect();
        let command = Command::Subscribe { subscriber: sid.clone(), tracks, on: update.subscribe };
        let _ = self.tell_room(now, command);
    }

    fn on_permission(&mut self, now: Time, sid: &ParticipantSid, update: proto::SubscriptionPermission) {
        let permits = update.track_permissions.into_iter().map(|p| Permit {
            sid: p.participant_sid,
            identity: p.participant_identity,
            all_tracks: p.all_tracks,
            tracks: p.track_sids.into_iter().map(TrackSid).collect(),
        });
        let audience = Audience { everyone: update.all_participants, permits: permits.collect() };
        let _ = self.tell_room(now, Command::Admit { publisher: sid.clone(), audience });
    }

    fn on_update_metadata(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        update: proto::UpdateParticipantMetadata,
    ) {
        let change = ProfileChange {
            name: update.name.clone(),
            metadata: update.metadata.clone(),
            attributes: update.attributes.clone().into_iter().collect(),
        };
        let new =
            change.metadata.len() + change.attributes.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        let command = Command::Update { participant: sid.clone(), change, by_server: false };
        let request_id = update.request_id;
        let request = Request::UpdateMetadata(update);
        if !self.may_change(now, sid, new) {
            self.refuse(sid, request_id, Reason::LimitExceeded, TOO_MANY, request);
            return;
        }
        match self.tell_room(now, command) {
            Ok(_) => {
                self.refresh_token(now, sid);
                let protocol = self.sessions.get(sid).map_or(0, |s| s.make.protocol);
                // Older clients take any `request_response` for a failure.
                if protocol > 14 {
                    self.refuse(sid, request_id, Reason::Ok, "", request);
                }
            }
            Err(refusal) => {
                self.refuse(sid, request_id, reason_of(refusal), &refusal.to_string(), request);
            }
        }
    }
}
