//! A conference, its clients, and the rules that hold for all that is said to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use auth::{Claims, VideoGrant};
use clock::Time;
use livekit_protocol as proto;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;
use sfu::{Command, ConsumerId, ConsumerParams, PeerId, ProducerId, ProducerParams};

use crate::{
    Admin, AdminError, AdminReply, Conference, Config, Input, Join, JoinRequest, Limits, Media, Mode, Output,
    Server, SessionId,
};

/// Recorded from Chromium 156 and Firefox 153.
pub(super) const CHROMIUM_V1: &str = include_str!("../../../../wire/sdp/testdata/chromium-156-v1.sdp");
pub(super) const CHROMIUM_PUBLISHER: &str =
    include_str!("../../../../wire/sdp/testdata/chromium-156-publisher.sdp");
pub(super) const FIREFOX_V1: &str = include_str!("../../../../wire/sdp/testdata/firefox-153-v1.sdp");
pub(super) const FIREFOX_PUBLISHER: &str =
    include_str!("../../../../wire/sdp/testdata/firefox-153-publisher.sdp");
/// Track ids in Chromium's offer.
pub(super) const AUDIO_CID: &str = "d734cbe6-212c-459e-84db-e6330120460a";
pub(super) const VIDEO_CID: &str = "b51d5817-8446-44a6-97ed-f15030617d06";

/// What has been said to one WebSocket, and what it may hold true.
#[derive(Debug, Default)]
pub(super) struct Ears {
    media_only: bool,
    pub(super) heard: Vec<Message>,
    pub(super) closed: bool,
    left: bool,
    versions: BTreeMap<String, u32>,
    tracks: BTreeSet<(String, String)>,
    offers_out: u32,
    asked: Vec<u32>,
    pub(super) protocol: i32,
}

pub(super) struct World {
    pub(super) conference: Conference,
    pub(super) now: Time,
    pub(super) ears: BTreeMap<SessionId, Ears>,
    pub(super) commands: Vec<Command>,
    pub(super) replies: Vec<Result<AdminReply, AdminError>>,
    pub(super) webhooks: Vec<String>,
    pub(super) tokens: Vec<(SessionId, Claims)>,
    pub(super) ended: bool,
    /// Told to other rooms.
    pub(super) forwarded: Vec<crate::Forwarded>,
    /// On the way to other rooms.
    pub(super) migrants: Vec<crate::Migrant>,
    /// Producers of other rooms.
    pub(super) foreign: BTreeSet<ProducerId>,
    pub(super) peers: BTreeMap<PeerId, Vec<String>>,
    pub(super) producers: BTreeMap<ProducerId, ProducerParams>,
    pub(super) consumers: BTreeMap<ConsumerId, (PeerId, ProducerId, ConsumerParams)>,
    announced: BTreeSet<String>,
    /// Streams may be called by a name of the publisher's choice.
    pub(super) named_streams: bool,
    next_session: u64,
}

pub(super) fn config() -> Config {
    let candidate = |port| peer::Candidate {
        carrier: peer::Carrier::Udp,
        kind: peer::CandidateKind::Host,
        addr: std::net::SocketAddr::from(([192, 0, 2, 1], port)),
        priority: 2_130_706_431,
        foundation: "1".into(),
    };
    Config {
        room: "room".into(),
        serial: 7,
        rules: room::Config::default(),
        codecs: [
            codec::Kind::Vp8,
            codec::Kind::H264,
            codec::Kind::Vp9,
            codec::Kind::Av1,
            codec::Kind::Opus,
            codec::Kind::Red,
            codec::Kind::Pcmu,
            codec::Kind::Pcma,
        ]
        .to_vec(),
        profiles: Vec::new(),
        ice_servers: Vec::new(),
        server: Server::default(),
        media: Media {
            fingerprint: peer::Fingerprint([7; 32]),
            candidates: vec![vec![candidate(7882)], vec![candidate(7883)]],
            ice_lite: true,
        },
        limits: Limits::default(),
    }
}

pub(super) fn claims(identity: &str) -> Claims {
    Claims {
        api_key: "key".into(),
        identity: identity.into(),
        name: identity.to_uppercase(),
        video: Some(VideoGrant::to_join("room")),
        expires_at: 2_000_000_000,
        ..Claims::default()
    }
}

