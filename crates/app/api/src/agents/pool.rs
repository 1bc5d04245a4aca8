//! Who is given which job.
//!
//! Rooms want agents by name (dispatches); workers offer to be agents of a name, for rooms, publishers or
//! participants. A job is offered to the least busy worker that fits, then to the next, until one takes it.
//! A dispatch without a name goes to workers without a name and is made for every room; it is about those
//! that are there at that time. One with a name waits for its workers as long as the room runs.

use std::collections::{BTreeMap, BTreeSet};

use livekit_protocol as proto;
use proto::participant_info::Kind;
use proto::server_message::Message as Tell;
use proto::worker_message::Message as Heard;
use proto::{AgentDispatch, AgentDispatchState, Job, JobStatus, JobType, RoomAgentDispatch};
use tokio::sync::mpsc;

use super::fresh;

/// Jobs of a room that are remembered; ended ones are forgotten beyond it.
const JOBS_MAX: usize = 1000;
/// Dispatches of a room.
const DISPATCHES_MAX: usize = 100;

/// One connection of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WorkerId(pub(super) u64);

/// What waits to be sent to a worker. One that does not read is closed.
pub(super) type Outbox = mpsc::Sender<proto::ServerMessage>;

/// Signs a job's token.
pub(super) type Sign<'a> =
    &'a dyn Fn(&Job, &proto::AvailabilityResponse, Option<&proto::ParticipantPermission>) -> Option<String>;

/// What is to be done about what has happened, beyond what workers have been sent.
#[derive(Debug)]
pub(super) enum Said {
    /// [`Pool::overdue`] is to be called with these when the time for an answer is over.
    Asked { job: String, ask: u64 },
    /// To be told over HTTP.
    Event { name: &'static str, job: Box<Job> },
}

#[derive(Debug)]
struct Worker {
    sid: String,
    outbox: Outbox,
    kind: JobType,
    agent_name: String,
    may: Option<proto::ParticipantPermission>,
    is_full: bool,
    load: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No worker fits now.
    Waiting,
    Asked {
        worker: WorkerId,
        ask: u64,
    },
    /// `None`: its worker has gone; the agent may go on.
    Running {
        worker: Option<WorkerId>,
    },
    Ended,
}

#[derive(Debug)]
struct Task {
    job: Job,
    stage: Stage,
    refused_by: BTreeSet<WorkerId>,
}

/// A room and what it wants.
#[derive(Debug, Default)]
struct Place {
    room: proto::Room,
    /// Without their jobs.
    dispatches: Vec<AgentDispatch>,
    participants: BTreeMap<String, proto::ParticipantInfo>,
    publishers: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    workers: BTreeMap<WorkerId, Worker>,
    places: BTreeMap<String, Place>,
    tasks: BTreeMap<String, Task>,
    last_ask: u64,
    said: Vec<Said>,
}

fn tell(worker: &Worker, message: Tell) -> bool {
    worker.outbox.try_send(proto::ServerMessage { message: Some(message) }).is_ok()
}

impl Pool {
    pub(super) fn census(&self) -> (usize, usize) {
        let runs = |t: &&Task| matches!(t.stage, Stage::Running { .. });
        (self.workers.len(), self.tasks.values().filter(runs).count())
    }

    /// A worker has introduced itself.
    pub(super) fn register(
        &mut self,
        id: WorkerId,
        outbox: Outbox,
        asked: proto::RegisterWorkerRequest,
        server: proto::ServerInfo,
        now: i64,
    ) -> Vec<Said> {
        let kind = asked.r#type();
        let worker = Worker {
            sid: fresh("AW_"),
            outbox,
            kind,
            agent_name: asked.agent_name.clone(),
            may: asked.allowed_permissions,
            is_full: false,
            load: 0.0,
        };
        let response = proto::RegisterWorkerResponse {
            worker_id: worker.sid.clone(),
            server_info: Some(server),
            endpoint_settings: None,
        };
        tell(&worker, Tell::Register(response));
        self.workers.insert(id, worker);
        if !asked.agent_name.is_empty() {
            let rooms: Vec<String> = self.places.keys().cloned().collect();
            for room in rooms {
                self.want_all(&room, &asked.agent_name, now);
            }
        }
        self.offer_waiting(now);
        std::mem::take(&mut self.said)
    }

