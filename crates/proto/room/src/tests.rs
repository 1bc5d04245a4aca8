//! The room's rules, in virtual time.

use std::time::{Duration, Instant};

use auth::{Kind, Source};
use clock::Time;

use crate::*;

#[allow(clippy::disallowed_methods)] // A start that only tests know.
fn time() -> Time {
    Time { mono: Instant::now(), unix: Duration::from_secs(1_790_000_000) }
}

fn who(identity: &str) -> NewParticipant {
    NewParticipant {
        identity: identity.into(),
        kind: Kind::Standard,
        kind_details: Vec::new(),
        profile: Profile::default(),
        permission: Permission {
            can_subscribe: true,
            can_publish: true,
            can_publish_data: true,
            ..Permission::default()
        },
        client: Client::default(),
        auto_subscribe: true,
        auto_subscribe_data: false,
        settings: Settings::initial(Quality::High),
    }
}

fn join(room: &mut Room, now: Time, identity: &str) -> ParticipantSid {
    match room.handle(now, Command::Join(Box::new(who(identity)))) {
        Ok(Outcome::Participant(sid)) => sid,
        other => panic!("{other:?}"),
    }
}

fn layer(quality: Quality, width: u32, height: u32) -> Layer {
    Layer { quality, width, height, bitrate: 0, rid: String::new(), spatial: quality as i32 }
}

fn draft() -> TrackDraft {
    let layers = vec![
        layer(Quality::Low, 320, 180),
        layer(Quality::Medium, 640, 360),
        layer(Quality::High, 1280, 720),
    ];
    TrackDraft {
        cid: "cid".into(),
        kind: TrackKind::Video,
        source: Source::Camera,
        name: String::new(),
        muted: false,
        width: 1280,
        height: 720,
        codecs: vec![TrackCodec { mime: "video/VP8".into(), layers, ..TrackCodec::default() }],
        stream: String::new(),
        opaque: Opaque::default(),
    }
}

fn publish(room: &mut Room, now: Time, publisher: &ParticipantSid) -> TrackSid {
    let command = Command::Announce { publisher: publisher.clone(), draft: Box::new(draft()) };
    let Ok(Outcome::Track(track)) = room.handle(now, command) else { panic!() };
    room.handle(now, Command::GoLive { track: track.clone(), codecs: draft().codecs }).unwrap();
    track
}

fn events(room: &mut Room) -> Vec<Event> {
    std::iter::from_fn(|| room.poll_event()).collect()
}

fn receives(room: &Room, sid: &ParticipantSid) -> usize {
    room.participant(sid).unwrap().subscribed().count()
}

#[test]
fn everyone_gets_a_live_track_but_not_an_announced_one() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let (alice, bob) = (join(&mut room, now, "alice"), join(&mut room, now, "bob"));
    events(&mut room);
    let command = Command::Announce { publisher: alice.clone(), draft: Box::new(draft()) };
    let Ok(Outcome::Track(track)) = room.handle(now, command) else { panic!() };
    assert!(events(&mut room).is_empty(), "nobody hears of it yet");
    room.handle(now, Command::GoLive { track: track.clone(), codecs: draft().codecs }).unwrap();
    let told = events(&mut room);
    let at = |wanted: &Event| told.iter().position(|e| e == wanted).unwrap();
    let updated = at(&Event::Updated { participant: alice.clone() });
    let subscribed = at(&Event::Subscribed { subscriber: bob.clone(), track: track.clone() });
    assert!(updated < subscribed, "the track is known before it is sent");
    assert!(told.contains(&Event::FirstSubscriber { track }));
    // Late joiners too.
    let carol = join(&mut room, now, "carol");
    assert_eq!((receives(&room, &bob), receives(&room, &carol), receives(&room, &alice)), (1, 1, 0));
}

