//! Rules about published tracks.

use auth::Source;
use clock::Time;

use crate::{
    Event, ParticipantSid, Refusal, Room, Track, TrackChange, TrackCodec, TrackDraft, TrackKind, TrackSid,
    ids,
};

/// A track has one codec and one to fall back to; many more is not a request to honour.
const CODECS_MAX: usize = 4;

impl Room {
    /// Notes a track that its publisher means to send. Nobody else hears of it yet.
    pub(crate) fn announce(
        &mut self,
        now: Time,
        publisher: &ParticipantSid,
        draft: TrackDraft,
    ) -> Result<TrackSid, Refusal> {
        let sid = TrackSid(ids::random(prefix(draft.kind, draft.source), &mut self.rng));
        self.announce_as(now, publisher, sid.clone(), draft)?;
        Ok(sid)
    }

    /// The same under a name that it has already.
    pub(crate) fn announce_as(
        &mut self,
        now: Time,
        publisher: &ParticipantSid,
        sid: TrackSid,
        draft: TrackDraft,
    ) -> Result<(), Refusal> {
        let participant = self.participants.get_mut(publisher).ok_or(Refusal::NoParticipant)?;
        if !participant.who.permission.may_publish(draft.source) || self.tracks.contains_key(&sid) {
            return Err(Refusal::NotAllowed);
        }
        if draft.name.len() > self.config.max_name {
            return Err(Refusal::TooLarge);
        }
        participant.tracks.push(sid.clone());
        let track = Track {
            sid: sid.clone(),
            publisher: publisher.clone(),
            draft,
            live: false,
            created_micros: i64::try_from(now.unix.as_micros()).unwrap_or(i64::MAX),
            subscribers: Default::default(),
            first_told: false,
            demand: Default::default(),
        };
        self.tracks.insert(sid, track);
        Ok(())
    }

    /// A track's media may come now: everyone hears of it, and those who want it subscribe.
    pub(crate) fn go_live(
        &mut self,
        now: Time,
        sid: &TrackSid,
        codecs: Vec<TrackCodec>,
    ) -> Result<(), Refusal> {
        let track = self.tracks.get_mut(sid).ok_or(Refusal::NoTrack)?;
        let first = !track.live;
        if !first && track.draft.codecs == codecs {
            return Ok(());
        }
        track.live = true;
        track.draft.codecs = codecs;
        let publisher = track.publisher.clone();
        if let Some(participant) = self.participants.get_mut(&publisher) {
            participant.is_publisher = true;
        }
        self.touch(&publisher);
        if !first {
            return Ok(());
        }
        self.emit(Event::Published { track: sid.clone() });
        self.emit(Event::RoomUpdated { metadata: false });
        self.settle_track(now, sid);
        self.reconsider_demand(now, sid);
        Ok(())
    }

    pub(crate) fn unpublish(&mut self, now: Time, sid: &TrackSid, by_server: bool) -> Result<(), Refusal> {
        let track = self.tracks.get_mut(sid).ok_or(Refusal::NoTrack)?;
        let was_live = track.live;
        track.live = false;
        self.settle_track(now, sid);
        let Some(track) = self.tracks.remove(sid) else { return Err(Refusal::NoTrack) };
        for participant in self.participants.values_mut() {
            participant.subscriptions.remove(sid);
        }
        let mut identity = String::new();
        if let Some(participant) = self.participants.get_mut(&track.publisher) {
            participant.tracks.retain(|t| t != sid);
            identity.clone_from(&participant.who.identity);
        }
        if was_live {
            self.touch(&track.publisher);
        }
        self.emit(Event::Unpublished { track: Box::new(track), identity, by_server });
        if was_live {
            self.emit(Event::RoomUpdated { metadata: false });
        }
        Ok(())
    }

    pub(crate) fn mute(&mut self, sid: &TrackSid, muted: bool, by_server: bool) -> Result<(), Refusal> {
        let track = self.tracks.get_mut(sid).ok_or(Refusal::NoTrack)?;
        if by_server && !muted && track.draft.muted && !self.config.remote_unmute {
            return Err(Refusal::NotAllowed);
        }
        if track.draft.muted == muted {
            return Ok(());
        }
        track.draft.muted = muted;
        let (publisher, live) = (track.publisher.clone(), track.live);
        if by_server {
            self.emit(Event::MutedByServer { track: sid.clone(), muted });
        }
        if live {
            self.touch(&publisher);
        }
        Ok(())
    }

    pub(crate) fn describe(&mut self, sid: &TrackSid, change: TrackChange) -> Result<(), Refusal> {
        let track = self.tracks.get_mut(sid).ok_or(Refusal::NoTrack)?;
        match change {
            TrackChange::Size { width, height } => {
                track.draft.width = width;
                track.draft.height = height;
            }
            TrackChange::AudioFeatures(features) => track.draft.opaque.audio_features = features,
            TrackChange::AddCodec(codec) => {
                let codecs = &mut track.draft.codecs;
                match codecs.iter().position(|c| c.mime.eq_ignore_ascii_case(&codec.mime)) {
                    Some(known) => codecs[known] = codec,
                    None if codecs.len() >= CODECS_MAX => return Err(Refusal::TooLarge),
                    None => codecs.push(codec),
                }
            }
        }
        let (publisher, live) = (track.publisher.clone(), track.live);
        if live {
            self.touch(&publisher);
        }
        Ok(())
    }
}

/// A track's id tells its type and source, as clients expect to read in logs.
fn prefix(kind: TrackKind, source: Source) -> &'static str {
    match (kind, source) {
        (TrackKind::Audio, Source::Microphone) => "TR_AM",
        (TrackKind::Audio, Source::ScreenShareAudio) => "TR_As",
        (TrackKind::Audio, _) => "TR_AU",
        (TrackKind::Video, Source::Camera) => "TR_VC",
        (TrackKind::Video, Source::ScreenShare) => "TR_VS",
        (TrackKind::Video, _) => "TR_VU",
    }
}
