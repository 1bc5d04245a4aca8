//! Backup codecs: a track that its publisher sends in a second codec, for those who cannot decode the first.
//!
//! Nobody sends a second codec before it is asked for. Who turns out to lack the first one waits here; the
//! publisher is told that the second is wanted (`subscribed_quality_update`), announces it, and offers a section
//! for it. Both codecs are sent side by side from then on, each while somebody takes it; or everybody is moved to the
//! second, where the publisher wants to send one alone (the policy `REGRESSION`), or would rather (`PREFER_REGRESSION`)
//! and those who lose by it are few.

use std::collections::BTreeSet;

use clock::Time;
use codec::Kind;
use livekit_protocol as proto;
use room::{ParticipantSid, Quality, TrackKind, TrackSid};
use sfu::ProducerId;

use crate::Conference;
use crate::messages;
use crate::negotiation::{Chosen, Downstream, choose_for, placeholder};

/// A track in its second codec.
#[derive(Debug, Clone, Default)]
pub(crate) struct Second {
    /// Once the publisher sends it.
    pub(crate) sent: Option<(ProducerId, Vec<Chosen>)>,
    /// Subscribers that lack the first, or are not to have it.
    pub(crate) wanted_by: BTreeSet<ParticipantSid>,
    /// It has taken the place of the first.
    pub(crate) alone: bool,
}

/// What a subscriber is to be sent of a track.
#[derive(Debug, Clone)]
pub(crate) enum Supply {
    /// This, if it can take it.
    Sent(ProducerId, Vec<Chosen>),
    /// Its codec has been asked for and is not there yet.
    Awaited,
}

/// The variants of the codec that comes. Others could be sent in the section, but who lacks the first codec is
/// not to be offered it again.
pub(crate) fn first_alone(mut codecs: Vec<Chosen>) -> Vec<Chosen> {
    let first = codecs.first().map(|c| c.kind);
    codecs.retain(|c| Some(c.kind) == first);
    codecs
}

impl Conference {
    /// What a subscriber is to be sent of a track: the second codec where it is known to lack the first.
    pub(crate) fn supply(&self, sid: &ParticipantSid, track: &TrackSid) -> Option<Supply> {
        let published = self.published.get(track)?;
        if !published.second.wanted_by.contains(sid) {
            return Some(Supply::Sent(published.producer, self.sendable(track, &published.codecs)));
        }
        let sent = published.second.sent.clone();
        Some(sent.map_or(Supply::Awaited, |(producer, codecs)| Supply::Sent(producer, codecs)))
    }

    /// The second codec of a track, if its publisher has named one that may be published here.
    fn second_codec(&self, track: &TrackSid) -> Option<Kind> {
        let draft = self.room.track(track).map(|t| &t.draft).filter(|d| d.kind == TrackKind::Video)?;
        Kind::from_name(&draft.codecs.get(1)?.mime).filter(|kind| self.config.codecs.contains(kind))
    }

    /// Whether a section can take a track in its second codec.
    pub(crate) fn takes_second(&self, track: &TrackSid, section: &sdp::Rtp) -> bool {
        self.second_codec(track)
            .is_some_and(|kind| !choose_for(section, &self.config.codecs, &placeholder(kind)).is_empty())
    }

    /// A subscriber lacks a track's first codec. True if there is a second to be had that it has not refused
    /// too: it waits for it, or for a section if it is there.
    pub(crate) fn fall_back(
        &mut self,
        sid: &ParticipantSid,
        track: &TrackSid,
        downstream: &mut Downstream,
    ) -> bool {
        if self.second_codec(track).is_none() {
            return false;
        }
        let Some(published) = self.published.get_mut(track) else { return false };
        if !published.second.wanted_by.insert(sid.clone()) {
            return false;
        }
        if published.second.sent.is_some() {
            downstream.add(track.clone(), TrackKind::Video);
        }
        self.tell_demand(track);
        true
    }

    /// Whether the second codec is to take the place of the first. A publisher that would merely prefer that, as is the
    /// default, sends both in a larger room: there many would get a worse picture for the sake of one.
    fn regresses(&self, track: &TrackSid) -> bool {
        let policy = self.room.track(track).map(|t| t.draft.opaque.backup_policy);
        let few = self.config.limits.regression_below;
        match policy.and_then(|policy| proto::BackupCodecPolicy::try_from(policy).ok()) {
            Some(proto::BackupCodecPolicy::Regression) => true,
            Some(proto::BackupCodecPolicy::PreferRegression) => few == 0 || self.participants() < few,
            Some(proto::BackupCodecPolicy::Simulcast) | None => false,
        }
    }