#[test]
fn a_wish_outlives_the_tracks_it_waits_for() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let alice = join(&mut room, now, "alice");
    let mut manual = who("bob");
    manual.auto_subscribe = false;
    let Ok(Outcome::Participant(bob)) = room.handle(now, Command::Join(Box::new(manual))) else { panic!() };
    let track = publish(&mut room, now, &alice);
    assert_eq!(receives(&room, &bob), 0);
    let subscribe = |track: &TrackSid, on| Command::Subscribe {
        subscriber: bob.clone(),
        tracks: vec![track.clone()],
        on,
    };
    for (on, count) in [(true, 1), (true, 1), (false, 0), (false, 0), (true, 1)] {
        room.handle(now, subscribe(&track, on)).unwrap();
        assert_eq!(receives(&room, &bob), count);
    }
    for participant in [&alice, &bob] {
        room.handle(now, Command::Activate { participant: participant.clone() }).unwrap();
    }
    events(&mut room);
    let never = TrackSid::from("TR_never");
    room.handle(now, subscribe(&never, true)).unwrap();
    room.handle_timeout(now.after(Duration::from_secs(59)));
    assert!(events(&mut room).iter().all(|e| !matches!(e, Event::NotFound { .. })));
    room.handle_timeout(now.after(Duration::from_secs(61)));
    assert!(events(&mut room).contains(&Event::NotFound { subscriber: bob.clone(), track: never }));
}

#[test]
fn versions_only_grow_and_leaving_ends_all() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let (alice, bob) = (join(&mut room, now, "alice"), join(&mut room, now, "bob"));
    let track = publish(&mut room, now, &alice);
    let before = room.participant(&alice).unwrap().version;
    room.handle(now, Command::Mute { track: track.clone(), muted: true, by_server: false }).unwrap();
    assert_eq!(room.participant(&alice).unwrap().version, before + 1);
    events(&mut room);
    let leave = Command::Leave { participant: alice.clone(), reason: LeaveReason::ClientInitiated };
    room.handle(now, leave.clone()).unwrap();
    assert_eq!(room.handle(now, leave), Err(Refusal::NoParticipant));
    let told = events(&mut room);
    let place = |pick: fn(&Event) -> bool| told.iter().position(pick).unwrap();
    let order = [
        place(|e| matches!(e, Event::Unsubscribed { .. })),
        place(|e| matches!(e, Event::Unpublished { by_server: false, .. })),
        place(|e| matches!(e, Event::Left { .. })),
    ];
    assert!(order.is_sorted());
    assert!(room.track(&track).is_none() && receives(&room, &bob) == 0);
}

#[test]
fn rights_are_checked_and_their_loss_takes_effect() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let (alice, bob) = (join(&mut room, now, "alice"), join(&mut room, now, "bob"));
    publish(&mut room, now, &alice);
    let permit = |participant: &ParticipantSid, permission: Permission| Command::Permit {
        participant: participant.clone(),
        permission,
    };
    room.handle(now, permit(&bob, Permission { can_publish: true, ..Permission::default() })).unwrap();
    assert_eq!(receives(&room, &bob), 0);
    room.handle(now, permit(&bob, who("").permission)).unwrap();
    assert_eq!(receives(&room, &bob), 1);
    let hidden = Permission { hidden: true, ..who("").permission };
    room.handle(now, permit(&alice, hidden)).unwrap();
    assert_eq!(receives(&room, &bob), 0);
    let only_voice = Permission { sources: vec![Source::Microphone], ..who("").permission };
    room.handle(now, permit(&alice, only_voice)).unwrap();
    assert_eq!(room.publisher_count(), 0);
    let again = Command::Announce { publisher: alice, draft: Box::new(draft()) };
    assert_eq!(room.handle(now, again), Err(Refusal::NotAllowed));
    let change = ProfileChange { name: "b".into(), ..ProfileChange::default() };
    let update = |by_server| Command::Update { participant: bob.clone(), change: change.clone(), by_server };
    assert_eq!(room.handle(now, update(false)), Err(Refusal::NotAllowed));
    assert_eq!(room.handle(now, update(true)), Ok(Outcome::Done));
}

