//! Large rooms: what changes about those who only watch is told to the others together, so that a crowd that comes in
//! costs a message a second for everybody and not one for each who comes.

use std::collections::BTreeSet;
use std::time::Duration;

use clock::Time;
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message;
use room::ParticipantSid;

use crate::Conference;
use crate::conference::Timer;

/// Up to this many participants everything is told at once.
const CROWD_MIN: usize = 20;
/// How long news of watchers wait for more; LiveKit's server takes up to 3 s.
const INTERVAL: Duration = Duration::from_secs(1);

/// Those of whom the others have not heard the latest.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    waiting: BTreeSet<ParticipantSid>,
    /// All that is new about somebody is that their media is connected.
    pub(crate) activating: bool,
    /// What somebody changes may wait: it has changed much already.
    pub(crate) defers: bool,
}

impl Crowd {
    pub(crate) fn has(&self, sid: &ParticipantSid) -> bool {
        self.waiting.contains(sid)
    }

    /// They have been told of now, or have gone.
    pub(crate) fn forget(&mut self, sid: &ParticipantSid) {
        self.waiting.remove(sid);
    }
}

impl Conference {
    /// Whether news of somebody's coming may wait. Whoever publishes is told of at once: their media is on its way.
    pub(crate) fn may_wait(&self, sid: &ParticipantSid) -> bool {
        let watches = self.room.participant(sid).is_some_and(|p| !p.is_publisher && !p.who.permission.hidden);
        watches && self.sessions.len() > CROWD_MIN
    }

    /// Whether the others know of somebody at all.
    pub(crate) fn is_seen(&self, sid: &ParticipantSid) -> bool {
        self.room.participant(sid).is_some_and(|p| !p.who.permission.hidden)
    }

    /// The others hear of somebody with the next batch.
    pub(crate) fn tell_later(&mut self, now: Time, sid: &ParticipantSid) {
        if self.crowd.waiting.is_empty() {
            self.set_timer(now.mono + INTERVAL, Timer::Crowd);
        }
        self.crowd.waiting.insert(sid.clone());
    }

    /// The others hear of all of whom they have not.
    pub(crate) fn tell_crowd(&mut self) {
        let waiting = std::mem::take(&mut self.crowd.waiting);
        let mut participants = Vec::new();
        let mut size = 0;
        for sid in waiting {
            let Some(participant) = self.room.participant(&sid) else { continue };
            let info = self.info_of(participant);
            size += info.encoded_len();
            participants.push(info);
            if size >= self.config.limits.update_batch {
                size = 0;
                self.tell_batch(std::mem::take(&mut participants));
            }
        }
        self.tell_batch(participants);
    }

    fn tell_batch(&mut self, participants: Vec<proto::ParticipantInfo>) {
        if !participants.is_empty() {
            self.broadcast(Message::Update(proto::ParticipantUpdate { participants }), |_| true);
        }
    }
}
