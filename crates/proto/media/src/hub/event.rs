//! What the hub has to say.

use crate::Name;
use crate::hub::{PlayerId, PublicationId};

/// Something that happened. Wherever a stay ends for another reason than [`Why::Left`], the connection it
/// came by is to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A publisher has begun.
    Started { name: Name, id: PublicationId },
    /// A publisher's stay is over.
    Stopped { name: Name, id: PublicationId, why: Why },
    /// A player has come for a stream that is to be fetched.
    Wanted { name: Name },
    /// A player's stay is over.
    Left { name: Name, id: PlayerId, why: Why },
    /// A stream is gone, and with it all that was kept for it.
    Ended { name: Name },
}

/// Why a stay is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It left by itself.
    Left,
    /// Another publisher took the stream.
    Replaced,
    /// The publisher sent nothing for too long.
    Silent,
    /// Nobody played what was being fetched.
    Idle,
    /// An operator wanted it so.
    Kicked,
    /// The publisher did not return, or the stream could not be fetched.
    Ended,
}

impl Why {
    /// For logs and callbacks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Replaced => "replaced",
            Self::Silent => "silent",
            Self::Idle => "idle",
            Self::Kicked => "kicked",
            Self::Ended => "ended",
        }
    }
}