    /// A subscriber that comes to a track whose second codec has taken the first's place is given the second.
    pub(crate) fn regress(&mut self, sid: &ParticipantSid, track: &TrackSid) {
        if let Some(second) = self.published.get_mut(track).map(|p| &mut p.second).filter(|s| s.alone) {
            second.wanted_by.insert(sid.clone());
        }
    }

    /// The second codec is there and is to be the only one: who has the first is moved.
    fn move_to_second(&mut self, track: &TrackSid) {
        let Some(subscribers) = self.room.track(track).map(|t| t.subscribers().cloned().collect::<Vec<_>>())
        else {
            return;
        };
        for sid in subscribers {
            let Some(second) = self.published.get_mut(track).map(|p| &mut p.second) else { return };
            if !second.wanted_by.insert(sid.clone()) {
                continue;
            }
            let line = self.sessions.get_mut(&sid).and_then(|s| s.downstream.remove(track));
            if let Some(line) = line {
                self.stop(&line);
            }
        }
        self.tell_demand(track);
    }

    /// A subscriber takes a track from now on. Its publisher may have stopped sending the first codec.
    pub(crate) fn count_in(&mut self, track: &TrackSid) {
        if self.published.get(track).is_some_and(|p| !p.second.wanted_by.is_empty()) {
            self.tell_demand(track);
        }
    }

    /// A subscriber takes a track no longer.
    pub(crate) fn count_out(&mut self, sid: &ParticipantSid, track: &TrackSid) {
        let Some(published) = self.published.get_mut(track) else { return };
        let wanted_by = &mut published.second.wanted_by;
        if wanted_by.remove(sid) || !wanted_by.is_empty() {
            self.tell_demand(track);
        }
    }

    /// A subscriber takes nothing any longer.
    pub(crate) fn count_out_of_all(&mut self, sid: &ParticipantSid) {
        let divided = self.published.iter().filter(|(_, p)| !p.second.wanted_by.is_empty());
        let tracks: Vec<TrackSid> = divided.map(|(track, _)| track.clone()).collect();
        for track in tracks {
            self.count_out(sid, &track);
        }
    }

    /// The publisher sends the second codec: who waits for it is served.
    pub(crate) fn second_arrived(
        &mut self,
        now: Time,
        track: &TrackSid,
        producer: ProducerId,
        codecs: Vec<Chosen>,
    ) {
        let alone = self.regresses(track);
        let Some(published) = self.published.get_mut(track) else { return };
        published.second.sent = Some((producer, first_alone(codecs)));
        published.second.alone |= alone;
        self.producers.insert(producer, track.clone());
        if alone {
            self.move_to_second(track);
        }
        for sid in self.waiting(track) {
            let Some(session) = self.sessions.get_mut(&sid) else { continue };
            session.downstream.add(track.clone(), TrackKind::Video);
            self.want_negotiation(now, &sid, true);
        }
    }

    /// The publisher has stopped sending the second codec: who had it waits again.
    pub(crate) fn second_ended(&mut self, now: Time, track: &TrackSid) {
        let Some(published) = self.published.get_mut(track) else { return };
        let Some((producer, _)) = published.second.sent.take() else { return };
        for sid in self.waiting(track) {
            let Some(session) = self.sessions.get_mut(&sid) else { continue };
            if let Some(line) = session.downstream.remove(track) {
                self.stop(&line);
                self.want_negotiation(now, &sid, false);
            }
        }
        self.remove_producer(producer);
    }

    fn waiting(&self, track: &TrackSid) -> Vec<ParticipantSid> {
        self.published.get(track).map(|p| p.second.wanted_by.iter().cloned().collect()).unwrap_or_default()
    }

    /// Tells a publisher which qualities of which codec are wanted.
    pub(crate) fn tell_demand(&mut self, sid: &TrackSid) {
        let Some(track) = self.room.track(sid) else { return };
        let wanted = self.wanted_of(track);
        let lacking = self.published.get(sid).map(|p| &p.second.wanted_by);
        let lacks = |who: &ParticipantSid| lacking.is_some_and(|l| l.contains(who));
        let second = wanted.filter(|_| track.subscribers().any(lacks));
        let everyone_lacks = track.subscribers().count() > 0 && track.subscribers().all(lacks);
        // Where nobody is subscribed, what is wanted says so itself.
        let first: Option<Quality> = wanted.filter(|_| !everyone_lacks);
        let (publisher, message) = (track.publisher.clone(), messages::demand(track, first, second));
        self.tell(&publisher, message);
    }
}
