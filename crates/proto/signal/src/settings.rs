//! What a subscriber wants of its tracks, and how often that may change.
//!
//! A change makes the media engine choose layers anew, and may be told the publisher, who is not to hear how a window is
//! drawn larger pixel by pixel. So a track's first change is done at once, and of those that follow within [`PACE`] the
//! last.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use clock::Time;
use livekit_protocol as proto;
use room::{Command, ParticipantSid, Quality, Settings, TrackSid};

use crate::Conference;
use crate::conference::Timer;
use crate::requests::TRACKS_MAX;

/// Between two changes of a track for one subscriber; LiveKit's clients wait 100 ms themselves.
const PACE: Duration = Duration::from_millis(100);

/// Tracks whose settings one subscriber has changed lately, with those that are to be done yet.
#[derive(Debug, Default)]
pub(crate) struct Paced(BTreeMap<TrackSid, Option<Settings>>);

impl Paced {
    /// Whether a track's change is to be done now; else it waits.
    fn take(&mut self, track: &TrackSid, settings: Settings) -> bool {
        match self.0.entry(track.clone()) {
            Entry::Vacant(place) => {
                place.insert(None);
                true
            }
            Entry::Occupied(mut waiting) => {
                waiting.insert(Some(settings));
                false
            }
        }
    }

    /// The changes that have waited, which are done now.
    fn next(&mut self) -> Vec<(TrackSid, Settings)> {
        self.0.retain(|_, waiting| waiting.is_some());
        self.0.iter_mut().filter_map(|(track, waiting)| Some((track.clone(), waiting.take()?))).collect()
    }
}

impl Conference {
    pub(crate) fn on_settings(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        update: &proto::UpdateTrackSettings,
    ) {
        let settings = settings_from(update);
        let named = update.track_sids.iter().take(TRACKS_MAX).cloned().map(TrackSid);
        let mut tracks: Vec<_> = named.filter(|track| self.room.track(track).is_some()).collect();
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let is_first = session.settings.0.is_empty();
        tracks.retain(|track| session.settings.take(track, settings));
        if is_first && !tracks.is_empty() {
            self.set_timer(now.mono + PACE, Timer::Settings(sid.clone()));
        }
        let _ = self.tell_room(now, Command::Adjust { subscriber: sid.clone(), tracks, settings });
    }

    /// Does what has waited.
    pub(crate) fn settle_settings(&mut self, now: Time, sid: &ParticipantSid) {
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let due = session.settings.next();
        if !due.is_empty() {
            self.set_timer(now.mono + PACE, Timer::Settings(sid.clone()));
        }
        for (track, settings) in due {
            let command = Command::Adjust { subscriber: sid.clone(), tracks: vec![track], settings };
            let _ = self.tell_room(now, command);
        }
    }
}

fn settings_from(update: &proto::UpdateTrackSettings) -> Settings {
    let (disabled, quality) = match update.quality() {
        proto::VideoQuality::Low => (false, Quality::Low),
        proto::VideoQuality::Medium => (false, Quality::Medium),
        proto::VideoQuality::High => (false, Quality::High),
        proto::VideoQuality::Off => (true, Quality::Low),
    };
    Settings {
        disabled: update.disabled || disabled,
        quality,
        width: update.width,
        height: update.height,
        fps: update.fps,
        priority: update.priority,
    }
}
