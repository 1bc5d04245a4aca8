//! What the HTTP side is told.

use std::collections::BTreeMap;
use std::time::Duration;

use auth::ApiKeys;

/// One validated snapshot; [`crate::Api::apply`] takes the next one.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who may sign tokens.
    pub keys: ApiKeys,
    /// Anyone may have a token for any room from `POST /api/v1/guest-token`.
    pub guests: bool,
    /// What new rooms are made of.
    pub rooms: Rooms,
    /// Sizes and times of connections.
    pub limits: Limits,
    /// Who is told what happens; `None` if nobody.
    pub webhooks: Option<Webhooks>,
    /// Agent workers that say they are busier than this are given no jobs.
    pub agent_load: f32,
}

/// Who is told what happens.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Names the key to the receivers.
    pub api_key: String,
    /// Signs what they are told.
    pub secret: auth::Secret,
    /// Each of them is told everything.
    pub urls: Vec<String>,
    /// If not empty, only of these events.
    pub include: Vec<String>,
    /// Not of these.
    pub exclude: Vec<String>,
    /// Rooms in events about tracks are told whole, not only by name and id.
    pub full_room: bool,
    /// Deliveries to one URL at once; those of one room are one after the other.
    pub lanes: usize,
    /// Events that may wait for one URL; more are dropped and counted.
    pub queued: usize,
}

/// What new rooms are made of; a running room keeps what it began with.
#[derive(Debug, Clone)]
pub struct Rooms {
    /// The first one to join makes the room.
    pub auto_create: bool,
    /// Bytes.
    pub max_name: usize,
    /// Settings of rooms, by the name under which tokens and `CreateRoom` ask for them.
    pub presets: BTreeMap<String, livekit_protocol::RoomConfiguration>,
    /// Limits and timeouts of a room, unless whoever opens it asks otherwise.
    pub rules: room::Config,
    /// Codecs that may be published, best first.
    pub codecs: Vec<codec::Kind>,
    /// Format parameters that payloads of a codec must have, where it stands here.
    pub profiles: Vec<(codec::Kind, String)>,
    /// STUN and TURN servers that clients are told to use.
    pub ice_servers: Vec<signal::IceServer>,
    /// What clients are told about this server.
    pub server: signal::Server,
    /// Answer connectivity checks only.
    pub ice_lite: bool,
    /// Times and sizes of signalling.
    pub signalling: signal::Limits,
}

/// Sizes and times of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest signal message, in bytes.
    pub message: usize,
    /// Tracks that are published and sent to subscribers, all together, from which on nobody more is let in; 0 is no
    /// limit.
    pub tracks: u32,
    /// Bytes of media a second, in and out, from which on nobody more is let in; 0 is no limit.
    pub bytes_per_second: u64,
    /// Largest message of an agent worker, in bytes.
    pub agent_message: usize,
    /// Largest body of a request to the server API, in bytes.
    pub api_body: usize,
    /// Messages that may wait for a client to read them.
    pub queued_messages: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Connections without a session at once: what anybody may make us hold in memory. Half of them may come from one
    /// address.
    pub connections: usize,
    /// For a TLS handshake, and for the head of a request.
    pub head_timeout: Duration,
    /// For a room to answer a join.
    pub join_timeout: Duration,
    /// For one message to leave.
    pub write_timeout: Duration,
    /// Between two WebSocket pings.
    pub ping_interval: Duration,
    /// Without a sign of life from a client.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 2 << 20,
            tracks: 0,
            bytes_per_second: 0,
            agent_message: 2 << 20,
            api_body: 10 << 20,
            queued_messages: 1024,
            queued_bytes: 4 << 20,
            connections: 2048,
            head_timeout: Duration::from_secs(10),
            join_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
            silence: Duration::from_secs(35),
        }
    }
}
