//! LiveKit's signalling from the client's side, v0 and v1.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clock::Time;
use livekit_protocol as proto;
use peer::Transmit;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message as Told;
use proto::{SignalRequest, SignalResponse};

use crate::connection::{Connection, Endpoint};
use crate::outgoing::Publish;
use crate::stats::{Delay, Stats};

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// One connection, whose descriptions the client offers (v1).
    #[default]
    Single,
    /// One for publishing, offered by the client, and one for subscribing, offered by the server (v0).
    Dual,
}

/// Which layer of a simulcast track is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    Low,
    Medium,
    High,
    /// The first one in the best layer and all others in the lowest, as a speaker is shown.
    Speaker,
}

/// What a participant is to do.
#[derive(Clone)]
pub struct Config {
    pub mode: Mode,
    /// Of the only connection in [`Mode::Single`], of the publishing one in [`Mode::Dual`].
    pub endpoint: Endpoint,
    /// Where the subscribing connection of [`Mode::Dual`] receives.
    pub second_address: SocketAddr,
    pub publish: Vec<Publish>,
    /// `None` leaves it to the server: the highest.
    pub quality: Option<Quality>,
}

/// How long nothing has been heard on the WebSocket.
struct Silence {
    heard: Instant,
    /// After this the server counts as gone, as in livekit-client; `None` until it says so.
    patience: Option<Duration>,
}

/// A participant that has been let in.
pub struct Participant {
    config: Config,
    up: Connection,
    down: Option<Connection>,
    requests: VecDeque<SignalRequest>,
    /// An offer is on its way.
    negotiating: bool,
    /// Something changed since.
    again: bool,
    offers: u32,
    ping: Option<(Duration, Instant)>,
    silence: Silence,
    /// The server's goodbye.
    left: Option<proto::DisconnectReason>,
    error: Option<String>,
    /// Whom [`Quality::Speaker`] shows large: a track.
    speaker: Option<String>,
}

impl Participant {
    pub fn new(now: Time, config: Config) -> Self {
        let up = Connection::new(now, &config.endpoint);
        let down = (config.mode == Mode::Dual).then(|| {
            let endpoint = Endpoint {
                address: config.second_address,
                // Any other will do.
                seed: config.endpoint.seed ^ 0x5bd1_e995,
                ..config.endpoint.clone()
            };
            Connection::new(now, &endpoint)
        });
        Self {
            config,
            up,
            down,
            requests: VecDeque::new(),
            negotiating: false,
            again: false,
            offers: 0,
            ping: None,
            silence: Silence { heard: now.mono, patience: None },
            left: None,
            error: None,
            speaker: None,
        }
    }

    /// What the server says.
    pub fn handle_signal(&mut self, now: Time, response: SignalResponse) {
        self.silence.heard = now.mono;
        let Some(message) = response.message else { return };
        match message {
            Told::Join(join) => self.joined(now, &join),
            Told::Update(update) => self.choose(&update.participants),
            Told::Answer(answer) => {
                self.negotiating = false;
                if let Err(error) = self.up.accept(now, &answer.sdp) {
                    self.error = Some(error.to_string());
                }
                if std::mem::take(&mut self.again) {
                    self.negotiate();
                }
            }
            Told::Offer(offer) => self.offered(now, &offer),
            Told::MediaSectionsRequirement(wanted) => {
                (0..wanted.num_audios.min(1000)).for_each(|_| self.up.add_receiving(false));
                (0..wanted.num_videos.min(1000)).for_each(|_| self.up.add_receiving(true));
                self.negotiate();
            }
            Told::Leave(leave) => self.left = Some(leave.reason()),
            _ => {}
        }
    }