#[test]
fn attributes_are_deleted_by_nothing_and_bounded() {
    let now = time();
    let config = Config { max_attributes: 10, ..Config::default() };
    let mut room = Room::new(now, config, 1);
    let alice = join(&mut room, now, "alice");
    let mut set = |key: &str, value: &str| {
        let change =
            ProfileChange { attributes: [(key.into(), value.into())].into(), ..ProfileChange::default() };
        let outcome =
            room.handle(now, Command::Update { participant: alice.clone(), change, by_server: true });
        (outcome, room.participant(&alice).unwrap().who.profile.attributes.len())
    };
    assert_eq!(set("a", "12345"), (Ok(Outcome::Done), 1));
    assert_eq!(set("b", "12345"), (Err(Refusal::TooLarge), 1));
    assert_eq!(set("a", ""), (Ok(Outcome::Done), 0));
    assert_eq!(set("b", "12345"), (Ok(Outcome::Done), 1));
}

#[test]
fn the_smallest_layer_that_is_large_enough_is_chosen() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let alice = join(&mut room, now, "alice");
    let track = publish(&mut room, now, &alice);
    let track = room.track(&track).unwrap();
    let sized = |width, height| Settings { width, height, ..Settings::initial(Quality::High) };
    for (settings, spatial) in [
        (sized(100, 100), 0),
        (sized(320, 180), 0),
        (sized(321, 180), 1),
        (sized(360, 640), 1),
        (sized(4000, 4000), 2),
        (Settings::initial(Quality::Low), 0),
        (Settings::initial(Quality::Medium), 1),
        (Settings { disabled: true, ..sized(1, 1) }, 0),
    ] {
        assert_eq!(track.spatial_for(&settings), spatial, "{settings:?}");
    }
}

#[test]
fn a_lower_demand_waits_and_may_be_withdrawn() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let (alice, bob) = (join(&mut room, now, "alice"), join(&mut room, now, "bob"));
    let track = publish(&mut room, now, &alice);
    let want = |quality| Command::Adjust {
        subscriber: bob.clone(),
        tracks: vec![track.clone()],
        settings: Settings::initial(quality),
    };
    let told = |room: &mut Room| -> Vec<_> {
        events(room)
            .into_iter()
            .filter_map(|e| if let Event::Demand { quality, .. } = e { Some(quality) } else { None })
            .collect()
    };
    let at = |seconds| now.after(Duration::from_secs(seconds));
    room.handle(at(0), want(Quality::Low)).unwrap();
    room.handle(at(3), want(Quality::High)).unwrap();
    room.handle_timeout(at(6));
    assert_eq!(told(&mut room), []);
    room.handle(at(10), want(Quality::Low)).unwrap();
    // A first lowering that was withdrawn does not bring this one forward.
    room.handle_timeout(at(14));
    assert_eq!(told(&mut room), []);
    room.handle_timeout(at(15));
    assert_eq!(told(&mut room), [Some(Quality::Low)]);
    room.handle(at(16), want(Quality::Medium)).unwrap();
    assert_eq!(told(&mut room), [Some(Quality::Medium)]);
    room.handle(at(17), Command::Leave { participant: bob.clone(), reason: LeaveReason::ClientInitiated })
        .unwrap();
    room.handle_timeout(at(22));
    assert_eq!(told(&mut room), [None]);
}

#[test]
fn rooms_end_when_nobody_comes_and_after_the_last_has_gone() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let alice = join(&mut room, now, "alice");
    room.handle(now, Command::Activate { participant: alice.clone() }).unwrap();
    room.handle_timeout(now.after(Duration::from_secs(400)));
    assert!(!room.ended(), "someone is here");
    let gone = now.after(Duration::from_secs(500));
    room.handle(gone, Command::Leave { participant: alice, reason: LeaveReason::ClientInitiated }).unwrap();
    room.handle_timeout(gone.after(Duration::from_secs(19)));
    assert!(!room.ended());
    room.handle_timeout(gone.after(Duration::from_secs(20)));
    assert!(room.ended());
    assert_eq!(room.handle(gone, Command::Join(Box::new(who("late")))), Err(Refusal::Ended));
}

