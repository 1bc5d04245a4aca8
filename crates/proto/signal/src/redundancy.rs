//! Redundant audio (RFC 2198) of our making: what comes as plain Opus is sent to who knows it together with the packets
//! before.

use codec::Kind;
use livekit_protocol as proto;
use room::TrackSid;

use crate::Conference;
use crate::negotiation::{Chosen, placeholder};

impl Conference {
    /// The codecs in which a track can be sent on, of those in which it comes.
    pub(crate) fn sendable(&self, track: &TrackSid, coming: &[Chosen]) -> Vec<Chosen> {
        let comes = |kind| coming.iter().any(|c| c.kind == kind);
        let made = comes(Kind::Opus) && !comes(Kind::Red) && self.makes_redundant(track);
        let red = if made { placeholder(Kind::Red) } else { Vec::new() };
        red.into_iter().chain(coming.iter().cloned()).collect()
    }

    /// Not where its publisher would rather have none; those who publish over HTTP cannot say.
    fn makes_redundant(&self, track: &TrackSid) -> bool {
        let Some(track) = self.room.track(track) else { return false };
        let opaque = &track.draft.opaque;
        let silent = self.sessions.get(&track.publisher).is_some_and(|s| s.media_only);
        self.config.limits.redundant_audio
            && self.config.codecs.contains(&Kind::Red)
            && opaque.encryption == i32::from(proto::encryption::Type::None)
            && (silent || !opaque.disable_red)
    }
}