    fn joined(&mut self, now: Time, join: &proto::JoinResponse) {
        if let Ok(seconds @ 1..) = u64::try_from(join.ping_interval) {
            let every = Duration::from_secs(seconds);
            self.ping = Some((every, now.mono + every));
            let patience = u64::try_from(join.ping_timeout).unwrap_or(0);
            self.silence.patience = (patience > 0).then(|| Duration::from_secs(patience).max(every * 2));
        }
        let publish = std::mem::take(&mut self.config.publish);
        // A subscriber of v0 has no use for the other connection.
        if self.config.mode == Mode::Single || !publish.is_empty() {
            self.up.add_data();
        }
        for (at, what) in publish.iter().enumerate() {
            let cid = format!("track-{at}");
            self.ask(Ask::AddTrack(add_track(&cid, what)));
            self.up.publish(now, what, cid);
        }
        if self.config.mode == Mode::Single || !publish.is_empty() {
            self.negotiate();
        }
        self.config.publish = publish;
        self.choose(&join.other_participants);
    }

    fn negotiate(&mut self) {
        if self.negotiating {
            self.again = true;
            return;
        }
        self.negotiating = true;
        self.offers += 1;
        let sdp = self.up.offer();
        let offer = description("offer", sdp, self.offers);
        self.ask(Ask::Offer(offer));
    }

    fn offered(&mut self, now: Time, offer: &proto::SessionDescription) {
        let Some(down) = &mut self.down else { return };
        match down.answer(now, &offer.sdp) {
            Ok(sdp) => self.ask(Ask::Answer(description("answer", sdp, offer.id))),
            Err(error) => self.error = Some(error.to_string()),
        }
    }

    /// Asks for the wanted layer of every video track.
    fn choose(&mut self, participants: &[proto::ParticipantInfo]) {
        let Some(quality) = self.config.quality else { return };
        let tracks = participants.iter().flat_map(|participant| &participant.tracks);
        let mut track_sids: Vec<String> =
            tracks.filter(|t| t.r#type() == proto::TrackType::Video).map(|t| t.sid.clone()).collect();
        let Some(first) = track_sids.first().cloned() else { return };
        let rest = match quality {
            Quality::Low => proto::VideoQuality::Low,
            Quality::Medium => proto::VideoQuality::Medium,
            Quality::High => proto::VideoQuality::High,
            Quality::Speaker => {
                let speaker = self.speaker.get_or_insert(first).clone();
                if track_sids.contains(&speaker) {
                    track_sids.retain(|sid| *sid != speaker);
                    self.want(vec![speaker], proto::VideoQuality::High);
                }
                proto::VideoQuality::Low
            }
        };
        self.want(track_sids, rest);
    }

    fn want(&mut self, track_sids: Vec<String>, quality: proto::VideoQuality) {
        if !track_sids.is_empty() {
            let mut settings = proto::UpdateTrackSettings { track_sids, ..Default::default() };
            settings.set_quality(quality);
            self.ask(Ask::TrackSetting(settings));
        }
    }

    fn ask(&mut self, message: Ask) {
        self.requests.push_back(SignalRequest { message: Some(message) });
    }

    /// What to tell the server.
    pub fn poll_signal(&mut self) -> Option<SignalRequest> {
        self.requests.pop_front()
    }

    /// A datagram that came to `to`, one of the configured addresses.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, to: SocketAddr, datagram: &mut [u8]) {
        match &mut self.down {
            Some(down) if down.address() == to => down.handle_datagram(now, from, datagram),
            _ => self.up.handle_datagram(now, from, datagram),
        }
    }