    /// Something has happened in a room.
    pub(super) fn happened(
        &mut self,
        event: &proto::WebhookEvent,
        wanted: Vec<RoomAgentDispatch>,
        now: i64,
    ) -> Vec<Said> {
        let Some(room) = &event.room else { return Vec::new() };
        let who = event.participant.as_ref();
        let identity = who.map(|p| p.identity.clone()).unwrap_or_default();
        match event.event.as_str() {
            "room_started" => self.start(room, wanted, now),
            "room_finished" => self.finish(room, now),
            "participant_joined" => {
                let Some(who) = who.filter(|p| !matches!(p.kind(), Kind::Agent | Kind::Egress)) else {
                    return Vec::new();
                };
                if let Some(place) = self.places.get_mut(&room.name) {
                    place.participants.insert(identity, who.clone());
                }
                self.want_everywhere(&room.name, now);
            }
            "track_published" => {
                if let Some(place) = self.places.get_mut(&room.name) {
                    place.publishers.insert(identity);
                }
                self.want_everywhere(&room.name, now);
            }
            "participant_left" => {
                if let Some(place) = self.places.get_mut(&room.name) {
                    place.participants.remove(&identity);
                    place.publishers.remove(&identity);
                }
                // Nobody is to be sent to who has gone.
                let about =
                    |job: &Job| job.participant.as_ref().zip(who).is_some_and(|(a, b)| a.sid == b.sid);
                self.tasks.retain(|_, task| task.stage != Stage::Waiting || !about(&task.job));
            }
            _ => {}
        }
        std::mem::take(&mut self.said)
    }

    fn start(&mut self, room: &proto::Room, wanted: Vec<RoomAgentDispatch>, now: i64) {
        let unnamed = RoomAgentDispatch::default();
        let dispatches = wanted.into_iter().take(DISPATCHES_MAX).chain([unnamed]);
        let dispatches = dispatches.map(|wanted| dispatch(&room.name, wanted, now)).collect();
        let place = Place { room: room.clone(), dispatches, ..Place::default() };
        if let Some(previous) = self.places.insert(room.name.clone(), place) {
            self.end_jobs(now, |job| job.room.as_ref().is_some_and(|r| r.sid == previous.room.sid));
        }
        self.want_everywhere(&room.name, now);
    }

    fn finish(&mut self, room: &proto::Room, now: i64) {
        // A successor may have the name already.
        if self.places.get(&room.name).is_some_and(|place| place.room.sid == room.sid) {
            self.places.remove(&room.name);
        }
        let of_room = |job: &Job| job.room.as_ref().is_some_and(|r| r.sid == room.sid);
        self.end_jobs(now, of_room);
        self.tasks.retain(|_, task| !of_room(&task.job));
    }

    /// Workers of these jobs are told to end them.
    fn end_jobs(&mut self, now: i64, which: impl Fn(&Job) -> bool) {
        for task in self.tasks.values_mut().filter(|task| which(&task.job)) {
            let worker = match task.stage {
                Stage::Running { worker } => worker,
                Stage::Asked { worker, .. } => Some(worker),
                Stage::Waiting => None,
                Stage::Ended => continue,
            };
            if let Some(worker) = worker.and_then(|id| self.workers.get(&id)) {
                tell(worker, Tell::Termination(proto::JobTermination { job_id: task.job.id.clone() }));
            }
            if matches!(task.stage, Stage::Running { .. }) {
                let state = task.job.state.get_or_insert_default();
                state.set_status(JobStatus::JsSuccess);
                (state.ended_at, state.updated_at) = (now, now);
                self.said.push(Said::Event { name: "agent_job_ended", job: Box::new(task.job.clone()) });
            }
            task.stage = Stage::Ended;
        }
    }

    fn want_everywhere(&mut self, room: &str, now: i64) {
        let names: BTreeSet<String> = self.workers.values().map(|w| w.agent_name.clone()).collect();
        for name in names {
            self.want_all(room, &name, now);
        }
    }