#[test]
fn agents_and_recorders_keep_no_room_open_and_fill_no_seat() {
    let now = time();
    let after = |seconds| now.after(Duration::from_secs(seconds));
    for kind in [Kind::Agent, Kind::Egress] {
        let mut room = Room::new(now, Config { max_participants: 1, ..Config::default() }, 1);
        let of_kind = |identity: &str, kind| Box::new(NewParticipant { kind, ..who(identity) });
        // Nobody has come yet: its time goes on.
        room.handle(now, Command::Join(of_kind("helper", kind))).unwrap();
        let Some(helper) = room.by_identity("helper").map(|p| p.sid.clone()) else { panic!() };
        room.handle(now, Command::Activate { participant: helper.clone() }).unwrap();
        assert_eq!((room.visible_count(), room.recorded()), (0, kind == Kind::Egress));
        let alice = join(&mut room, after(299), "alice");
        room.handle(after(299), Command::Activate { participant: alice.clone() }).unwrap();
        room.handle_timeout(after(500));
        assert!(!room.ended() && room.visible_count() == 1);
        for other in [Kind::Standard, Kind::Ingress, Kind::Sip, Kind::Connector, Kind::Bridge] {
            let refused = room.handle(after(500), Command::Join(of_kind("late", other)));
            assert_eq!(refused, Err(Refusal::Full), "{other:?}");
        }
        room.handle(after(500), Command::Join(of_kind("another", kind))).unwrap();
        // Whoever depends may come and go: the room ends when its time after the last of the others is over.
        let gone = |participant| Command::Leave { participant, reason: LeaveReason::ClientInitiated };
        room.handle(after(600), gone(alice)).unwrap();
        room.handle(after(610), gone(helper)).unwrap();
        room.handle(after(615), Command::Join(of_kind("third", kind))).unwrap();
        room.handle_timeout(after(619));
        assert!(!room.ended());
        room.handle_timeout(after(620));
        assert!(room.ended(), "{kind:?}");
        let left = events(&mut room).into_iter().filter(|e| matches!(e, Event::Left { .. })).count();
        assert_eq!(left, 4);
    }
}

fn publish_data(
    room: &mut Room,
    now: Time,
    who: &ParticipantSid,
    handle: u16,
    name: &str,
) -> Result<TrackSid, Refusal> {
    let draft = Box::new(DataDraft { handle, name: name.into(), opaque: Vec::new() });
    match room.handle(now, Command::PublishData { publisher: who.clone(), draft })? {
        Outcome::Track(sid) => Ok(sid),
        other => panic!("{other:?}"),
    }
}

fn data_events(room: &mut Room) -> Vec<(String, bool)> {
    let events = std::iter::from_fn(|| room.poll_event()).collect::<Vec<_>>();
    let told = events.into_iter().filter_map(|e| match e {
        Event::DataSubscribed { subscriber, on, .. } => Some((subscriber.0, on)),
        Event::DataUnpublished { track, by_server } => Some((track.draft.name, by_server)),
        _ => None,
    });
    told.collect()
}

#[test]
fn data_tracks_have_numbers_and_names_of_their_own() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let [alice, bob] = ["alice", "bob"].map(|name| join(&mut room, now, name));
    assert!(publish_data(&mut room, now, &alice, 1, "joint").unwrap().0.starts_with("DTR_"));
    assert_eq!(publish_data(&mut room, now, &alice, 0, "other"), Err(Refusal::InvalidHandle));
    assert_eq!(publish_data(&mut room, now, &alice, 1, "other"), Err(Refusal::DuplicateHandle));
    assert_eq!(publish_data(&mut room, now, &alice, 2, "joint"), Err(Refusal::DuplicateName));
    assert_eq!(publish_data(&mut room, now, &alice, 2, ""), Err(Refusal::InvalidName));
    assert_eq!(publish_data(&mut room, now, &alice, 2, &"é".repeat(257)), Err(Refusal::InvalidName));
    assert!(publish_data(&mut room, now, &alice, 2, &"é".repeat(256)).is_ok());
    assert!(publish_data(&mut room, now, &bob, 1, "joint").is_ok(), "another's");
    let most = (3..).map(|n| publish_data(&mut room, now, &alice, n, &n.to_string())).find_map(Result::err);
    assert_eq!(most, Some(Refusal::Full));
    let end = |room: &mut Room, handle| {
        room.handle(now, Command::UnpublishData { publisher: alice.clone(), handle })
    };
    assert_eq!(end(&mut room, 1), Ok(Outcome::Done));
    assert_eq!(end(&mut room, 1), Err(Refusal::NoTrack));
    assert!(publish_data(&mut room, now, &alice, 1, "joint").is_ok(), "free again");
}

