//! What a conference is told about its room, its server and its limits.

use std::fmt;
use std::time::Duration;

use peer::{Candidate, Fingerprint};

use crate::Rate;

/// Everything a [`crate::Conference`] needs to know when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// The room's name.
    pub room: String,
    /// Unique in this process: it is the middle field of the room's media ids.
    pub serial: u32,
    /// The room's rules and its initial metadata.
    pub rules: room::Config,
    /// Codecs that may be published, best first; order matters to clients (VP8 first).
    pub codecs: Vec<codec::Kind>,
    /// Format parameters that a codec's payloads must have, where it stands here: told to clients, and compared as far
    /// as they tell payloads of a codec apart (an H.264 profile, not its level).
    pub profiles: Vec<(codec::Kind, String)>,
    /// What clients are told to use; an empty list is right on a LAN.
    pub ice_servers: Vec<IceServer>,
    /// What clients are told about this server.
    pub server: Server,
    /// How media reaches this process.
    pub media: Media,
    /// Times and sizes of signalling.
    pub limits: Limits,
}

/// How media reaches this process.
#[derive(Debug, Clone)]
pub struct Media {
    /// Of the certificate that every worker uses.
    pub fingerprint: Fingerprint,
    /// Our candidates, by worker.
    pub candidates: Vec<Vec<Candidate>>,
    /// Answer checks only (RFC 8445 section 2.5), unless a client disables it.
    pub ice_lite: bool,
}

/// A STUN or TURN server for clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: String,
    pub credential: String,
    /// Instead of these two: credentials for each participant.
    pub issuer: Option<Issuer>,
}

/// What credentials of participants are derived from.
#[derive(Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Shared with the TURN server.
    pub secret: String,
    /// How long they are good for new allocations.
    pub ttl: Duration,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({:?})", self.ttl)
    }
}

/// What clients are told about this server.
#[derive(Debug, Clone)]
pub struct Server {
    /// The LiveKit version whose behaviour we match. Clients gate features on it: never empty.
    pub version: String,
    /// `ND_…`
    pub node_id: String,
    pub region: String,
}

impl Default for Server {
    /// Clients use VP9 and AV1 simulcast above 1.13.6, RPC from 1.8.0.
    fn default() -> Self {
        Self { version: "1.13.5".into(), node_id: "ND_local".into(), region: String::new() }
    }
}

/// Times and sizes of signalling.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Clients ping this often.
    pub ping_interval: Duration,
    /// Clients give up after this long without any message.
    pub ping_timeout: Duration,
    /// How long the answer to our offer may take.
    pub negotiation_timeout: Duration,
    /// Changes within this time share one negotiation.
    pub debounce: Duration,
    /// The same for what someone waits for.
    pub urgent_debounce: Duration,
    /// Tracks announced but not yet negotiated, per participant.
    pub pending_tracks: usize,
    /// Tracks published at once, per participant.
    pub published_tracks: usize,
    /// Largest data packet, in bytes.
    pub data_packet: usize,
    /// A transport that failed may come back within this time, by a resume.
    pub transport_grace: Duration,
    /// How often tokens are renewed.
    pub token_interval: Duration,
    /// How often speakers are told.
    pub speaker_interval: Duration,
    /// Loudness from which a participant counts as speaking, in -dBov (RFC 6464).
    pub active_level: u8,
    /// Percentage of the interval that must be loud.
    pub active_percent: u8,
    /// Pictures may be held back altogether where a subscriber's line does not carry them, unless the subscriber
    /// says otherwise.
    pub allow_pause: bool,
    /// Subscribers that know redundant audio (RFC 2198) get it also of tracks that come as plain Opus.
    pub redundant_audio: bool,
    /// With so many participants or more, a publisher that would rather send its backup codec alone sends both. With 0
    /// it never does.
    pub regression_below: usize,
    /// Requests of one client, apart from those without which its connection would break. One that names many
    /// tracks counts for several.
    pub requests: Rate,
    /// Its offers, and what it holds true after a resume: each is worked through whole, and none can be left out, so
    /// who says more has to start afresh.
    pub descriptions: Rate,
    /// Changes of its own name, metadata and attributes: each is told to the whole room.
    pub updates: Rate,
    /// Data packets and frames of data tracks of one client.
    pub data: Rate,
    /// Data tracks may be published.
    pub data_tracks: bool,
    /// Data blobs may be stored.
    pub blobs: bool,
    /// Bytes of one participant's blobs and their keys.
    pub blobs_size: usize,
    /// Intervals over which loudness is smoothed.
    pub smooth_intervals: u32,
    /// Bytes, about, of one message that tells of many participants.
    pub update_batch: usize,
}

impl Default for Limits {
    /// LiveKit's values where clients rely on them.
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(15),
            negotiation_timeout: Duration::from_secs(15),
            debounce: Duration::from_millis(150),
            urgent_debounce: Duration::from_millis(10),
            pending_tracks: 20,
            published_tracks: 100,
            data_packet: 64_000,
            transport_grace: Duration::from_secs(5),
            token_interval: Duration::from_secs(300),
            speaker_interval: Duration::from_millis(400),
            active_level: 35,
            active_percent: 40,
            allow_pause: false,
            redundant_audio: false,
            regression_below: 5,
            // Entering a room of a thousand with manual subscription says so much at once.
            requests: Rate { burst: 5000, per_second: 500 },
            // One a negotiation, of which there may be some a second while many come.
            descriptions: Rate { burst: 200, per_second: 20 },
            updates: Rate { burst: 100, per_second: 10 },
            // A file of 10 MB is 700 packets, as fast as the line takes them; a pointer's moves are a hundred a second.
            data: Rate { burst: 20_000, per_second: 5_000 },
            data_tracks: true,
            blobs: true,
            blobs_size: 64_000,
            smooth_intervals: 2,
            update_batch: 128 << 10,
        }
    }
}
