//! What a room is told, what it tells, and how it refuses: plain data without handles.

use std::collections::BTreeMap;

use crate::{
    Audience, DataDraft, DataTrack, NewParticipant, Participant, ParticipantSid, Permission, Quality,
    Settings, Track, TrackDraft, TrackSid,
};

/// What a room is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Someone comes; whoever has the same identity goes.
    Join(Box<NewParticipant>),
    /// The same of somebody who comes from another room: they bring whom they let subscribe.
    Arrive(Box<Participant>),
    /// Their media is connected.
    Activate { participant: ParticipantSid },
    /// Someone goes, or is made to.
    Leave { participant: ParticipantSid, reason: LeaveReason },
    /// A track is announced; answered by [`Outcome::Track`].
    Announce { publisher: ParticipantSid, draft: Box<TrackDraft> },
    /// The same of a track that somebody brings from another room, under the name it has.
    Bring { publisher: ParticipantSid, track: TrackSid, draft: Box<TrackDraft> },
    /// An announced track has been negotiated with these codecs.
    GoLive { track: TrackSid, codecs: Vec<crate::TrackCodec> },
    /// A track ends; `by_server` if its publisher did not ask for it.
    Unpublish { track: TrackSid, by_server: bool },
    /// `by_server` if not its publisher says so.
    Mute { track: TrackSid, muted: bool, by_server: bool },
    /// The publisher changes what it said about a track.
    Describe { track: TrackSid, change: TrackChange },
    /// Wants tracks, or no longer does. They need not exist yet.
    Subscribe { subscriber: ParticipantSid, tracks: Vec<TrackSid>, on: bool },
    /// Wants tracks differently.
    Adjust { subscriber: ParticipantSid, tracks: Vec<TrackSid>, settings: Settings },
    /// Whom a publisher lets subscribe; replaces what was said before.
    Admit { publisher: ParticipantSid, audience: Audience },
    /// A data track begins; answered by [`Outcome::Track`].
    PublishData { publisher: ParticipantSid, draft: Box<DataDraft> },
    /// A data track that somebody brings from another room, under the name it has.
    BringData { publisher: ParticipantSid, track: TrackSid, draft: Box<DataDraft> },
    /// Its publisher ends it.
    UnpublishData { publisher: ParticipantSid, handle: u16 },
    /// Wants a data track, or no longer does.
    SubscribeData { subscriber: ParticipantSid, track: TrackSid, on: bool },
    /// Changes to name, metadata and attributes. Empty or absent is unchanged; an attribute set to
    /// nothing is deleted.
    Update { participant: ParticipantSid, change: ProfileChange, by_server: bool },
    /// Replaces what they may do.
    Permit { participant: ParticipantSid, permission: Permission },
    /// Replaces the room's metadata.
    SetMetadata { metadata: String },
    /// Ends the room.
    Close { reason: LeaveReason },
}

/// What is new about a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackChange {
    Size {
        width: u32,
        height: u32,
    },
    AudioFeatures(Vec<i32>),
    /// Another codec in which it is to be sent.
    AddCodec(crate::TrackCodec),
}

/// What is new about a participant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    pub name: String,
    pub metadata: String,
    pub attributes: BTreeMap<String, String>,
}

/// What a command made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Participant(ParticipantSid),
    Track(TrackSid),
}

/// Why a command was refused; nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("room is full")]
    Full,
    #[error("room has ended")]
    Ended,
    #[error("participant does not exist")]
    NoParticipant,
    #[error("track does not exist")]
    NoTrack,
    #[error("not allowed")]
    NotAllowed,
    #[error("too large")]
    TooLarge,
    /// Of a data track.
    #[error("invalid handle")]
    InvalidHandle,
    /// Of a data track.
    #[error("invalid name")]
    InvalidName,
    #[error("handle is in use")]
    DuplicateHandle,
    #[error("name is in use")]
    DuplicateName,
}

/// Why a participant is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum LeaveReason {
    /// They said so.
    ClientInitiated,
    DuplicateIdentity,
    ServerShutdown,
    ParticipantRemoved,
    RoomDeleted,
    RoomClosed,
    /// Client and server disagree; a fresh start mends it.
    StateMismatch,
    /// Never got connected.
    JoinFailure,
    /// The signal connection went, with no media to keep them.
    SignalClose,
    /// The media connection went.
    ConnectionTimeout,
}

/// What a room tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Someone came.
    Joined { participant: ParticipantSid },
    /// Their media is connected for the first time.
    Activated { participant: ParticipantSid },
    /// Something that others see has changed; `version` has grown.
    Updated { participant: ParticipantSid },
    /// What they may do has changed.
    Permitted { participant: ParticipantSid },
    /// The others see someone no more, who stays; they have lost their tracks before.
    Hid { participant: ParticipantSid },
    /// Someone went; their tracks have gone before. `connected` if their media ever was.
    Left { participant: Box<Participant>, connected: bool, reason: LeaveReason },
    /// A track went live.
    Published { track: TrackSid },
    /// A track ended, live or not.
    /// `identity` is its publisher's, who may have gone when this is read.
    Unpublished { track: Box<Track>, identity: String, by_server: bool },
    /// Muted or unmuted by somebody else than its publisher.
    MutedByServer { track: TrackSid, muted: bool },
    /// From now on `subscriber` receives `track`.
    Subscribed { subscriber: ParticipantSid, track: TrackSid },
    /// No longer.
    Unsubscribed { subscriber: ParticipantSid, track: TrackSid },
    /// What a subscriber wants of a track that it receives has changed.
    Adjusted { subscriber: ParticipantSid, track: TrackSid },
    /// A track that was asked for has not appeared.
    NotFound { subscriber: ParticipantSid, track: TrackSid },
    /// The publisher allows or forbids a track to a subscriber.
    Allowed { subscriber: ParticipantSid, track: TrackSid, allowed: bool },
    /// A track has its first subscriber.
    FirstSubscriber { track: TrackSid },
    /// The best quality that anyone wants of a video track; `None` is nothing.
    Demand { track: TrackSid, quality: Option<Quality> },
    /// From now on `subscriber` receives a data track, or no longer does.
    DataSubscribed { subscriber: ParticipantSid, track: TrackSid, on: bool },
    /// A data track has ended; `by_server` if its publisher did not ask for it.
    DataUnpublished { track: Box<DataTrack>, by_server: bool },
    /// Metadata or counts have changed.
    RoomUpdated { metadata: bool },
    /// The room is over, and empty.
    Ended { reason: LeaveReason },
}