#[test]
fn data_tracks_go_to_those_who_ask_and_may() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let [alice, bob] = ["alice", "bob"].map(|name| join(&mut room, now, name));
    let track = publish_data(&mut room, now, &alice, 1, "joint").unwrap();
    data_events(&mut room);
    let want = |room: &mut Room, who: &ParticipantSid, on| {
        let command = Command::SubscribeData { subscriber: who.clone(), track: track.clone(), on };
        room.handle(now, command)
    };
    assert_eq!(want(&mut room, &alice, true), Err(Refusal::NotAllowed), "their own");
    want(&mut room, &bob, true).unwrap();
    want(&mut room, &bob, true).unwrap();
    assert_eq!(data_events(&mut room), [(bob.0.clone(), true)], "told once");
    // The publisher forbids it, and allows it again.
    for everyone in [false, true] {
        let audience = Audience { everyone, permits: Vec::new() };
        room.handle(now, Command::Admit { publisher: alice.clone(), audience }).unwrap();
        assert_eq!(data_events(&mut room), [(bob.0.clone(), everyone)]);
    }
    // An eager one gets what is there and what comes.
    let mut eager = who("eager");
    eager.auto_subscribe_data = true;
    let Ok(Outcome::Participant(eager)) = room.handle(now, Command::Join(Box::new(eager))) else { panic!() };
    publish_data(&mut room, now, &alice, 2, "wrist").unwrap();
    assert_eq!(data_events(&mut room), [(eager.0.clone(), true), (eager.0.clone(), true)]);
    // Rights are taken away.
    let silent = Permission { can_subscribe: true, can_publish: true, ..Permission::default() };
    room.handle(now, Command::Permit { participant: alice.clone(), permission: silent }).unwrap();
    let mut ended = data_events(&mut room);
    ended.sort();
    assert_eq!(ended, [("joint".into(), true), ("wrist".into(), true)]);
    assert_eq!(want(&mut room, &bob, true), Err(Refusal::NoTrack));
    assert_eq!(publish_data(&mut room, now, &alice, 1, "joint"), Err(Refusal::NotAllowed));
    // Whoever leaves takes their tracks along, and what they wanted.
    let other = publish_data(&mut room, now, &bob, 1, "foot").unwrap();
    let command = Command::Leave { participant: eager, reason: LeaveReason::ClientInitiated };
    room.handle(now, command).unwrap();
    room.handle(now, Command::Leave { participant: bob, reason: LeaveReason::ClientInitiated }).unwrap();
    assert!(room.data_track(&other).is_none());
    assert_eq!(data_events(&mut room).last(), Some(&("foot".into(), false)));
}

#[test]
fn a_wish_for_what_does_not_exist_has_one_deadline_however_often_it_is_said() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let alice = join(&mut room, now, "alice");
    let before = room.deadlines();
    let ask = |room: &mut Room, millis: u64, on: bool| {
        let tracks = (0..100).map(|n| TrackSid(format!("TR_{n}"))).collect();
        let at = now.after(Duration::from_millis(millis));
        room.handle(at, Command::Subscribe { subscriber: alice.clone(), tracks, on }).unwrap();
    };
    for n in 0..50 {
        ask(&mut room, n, true);
    }
    assert_eq!(room.deadlines(), before + 100);
    // Nor is one left behind by who changes their mind, or by who goes.
    for n in 50..100 {
        ask(&mut room, n, n % 2 == 1);
    }
    assert_eq!(room.deadlines(), before + 100);
    let reason = LeaveReason::ClientInitiated;
    room.handle(now, Command::Leave { participant: alice.clone(), reason }).unwrap();
    assert!(room.deadlines() <= before + 1);
    // What is no id is not waited for.
    let bob = join(&mut room, now, "bob");
    let before = room.deadlines();
    let tracks = vec![TrackSid("x".repeat(1 << 20))];
    room.handle(now, Command::Subscribe { subscriber: bob, tracks, on: true }).unwrap();
    assert_eq!(room.deadlines(), before);
}

