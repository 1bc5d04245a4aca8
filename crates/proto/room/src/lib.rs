//! Rooms, participants, publications and subscriptions.
//!
//! Owns: who is in a room, what they may do, what they publish, who gets which track and when a room ends.
//! Knows no wire format: no protobuf, no SDP, no SSRC.

mod command;
mod config;
mod data_tracks;
mod demand;
mod ids;
mod participant;
mod participants;
mod publications;
mod room;
mod subscriptions;
#[cfg(test)]
mod tests;
mod track;

pub use command::{Command, Event, LeaveReason, Outcome, ProfileChange, Refusal, TrackChange};
pub use config::{Config, PlayoutDelay};
pub use data_tracks::{DataDraft, DataTrack};
pub use ids::{ParticipantSid, RoomSid, TrackSid};
pub use participant::{Audience, Client, NewParticipant, Participant, Permission, Permit, Profile, State};
pub use room::Room;
pub use track::{Layer, Opaque, Quality, Settings, Track, TrackCodec, TrackDraft, TrackKind};
