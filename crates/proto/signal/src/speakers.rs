//! Who speaks: loudness smoothed, and told to those whom it concerns when it changes.

use std::collections::BTreeMap;

use clock::Time;
use livekit_protocol as proto;
use proto::signal_response::Message;
use room::{ParticipantSid, TrackSid};

use crate::conference::Timer;
use crate::{Conference, Limits};

/// Steps in which loudness is told.
const STEPS: f64 = 8.0;

/// What is known of speakers.
#[derive(Debug, Default)]
pub(crate) struct Speakers {
    tracks: BTreeMap<TrackSid, Level>,
    told: BTreeMap<ParticipantSid, Told>,
    scheduled: bool,
}

/// One track's loudness.
#[derive(Debug, Clone)]
struct Level {
    publisher: ParticipantSid,
    /// Of the last interval; `None` once it has been taken into account.
    latest: Option<(u8, u8)>,
    /// From 0 to 1.
    smooth: f64,
}

/// What was last said of a participant, in steps.
type Told = u8;

impl Speakers {
    pub(crate) fn hear(&mut self, publisher: ParticipantSid, track: TrackSid, loudest: u8, percent: u8) {
        let level = self.tracks.entry(track).or_insert(Level { publisher, latest: None, smooth: 0.0 });
        level.latest = Some((loudest, percent));
    }

    pub(crate) fn forget(&mut self, sid: &ParticipantSid) {
        self.told.remove(sid);
        self.tracks.retain(|_, level| level.publisher != *sid);
    }

    /// Moves on by one interval. Returns those of whom there is news: their loudness in steps.
    fn step(&mut self, limits: &Limits) -> Vec<(ParticipantSid, u8)> {
        let (active_level, active_percent) = (limits.active_level, limits.active_percent);
        // Of an exponential mean as old as so many intervals; 0 is none.
        let weight_of_news = 2.0 / (f64::from(limits.smooth_intervals.max(1)) + 1.0);
        let threshold = amplitude(f64::from(active_level));
        let mut now: BTreeMap<ParticipantSid, f64> = BTreeMap::new();
        self.tracks.retain(|_, level| {
            let heard = match level.latest.take() {
                Some((loudest, percent)) if percent >= active_percent => {
                    // A short sound counts less than a long one.
                    let weight = 20.0 * (f64::from(percent) / 100.0).log10();
                    amplitude(f64::from(loudest) - weight)
                }
                _ => 0.0,
            };
            level.smooth += (heard - level.smooth) * weight_of_news;
            if level.smooth >= threshold {
                let entry = now.entry(level.publisher.clone()).or_default();
                *entry = entry.max(level.smooth);
            }
            level.smooth >= threshold / 8.0
        });
        let steps = |level: f64| (level * STEPS).ceil().clamp(1.0, STEPS) as u8;
        let mut news = Vec::new();
        for (sid, level) in &now {
            let level = steps(*level);
            if self.told.insert(sid.clone(), level) != Some(level) {
                news.push((sid.clone(), level));
            }
        }
        self.told.retain(|sid, _| {
            let speaks = now.contains_key(sid);
            if !speaks {
                news.push((sid.clone(), 0));
            }
            speaks
        });
        news
    }
}

/// From -dBov (RFC 6464) to a share of full scale.
fn amplitude(level: f64) -> f64 {
    10f64.powf(-level / 20.0).min(1.0)
}

impl Conference {
    pub(crate) fn schedule_speakers(&mut self, now: Time) {
        if !std::mem::replace(&mut self.speakers.scheduled, true) {
            self.set_timer(now.mono + self.config.limits.speaker_interval, Timer::Speakers);
        }
    }

    pub(crate) fn tell_speakers(&mut self, now: Time) {
        self.speakers.scheduled = false;
        // What somebody muted says is not heard by anyone.
        let room = &self.room;
        self.speakers.tracks.retain(|t, _| room.track(t).is_some_and(|t| t.live && !t.draft.muted));
        let news = self.speakers.step(&self.config.limits);
        if !self.speakers.tracks.is_empty() || !self.speakers.told.is_empty() {
            self.schedule_speakers(now);
        }
        if news.is_empty() {
            return;
        }
        let receivers: Vec<_> = self.sessions.keys().cloned().collect();
        for receiver in receivers {
            let Some(participant) = self.room.participant(&receiver) else { continue };
            let publishers: std::collections::BTreeSet<_> =
                participant.subscribed().filter_map(|t| Some(&self.room.track(t)?.publisher)).collect();
            let speakers: Vec<_> = news
                .iter()
                // A speaker who has fallen silent by leaving or unpublishing is told of otherwise.
                .filter(|(sid, _)| *sid == receiver || publishers.contains(sid))
                .map(|(sid, level)| proto::SpeakerInfo {
                    sid: sid.0.clone(),
                    level: f32::from(*level) / STEPS as f32,
                    active: *level > 0,
                })
                .collect();
            if !speakers.is_empty() {
                self.tell(&receiver, Message::SpeakersChanged(proto::SpeakersChanged { speakers }));
            }
        }
    }
}
