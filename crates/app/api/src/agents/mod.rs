//! Agents: programs that register as workers on `/agent`, are given jobs in rooms, and join them.
//!
//! Owns: which workers there are, which rooms want which agents, and which job is whose ([`pool`]); their
//! connections ([`socket`]). An agent that has joined is a participant like any other: nothing here knows
//! what it does.

mod pool;
mod socket;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auth::{Claims, Kind, VideoGrant};
use livekit_protocol as proto;
use proto::{AgentDispatch, Job, RoomAgentDispatch, WebhookEvent};

use crate::app::Shared;
use pool::{Pool, Said, WorkerId};

pub(crate) use socket::connect;

/// For a worker to say whether it takes a job.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// All workers and jobs of this process.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    pool: Mutex<Pool>,
    last_worker: AtomicU64,
}

impl Agents {
    fn with<T>(&self, work: impl FnOnce(&mut Pool) -> T) -> T {
        // No panic can leave the pool half changed.
        work(&mut self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many workers are registered, and how many jobs run.
    pub(crate) fn census(&self) -> (usize, usize) {
        self.with(|pool| pool.census())
    }
}

/// Seconds since 1970.
fn seconds() -> i64 {
    i64::try_from(crate::now().unix.as_secs()).unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970, in which LiveKit tells of jobs.
fn nanos() -> i64 {
    i64::try_from(crate::now().unix.as_nanos()).unwrap_or(i64::MAX)
}

fn fresh(prefix: &str) -> String {
    format!("{prefix}{:012x}", u64::from_le_bytes(crate::random()) >> 16)
}

impl Shared {
    /// Something has happened in a room. `wanted` are the agents that a room which starts is to have.
    pub(crate) fn tell_agents(self: &Arc<Self>, event: &WebhookEvent, wanted: Vec<RoomAgentDispatch>) {
        let said = self.agents.with(|pool| pool.happened(event, wanted, nanos()));
        self.carry_out(said);
    }

    /// A worker has said something; `false` if it is not to be listened to any longer.
    fn hear_worker(self: &Arc<Self>, worker: WorkerId, message: proto::worker_message::Message) -> bool {
        let limit = self.config().agent_load;
        let token =
            |job: &Job, who: &proto::AvailabilityResponse, may: Option<&proto::ParticipantPermission>| {
                self.agent_token(job, who, may)
            };
        let said = self.agents.with(|pool| pool.hear(worker, message, nanos(), limit, &token));
        let Some(said) = said else { return false };
        self.carry_out(said);
        true
    }

    fn worker_gone(self: &Arc<Self>, worker: WorkerId) {
        let said = self.agents.with(|pool| pool.gone(worker, nanos()));
        self.carry_out(said);
    }

    fn carry_out(self: &Arc<Self>, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Asked { job, ask } => {
                    let shared = Arc::clone(self);
                    tokio::spawn(async move {
                        tokio::time::sleep(ANSWER_TIMEOUT).await;
                        let said = shared.agents.with(|pool| pool.overdue(&job, ask, nanos()));
                        shared.carry_out(said);
                    });
                }
                Said::Event { name, job } => self.webhooks.send(WebhookEvent {
                    event: name.to_owned(),
                    room: job.room.as_ref().map(|room| proto::Room {
                        sid: room.sid.clone(),
                        name: room.name.clone(),
                        ..proto::Room::default()
                    }),
                    job: Some(*job),
                    created_at: seconds(),
                    ..WebhookEvent::default()
                }),
            }
        }
    }

    /// What lets an agent into the room of its job; `None` if there is no key to sign with.
    #[allow(deprecated)] // Old tokens say what is an agent in their grants, and old readers look there.
    fn agent_token(
        &self,
        job: &Job,
        who: &proto::AvailabilityResponse,
        may: Option<&proto::ParticipantPermission>,
    ) -> Option<String> {
        let room = job.room.as_ref()?.name.clone();
        let mut video =
            VideoGrant { agent: true, can_update_own_metadata: Some(true), ..VideoGrant::to_join(room) };
        if let Some(may) = may {
            video.can_publish = Some(may.can_publish);
            video.can_subscribe = Some(may.can_subscribe);
            video.can_publish_data = Some(may.can_publish_data);
            video.can_update_own_metadata = Some(may.can_update_metadata);
            video.hidden = may.hidden;
        }
        let claims = Claims {
            identity: who.participant_identity.clone(),
            name: who.participant_name.clone(),
            metadata: who.participant_metadata.clone(),
            attributes: who.participant_attributes.clone().into_iter().collect(),
            kind: Kind::Agent,
            video: Some(video),
            ..Claims::default()
        };
        self.refresh_token(&claims, auth::DEFAULT_LIFETIME)
    }

    /// Wants an agent in a room that runs.
    pub(crate) fn create_dispatch(
        self: &Arc<Self>,
        room: &str,
        wanted: RoomAgentDispatch,
    ) -> Option<AgentDispatch> {
        let (dispatch, said) = self.agents.with(|pool| pool.dispatch(room, wanted, nanos()))?;
        self.carry_out(said);
        Some(dispatch)
    }

    /// Wants it no longer; its jobs end.
    pub(crate) fn delete_dispatch(self: &Arc<Self>, room: &str, id: &str) -> Option<AgentDispatch> {
        let (dispatch, said) = self.agents.with(|pool| pool.recall(room, id, nanos()))?;
        self.carry_out(said);
        Some(dispatch)
    }

    /// What agents a room is to have, and their jobs.
    pub(crate) fn dispatches(&self, room: &str) -> Vec<AgentDispatch> {
        self.agents.with(|pool| pool.dispatches(room))
    }

    fn next_worker(&self) -> WorkerId {
        WorkerId(self.agents.last_worker.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
