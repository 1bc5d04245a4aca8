//! The codecs that are carried, and their names.

/// Codecs that are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Opus,
    /// Redundant audio, RFC 2198.
    Red,
    Pcmu,
    Pcma,
    Vp8,
    Vp9,
    H264,
    H265,
    Av1,
    /// Live streams only: no browser sends it over RTP.
    Aac,
    /// Live streams only.
    Mp3,
}

impl Kind {
    /// As LiveKit and SDP spell it, without `audio/` or `video/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Red => "red",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Av1 => "AV1",
            Self::Aac => "AAC",
            Self::Mp3 => "MP3",
        }
    }

    /// Reads a codec name, or a full mime type, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let short = name.rsplit('/').next().unwrap_or(name);
        [
            Self::Opus,
            Self::Red,
            Self::Pcmu,
            Self::Pcma,
            Self::Vp8,
            Self::Vp9,
            Self::H264,
            Self::H265,
            Self::Av1,
            Self::Aac,
            Self::Mp3,
        ]
        .into_iter()
        .find(|k| k.name().eq_ignore_ascii_case(short))
    }

    /// `audio/…` or `video/…` as LiveKit spells it.
    pub fn mime(self) -> String {
        let kind = if self.is_audio() { "audio" } else { "video" };
        format!("{kind}/{}", self.name())
    }

    /// Audio codecs have no key frames.
    pub fn is_audio(self) -> bool {
        matches!(self, Self::Opus | Self::Red | Self::Pcmu | Self::Pcma | Self::Aac | Self::Mp3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_with_or_without_the_media_type() {
        assert_eq!(Kind::from_name("video/vp8"), Some(Kind::Vp8));
        assert_eq!(Kind::from_name("OPUS"), Some(Kind::Opus));
        assert_eq!(Kind::from_name("audio/red"), Some(Kind::Red));
        assert_eq!(Kind::from_name("video/rtx"), None);
        assert_eq!(Kind::from_name(""), None);
        assert_eq!(Kind::from_name("/"), None);
        assert_eq!(Kind::H265.mime(), "video/H265");
    }
}
