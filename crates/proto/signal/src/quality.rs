//! How good everybody's connection is, told to themselves and to those who see or hear them.
//!
//! Owns: what is known of each participant's transports, and what was last said. The score itself is `sfu`'s.

use std::collections::{BTreeMap, BTreeSet};

use livekit_protocol as proto;
use proto::signal_response::Message;
use room::{ParticipantSid, TrackSid};
use sfu::{PeerId, Quality};

use crate::Conference;

/// From these client protocols on there are messages of quality, and one of them may say `LOST`.
const QUALITY_PROTOCOL: i32 = 5;
const LOST_PROTOCOL: i32 = 11;

/// What is known of participants.
#[derive(Debug, Default)]
pub(crate) struct Qualities(BTreeMap<ParticipantSid, Known>);

#[derive(Debug, Default)]
struct Known {
    /// One transport, or two.
    transports: Vec<(PeerId, Quality, u8)>,
    lost: bool,
    told: Option<proto::ConnectionQuality>,
}

impl Qualities {
    fn set(&mut self, sid: &ParticipantSid, peer: PeerId, quality: Quality, score: u8) {
        let transports = &mut self.0.entry(sid.clone()).or_default().transports;
        transports.retain(|(of, ..)| *of != peer);
        transports.push((peer, quality, score));
    }

    /// Whether nothing comes from somebody any more. Of somebody from whom nothing ever came there is nothing to say.
    pub(crate) fn set_lost(&mut self, sid: &ParticipantSid, lost: bool) {
        if let Some(known) = self.0.get_mut(sid) {
            known.lost = lost;
        }
    }

    pub(crate) fn forget(&mut self, sid: &ParticipantSid) {
        self.0.remove(sid);
    }
}

impl Known {
    /// The worse transport counts.
    fn now(&self) -> Option<(proto::ConnectionQuality, u8)> {
        let (_, quality, score) = self.transports.iter().min_by_key(|(_, _, score)| *score)?;
        Some(match quality {
            _ if self.lost => (proto::ConnectionQuality::Lost, 0),
            Quality::Poor => (proto::ConnectionQuality::Poor, *score),
            Quality::Good => (proto::ConnectionQuality::Good, *score),
            Quality::Excellent => (proto::ConnectionQuality::Excellent, *score),
        })
    }
}

impl Conference {
    pub(crate) fn on_quality(&mut self, peer: PeerId, quality: Quality, score: u8) {
        let Some(sid) = self.peers.get(&peer).cloned() else { return };
        self.qualities.set(&sid, peer, quality, score);
        self.tell_quality(&sid);
    }

    /// Tells everybody whom it concerns of somebody's quality, if that is news.
    pub(crate) fn tell_quality(&mut self, sid: &ParticipantSid) {
        let Some(known) = self.qualities.0.get_mut(sid) else { return };
        let Some((quality, score)) = known.now() else { return };
        if known.told.replace(quality) == Some(quality) {
            return;
        }
        let Some(participant) = self.room.participant(sid) else { return };
        let tracks = self.room.live_tracks(participant);
        let mut receivers: BTreeSet<_> = tracks.flat_map(|track| track.subscribers()).cloned().collect();
        // Who has lost the line knows it; livekit-client would make itself anew for being told so.
        if quality != proto::ConnectionQuality::Lost {
            receivers.insert(sid.clone());
        }
        for receiver in receivers {
            self.say_quality(&receiver, sid, quality, score);
        }
    }

    /// Who has just subscribed learns what the others know.
    pub(crate) fn tell_quality_of_publisher(&mut self, receiver: &ParticipantSid, track: &TrackSid) {
        let Some(publisher) = self.room.track(track).map(|t| t.publisher.clone()) else { return };
        let Some((quality, score)) = self.qualities.0.get(&publisher).and_then(Known::now) else { return };
        self.say_quality(receiver, &publisher, quality, score);
    }

    fn say_quality(
        &mut self,
        receiver: &ParticipantSid,
        of: &ParticipantSid,
        quality: proto::ConnectionQuality,
        score: u8,
    ) {
        let protocol = self.sessions.get(receiver).map_or(0, |s| s.make.protocol);
        let quality = match quality {
            _ if protocol < QUALITY_PROTOCOL => return,
            proto::ConnectionQuality::Lost if protocol < LOST_PROTOCOL => proto::ConnectionQuality::Poor,
            quality => quality,
        };
        let info = proto::ConnectionQualityInfo {
            participant_sid: of.0.clone(),
            quality: quality.into(),
            score: opinion(score),
        };
        let update = proto::ConnectionQualityUpdate { updates: vec![info] };
        self.tell(receiver, Message::ConnectionQuality(update));
    }
}

/// A score as a mean opinion score from 1 to 4.5 (ITU-T G.107, Annex B).
fn opinion(score: u8) -> f32 {
    let r = f32::from(score.min(100));
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opinions_are_those_of_the_recommendation() {
        // ITU-T G.107 table B.1: R of 90, 80, 70, 60, 50.
        for (score, expected) in
            [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (100, 4.5), (0, 1.0)]
        {
            assert!((opinion(score) - expected).abs() < 0.011, "{score}: {}", opinion(score));
        }
    }
}
