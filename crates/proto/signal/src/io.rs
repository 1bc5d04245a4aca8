//! What a conference is told and what it tells.

use std::time::Duration;

use auth::Claims;
use livekit_protocol as proto;
use prost::bytes::Bytes;

use crate::forwarding::Forwarded;
use crate::join::JoinRequest;
use crate::moving::Migrant;

/// One WebSocket, numbered by whoever accepted it. Numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What a conference is told.
#[derive(Debug)]
pub enum Input {
    /// A WebSocket whose token has been verified. The first [`Output::Send`] to it is `join`,
    /// `reconnect` or `leave`.
    Join(Box<Join>),
    /// A message from it.
    Request { session: SessionId, request: Box<proto::SignalRequest> },
    /// It has gone. Told once, also after [`Output::Close`].
    SocketClosed { session: SessionId },
    /// From the media engine.
    Media(sfu::Event),
    /// From another room: see [`Output::Forward`].
    Forwarded(Box<Forwarded>),
    /// From another room: see [`Output::Move`].
    Moved(Box<Migrant>),
    /// The process stops: everyone is told to leave, or to reconnect (to another server).
    Shutdown { reconnect: bool },
    /// From the server API; answered by one [`Output::Reply`] with the same ticket, which may come later.
    Admin { ticket: u64, command: Box<Admin> },
}

/// A WebSocket that wants to join, or to resume.
#[derive(Debug)]
pub struct Join {
    pub session: SessionId,
    /// Verified; `video.room` is this room. [`crate::join::check`] has been asked before.
    pub claims: Claims,
    pub request: JoinRequest,
    /// The worker that is to carry its media.
    pub worker: u8,
}

/// What a conference tells.
#[derive(Debug)]
pub enum Output {
    /// One message to these WebSockets, in order with what went before.
    Send { to: Vec<SessionId>, message: Box<proto::SignalResponse> },
    /// Close it normally (1000) after what was sent.
    Close { session: SessionId },
    /// To the media engine.
    Media(sfu::Command),
    /// Sign these claims, valid for `lifetime`, and send the token to the WebSocket: as `refresh_token`, or in this.
    Token {
        session: SessionId,
        claims: Box<Claims>,
        lifetime: Duration,
        within: Option<Box<proto::RoomMovedResponse>>,
    },
    /// For those who are told of events over HTTP. `id` is for the sender to fill in.
    Webhook(Box<proto::WebhookEvent>),
    /// To the room of that name, if it runs: [`Input::Forwarded`]. Messages may overtake each other.
    Forward { destination: String, forwarded: Forwarded },
    /// To the room of that name: [`Input::Moved`]. From now on the WebSocket and the peers belong there; what still
    /// comes from them is to be passed on.
    Move { destination: String, migrant: Box<Migrant> },
    /// The answer to [`Input::Admin`].
    Reply { ticket: u64, result: Result<AdminReply, AdminError> },
    /// The room is over; nothing follows.
    Ended,
}

/// A command of the server API (section 15.2 of LiveKit's interface) about this room.
#[derive(Debug, Clone)]
pub enum Admin {
    /// The room as `ListRooms` shows it.
    GetRoom,
    ListParticipants,
    GetParticipant {
        identity: String,
    },
    RemoveParticipant {
        identity: String,
    },
    MutePublishedTrack {
        identity: String,
        track: String,
        muted: bool,
    },
    UpdateParticipant(Box<proto::UpdateParticipantRequest>),
    UpdateSubscriptions(Box<proto::UpdateSubscriptionsRequest>),
    SendData {
        payload: Bytes,
        reliable: bool,
        topic: Option<String>,
        identities: Vec<String>,
        sids: Vec<String>,
        /// With which receivers know a repetition.
        nonce: Bytes,
    },
    /// Calls a method that a participant's application has registered; answered when it has answered, or has
    /// not in time.
    PerformRpc {
        identity: String,
        method: String,
        payload: String,
        /// For the whole call.
        timeout: Duration,
    },
    /// A participant as another room would have it.
    Describe {
        identity: String,
    },
    /// Whether such a participant would be let in.
    MayCome(Box<room::NewParticipant>),
    /// Has a participant leave this room for another, which runs.
    MoveParticipant {
        identity: String,
        destination: String,
    },
    /// Has a participant in another room too.
    ForwardParticipant {
        identity: String,
        destination: String,
    },
    UpdateRoomMetadata {
        metadata: String,
    },
    DeleteRoom,
}

/// What [`Admin`] commands answer.
#[derive(Debug, Clone, PartialEq)]
pub enum AdminReply {
    Done,
    Room(Box<proto::Room>),
    Participant(Box<proto::ParticipantInfo>),
    Participants(Vec<proto::ParticipantInfo>),
    Described(Box<room::NewParticipant>),
    Track(Box<proto::TrackInfo>),
    /// What a called method returned.
    Payload(String),
}

/// Why an [`Admin`] command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    #[error("participant does not exist")]
    NoParticipant,
    #[error("track does not exist")]
    NoTrack,
    #[error("remote unmute not enabled")]
    RemoteUnmute,
    #[error("metadata or attributes too large")]
    TooLarge,
    #[error("data packet too large")]
    DataTooLarge,
    #[error("not allowed")]
    NotAllowed,
    #[error("room is full")]
    Full,
    #[error("room has ended")]
    NoRoom,
    /// The called method is not there, or says so itself: codes as in LiveKit's RPC.
    #[error("{message}")]
    Rpc { code: u32, message: String, data: String },
}
