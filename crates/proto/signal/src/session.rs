//! One participant's side of the conversation.

use std::time::Instant;

use auth::Claims;
use livekit_protocol as proto;
use room::{ParticipantSid, TrackSid};
use sfu::PeerId;

use crate::negotiation::{Downstream, Offerer, Upstream};
use crate::rate::Allowance;
use crate::reliable::Reliable;
use crate::settings::Paced;
use crate::{JoinRequest, Mode, SessionId};

/// From this client protocol on, the tracks of one stream may share its name.
const STREAM_NAMES_PROTOCOL: i32 = 10;

/// What matters about a client's make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Make {
    /// Its `ClientInfo.protocol`.
    pub(crate) protocol: i32,
    /// Takes only the preferred codec in an answer, and alters track ids.
    pub(crate) firefox: bool,
    /// Track ids in its SDP are not those that it announces.
    pub(crate) alters_ids: bool,
    /// Codecs that it says it can publish and cannot well.
    avoid: &'static [codec::Kind],
}

impl Make {
    /// Tells tracks of one stream apart by their own ids. Firefox makes those up.
    pub(crate) fn takes_stream_names(self) -> bool {
        self.protocol >= STREAM_NAMES_PROTOCOL && !self.firefox
    }

    pub(crate) fn of(request: &JoinRequest) -> Self {
        let client = &request.client;
        let firefox = client.browser.to_ascii_lowercase().contains("firefox");
        let native = client.sdk() == proto::client_info::Sdk::ReactNative;
        Self {
            protocol: client.protocol,
            firefox,
            alters_ids: firefox || native || request.media_only,
            avoid: avoided(client, firefox),
        }
    }

    /// What the client is told to do differently, as LiveKit's server ships it.
    pub(crate) fn configuration(self, way: Way) -> Option<proto::ClientConfiguration> {
        let publish: Vec<_> =
            self.avoid.iter().map(|c| proto::Codec { mime: c.mime(), fmtp_line: String::new() }).collect();
        let relay = way == Way::Relay;
        if publish.is_empty() && !relay {
            return None;
        }
        let force_relay =
            if relay { proto::ClientConfigSetting::Enabled } else { proto::ClientConfigSetting::Unset };
        Some(proto::ClientConfiguration {
            disabled_codecs: (!publish.is_empty())
                .then(|| proto::DisabledCodecs { codecs: Vec::new(), publish }),
            force_relay: force_relay.into(),
            ..proto::ClientConfiguration::default()
        })
    }
}

/// Safari's encoder of AV1, from 18.4 on that of VP9 too, and Firefox's of H.264 on Linux and Android, fail where they
/// say they do not.
fn avoided(client: &proto::ClientInfo, firefox: bool) -> &'static [codec::Kind] {
    let browser = client.browser.to_ascii_lowercase();
    let os = client.os.to_ascii_lowercase();
    if browser == "safari" {
        let mut parts = client.browser_version.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if version > (18, 3) { &[codec::Kind::Av1, codec::Kind::Vp9] } else { &[codec::Kind::Av1] }
    } else if firefox && (os == "linux" || os == "android") {
        &[codec::Kind::H264]
    } else {
        &[]
    }
}

/// One participant's side of the conversation. It outlives its WebSocket: a client may resume on another.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) participant: ParticipantSid,
    pub(crate) socket: Option<SessionId>,
    /// `join` has been sent: nothing else may come before it.
    pub(crate) greeted: bool,
    /// It comes from another room, and has not been told.
    pub(crate) arrives: bool,
    /// What the participant was in that room. A client that could not be told asks for this one.
    pub(crate) formerly: Option<ParticipantSid>,
    pub(crate) worker: u8,
    pub(crate) mode: Mode,
    /// There is nobody to tell anything: see [`JoinRequest::media_only`].
    pub(crate) media_only: bool,
    pub(crate) make: Make,
    /// The identity of the participant that has joined a second time with it, to publish: see
    /// [`JoinRequest::publish`].
    pub(crate) twin_of: Option<String>,
    pub(crate) claims: Claims,
    /// Answers checks only.
    pub(crate) ice_lite: bool,
    /// Pictures that its line does not carry may be held back altogether.
    pub(crate) may_pause: bool,
    /// Where the client offers: its publisher connection, or its only one.
    pub(crate) up: Upstream,
    /// Where we offer.
    pub(crate) down: Option<Offerer>,
    pub(crate) downstream: Downstream,
    pub(crate) need: Need,
    /// Webhooks have been told that the participant has joined. What it published before waits here.
    pub(crate) told_of: bool,
    pub(crate) untold: Vec<TrackSid>,
    /// What it may still ask for: anything, what is negotiated anew, and changes of itself.
    pub(crate) requests: Allowance,
    pub(crate) descriptions: Allowance,
    pub(crate) updates: Allowance,
    /// What it may still send to others, and when it was last told that this was too much.
    pub(crate) data: Allowance,
    pub(crate) data_refused: Option<Instant>,
    pub(crate) settings: Paced,
    pub(crate) reliable: Reliable,
    pub(crate) hold: Hold,
}

/// How a client is held on to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    /// Counts lost transports and resumes, so that a deadline knows whether it is still meant.
    pub(crate) losses: u32,
    /// When the client last said something: what it was told long after that it may have missed.
    pub(crate) heard: Instant,
    /// Over what its media may come.
    pub(crate) way: Way,
    pub(crate) next_resume: NextResume,
    /// When it last resumed.
    pub(crate) resumed: Option<Instant>,
    /// It has resumed, and has not said yet which data it has got.
    pub(crate) replay_due: bool,
}

impl Hold {
    pub(crate) fn new(now: Instant, way: Way) -> Self {
        Self { losses: 0, heard: now, way, next_resume: NextResume::Works, resumed: None, replay_due: false }
    }
}

/// Over what a client's media may come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Way {
    #[default]
    Any,
    /// Our TCP candidates alone.
    Tcp,
    /// A relay over TLS alone.
    Relay,
}

/// What becomes of the next resume: SDKs test themselves with those that break off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextResume {
    Works,
    /// The socket ends after what is said at first.
    EndsEarly,
    /// The socket ends without a word.
    EndsSilent,
}

/// Sections that a client with one peer connection was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Need {
    /// To be told then.
    pub(crate) due: Option<std::time::Instant>,
    /// Told, and no offer since.
    pub(crate) asked: bool,
    /// Offers since in which nothing was gained.
    pub(crate) fruitless: u32,
}

impl Session {
    /// Media for this participant goes over this peer.
    pub(crate) fn sending_peer(&self) -> PeerId {
        match (&self.mode, &self.down) {
            (Mode::Dual, Some(down)) => down.peer,
            _ => self.up.peer,
        }
    }

    /// The transport whose connection makes the participant active.
    pub(crate) fn is_primary(&self, peer: PeerId) -> bool {
        self.sending_peer() == peer
    }

    /// Media can flow on one transport at least.
    pub(crate) fn has_media(&self) -> bool {
        self.up.connected || self.down.as_ref().is_some_and(|d| d.connected)
    }
}