pub(super) fn request(mode: Mode) -> JoinRequest {
    let mut request = JoinRequest { mode, auto_subscribe: true, ..JoinRequest::default() };
    request.client.protocol = 16;
    request.client.client_protocol = 2;
    request
}

impl World {
    #[allow(clippy::disallowed_methods)] // A start that only tests know.
    pub(super) fn new(config: Config) -> Self {
        let now = Time { mono: Instant::now(), unix: Duration::from_secs(1_790_000_000) };
        let seed = [u8::try_from(config.serial).unwrap() ^ 4; 32];
        let mut world = Self {
            next_session: 1000 * u64::from(config.serial),
            // Two rooms do not give the same names.
            conference: Conference::new(now, config, seed),
            now,
            ears: BTreeMap::new(),
            commands: Vec::new(),
            replies: Vec::new(),
            webhooks: Vec::new(),
            tokens: Vec::new(),
            ended: false,
            forwarded: Vec::new(),
            migrants: Vec::new(),
            foreign: BTreeSet::new(),
            peers: BTreeMap::new(),
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            announced: BTreeSet::new(),
            named_streams: false,
        };
        world.drain();
        world
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.conference.handle(self.now, input);
        self.drain();
    }

    /// Lets time pass, doing what is due on the way.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        while let Some(at) = self.conference.poll_timeout().filter(|at| *at <= end.mono) {
            let step = at.saturating_duration_since(self.now.mono);
            self.now = self.now.after(step);
            self.conference.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(super) fn join_with(&mut self, claims: Claims, request: JoinRequest) -> SessionId {
        self.next_session += 1;
        let session = SessionId(self.next_session);
        let ears =
            Ears { protocol: request.client.protocol, media_only: request.media_only, ..Ears::default() };
        self.ears.insert(session, ears);
        if let Some(offer) = &request.offer {
            self.ears.get_mut(&session).unwrap().asked.push(offer.id);
        }
        self.handle(Input::Join(Box::new(Join { session, claims, request, worker: 1 })));
        session
    }

    pub(super) fn join(&mut self, identity: &str, mode: Mode) -> SessionId {
        self.join_with(claims(identity), request(mode))
    }

    pub(super) fn ask(&mut self, session: SessionId, ask: Ask) {
        if let Ask::Offer(offer) = &ask {
            self.ears.get_mut(&session).unwrap().asked.push(offer.id);
        }
        if let Ask::Answer(_) = &ask {
            self.ears.get_mut(&session).unwrap().offers_out = 0;
        }
        let request = Box::new(proto::SignalRequest { message: Some(ask) });
        self.handle(Input::Request { session, request });
    }

    pub(super) fn admin(&mut self, command: Admin) -> Result<AdminReply, AdminError> {
        self.handle(Input::Admin { ticket: 1, command: Box::new(command) });
        self.replies.pop().unwrap()
    }

    /// All that was said to a client since the last call.
    pub(super) fn hear(&mut self, session: SessionId) -> Vec<Message> {
        std::mem::take(&mut self.ears.get_mut(&session).unwrap().heard)
    }

    pub(super) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// The peers of the participant with this identity, in the order of their making.
    pub(super) fn peers_of(&self, identity: &str) -> Vec<PeerId> {
        let Some(sid) = self.conference.room.by_identity(identity).map(|p| p.sid.clone()) else {
            return Vec::new();
        };
        self.conference.peers.iter().filter(|(_, s)| **s == sid).map(|(p, _)| *p).collect()
    }

    pub(super) fn connect(&mut self, identity: &str) {
        for peer in self.peers_of(identity) {
            if self.peers.contains_key(&peer) {
                self.handle(Input::Media(sfu::Event::Connected { peer }));
            }
        }
    }

    pub(super) fn sid(&self, identity: &str) -> String {
        self.conference.room.by_identity(identity).unwrap().sid.0.clone()
    }

