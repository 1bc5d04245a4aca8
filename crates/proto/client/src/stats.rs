//! What a participant has sent and received, in numbers.

use std::time::Duration;

pub use crate::recv::VideoStats;

/// What went out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// RTP packets, without repeats.
    pub packets: u64,
    /// Bytes of their datagrams.
    pub bytes: u64,
    /// Packets sent again on request.
    pub repeats: u64,
    /// Key frames that the far end asked for.
    pub key_frames_asked: u64,
}

/// What came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets that the sequence numbers promise.
    pub expected: u64,
    /// Packets that came as they were first sent; each counts once.
    pub packets: u64,
    /// Bytes of all datagrams, repeats included.
    pub bytes: u64,
    /// Packets that came by retransmission and not before.
    pub recovered: u64,
    /// Packets that came once more.
    pub duplicates: u64,
    /// Tracks that the server told of.
    pub tracks: u64,
    /// Those of which nothing has come.
    pub silent: u64,
    /// Sequence numbers asked for, repeats included.
    pub nacked: u64,
    /// Key frames asked for.
    pub plis: u64,
    /// Packets that would not open: forged, replayed or sealed wrongly.
    pub unopened: u64,
    /// Packets of streams that nobody told of.
    pub unknown: u64,
}

/// How long a packet was on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    pub took: Duration,
    /// Of video, not of sound.
    pub video: bool,
}

/// All of a participant's, summed over its tracks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    pub sent: Sent,
    pub received: Received,
    /// Of each video track that is received.
    pub videos: Vec<VideoStats>,
    /// Audio tracks that are received, and what of `received` is theirs.
    pub audios: usize,
    pub heard: Received,
    /// Whole audio packets that are not what was sent.
    pub corrupt_audio: u64,
    /// How media is sealed, of the first who has keys.
    pub profile: Option<srtp::Profile>,
}

impl Stats {
    /// Adds those of others.
    pub fn add(&mut self, other: Self) {
        self.sent.add(&other.sent);
        self.received.add(&other.received);
        self.videos.extend(other.videos);
        self.audios += other.audios;
        self.heard.add(&other.heard);
        self.corrupt_audio += other.corrupt_audio;
        self.profile = self.profile.or(other.profile);
    }
}

impl Received {
    /// Packets that were promised and came by no way.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.packets + self.recovered)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.recovered += other.recovered;
        self.duplicates += other.duplicates;
        self.tracks += other.tracks;
        self.silent += other.silent;
        self.nacked += other.nacked;
        self.plis += other.plis;
        self.unopened += other.unopened;
        self.unknown += other.unknown;
    }
}

impl Sent {
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.repeats += other.repeats;
        self.key_frames_asked += other.key_frames_asked;
    }
}
