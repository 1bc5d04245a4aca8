//! A data channel's parameters and state.

use super::dcep::MAX_LABEL;

/// A data channel of one transport: its SCTP stream id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u16);

/// How hard a channel tries, RFC 8832 section 5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reliability {
    /// Until it is there.
    #[default]
    Reliable,
    /// At most this many retransmissions.
    Retransmits(u16),
    /// At most this many milliseconds.
    Lifetime(u16),
}

/// What a data channel is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelParams {
    /// Its name; [`crate::Transport::channel`] finds it by this. At most 256 bytes.
    pub label: String,
    /// In the order sent.
    pub ordered: bool,
    /// How hard to try.
    pub reliability: Reliability,
    /// A stream id that both sides agreed on, up to 65,534; `None` announces the channel by DCEP.
    pub negotiated: Option<u16>,
}

impl ChannelParams {
    pub(super) fn check(&self) -> Result<(), ChannelError> {
        if self.label.len() > MAX_LABEL {
            return Err(ChannelError::Label);
        }
        // 65,535 is no stream id, RFC 8832 section 5.
        if self.negotiated == Some(u16::MAX) { Err(ChannelError::Id) } else { Ok(()) }
    }
}

/// A channel that cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ChannelError {
    /// SCTP was not negotiated, or the transport has ended.
    #[error("no SCTP")]
    NoSctp,
    /// The label is too long.
    #[error("label too long")]
    Label,
    /// The negotiated id is none.
    #[error("not a stream id")]
    Id,
    /// The negotiated id is taken.
    #[error("stream id in use")]
    InUse,
    /// As many as allowed are open.
    #[error("too many channels")]
    TooMany,
}

/// A message that was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SendError {
    /// There is no such open channel.
    #[error("channel not open")]
    NotOpen,
    /// Longer than the far end takes.
    #[error("message too long")]
    TooLong,
    /// Too much is waiting to be sent.
    #[error("send buffer full")]
    Full,
}

/// Where a channel is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// For the association, or for its role, which the stream id depends on.
    Waiting,
    /// For the far end's ACK.
    Opening,
    Open,
    /// For the far end's reset.
    Closing,
}

pub(super) struct Channel {
    /// Not known while `Waiting` for DCEP.
    pub(super) id: Option<u16>,
    pub(super) params: ChannelParams,
    pub(super) state: State,
}

impl Channel {
    /// Old data is worth little: the send buffer is short.
    pub(super) fn is_lossy(&self) -> bool {
        self.params.reliability != Reliability::Reliable
    }
}
