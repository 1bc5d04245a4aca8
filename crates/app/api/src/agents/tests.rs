//! Rooms that want agents, and workers that take jobs, decline, hesitate and go.

use proto::server_message::Message as Tell;
use proto::worker_message::Message as Heard;
use proto::{JobStatus, JobType};
use tokio::sync::mpsc;

use super::*;

struct Office {
    pool: Pool,
    asked: Vec<(String, u64)>,
    events: Vec<(&'static str, String)>,
}

struct Hand {
    id: WorkerId,
    inbox: mpsc::Receiver<proto::ServerMessage>,
}

impl Hand {
    fn next(&mut self) -> Option<Tell> {
        self.inbox.try_recv().ok()?.message
    }

    fn offered(&mut self) -> Job {
        match self.next() {
            Some(Tell::Availability(request)) => request.job.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

impl Office {
    fn new() -> Self {
        Self { pool: Pool::default(), asked: Vec::new(), events: Vec::new() }
    }

    fn note(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Asked { job, ask } => self.asked.push((job, ask)),
                Said::Event { name, job } => self.events.push((name, job.id)),
            }
        }
    }

    fn hire(&mut self, number: u64, name: &str, kind: JobType) -> Hand {
        let (outbox, inbox) = mpsc::channel(8);
        let request = proto::RegisterWorkerRequest {
            agent_name: name.into(),
            r#type: kind.into(),
            ..proto::RegisterWorkerRequest::default()
        };
        let id = WorkerId(number);
        let said = self.pool.register(id, outbox, request, proto::ServerInfo::default(), 1);
        self.note(said);
        let mut hand = Hand { id, inbox };
        assert!(matches!(hand.next(), Some(Tell::Register(r)) if r.worker_id.starts_with("AW_")));
        hand
    }

    fn happens(&mut self, event: &str, room: &str, who: Option<&str>, wanted: &[&str]) {
        let wanted = wanted.iter().map(|name| RoomAgentDispatch {
            agent_name: (*name).into(),
            metadata: "m".into(),
            ..RoomAgentDispatch::default()
        });
        let event = WebhookEvent {
            event: event.into(),
            room: Some(proto::Room { name: room.into(), sid: format!("RM_{room}"), ..Default::default() }),
            participant: who.map(|who| proto::ParticipantInfo {
                identity: who.into(),
                sid: format!("PA_{who}"),
                ..Default::default()
            }),
            ..WebhookEvent::default()
        };
        let said = self.pool.happened(&event, wanted.collect(), 1);
        self.note(said);
    }

    fn says(&mut self, hand: &Hand, message: Heard) -> bool {
        let sign =
            |job: &Job, who: &proto::AvailabilityResponse, _: Option<&proto::ParticipantPermission>| {
                Some(format!("{}/{}", job.room.as_ref().unwrap().name, who.participant_identity))
            };
        let said = self.pool.hear(hand.id, message, 2, 0.7, &sign);
        let is_well = said.is_some();
        self.note(said.unwrap_or_default());
        is_well
    }

    fn answers(&mut self, hand: &Hand, job: &Job, available: bool) {
        let answer = proto::AvailabilityResponse { job_id: job.id.clone(), available, ..Default::default() };
        self.says(hand, Heard::Availability(answer));
    }

    fn load(&mut self, hand: &Hand, load: f32) {
        self.says(hand, Heard::UpdateWorker(proto::UpdateWorkerStatus { load, ..Default::default() }));
    }
}

#[test]
fn a_worker_without_a_name_is_offered_each_new_room_and_told_when_it_ends() {
    let mut office = Office::new();
    let mut worker = office.hire(1, "", JobType::JtRoom);
    office.happens("room_started", "a", None, &[]);
    let job = worker.offered();
    assert_eq!((job.room.as_ref().unwrap().name.as_str(), job.r#type()), ("a", JobType::JtRoom));
    assert_eq!(office.pool.census(), (1, 0));
    office.answers(&worker, &job, true);
    let Some(Tell::Assignment(assignment)) = worker.next() else { panic!() };
    assert_eq!(assignment.token, format!("a/agent-{}", job.id));
    let state = assignment.job.unwrap().state.unwrap();
    assert_eq!((state.status(), state.worker_id.is_empty()), (JobStatus::JsRunning, false));
    assert_eq!(office.pool.census(), (1, 1));
    assert_eq!(office.pool.dispatches("a")[0].state.as_ref().unwrap().jobs.len(), 1);
    office.happens("room_finished", "a", None, &[]);
    assert!(matches!(worker.next(), Some(Tell::Termination(t)) if t.job_id == job.id));
    assert_eq!(office.events, [("agent_job_started", job.id.clone()), ("agent_job_ended", job.id)]);
    assert_eq!((office.pool.census(), office.pool.dispatches("a").len()), ((1, 0), 0));
}

#[test]
fn a_name_that_a_room_wants_is_waited_for_and_another_is_not_asked() {
    let mut office = Office::new();
    office.happens("room_started", "a", None, &["helper"]);
    let mut other = office.hire(1, "other", JobType::JtRoom);
    let mut unnamed = office.hire(2, "", JobType::JtRoom);
    assert!(other.next().is_none() && unnamed.next().is_none());
    let mut helper = office.hire(3, "helper", JobType::JtRoom);
    let job = helper.offered();
    assert_eq!((job.agent_name.as_str(), job.metadata.as_str()), ("helper", "m"));
    // Another of the same name gets no second job of the same dispatch.
    let mut second = office.hire(4, "helper", JobType::JtRoom);
    assert!(second.next().is_none());
}

#[test]
fn who_declines_hesitates_or_goes_is_followed_by_the_next_once_each() {
    let mut office = Office::new();
    let mut hands: Vec<Hand> = (1..=3).map(|n| office.hire(n, "", JobType::JtRoom)).collect();
    for (at, load) in [(0, 0.1), (1, 0.2), (2, 0.3)] {
        let hand = Hand { id: hands[at].id, inbox: mpsc::channel(1).1 };
        office.load(&hand, load);
    }
    office.happens("room_started", "a", None, &[]);
    let job = hands[0].offered();
    office.answers(&Hand { id: hands[0].id, inbox: mpsc::channel(1).1 }, &job, false);
    assert_eq!(hands[1].offered().id, job.id);
    let (id, ask) = office.asked.last().unwrap().clone();
    let said = office.pool.overdue(&id, ask, 3);
    office.note(said);
    let said = office.pool.overdue(&id, ask, 3);
    office.note(said);
    assert_eq!(hands[2].offered().id, job.id);
    let late = Hand { id: hands[1].id, inbox: mpsc::channel(1).1 };
    office.answers(&late, &job, true);
    assert!(matches!(hands[1].next(), Some(Tell::Termination(_))), "somebody else is asked by now");
    let gone = office.pool.gone(hands[2].id, 4);
    office.note(gone);
    assert!(hands[0].next().is_none() && hands[1].next().is_none(), "nobody is asked twice");
    let mut fresh = office.hire(9, "", JobType::JtRoom);
    assert_eq!(fresh.offered().id, job.id);
}

#[test]
fn busy_workers_are_left_alone_until_they_are_free() {
    let mut office = Office::new();
    let mut worker = office.hire(1, "", JobType::JtRoom);
    let twin = Hand { id: worker.id, inbox: mpsc::channel(1).1 };
    office.load(&twin, 0.9);
    office.happens("room_started", "a", None, &[]);
    assert!(worker.next().is_none());
    office.load(&twin, f32::NAN);
    assert!(worker.next().is_none());
    office.load(&twin, 0.5);
    worker.offered();
}

#[test]
fn publishers_and_participants_have_jobs_of_their_own() {
    let mut office = Office::new();
    let mut for_publishers = office.hire(1, "", JobType::JtPublisher);
    let mut for_participants = office.hire(2, "", JobType::JtParticipant);
    office.happens("room_started", "a", None, &[]);
    office.happens("participant_joined", "a", Some("ann"), &[]);
    assert_eq!(for_participants.offered().participant.unwrap().identity, "ann");
    assert!(for_publishers.next().is_none());
    office.happens("track_published", "a", Some("ann"), &[]);
    office.happens("track_published", "a", Some("ann"), &[]);
    assert_eq!(for_publishers.offered().participant.unwrap().identity, "ann");
    assert!(for_publishers.next().is_none() && for_participants.next().is_none(), "once each");
}

#[test]
fn dispatches_are_made_and_taken_back() {
    let mut office = Office::new();
    assert!(office.pool.dispatch("a", RoomAgentDispatch::default(), 1).is_none(), "no such room");
    office.happens("room_started", "a", None, &[]);
    let mut worker = office.hire(1, "helper", JobType::JtRoom);
    let twin = Hand { id: worker.id, inbox: mpsc::channel(1).1 };
    let wanted = RoomAgentDispatch { agent_name: "helper".into(), ..Default::default() };
    let (made, said) = office.pool.dispatch("a", wanted, 1).unwrap();
    office.note(said);
    let job = worker.offered();
    assert_eq!((&job.dispatch_id, made.state.unwrap().jobs.len()), (&made.id, 1));
    office.answers(&twin, &job, true);
    worker.next();
    let update = |status: JobStatus| {
        Heard::UpdateJob(proto::UpdateJobStatus {
            job_id: job.id.clone(),
            status: status.into(),
            ..Default::default()
        })
    };
    office.says(&twin, update(JobStatus::JsFailed));
    office.says(&twin, update(JobStatus::JsSuccess));
    assert_eq!(office.events.len(), 2, "it ends once: {:?}", office.events);
    let (gone, _) = office.pool.recall("a", &made.id, 5).unwrap();
    let state = gone.state.unwrap();
    assert_eq!((state.deleted_at, state.jobs[0].state.as_ref().unwrap().status()), (5, JobStatus::JsFailed));
    assert!(office.pool.recall("a", &made.id, 5).is_none());
    assert!(worker.next().is_none(), "what has ended needs no end");
}

#[test]
fn a_worker_that_comes_back_goes_on() {
    let mut office = Office::new();
    let mut worker = office.hire(1, "", JobType::JtRoom);
    office.happens("room_started", "a", None, &[]);
    let job = worker.offered();
    office.answers(&Hand { id: worker.id, inbox: mpsc::channel(1).1 }, &job, true);
    let said = office.pool.gone(worker.id, 3);
    office.note(said);
    let mut again = office.hire(2, "", JobType::JtRoom);
    assert!(again.next().is_none(), "its agent is still there");
    let twin = Hand { id: again.id, inbox: mpsc::channel(1).1 };
    office.says(
        &twin,
        Heard::MigrateJob(proto::MigrateJobRequest { job_ids: vec![job.id.clone(), "AJ_x".into()] }),
    );
    office.happens("room_finished", "a", None, &[]);
    assert!(matches!(again.next(), Some(Tell::Termination(t)) if t.job_id == job.id));
}

#[test]
fn a_worker_that_does_not_read_is_let_go() {
    let mut office = Office::new();
    let worker = office.hire(1, "", JobType::JtRoom);
    let ping = || Heard::Ping(proto::WorkerPing { timestamp: 1 });
    for _ in 0..8 {
        assert!(office.says(&worker, ping()));
    }
    assert!(!office.says(&worker, ping()));
}

#[test]
fn jobs_of_those_who_have_gone_make_place_for_others() {
    let mut office = Office::new();
    office.happens("room_started", "lobby", None, &[]);
    let mut worker = office.hire(1, "", JobType::JtParticipant);
    // Whoever has had a job and stays is given no other, however many come and go.
    office.happens("participant_joined", "lobby", Some("host"), &[]);
    let first = worker.offered();
    let end = |office: &mut Office, worker: &Hand, job: &Job| {
        let mut update = proto::UpdateJobStatus { job_id: job.id.clone(), ..Default::default() };
        update.set_status(JobStatus::JsSuccess);
        office.says(worker, Heard::UpdateJob(update));
    };
    office.answers(&worker, &first, true);
    assert!(matches!(worker.next(), Some(Tell::Assignment(_))));
    end(&mut office, &worker, &first);
    for n in 0..1500 {
        let guest = format!("guest-{n}");
        office.happens("participant_joined", "lobby", Some(&guest), &[]);
        let job = worker.offered();
        assert_eq!(job.participant.as_ref().unwrap().identity, guest);
        office.answers(&worker, &job, true);
        assert!(matches!(worker.next(), Some(Tell::Assignment(_))));
        office.happens("participant_left", "lobby", Some(&guest), &[]);
        end(&mut office, &worker, &job);
    }
    assert!(worker.next().is_none());
}

#[test]
fn nobody_is_sent_to_who_has_gone_meanwhile() {
    let mut office = Office::new();
    office.happens("room_started", "a", None, &[]);
    let mut worker = office.hire(1, "", JobType::JtParticipant);
    office.load(&worker, 0.9);
    office.happens("participant_joined", "a", Some("ann"), &[]);
    office.happens("participant_joined", "a", Some("bob"), &[]);
    office.happens("participant_left", "a", Some("ann"), &[]);
    assert!(worker.next().is_none());
    office.load(&worker, 0.1);
    assert_eq!(worker.offered().participant.unwrap().identity, "bob");
    assert!(worker.next().is_none());
}
