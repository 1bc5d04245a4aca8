//! A participant, and what they may do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use auth::{Kind, Source, VideoGrant};
use serde::{Deserialize, Serialize};

use crate::{ParticipantSid, Settings, TrackSid};

/// How far a participant has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Known, not yet told so.
    Joining,
    /// Told so; media not connected.
    Joined,
    /// Media connected.
    Active,
    /// Gone.
    Disconnected,
}

/// What a participant may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    pub can_subscribe: bool,
    pub can_publish: bool,
    pub can_publish_data: bool,
    /// Empty means any.
    pub sources: Vec<Source>,
    /// The others do not see them, nor their tracks.
    pub hidden: bool,
    pub recorder: bool,
    pub can_update_metadata: bool,
    pub agent: bool,
    pub can_subscribe_metrics: bool,
    pub can_manage_agent_session: bool,
}

impl Permission {
    /// What a token grants.
    pub fn from_grant(grant: &VideoGrant) -> Self {
        Self {
            can_subscribe: grant.may_subscribe(),
            can_publish: grant.may_publish(),
            can_publish_data: grant.may_publish_data(),
            sources: grant.can_publish_sources.clone(),
            hidden: grant.hidden,
            recorder: grant.recorder,
            can_update_metadata: grant.may_update_own_metadata(),
            agent: grant.agent,
            can_subscribe_metrics: grant.can_subscribe_metrics.unwrap_or(false),
            can_manage_agent_session: grant.can_manage_agent_session.unwrap_or(false),
        }
    }

    /// May a track of this source be published?
    pub fn may_publish(&self, source: Source) -> bool {
        self.can_publish && (self.sources.is_empty() || self.sources.contains(&source))
    }
}

/// What participants may change about themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub name: String,
    pub metadata: String,
    pub attributes: BTreeMap<String, String>,
}

/// What a client says about itself; the others' clients read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub protocol: i32,
    pub capabilities: Vec<i32>,
}

/// Who joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewParticipant {
    pub identity: String,
    pub kind: Kind,
    pub kind_details: Vec<String>,
    pub profile: Profile,
    pub permission: Permission,
    pub client: Client,
    /// Gets every track unless they say otherwise.
    pub auto_subscribe: bool,
    /// The same of data tracks.
    pub auto_subscribe_data: bool,
    /// What subscriptions start with.
    pub settings: Settings,
}

impl NewParticipant {
    /// Agents and recorders are there for the others: they fill no seat, are not counted, and keep no room open.
    pub fn is_dependent(&self) -> bool {
        matches!(self.kind, Kind::Agent | Kind::Egress)
    }

    /// May have tracks that others may not, and makes the room a recorded one.
    pub fn is_recorder(&self) -> bool {
        self.kind == Kind::Egress || self.permission.recorder
    }
}

/// Someone in the room.
#[derive(Debug, Clone, PartialEq)]
pub struct Participant {
    pub sid: ParticipantSid,
    /// As they joined, and as changed since.
    pub who: NewParticipant,
    pub state: State,
    /// Wall clock, since 1970.
    pub joined_at: Duration,
    /// Grows with each change that others see.
    pub version: u32,
    /// In the order of their announcement.
    pub tracks: Vec<TrackSid>,
    /// Has had a live track.
    pub is_publisher: bool,
    pub(crate) admission: Admission,
    pub(crate) subscriptions: BTreeMap<TrackSid, Subscription>,
}

impl Participant {
    /// Their identity.
    pub fn identity(&self) -> &str {
        &self.who.identity
    }

    /// What they want of a track that they receive.
    pub fn settings(&self, track: &TrackSid) -> Option<&Settings> {
        self.subscriptions.get(track).filter(|s| s.active).map(|s| &s.settings)
    }

    /// Tracks they receive.
    pub fn subscribed(&self) -> impl Iterator<Item = &TrackSid> {
        self.subscriptions.iter().filter(|(_, s)| s.active).map(|(track, _)| track)
    }
}

/// Whom a publisher lets subscribe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    pub everyone: bool,
    pub permits: Vec<Permit>,
}

impl Default for Audience {
    fn default() -> Self {
        Self { everyone: true, permits: Vec::new() }
    }
}

/// Lets one participant, named by sid or by identity, subscribe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    pub sid: String,
    pub identity: String,
    pub all_tracks: bool,
    pub tracks: BTreeSet<TrackSid>,
}

/// An [`Audience`] as it is looked at: for every subscriber of every track, however many it names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Admission {
    everyone: bool,
    by_sid: BTreeMap<String, Rights>,
    by_identity: BTreeMap<String, Rights>,
}

/// What one subscriber may have.
#[derive(Debug, Clone, Default, PartialEq)]
struct Rights {
    all_tracks: bool,
    tracks: BTreeSet<TrackSid>,
}

impl From<Audience> for Admission {
    fn from(audience: Audience) -> Self {
        let mut admission =
            Self { everyone: audience.everyone, by_sid: BTreeMap::new(), by_identity: BTreeMap::new() };
        for permit in audience.permits {
            let rights = if permit.sid.is_empty() {
                admission.by_identity.entry(permit.identity).or_default()
            } else {
                admission.by_sid.entry(permit.sid).or_default()
            };
            rights.all_tracks |= permit.all_tracks;
            rights.tracks.extend(permit.tracks);
        }
        admission
    }
}

impl Admission {
    /// May `subscriber` have `track`?
    pub(crate) fn permits(&self, subscriber: &Participant, track: &TrackSid) -> bool {
        let may = |rights: Option<&Rights>| rights.is_some_and(|r| r.all_tracks || r.tracks.contains(track));
        self.everyone
            || subscriber.who.is_recorder()
            || may(self.by_sid.get(&subscriber.sid.0))
            || may(self.by_identity.get(&subscriber.who.identity))
    }
}

/// One participant's interest in one track.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subscription {
    /// Said by the subscriber; `None` leaves it to `auto_subscribe`.
    pub(crate) explicit: Option<bool>,
    /// Receiving.
    pub(crate) active: bool,
    /// The subscriber was told that the publisher forbids it.
    pub(crate) forbidden: bool,
    /// The track has not appeared; it is waited for until then.
    pub(crate) waits: Option<Instant>,
    pub(crate) settings: Settings,
}