    /// Makes the jobs that a room's dispatches of this name ask for and that are not there.
    fn want_all(&mut self, room: &str, agent_name: &str, now: i64) {
        let Some(place) = self.places.get(room) else { return };
        let kinds: BTreeSet<i32> =
            self.workers.values().filter(|w| w.agent_name == agent_name).map(|w| w.kind.into()).collect();
        let mut missing = Vec::new();
        for dispatch in place.dispatches.iter().filter(|d| d.agent_name == agent_name) {
            for kind in kinds.iter().filter_map(|kind| JobType::try_from(*kind).ok()) {
                let about: Vec<Option<&proto::ParticipantInfo>> = match kind {
                    JobType::JtRoom => vec![None],
                    JobType::JtParticipant => place.participants.values().map(Some).collect(),
                    JobType::JtPublisher => {
                        let publishes = |p: &&proto::ParticipantInfo| place.publishers.contains(&p.identity);
                        place.participants.values().filter(publishes).map(Some).collect()
                    }
                };
                for who in about {
                    if !self.is_there(&dispatch.id, kind, who) {
                        missing.push(job(place, dispatch, kind, who));
                    }
                }
            }
        }
        for job in missing {
            if self.jobs_in(&job) >= JOBS_MAX {
                self.forget_ended(room);
                if self.jobs_in(&job) >= JOBS_MAX {
                    return;
                }
            }
            let id = job.id.clone();
            let task = Task { job, stage: Stage::Waiting, refused_by: BTreeSet::new() };
            self.tasks.insert(id.clone(), task);
            self.offer(&id, now);
        }
    }

    /// How many jobs there are in the room of this one.
    fn jobs_in(&self, job: &Job) -> usize {
        let sid = room_of(job);
        self.tasks.values().filter(|task| room_of(&task.job) == sid).count()
    }

    /// Forgets a room's jobs that are over, of participants who have gone. Who is there and has had a job is not given
    /// another.
    fn forget_ended(&mut self, room: &str) {
        let Some(place) = self.places.get(room) else { return };
        let here: BTreeSet<&str> = place.participants.values().map(|p| p.sid.as_str()).collect();
        self.tasks.retain(|_, task| {
            let is_over = matches!(task.stage, Stage::Ended | Stage::Running { worker: None });
            let about_gone = task.job.participant.as_ref().is_some_and(|p| !here.contains(p.sid.as_str()));
            !(is_over && about_gone && room_of(&task.job) == Some(&place.room.sid))
        });
    }

    fn is_there(&self, dispatch: &str, kind: JobType, who: Option<&proto::ParticipantInfo>) -> bool {
        self.tasks.values().any(|task| {
            task.job.dispatch_id == dispatch
                && task.job.r#type() == kind
                // A participant who comes back has another sid, and is another.
                && task.job.participant.as_ref().map(|p| &p.sid) == who.map(|p| &p.sid)
        })
    }

    fn offer_waiting(&mut self, now: i64) {
        let waiting = |(_, task): &(&String, &Task)| task.stage == Stage::Waiting;
        let waiting: Vec<String> = self.tasks.iter().filter(waiting).map(|(id, _)| id.clone()).collect();
        for id in waiting {
            self.offer(&id, now);
        }
    }

    fn busy(&self, id: WorkerId) -> usize {
        let with = |t: &&Task| {
            matches!(t.stage, Stage::Asked { worker, .. } if worker == id)
                || t.stage == Stage::Running { worker: Some(id) }
        };
        self.tasks.values().filter(with).count()
    }

    /// Offers a job to the next worker that fits.
    fn offer(&mut self, id: &str, _now: i64) {
        let Some(task) = self.tasks.get(id) else { return };
        let fits = |(worker_id, worker): &(&WorkerId, &Worker)| {
            worker.agent_name == task.job.agent_name
                && worker.kind == task.job.r#type()
                && !worker.is_full
                && !task.refused_by.contains(worker_id)
        };
        let mut fitting: Vec<(f32, usize, WorkerId)> =
            self.workers.iter().filter(fits).map(|(id, w)| (w.load, self.busy(*id), *id)).collect();
        fitting.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let request = proto::AvailabilityRequest { job: Some(task.job.clone()), resuming: false };
        let asked = fitting.into_iter().map(|(_, _, id)| id).find(|id| {
            let worker = self.workers.get(id);
            worker.is_some_and(|worker| tell(worker, Tell::Availability(request.clone())))
        });
        self.last_ask += 1;
        let ask = self.last_ask;
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.stage = match asked {
            Some(worker) => Stage::Asked { worker, ask },
            None => Stage::Waiting,
        };
        if asked.is_some() {
            self.said.push(Said::Asked { job: id.to_owned(), ask });
        }
    }