    /// Takes whoever is on the way from another room, with what the media engine has of them.
    pub(super) fn take_migrants(&mut self, from: &mut World) {
        for migrant in std::mem::take(&mut from.migrants) {
            let ids: Vec<u64> = migrant.media_ids().collect();
            let goes = |id: u64| ids.contains(&id);
            let (peers, rest) = std::mem::take(&mut from.peers).into_iter().partition(|(id, _)| goes(id.0));
            from.peers = rest;
            self.peers.extend::<BTreeMap<_, _>>(peers);
            let producers = std::mem::take(&mut from.producers);
            let (producers, rest) = producers.into_iter().partition(|(id, _)| goes(id.0));
            from.producers = rest;
            self.producers.extend::<BTreeMap<_, _>>(producers);
            self.announced.extend(from.announced.iter().cloned());
            let session = migrant.socket().unwrap();
            self.ears.insert(session, from.ears.remove(&session).unwrap());
            self.handle(Input::Moved(Box::new(migrant)));
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.conference.poll_output() {
            assert!(!self.ended, "after the end: {output:?}");
            match output {
                Output::Send { to, message } => {
                    assert!(!to.is_empty());
                    for session in to {
                        self.said(session, message.message.clone().unwrap());
                    }
                }
                Output::Close { session } => self.ears.get_mut(&session).unwrap().closed = true,
                Output::Media(command) => self.told(command),
                Output::Token { session, claims, lifetime, within } => {
                    assert!(lifetime >= Duration::from_secs(600));
                    if let Some(moved) = within {
                        self.said(session, Message::RoomMoved(*moved));
                    }
                    assert!(
                        !self.ears[&session].heard.is_empty() || !self.ears[&session].versions.is_empty()
                    );
                    self.tokens.push((session, *claims));
                }
                Output::Webhook(event) => {
                    let names_somebody = event.participant.as_ref().is_some_and(|p| !p.identity.is_empty());
                    assert!(names_somebody || event.event.starts_with("room_"), "{event:?}");
                    self.webhooks.push(event.event);
                }
                Output::Forward { forwarded, .. } => self.forwarded.push(forwarded),
                Output::Move { migrant, .. } => self.migrants.push(*migrant),
                Output::Reply { result, .. } => self.replies.push(result),
                Output::Ended => self.ended = true,
            }
        }
    }

    /// The ordering rules of the protocol, section 4.4.
    fn said(&mut self, session: SessionId, message: Message) {
        let announced = &mut self.announced;
        let ears = self.ears.get_mut(&session).unwrap();
        assert!(!ears.closed && !ears.left, "{session:?} after its end: {message:?}");
        let is_first = ears.versions.is_empty();
        let opens = matches!(message, Message::Join(_) | Message::Reconnect(_) | Message::Leave(_));
        assert!(
            !is_first || opens || matches!(ears.heard.first(), Some(Message::Reconnect(_))),
            "{message:?}"
        );
        match &message {
            Message::Join(join) => {
                assert!(is_first, "join came twice");
                assert!(!join.server_info.as_ref().unwrap().version.is_empty());
                let own = join.participant.as_ref().unwrap();
                assert!(own.permission.is_some());
                ears.learn(own);
                join.other_participants.iter().for_each(|p| ears.learn(p));
            }
            Message::RoomMoved(moved) => {
                // Everybody it knew is gone.
                ears.versions.clear();
                ears.tracks.clear();
                ears.learn(moved.participant.as_ref().unwrap());
                moved.other_participants.iter().for_each(|p| ears.learn(p));
            }
            Message::Update(update) => {
                for participant in &update.participants {
                    ears.learn(participant);
                    let detail = proto::participant_info::KindDetail::Forwarded;
                    let elsewhere = participant.kind_details.contains(&detail.into());
                    for track in &participant.tracks {
                        assert!(
                            elsewhere || announced.contains(&track.sid),
                            "broadcast before track_published"
                        );
                    }
                }
            }
            Message::TrackPublished(published) => {
                announced.insert(published.track.as_ref().unwrap().sid.clone());
            }
            Message::Answer(answer) => {
                let at = ears.asked.iter().position(|id| *id == answer.id);
                ears.asked.remove(at.expect("an answer to no offer"));
                ears.check_media(answer, self.named_streams);
            }
            Message::Offer(offer) => {
                assert_eq!(ears.offers_out, 0, "a second offer while one is out");
                ears.offers_out = 1;
                ears.check_media(offer, self.named_streams);
            }
            Message::Leave(leave) => {
                ears.left = true;
                assert!(ears.protocol > 12 || leave.action == 0);
            }
            _ => {}
        }
        ears.heard.push(message);
    }

    /// The media engine is told nothing that makes no sense.
    fn told(&mut self, command: Command) {
        match &command {
            Command::OpenPeer { peer, local } => {
                assert_eq!(sfu::worker_of(peer.0), 1);
                assert_eq!(peer::home_of(&local.credentials.ufrag), Some(1));
                assert!(self.peers.insert(*peer, Vec::new()).is_none());
            }
            Command::SetRemote { peer, .. }
            | Command::AddCandidate { peer, .. }
            | Command::RestartIce { peer, .. }
            | Command::AllowPause { peer, .. }
            | Command::SetReceiveExtensions { peer, .. } => assert!(self.peers.contains_key(peer)),
            Command::LimitBandwidth { .. } => {}
            Command::OpenChannel { peer, params } => {
                self.peers.get_mut(peer).unwrap().push(params.label.clone());
            }
            Command::ClosePeer { peer } => {
                assert!(self.peers.remove(peer).is_some());
                self.consumers.retain(|_, (p, ..)| p != peer);
            }
            Command::AddProducer { peer, producer, params } => {
                assert!(self.peers.contains_key(peer));
                assert!(!params.encodings.is_empty() && !params.codecs.is_empty());
                assert!(self.producers.insert(*producer, params.clone()).is_none());
            }
            Command::UpdateProducer { producer, params } => {
                *self.producers.get_mut(producer).unwrap() = params.clone();
            }
            Command::RemoveProducer { producer } => assert!(self.producers.remove(producer).is_some()),
            Command::AddConsumer { peer, consumer, producer, params } => {
                let known = self.producers.contains_key(producer) || self.foreign.contains(producer);
                assert!(self.peers.contains_key(peer) && known);
                assert!(!params.codecs.is_empty());
                let clash = self.consumers.values().any(|(p, _, q)| {
                    p == peer
                        && (q.mid == params.mid || q.ssrc == params.ssrc || q.rtx_ssrc == Some(params.ssrc))
                });
                assert!(!clash, "two tracks in one section or with one SSRC");
                let entry = (*peer, *producer, params.clone());
                assert!(self.consumers.insert(*consumer, entry).is_none());
            }
            Command::SetWish { consumer, .. } => assert!(self.consumers.contains_key(consumer)),
            Command::RemoveConsumer { consumer } => assert!(self.consumers.remove(consumer).is_some()),
            Command::SendData { peers, .. } => assert!(peers.iter().all(|p| self.peers.contains_key(p))),
        }
        self.commands.push(command);
    }
}

impl Ears {
    fn learn(&mut self, participant: &proto::ParticipantInfo) {
        let last = self.versions.entry(participant.sid.clone()).or_default();
        assert!(participant.version >= *last, "a version went back");
        *last = participant.version;
        for track in &participant.tracks {
            self.tracks.insert((participant.sid.clone(), track.sid.clone()));
        }
    }

