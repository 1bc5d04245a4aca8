//! The best quality that anyone wants of a track, so that publishers need not send more (dynacast).

use std::time::Instant;

use clock::Time;

use crate::room::Timer;
use crate::{Event, Quality, Room, TrackKind, TrackSid};

/// What a publisher was told of the demand for a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) told: Option<Quality>,
    /// A lower demand is told then, if it is still lower.
    lower_at: Option<Instant>,
}

impl Default for Demand {
    /// Publishers start with everything without being told.
    fn default() -> Self {
        Self { told: Some(Quality::High), lower_at: None }
    }
}

impl Room {
    /// Tells a higher demand at once, and a lower one after a while: a window that is moved or a
    /// speaker who pauses should not switch layers off and on.
    pub(crate) fn reconsider_demand(&mut self, now: Time, sid: &TrackSid) {
        let Some(wanted) = self.wanted(sid) else { return };
        let delay = self.config.demand_delay;
        let Some(track) = self.tracks.get_mut(sid) else { return };
        let demand = &mut track.demand;
        if wanted == demand.told {
            demand.lower_at = None;
        } else if wanted > demand.told {
            *demand = Demand { told: wanted, lower_at: None };
            self.emit(Event::Demand { track: sid.clone(), quality: wanted });
        } else if demand.lower_at.is_none() {
            let at = now.mono + delay;
            demand.lower_at = Some(at);
            self.set_timer(at, Timer::Demand(sid.clone()));
        }
    }

    pub(crate) fn check_demand(&mut self, now: Time, sid: &TrackSid) {
        let Some(wanted) = self.wanted(sid) else { return };
        let Some(track) = self.tracks.get_mut(sid) else { return };
        let demand = &mut track.demand;
        if demand.lower_at.is_some_and(|at| at <= now.mono) && wanted < demand.told {
            *demand = Demand { told: wanted, lower_at: None };
            self.emit(Event::Demand { track: sid.clone(), quality: wanted });
        }
    }

    /// The best quality wanted now. The outer `None`: not a live video track, nothing to tell.
    fn wanted(&self, sid: &TrackSid) -> Option<Option<Quality>> {
        let track = self.tracks.get(sid)?;
        if !track.live || track.draft.kind != TrackKind::Video {
            return None;
        }
        let best = track
            .subscribers
            .iter()
            .filter_map(|s| self.participants.get(s)?.subscriptions.get(sid))
            .filter_map(|s| track.quality_for(&s.settings))
            .max();
        Some(best)
    }
}