    /// A worker has had its time to answer.
    pub(super) fn overdue(&mut self, id: &str, ask: u64, now: i64) -> Vec<Said> {
        if let Some(task) = self.tasks.get_mut(id)
            && let Stage::Asked { worker, ask: asked } = task.stage
            && asked == ask
        {
            task.refused_by.insert(worker);
            self.offer(id, now);
        }
        std::mem::take(&mut self.said)
    }

    /// A registered worker has said something. `None`: it does not read what it is told, and is to go.
    pub(super) fn hear(
        &mut self,
        id: WorkerId,
        message: Heard,
        now: i64,
        load_max: f32,
        sign: Sign<'_>,
    ) -> Option<Vec<Said>> {
        let worker = self.workers.get_mut(&id)?;
        match message {
            Heard::Availability(answer) => self.answered(id, answer, now, sign),
            Heard::UpdateWorker(update) => {
                worker.load = if update.load.is_finite() { update.load } else { f32::MAX };
                let says_full = update.status() == proto::WorkerStatus::WsFull;
                let was_full = worker.is_full;
                worker.is_full = says_full || update.draining || worker.load > load_max;
                if was_full && !worker.is_full {
                    self.offer_waiting(now);
                }
            }
            Heard::UpdateJob(update) => self.progressed(id, update, now),
            Heard::Ping(ping) => {
                let pong = proto::WorkerPong { last_timestamp: ping.timestamp, timestamp: now / 1_000_000 };
                if !tell(worker, Tell::Pong(pong)) {
                    return None;
                }
            }
            Heard::MigrateJob(request) => self.adopted(id, &request.job_ids),
            // A second introduction changes nothing; tests of workers are made at the worker.
            Heard::Register(_) | Heard::SimulateJob(_) => {}
        }
        Some(std::mem::take(&mut self.said))
    }

    fn answered(&mut self, id: WorkerId, mut answer: proto::AvailabilityResponse, now: i64, sign: Sign<'_>) {
        let Some(worker) = self.workers.get(&id) else { return };
        let Some(task) = self.tasks.get_mut(&answer.job_id) else { return };
        if !matches!(task.stage, Stage::Asked { worker, .. } if worker == id) {
            if answer.available {
                // Somebody else has it by now.
                tell(worker, Tell::Termination(proto::JobTermination { job_id: answer.job_id }));
            }
            return;
        }
        if !answer.available {
            if answer.terminate {
                task.stage = Stage::Ended;
            } else {
                task.refused_by.insert(id);
                self.offer(&answer.job_id, now);
            }
            return;
        }
        if answer.participant_identity.is_empty() {
            answer.participant_identity = format!("agent-{}", task.job.id);
        }
        let Some(token) = sign(&task.job, &answer, worker.may.as_ref()) else {
            task.stage = Stage::Waiting;
            return;
        };
        let state = task.job.state.get_or_insert_default();
        state.set_status(JobStatus::JsRunning);
        (state.started_at, state.updated_at) = (now, now);
        state.participant_identity = answer.participant_identity;
        state.worker_id.clone_from(&worker.sid);
        let assignment = proto::JobAssignment { job: Some(task.job.clone()), url: None, token };
        if tell(worker, Tell::Assignment(assignment)) {
            task.stage = Stage::Running { worker: Some(id) };
            self.said.push(Said::Event { name: "agent_job_started", job: Box::new(task.job.clone()) });
        } else {
            task.refused_by.insert(id);
            self.offer(&answer.job_id, now);
        }
    }

    fn progressed(&mut self, id: WorkerId, update: proto::UpdateJobStatus, now: i64) {
        let Some(task) = self.tasks.get_mut(&update.job_id) else { return };
        if task.stage != (Stage::Running { worker: Some(id) }) {
            return;
        }
        let status = update.status();
        let state = task.job.state.get_or_insert_default();
        state.set_status(status);
        state.error = update.error;
        state.updated_at = now;
        if matches!(status, JobStatus::JsSuccess | JobStatus::JsFailed) {
            state.ended_at = now;
            task.stage = Stage::Ended;
            self.said.push(Said::Event { name: "agent_job_ended", job: Box::new(task.job.clone()) });
        }
    }