    /// The next datagram, written to the front of `buf`, which should have 1500 bytes.
    pub fn poll_transmit(&mut self, now: Time, buf: &mut [u8]) -> Option<Transmit> {
        let up = self.up.poll_transmit(now, buf);
        up.or_else(|| self.down.as_mut().and_then(|down| down.poll_transmit(now, buf)))
    }

    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let down = self.down.as_mut().and_then(|down| down.poll_timeout(now));
        let ping = self.ping.map(|(_, at)| at);
        let silence = self.silence.patience.map(|patience| self.silence.heard + patience);
        [self.up.poll_timeout(now), down, ping, silence].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Time) {
        self.up.handle_timeout(now);
        if let Some(down) = &mut self.down {
            down.handle_timeout(now);
        }
        if let Some((every, at)) = self.ping
            && at <= now.mono
        {
            self.ping = Some((every, now.mono + every));
            let timestamp = now.unix_millis();
            self.ask(Ask::PingReq(proto::Ping { timestamp, rtt: 0 }));
        }
        if let Some(patience) = self.silence.patience
            && now.since(self.silence.heard) >= patience
        {
            self.silence.patience = None;
            let seconds = patience.as_secs();
            self.error
                .get_or_insert(format!("the server has stopped answering: nothing heard for {seconds} s"));
        }
    }

    /// Whether every connection that is to be there is there.
    pub fn is_connected(&self) -> bool {
        let up = match self.config.mode {
            Mode::Single => true,
            Mode::Dual => !self.config.publish.is_empty(),
        };
        // A publisher who is sent nothing is not offered the other one by every server.
        let down = self.down.as_ref().filter(|down| !up || down.is_described());
        (!up || self.up.is_connected()) && down.is_none_or(Connection::is_connected)
    }

    /// Why it is over: the server's goodbye, a connection that failed, a description that made no sense.
    pub fn over(&self) -> Option<String> {
        if let Some(reason) = self.left {
            return Some(format!("the server said goodbye: {}", reason.as_str_name()));
        }
        if let Some(error) = &self.error {
            return Some(error.clone());
        }
        let failed = self.up.has_failed() || self.down.as_ref().is_some_and(Connection::has_failed);
        failed.then(|| "the media connection failed".to_owned())
    }

    /// Publishes nothing from now on; what was sent can still be asked for.
    pub fn hush(&mut self) {
        self.up.hush();
    }

    /// Goes, with a goodbye on both ways.
    pub fn leave(&mut self, now: Time) {
        let mut leave = proto::LeaveRequest::default();
        leave.set_reason(proto::DisconnectReason::ClientInitiated);
        leave.set_action(proto::leave_request::Action::Disconnect);
        self.ask(Ask::Leave(leave));
        self.up.close(now);
        if let Some(down) = &mut self.down {
            down.close(now);
        }
    }

    pub fn stats(&self, now: Time) -> Stats {
        let mut stats = Stats::default();
        self.account(now, &mut stats);
        stats
    }

    /// Adds this participant's numbers to those of others.
    pub fn account(&self, now: Time, into: &mut Stats) {
        self.up.account(now, into);
        if let Some(down) = &self.down {
            down.account(now, into);
        }
    }

    /// Tells how long each packet since the last call was on its way.
    pub fn take_delays(&mut self, mut each: impl FnMut(Delay)) {
        self.up.take_delays().for_each(&mut each);
        if let Some(down) = &mut self.down {
            down.take_delays().for_each(&mut each);
        }
    }
}

fn description(kind: &str, sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription { r#type: kind.into(), sdp, id, ..Default::default() }
}

fn add_track(cid: &str, what: &Publish) -> proto::AddTrackRequest {
    let mut add = proto::AddTrackRequest { cid: cid.into(), name: cid.into(), ..Default::default() };
    let Publish::Video(params) = what else {
        add.set_type(proto::TrackType::Audio);
        add.set_source(proto::TrackSource::Microphone);
        return add;
    };
    add.set_type(proto::TrackType::Video);
    add.set_source(proto::TrackSource::Camera);
    for (at, layer) in params.layers.iter().enumerate() {
        let (width, height) = (u32::from(layer.width), u32::from(layer.height));
        (add.width, add.height) = (add.width.max(width), add.height.max(height));
        add.layers.push(proto::VideoLayer {
            // A single layer is the best there is.
            quality: if params.layers.len() == 1 { proto::VideoQuality::High as i32 } else { at as i32 },
            width,
            height,
            bitrate: u32::try_from(layer.bitrate).unwrap_or(u32::MAX),
            rid: layer.rid.map(|rid| rid.as_str().to_owned()).unwrap_or_default(),
            spatial_layer: at as i32,
            ..Default::default()
        });
    }
    add.simulcast_codecs.push(proto::SimulcastCodec {
        codec: params.coding.name().to_lowercase(),
        cid: cid.into(),
        ..Default::default()
    });
    add
}