#[test]
fn permits_of_one_subscriber_add_up_and_name_it_in_either_way() {
    let now = time();
    let mut room = Room::new(now, Config::default(), 1);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| join(&mut room, now, name));
    let tracks: Vec<_> = (0..3).map(|_| publish(&mut room, now, &alice)).collect();
    let permit = |sid: &str, identity: &str, track: usize| Permit {
        sid: sid.into(),
        identity: identity.into(),
        all_tracks: false,
        tracks: [tracks[track].clone()].into(),
    };
    let permits = vec![
        permit("", "bob", 0),
        permit(&bob.0, "somebody else", 1),
        permit("", "bob", 0),
        permit("PA_nobody", "carol", 2),
        Permit { all_tracks: true, tracks: Default::default(), ..permit("", "dave", 0) },
    ];
    let audience = Audience { everyone: false, permits };
    room.handle(now, Command::Admit { publisher: alice, audience }).unwrap();
    assert_eq!([receives(&room, &bob), receives(&room, &carol)], [2, 0]);
    let dave = join(&mut room, now, "dave");
    assert_eq!(receives(&room, &dave), 3);
}

#[test]
fn a_subscription_beyond_the_limit_waits_for_the_end_of_another() {
    let now = time();
    let mut room = Room::new(now, Config { max_videos: 1, ..Config::default() }, 1);
    let (alice, bob) = (join(&mut room, now, "alice"), join(&mut room, now, "bob"));
    let sound = TrackDraft { kind: TrackKind::Audio, source: Source::Microphone, ..draft() };
    let first = publish(&mut room, now, &alice);
    let (second, third) = (publish(&mut room, now, &alice), publish(&mut room, now, &alice));
    let command = Command::Announce { publisher: alice.clone(), draft: Box::new(sound) };
    let Ok(Outcome::Track(audio)) = room.handle(now, command) else { panic!() };
    room.handle(now, Command::GoLive { track: audio.clone(), codecs: draft().codecs }).unwrap();
    let got = |room: &Room| -> Vec<TrackSid> {
        room.participant(&bob).unwrap().subscribed().filter(|t| **t != audio).cloned().collect()
    };
    assert_eq!(
        (got(&room), receives(&room, &bob)),
        (vec![first.clone()], 2),
        "sounds have a limit of their own"
    );
    // By the subscriber's wish, by the publisher's end of it, and the wish for what waits may be withdrawn.
    let subscribe = |room: &mut Room, track: &TrackSid, on| {
        let command = Command::Subscribe { subscriber: bob.clone(), tracks: vec![track.clone()], on };
        room.handle(now, command).unwrap();
    };
    subscribe(&mut room, &first, false);
    let next = got(&room);
    assert!(next == [second.clone()] || next == [third.clone()], "{next:?}");
    subscribe(&mut room, &first, true);
    assert_eq!(got(&room), next);
    subscribe(&mut room, &first, false);
    room.handle(now, Command::Unpublish { track: next[0].clone(), by_server: false }).unwrap();
    let last = got(&room);
    assert!(last.len() == 1 && last != next && last[0] != first, "{last:?}");
    let told = events(&mut room);
    let of = |track: &TrackSid| Event::Subscribed { subscriber: bob.clone(), track: track.clone() };
    assert!(
        told.contains(&of(&last[0]))
            && told.iter().filter(|e| matches!(e, Event::Subscribed { .. })).count() == 4
    );
}
