//! The hub of live streams.
//!
//! Owns: what a frame and a track are, whatever protocol they came by; streams with their ring, headers,
//! clock and readers ([`Stream`], [`Cursor`]); who publishes and who plays, and how long a stream lives
//! without them ([`Hub`]). Knows no protocol, no container, no RTP and no socket: protocols bring frames in
//! and take frames out.
//!
//! The hub is asked when somebody comes or goes; frames never pass through it. A publisher pushes into its
//! [`Shared`] stream, and readers take from there by index: whatever they make of a frame, serialised tags
//! for example, they keep beside the ring under the same index, once a stream.

mod beside;
mod config;
mod cursor;
mod frame;
mod headers;
mod hub;
mod name;
mod rate;
mod ring;
mod shared;
mod stats;
mod stream;
mod timeline;
mod track;
mod unwrap;
mod wheel;

pub use beside::Beside;
pub use config::Config;
pub use cursor::{Cursor, Step};
pub use frame::{Frame, Ticks};
pub use headers::Headers;
pub use hub::{
    Event, Hub, Offer, PlayError, Player, PlayerId, PlayerInfo, Publication, PublicationId, PublishError,
    PublisherInfo, Source, StreamInfo, Viewer, Why,
};
pub use name::Name;
pub use shared::Shared;
pub use stats::{Drop, Stats, TrackStats};
pub use stream::{Replaced, Session, Stream};
pub use track::{Picture, Shape, Sound, Track, TrackId};
pub use unwrap::Unwrap;
pub use wheel::{Timer, Wheel};