    /// A worker that has connected again goes on with the jobs of its last connection.
    fn adopted(&mut self, id: WorkerId, jobs: &[String]) {
        for job in jobs {
            if let Some(task) = self.tasks.get_mut(job)
                && task.stage == (Stage::Running { worker: None })
            {
                task.stage = Stage::Running { worker: Some(id) };
            }
        }
    }

    /// A worker's connection has ended. Its agents may go on: they have connections of their own.
    pub(super) fn gone(&mut self, id: WorkerId, now: i64) -> Vec<Said> {
        self.workers.remove(&id);
        let mut again = Vec::new();
        for (job, task) in &mut self.tasks {
            match task.stage {
                Stage::Asked { worker, .. } if worker == id => again.push(job.clone()),
                Stage::Running { worker: Some(worker) } if worker == id => {
                    task.stage = Stage::Running { worker: None };
                }
                _ => {}
            }
        }
        for job in again {
            self.offer(&job, now);
        }
        std::mem::take(&mut self.said)
    }

    pub(super) fn dispatch(
        &mut self,
        room: &str,
        wanted: RoomAgentDispatch,
        now: i64,
    ) -> Option<(AgentDispatch, Vec<Said>)> {
        let place = self.places.get_mut(room)?;
        if place.dispatches.len() > DISPATCHES_MAX {
            return None;
        }
        let name = wanted.agent_name.clone();
        let made = dispatch(room, wanted, now);
        let id = made.id.clone();
        place.dispatches.push(made);
        self.want_all(room, &name, now);
        let made = self.dispatches(room).into_iter().find(|d| d.id == id)?;
        Some((made, std::mem::take(&mut self.said)))
    }

    pub(super) fn recall(&mut self, room: &str, id: &str, now: i64) -> Option<(AgentDispatch, Vec<Said>)> {
        let place = self.places.get_mut(room)?;
        let at = place.dispatches.iter().position(|d| d.id == id)?;
        let mut gone = place.dispatches.remove(at);
        self.end_jobs(now, |job| job.dispatch_id == id);
        let state = gone.state.get_or_insert_default();
        state.deleted_at = now;
        state.jobs = self.jobs_of(id);
        self.tasks.retain(|_, task| task.job.dispatch_id != id);
        Some((gone, std::mem::take(&mut self.said)))
    }

    pub(super) fn dispatches(&self, room: &str) -> Vec<AgentDispatch> {
        let dispatches = self.places.get(room).map(|p| p.dispatches.clone()).unwrap_or_default();
        let with_jobs = dispatches.into_iter().map(|mut dispatch| {
            dispatch.state.get_or_insert_default().jobs = self.jobs_of(&dispatch.id);
            dispatch
        });
        // The one that every room has is worth telling of when it has led to something.
        with_jobs
            .filter(|d| !d.agent_name.is_empty() || d.state.as_ref().is_some_and(|s| !s.jobs.is_empty()))
            .collect()
    }

    fn jobs_of(&self, dispatch: &str) -> Vec<Job> {
        self.tasks.values().filter(|t| t.job.dispatch_id == dispatch).map(|t| t.job.clone()).collect()
    }
}

/// The life of a room that a job is in.
fn room_of(job: &Job) -> Option<&String> {
    job.room.as_ref().map(|room| &room.sid)
}

fn dispatch(room: &str, wanted: RoomAgentDispatch, now: i64) -> AgentDispatch {
    AgentDispatch {
        id: fresh("AD_"),
        agent_name: wanted.agent_name,
        room: room.to_owned(),
        metadata: wanted.metadata,
        state: Some(AgentDispatchState { created_at: now, ..AgentDispatchState::default() }),
        restart_policy: wanted.restart_policy,
        deployment: wanted.deployment,
        attributes: wanted.attributes,
    }
}

fn job(place: &Place, dispatch: &AgentDispatch, kind: JobType, who: Option<&proto::ParticipantInfo>) -> Job {
    Job {
        id: fresh("AJ_"),
        dispatch_id: dispatch.id.clone(),
        r#type: kind.into(),
        room: Some(place.room.clone()),
        participant: who.cloned(),
        metadata: dispatch.metadata.clone(),
        agent_name: dispatch.agent_name.clone(),
        state: Some(proto::JobState::default()),
        deployment: dispatch.deployment.clone(),
        attributes: dispatch.attributes.clone(),
        ..Job::default()
    }
}
