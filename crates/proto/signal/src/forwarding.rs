//! Participants who are in another room too: `ForwardParticipant`.
//!
//! Owns: both ends of a forwarding. The room in which somebody is tells the other what there is of them, whole and
//! numbered, whenever it changes; the other keeps a participant without a session whose tracks are those of the first
//! room's producers, which the media engine carries anywhere. So nothing is sent twice by the publisher, and a
//! message that is lost or overtaken is made good by the next. Data and speaking marks stay in the first room.

use std::collections::BTreeMap;

use clock::Time;
use room::{
    Command, LeaveReason, NewParticipant, Outcome, ParticipantSid, Permission, ProfileChange, Quality,
    TrackDraft, TrackSid,
};
use sfu::ProducerId;

use crate::conference::Published;
use crate::negotiation::Chosen;
use crate::second_codec::Second;
use crate::{AdminError, AdminReply, Conference, Output};

/// Forwardings of one room at once, in either direction.
const FORWARDINGS_MAX: usize = 256;
/// What LiveKit calls participants of this kind, as a token would.
const DETAIL: &str = "forwarded";

/// Which forwarding: the serial of the room that it comes from, and a number there.
pub type Route = (u32, u64);

/// What one room tells another of a participant.
#[derive(Debug, Clone)]
pub struct Forwarded {
    pub route: Route,
    /// Grows with each message of a route: what is older than what is known is passed over.
    pub version: u64,
    /// `None`: it is over.
    pub shadow: Option<Box<Shadow>>,
}

/// A participant as the other room has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    who: NewParticipant,
    tracks: BTreeMap<TrackSid, ShadowTrack>,
}

#[derive(Debug, Clone, PartialEq)]
struct ShadowTrack {
    draft: TrackDraft,
    producer: ProducerId,
    codecs: Vec<Chosen>,
}

#[cfg(test)]
impl Forwarded {
    /// What is sent of it.
    pub(crate) fn producers(&self) -> Vec<ProducerId> {
        self.shadow.iter().flat_map(|s| s.tracks.values()).map(|t| t.producer).collect()
    }
}

/// Both ends of a room's forwardings.
#[derive(Debug, Default)]
pub(crate) struct Forwardings {
    last: u64,
    out: BTreeMap<u64, Outgoing>,
    incoming: BTreeMap<Route, Incoming>,
}

#[derive(Debug)]
struct Outgoing {
    participant: ParticipantSid,
    destination: String,
    version: u64,
    told: Option<Shadow>,
}

#[derive(Debug)]
struct Incoming {
    version: u64,
    /// `None`: this room did not take it, or has sent it away.
    participant: Option<ParticipantSid>,
    /// Its tracks here by those there.
    tracks: BTreeMap<TrackSid, TrackSid>,
}

impl Forwardings {
    fn is_forwarded(&self, participant: &ParticipantSid) -> bool {
        self.out.values().any(|out| out.participant == *participant)
    }
}

impl Conference {
    /// From now on this participant is in `destination` too.
    pub(crate) fn forward(
        &mut self,
        sid: &ParticipantSid,
        destination: &str,
    ) -> Result<AdminReply, AdminError> {
        // One that came by a forwarding is forwarded from where it is.
        if !self.sessions.contains_key(sid) {
            return Err(AdminError::NotAllowed);
        }
        let same = |out: &Outgoing| out.participant == *sid && out.destination == destination;
        let before = self.forwardings.out.iter().find(|(_, out)| same(out)).map(|(number, _)| *number);
        if let Some(out) = before.and_then(|number| Some((number, self.forwardings.out.remove(&number)?))) {
            // The other room may have sent it away: it comes anew.
            self.tell_other(out.0, &out.1.destination, out.1.version + 1, None);
        }
        if self.forwardings.out.len() >= FORWARDINGS_MAX {
            return Err(AdminError::NotAllowed);
        }
        self.forwardings.last += 1;
        let out = Outgoing {
            participant: sid.clone(),
            destination: destination.to_owned(),
            version: 0,
            told: None,
        };
        self.forwardings.out.insert(self.forwardings.last, out);
        let tracks = self.room.participant(sid).map(|p| p.tracks.clone()).unwrap_or_default();
        for track in tracks {
            self.tell_demand(&track);
        }
        Ok(AdminReply::Done)
    }

    /// What is wanted of a track: of one that another room has too all, since nobody here knows what is wanted there.
    pub(crate) fn wanted_of(&self, track: &room::Track) -> Option<Quality> {
        if self.forwardings.is_forwarded(&track.publisher) {
            return Some(Quality::High);
        }
        track.demanded()
    }

    /// Tells the other rooms what has changed.
    pub(crate) fn tell_forwards(&mut self) {
        let numbers: Vec<u64> = self.forwardings.out.keys().copied().collect();
        for number in numbers {
            let Some(out) = self.forwardings.out.get(&number) else { continue };
            let shadow = self.shadow_of(&out.participant);
            if shadow.is_some() && out.told == shadow {
                continue;
            }
            let Some(out) = self.forwardings.out.get_mut(&number) else { continue };
            out.version += 1;
            out.told.clone_from(&shadow);
            let (destination, version) = (out.destination.clone(), out.version);
            if shadow.is_none() {
                self.forwardings.out.remove(&number);
            }
            self.tell_other(number, &destination, version, shadow);
        }
    }