    /// Media comes only of tracks that the client has heard of, under names that it understands.
    fn check_media(&self, said: &proto::SessionDescription, named: bool) {
        let description = sdp::parse(&said.sdp, &sdp::Limits::default()).expect("our own SDP parses");
        for section in description.sections.iter().filter(|s| s.is_rtp() && s.direction.sends()) {
            if section.is_rejected() {
                continue;
            }
            // Who will not be told again is told of no track that may come.
            if self.media_only && section.rtp.msids.is_empty() {
                assert!(section.rtp.ssrcs.is_empty());
                continue;
            }
            let msid = section.rtp.msids.first().expect("a sending section has a msid");
            let (participant, stream) = msid.stream.split_once('|').expect("PA_…|TR_…");
            let track = msid.track.as_deref().expect("TR_…");
            assert!(stream == track || named);
            assert!(self.tracks.contains(&(participant.into(), track.into())), "media before its update");
            let mid = section.mid.unwrap().to_string();
            assert_eq!(said.mid_to_track_id.get(&mid).map(String::as_str), Some(track));
        }
        let mut meanings: BTreeMap<(rtp::Pt,), (String, String)> = BTreeMap::new();
        for payload in description.sections.iter().flat_map(|s| &s.rtp.payloads) {
            let meaning = (payload.name.clone(), payload.fmtp.0.clone());
            let known = meanings.entry((payload.pt,)).or_insert_with(|| meaning.clone());
            assert_eq!(*known, meaning, "a payload type means two things in one bundle");
        }
    }
}

/// A description of the client's.
pub(super) fn description(kind: &str, sdp: impl Into<String>, id: u32) -> proto::SessionDescription {
    proto::SessionDescription { r#type: kind.into(), sdp: sdp.into(), id, ..Default::default() }
}

pub(super) fn add_track(
    cid: &str,
    kind: proto::TrackType,
    source: proto::TrackSource,
) -> proto::AddTrackRequest {
    let mut add = proto::AddTrackRequest { cid: cid.into(), name: cid.into(), ..Default::default() };
    add.set_type(kind);
    add.set_source(source);
    if kind == proto::TrackType::Video {
        (add.width, add.height) = (1280, 720);
        let rids = [("q", 320, 180), ("h", 640, 360), ("f", 1280, 720)];
        for (at, (rid, width, height)) in rids.into_iter().enumerate() {
            add.layers.push(proto::VideoLayer {
                quality: at as i32,
                width,
                height,
                rid: rid.into(),
                spatial_layer: at as i32,
                ..Default::default()
            });
        }
    }
    add
}

pub(super) fn camera() -> proto::AddTrackRequest {
    add_track(VIDEO_CID, proto::TrackType::Video, proto::TrackSource::Camera)
}

pub(super) fn microphone() -> proto::AddTrackRequest {
    add_track(AUDIO_CID, proto::TrackType::Audio, proto::TrackSource::Microphone)
}

pub(super) fn parse(sdp: &str) -> sdp::Session {
    sdp::parse(sdp, &sdp::Limits::default()).unwrap()
}

/// A Chromium answer to the server's offer: takes all, in its own direction.
pub(super) fn answer_to(offer: &proto::SessionDescription) -> proto::SessionDescription {
    let mut answer = parse(&offer.sdp);
    let theirs = parse(CHROMIUM_PUBLISHER).sections.remove(0).transport;
    answer.ice_lite = false;
    for section in &mut answer.sections {
        section.direction = section.direction.reversed();
        section.transport = theirs.clone();
        section.transport.setup = Some(sdp::Setup::Active);
        section.rtp.msids.clear();
        section.rtp.ssrcs.clear();
        section.rtp.ssrc_groups.clear();
    }
    description("answer", answer.to_string(), offer.id)
}

/// A single connection's offer: Chromium's, with the sections of its publisher after its own.
pub(super) fn single_publishing() -> sdp::Session {
    let mut offer = parse(CHROMIUM_V1);
    let publisher = parse(CHROMIUM_PUBLISHER);
    for (section, mid) in publisher.sections.into_iter().take(2).zip(["7", "8"]) {
        let mut section = section;
        section.mid = rtp::Mid::new(mid);
        section.transport = offer.sections[0].transport.clone();
        offer.sections.push(section);
    }
    offer.groups[0].mids = offer.sections.iter().filter_map(|s| s.mid).collect();
    offer
}

/// The last message that `pick` finds.
pub(super) fn last<T>(heard: &[Message], pick: impl Fn(&Message) -> Option<T>) -> T {
    heard.iter().rev().find_map(pick).unwrap_or_else(|| panic!("not among {heard:#?}"))
}

pub(super) fn an_offer(message: &Message) -> Option<proto::SessionDescription> {
    if let Message::Offer(offer) = message { Some(offer.clone()) } else { None }
}

pub(super) fn an_answer(message: &Message) -> Option<proto::SessionDescription> {
    if let Message::Answer(answer) = message { Some(answer.clone()) } else { None }
}

pub(super) fn a_leave(message: &Message) -> Option<proto::LeaveRequest> {
    if let Message::Leave(leave) = message { Some(leave.clone()) } else { None }
}
