//! Rules about data tracks: named series of frames of an application's own, which others subscribe to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Event, ParticipantSid, Refusal, Room, TrackSid, ids};

/// Data tracks that one participant may have at once.
const TRACKS_MAX: usize = 256;
/// Characters of a name, as LiveKit's protocol says.
const NAME_MAX: usize = 256;
/// Bytes of what a publisher says beside the name.
const OPAQUE_MAX: usize = 1024;

/// What a publisher says of a data track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataDraft {
    /// The publisher's number for it, in its packets: not 0, and no other track's of theirs.
    pub handle: u16,
    /// Unique among the publisher's.
    pub name: String,
    /// Passed on to the others.
    pub opaque: Vec<u8>,
}

/// A published data track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataTrack {
    /// `DTR_…`
    pub sid: TrackSid,
    pub publisher: ParticipantSid,
    pub draft: DataDraft,
    /// Who asked for it, whether or not they may have it now.
    wanted: BTreeSet<ParticipantSid>,
    /// Who gets it.
    subscribers: BTreeSet<ParticipantSid>,
}

impl Room {
    /// A data track.
    pub fn data_track(&self, sid: &TrackSid) -> Option<&DataTrack> {
        self.data_tracks.get(sid)
    }

    /// A participant's data tracks.
    pub fn data_tracks_of(&self, publisher: &ParticipantSid) -> impl Iterator<Item = &DataTrack> {
        self.data_tracks.values().filter(move |t| t.publisher == *publisher)
    }

    pub(crate) fn publish_data(
        &mut self,
        publisher: &ParticipantSid,
        draft: DataDraft,
    ) -> Result<TrackSid, Refusal> {
        let sid = TrackSid(ids::random("DTR_", &mut self.rng));
        self.publish_data_as(publisher, sid.clone(), draft)?;
        Ok(sid)
    }

    /// The same under a name that it has already.
    pub(crate) fn publish_data_as(
        &mut self,
        publisher: &ParticipantSid,
        sid: TrackSid,
        draft: DataDraft,
    ) -> Result<(), Refusal> {
        let participant = self.participants.get(publisher).ok_or(Refusal::NoParticipant)?;
        if !participant.who.permission.can_publish_data || self.data_tracks.contains_key(&sid) {
            return Err(Refusal::NotAllowed);
        }
        if draft.handle == 0 {
            return Err(Refusal::InvalidHandle);
        }
        if draft.name.is_empty() || draft.name.chars().count() > NAME_MAX {
            return Err(Refusal::InvalidName);
        }
        if draft.opaque.len() > OPAQUE_MAX {
            return Err(Refusal::TooLarge);
        }
        let mut mine = 0;
        for track in self.data_tracks_of(publisher) {
            if track.draft.handle == draft.handle {
                return Err(Refusal::DuplicateHandle);
            }
            if track.draft.name == draft.name {
                return Err(Refusal::DuplicateName);
            }
            mine += 1;
        }
        if mine >= TRACKS_MAX {
            return Err(Refusal::Full);
        }
        let eager = self.participants.values().filter(|p| p.who.auto_subscribe_data && p.sid != *publisher);
        let track = DataTrack {
            sid: sid.clone(),
            publisher: publisher.clone(),
            draft,
            wanted: eager.map(|p| p.sid.clone()).collect(),
            subscribers: BTreeSet::new(),
        };
        self.data_tracks.insert(sid.clone(), track);
        self.touch(publisher);
        self.settle_data(&sid);
        Ok(())
    }

    /// Ends a data track of somebody's; `by_server` if they did not ask for it.
    pub(crate) fn unpublish_data(
        &mut self,
        publisher: &ParticipantSid,
        handle: u16,
        by_server: bool,
    ) -> Result<(), Refusal> {
        let found = self.data_tracks_of(publisher).find(|t| t.draft.handle == handle);
        let sid = found.map(|t| t.sid.clone()).ok_or(Refusal::NoTrack)?;
        let Some(track) = self.data_tracks.remove(&sid) else { return Err(Refusal::NoTrack) };
        self.emit(Event::DataUnpublished { track: Box::new(track), by_server });
        self.touch(publisher);
        Ok(())
    }

    /// Ends all data tracks of somebody.
    pub(crate) fn unpublish_all_data(&mut self, publisher: &ParticipantSid, by_server: bool) {
        let handles: Vec<_> = self.data_tracks_of(publisher).map(|t| t.draft.handle).collect();
        for handle in handles {
            // It was there a moment ago.
            let _ = self.unpublish_data(publisher, handle, by_server);
        }
    }

    pub(crate) fn subscribe_data(
        &mut self,
        subscriber: &ParticipantSid,
        track: &TrackSid,
        on: bool,
    ) -> Result<(), Refusal> {
        if !self.participants.contains_key(subscriber) {
            return Err(Refusal::NoParticipant);
        }
        let published = self.data_tracks.get_mut(track).ok_or(Refusal::NoTrack)?;
        if published.publisher == *subscriber {
            return Err(Refusal::NotAllowed);
        }
        if on {
            published.wanted.insert(subscriber.clone());
        } else {
            published.wanted.remove(subscriber);
        }
        self.settle_data(track);
        Ok(())
    }

    /// A newcomer gets what it wants of all there is.
    pub(crate) fn subscribe_to_existing_data(&mut self, subscriber: &ParticipantSid) {
        if self.participants.get(subscriber).is_some_and(|p| p.who.auto_subscribe_data) {
            let all: Vec<_> = self.data_tracks.keys().cloned().collect();
            for track in all {
                let _ = self.subscribe_data(subscriber, &track, true);
            }
        }
    }

    /// Somebody has gone, with what they wanted.
    pub(crate) fn forget_data_subscriber(&mut self, subscriber: &ParticipantSid) {
        for track in self.data_tracks.values_mut() {
            track.wanted.remove(subscriber);
        }
        self.settle_all_data();
    }

    /// Looks again at who may have what.
    pub(crate) fn settle_all_data(&mut self) {
        let all: Vec<_> = self.data_tracks.keys().cloned().collect();
        for track in all {
            self.settle_data(&track);
        }
    }

    fn settle_data(&mut self, sid: &TrackSid) {
        let Some(track) = self.data_tracks.get(sid) else { return };
        let Some(publisher) = self.participants.get(&track.publisher) else { return };
        let may = |who: &&ParticipantSid| {
            self.participants.get(*who).is_some_and(|subscriber| {
                subscriber.who.permission.can_subscribe
                    && !publisher.who.permission.hidden
                    && publisher.admission.permits(subscriber, sid)
            })
        };
        let now: BTreeSet<_> = track.wanted.iter().filter(may).cloned().collect();
        let gained: Vec<_> = now.difference(&track.subscribers).cloned().collect();
        let lost: Vec<_> = track.subscribers.difference(&now).cloned().collect();
        if let Some(track) = self.data_tracks.get_mut(sid) {
            track.subscribers = now;
        }
        for (subscribers, on) in [(gained, true), (lost, false)] {
            for subscriber in subscribers {
                self.emit(Event::DataSubscribed { subscriber, track: sid.clone(), on });
            }
        }
    }
}