    fn tell_other(&mut self, number: u64, destination: &str, version: u64, shadow: Option<Shadow>) {
        let route = (self.config.serial, number);
        let forwarded = Forwarded { route, version, shadow: shadow.map(Box::new) };
        self.output.push_back(Output::Forward { destination: destination.to_owned(), forwarded });
    }

    /// A participant as another room is to have it; `None` once it has gone.
    fn shadow_of(&self, sid: &ParticipantSid) -> Option<Shadow> {
        let participant = self.room.participant(sid).filter(|_| !self.room.ended())?;
        let mut who = participant.who.clone();
        if !who.kind_details.iter().any(|d| d == DETAIL) {
            who.kind_details.push(DETAIL.to_owned());
        }
        who.permission =
            Permission { can_publish: true, hidden: who.permission.hidden, ..Permission::default() };
        who.auto_subscribe = false;
        let mut tracks = BTreeMap::new();
        for track in self.room.live_tracks(participant) {
            let Some(published) = self.published.get(&track.sid) else { continue };
            let mut draft = track.draft.clone();
            // The second codec is asked of publishers, and this one is not there.
            draft.codecs.truncate(1);
            let (producer, codecs) = (published.producer, published.codecs.clone());
            tracks.insert(track.sid.clone(), ShadowTrack { draft, producer, codecs });
        }
        Some(Shadow { who, tracks })
    }

    /// Another room tells of a participant.
    pub(crate) fn on_forwarded(&mut self, now: Time, forwarded: Forwarded) {
        let Forwarded { route, version, shadow } = forwarded;
        let known = self.forwardings.incoming.get(&route);
        if known.is_some_and(|known| known.version >= version) {
            return;
        }
        let Some(shadow) = shadow else {
            let gone = self.forwardings.incoming.remove(&route).and_then(|known| known.participant);
            if let Some(sid) = gone {
                self.expel(now, &sid, LeaveReason::ClientInitiated);
            }
            return;
        };
        if known.is_none() && !self.take_in(now, route, &shadow.who) {
            return;
        }
        let Some(known) = self.forwardings.incoming.get_mut(&route) else { return };
        known.version = version;
        let here = known.participant.as_ref().and_then(|sid| self.room.participant(sid));
        let Some(participant) = here else {
            // Sent away, or replaced: it stays away until somebody asks again.
            known.participant = None;
            return;
        };
        let (sid, profile) = (participant.sid.clone(), participant.who.profile.clone());
        if profile != shadow.who.profile {
            let mut attributes = shadow.who.profile.attributes.clone();
            for key in profile.attributes.keys() {
                // Set to nothing is deleted.
                attributes.entry(key.clone()).or_default();
            }
            let change = ProfileChange {
                name: shadow.who.profile.name.clone(),
                metadata: shadow.who.profile.metadata.clone(),
                attributes,
            };
            let _ =
                self.tell_room(now, Command::Update { participant: sid.clone(), change, by_server: true });
        }
        self.follow_tracks(now, route, &sid, shadow.tracks);
    }

    /// False if there is no room for more.
    fn take_in(&mut self, now: Time, route: Route, who: &NewParticipant) -> bool {
        if self.forwardings.incoming.len() >= FORWARDINGS_MAX {
            return false;
        }
        let joined = self.tell_room(now, Command::Join(Box::new(who.clone())));
        let participant = match joined {
            Ok(Outcome::Participant(sid)) => Some(sid),
            Ok(_) | Err(_) => None,
        };
        if let Some(sid) = &participant {
            let _ = self.tell_room(now, Command::Activate { participant: sid.clone() });
        }
        let incoming = Incoming { version: 0, participant, tracks: BTreeMap::new() };
        self.forwardings.incoming.insert(route, incoming);
        true
    }

    fn follow_tracks(
        &mut self,
        now: Time,
        route: Route,
        publisher: &ParticipantSid,
        mut there: BTreeMap<TrackSid, ShadowTrack>,
    ) {
        let Some(known) = self.forwardings.incoming.get_mut(&route) else { return };
        let mut here = std::mem::take(&mut known.tracks);
        here.retain(|source, track| match there.remove(source) {
            None => {
                let _ = self.tell_room(now, Command::Unpublish { track: track.clone(), by_server: false });
                false
            }
            Some(is) => {
                let muted = is.draft.muted;
                let _ = self.tell_room(now, Command::Mute { track: track.clone(), muted, by_server: false });
                if let Some(published) = self.published.get_mut(track) {
                    published.codecs = is.codecs;
                }
                // One that was unpublished by this room's own API stays so.
                true
            }
        });
        for (source, new) in there {
            let (draft, codecs) = (Box::new(new.draft.clone()), new.draft.codecs);
            let announced = self.tell_room(now, Command::Announce { publisher: publisher.clone(), draft });
            let Ok(Outcome::Track(track)) = announced else { continue };
            let published = Published {
                producer: new.producer,
                codecs: new.codecs,
                second: Second::default(),
                foreign: true,
            };
            self.published.insert(track.clone(), published);
            let _ = self.tell_room(now, Command::GoLive { track: track.clone(), codecs });
            here.insert(source, track);
        }
        if let Some(known) = self.forwardings.incoming.get_mut(&route) {
            known.tracks = here;
        }
    }
}
