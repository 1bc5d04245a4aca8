//! One answer for all codecs: what a forwarder asks of a packet.

use crate::{Kind, Malformed, av1, h264, h265, vp8, vp9};

/// What forwarding needs to know of one packet's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// This packet begins a key frame: a decoder can start here. Set only on packets that carry the start
    /// (or, for H.264 and H.265, the parameter sets or the first slice) of one.
    pub key_frame: bool,
    /// First packet of its frame, as far as the payload tells.
    pub starts_frame: bool,
    /// Spatial layer inside this RTP stream, 0 where there is one only.
    pub spatial: u8,
    /// Temporal layer, 0 where there is one only.
    pub temporal: u8,
    /// A receiver of lower temporal layers may go up to this one with this frame.
    pub switch_up: bool,
    /// No other frame needs this one.
    pub discardable: bool,
    /// Picture size, where a key frame's first bytes say it.
    pub size: Option<(u16, u16)>,
}

/// Looks into a payload of codec `kind`. Audio always starts a frame and is never a key frame. An empty
/// payload (padding alone) is [`Malformed::Truncated`] for video.
pub fn inspect(kind: Kind, payload: &[u8]) -> Result<Summary, Malformed> {
    match kind {
        Kind::Opus | Kind::Red | Kind::Pcmu | Kind::Pcma | Kind::Aac | Kind::Mp3 => {
            Ok(Summary { starts_frame: true, ..Summary::default() })
        }
        Kind::Vp8 => Ok(vp8::Descriptor::parse(payload)?.summary()),
        Kind::Vp9 => Ok(vp9::Descriptor::parse(payload)?.summary()),
        Kind::H264 => h264::inspect(payload),
        Kind::H265 => h265::inspect(payload),
        Kind::Av1 => av1::inspect(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Kind; 9] = [
        Kind::Opus,
        Kind::Red,
        Kind::Pcmu,
        Kind::Pcma,
        Kind::Vp8,
        Kind::Vp9,
        Kind::H264,
        Kind::H265,
        Kind::Av1,
    ];

    #[test]
    fn audio_starts_a_frame_with_every_packet() {
        let s = inspect(Kind::Opus, &[0xfc]).unwrap();
        assert!(s.starts_frame && !s.key_frame);
    }

    proptest! {
        #[test]
        fn no_payload_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for kind in ALL {
                let _ = inspect(kind, &bytes);
            }
            let _ = crate::opus::Toc::parse(&bytes);
            let _ = crate::red::Blocks::parse(&bytes).map(Iterator::count);
        }
    }
}
