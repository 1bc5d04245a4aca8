//! What went through a router and what it refused, by reason.

/// Counts since a router began. Nothing in here is a secret; a driver copies it out as it likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub traffic: Traffic,
    pub repair: Repair,
    pub drops: Drops,
    /// Commands about ids that are not (or no longer) known here.
    pub unknown_ids: u64,
}

/// Datagrams and media.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub datagrams_in: u64,
    pub bytes_in: u64,
    pub datagrams_out: u64,
    pub bytes_out: u64,
    /// RTP packets that were accepted from publishers.
    pub rtp_in: u64,
    /// RTP packets to subscribers, retransmissions among them.
    pub rtp_out: u64,
    pub link_packets_out: u64,
    pub link_packets_in: u64,
    pub data_in: u64,
    pub data_out: u64,
}

/// Loss and what was done about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repair {
    /// Sequence numbers that were asked of publishers.
    pub nacks_out: u64,
    /// Sequence numbers that subscribers asked for.
    pub nacks_in: u64,
    /// Of those, sent again.
    pub resent: u64,
    /// Of those, no longer (or never) in a cache.
    pub not_cached: u64,
    /// Of those, not sent again because the subscriber's line is full.
    pub no_room: u64,
    /// Key frame requests of subscribers.
    pub key_frames_in: u64,
    /// Key frame requests to publishers, after throttling.
    pub key_frames_out: u64,
}

/// Why something was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// First byte belongs to no protocol (RFC 7983).
    pub unclassified: u64,
    /// STUN for a ufrag that is not ours.
    pub unknown_ufrag: u64,
    /// Not STUN, from an address that has passed no check.
    pub unknown_address: u64,
    /// Before there are keys.
    pub no_keys: u64,
    /// Not RTP or RTCP in its bounds.
    pub malformed: u64,
    /// Authentication failed.
    pub forged: u64,
    /// Already seen, or too old to tell.
    pub replayed: u64,
    /// An SSRC that nothing maps to a track.
    pub unknown_ssrc: u64,
    /// A payload type that was not negotiated.
    pub unknown_pt: u64,
    /// Padding alone: bandwidth probes.
    pub padding: u64,
    /// Came twice, by retransmission.
    pub duplicate: u64,
    /// Too late to be placed in what a subscriber got.
    pub late: u64,
    /// Evicted before it could be forwarded.
    pub evicted: u64,
    /// Sealing refused it.
    pub not_sealed: u64,
    /// Video that was given up because there was too much to do.
    pub shed: u64,
    /// Sound that was, because without video there still was.
    pub shed_sound: u64,
    /// A data channel message for a channel that is not open or whose queue is full.
    pub data: u64,
}

impl Drops {
    /// All of it, named, for metrics.
    pub fn by_reason(&self) -> [(&'static str, u64); 17] {
        [
            ("unclassified", self.unclassified),
            ("unknown_ufrag", self.unknown_ufrag),
            ("unknown_address", self.unknown_address),
            ("no_keys", self.no_keys),
            ("malformed", self.malformed),
            ("forged", self.forged),
            ("replayed", self.replayed),
            ("unknown_ssrc", self.unknown_ssrc),
            ("unknown_pt", self.unknown_pt),
            ("padding", self.padding),
            ("duplicate", self.duplicate),
            ("late", self.late),
            ("evicted", self.evicted),
            ("not_sealed", self.not_sealed),
            ("shed", self.shed),
            ("shed_sound", self.shed_sound),
            ("data", self.data),
        ]
    }
}
