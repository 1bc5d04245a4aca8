//! What an RTP section says about its streams.

use std::fmt;

use rtp::{Pt, Rid, Ssrc};

use crate::Direction;

/// Everything of a section that is about RTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rtp {
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// `a=rtcp-rsize`.
    pub rtcp_rsize: bool,
    /// In order of preference.
    pub payloads: Vec<Payload>,
    pub extensions: Vec<Extmap>,
    /// `a=extmap-allow-mixed`.
    pub extmap_allow_mixed: bool,
    pub msids: Vec<Msid>,
    pub ssrcs: Vec<SsrcLine>,
    pub ssrc_groups: Vec<SsrcGroup>,
    pub rids: Vec<RidLine>,
    pub simulcast: Option<Simulcast>,
}

/// A payload type with its `rtpmap`, `fmtp` and `rtcp-fb` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub pt: Pt,
    /// As spelled; compare without case. Empty if there was no `rtpmap`.
    pub name: String,
    /// Hz.
    pub clock_rate: u32,
    /// Audio only.
    pub channels: Option<u8>,
    pub fmtp: Fmtp,
    pub feedback: Vec<Feedback>,
}

/// Format parameters, kept as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fmtp(pub String);

/// `a=rtcp-fb`, RFC 4585 section 4.2.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Feedback {
    Nack,
    NackPli,
    CcmFir,
    TransportCc,
    Remb,
    Other(String),
}

/// A header extension and its id, RFC 8285 section 5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extmap {
    pub id: u8,
    /// Seen from the describing side; `None` follows the section.
    pub direction: Option<Direction>,
    pub extension: Extension,
}

/// Header extensions by URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Extension {
    /// RFC 9143 section 15.
    Mid,
    /// RFC 8852 section 3.1.
    Rid,
    /// RFC 8852 section 3.2.
    RepairedRid,
    AbsSendTime,
    TransportCc,
    /// RFC 6464.
    AudioLevel,
    VideoOrientation,
    PlayoutDelay,
    DependencyDescriptor,
    AbsCaptureTime,
    /// Its URI.
    Other(String),
}

/// `a=msid`, RFC 8830.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msid {
    /// `-` means in no stream.
    pub stream: String,
    pub track: Option<String>,
}

/// `a=ssrc`, RFC 5576: what WebRTC says about an SSRC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SsrcLine {
    pub ssrc: Ssrc,
    pub cname: Option<String>,
    pub msid: Option<Msid>,
}

/// `a=ssrc-group`, RFC 5576.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcGroup {
    /// `FID`: a stream and its RTX. `SIM`: layers, lowest first.
    pub semantics: String,
    pub ssrcs: Vec<Ssrc>,
}

/// Which way an encoding goes, seen from the describing side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Send,
    Recv,
}

/// `a=rid`, RFC 8851.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RidLine {
    pub rid: Rid,
    pub way: Way,
    /// `pt=…;max-width=…`, as text.
    pub restrictions: Option<String>,
}

/// `a=simulcast`, RFC 8853.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Simulcast {
    pub send: Vec<Alternatives>,
    pub recv: Vec<Alternatives>,
}

/// One simulcast stream: any of these.
pub type Alternatives = Vec<RidRef>;

/// A rid in a simulcast line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RidRef {
    pub rid: Rid,
    /// `~` before it.
    pub paused: bool,
}

impl Payload {
    /// A payload with a codec's name and clock.
    pub fn new(pt: Pt, name: &str, clock_rate: u32) -> Self {
        Self {
            pt,
            name: name.into(),
            clock_rate,
            channels: None,
            fmtp: Fmtp::default(),
            feedback: Vec::new(),
        }
    }

    /// Compares codec names without case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The codec, if it is one that we carry.
    pub fn codec(&self) -> Option<codec::Kind> {
        codec::Kind::from_name(&self.name)
    }

    /// The payload type that this RTX repeats, RFC 4588 section 8.1.
    pub fn apt(&self) -> Option<Pt> {
        if !self.is("rtx") {
            return None;
        }
        self.fmtp.get("apt")?.parse().ok().filter(|pt| *pt < 128).map(Pt)
    }

    /// The same codec in the same configuration, so that one may be sent where the other is taken: name,
    /// clock, channels, and for H.264 profile and packetization mode (RFC 6184 section 8.2.2), for VP9
    /// and AV1 the profile.
    pub fn matches(&self, other: &Self) -> bool {
        if !self.is(&other.name)
            || self.clock_rate != other.clock_rate
            || self.channels.unwrap_or(1) != other.channels.unwrap_or(1)
        {
            return false;
        }
        let same =
            |name, default| self.fmtp.get(name).unwrap_or(default) == other.fmtp.get(name).unwrap_or(default);
        match self.codec() {
            Some(codec::Kind::H264) => {
                same("packetization-mode", "0") && self.fmtp.h264_profile() == other.fmtp.h264_profile()
            }
            Some(codec::Kind::Vp9) => same("profile-id", "0"),
            Some(codec::Kind::Av1) => same("profile", "0"),
            Some(codec::Kind::H265) => same("profile-id", "1") && same("tx-mode", "SRST"),
            _ => true,
        }
    }

    /// Whether `feedback` was negotiated.
    pub fn has(&self, feedback: &Feedback) -> bool {
        self.feedback.contains(feedback)
    }
}

impl Fmtp {
    /// A parameter's value; names are compared without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Sets a parameter, in place if it is there.
    pub fn set(&mut self, name: &str, value: &str) {
        let mut pairs: Vec<(&str, &str)> = self.pairs().collect();
        match pairs.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
            Some(pair) => pair.1 = value,
            None => pairs.push((name, value)),
        }
        let words: Vec<String> = pairs
            .iter()
            .map(|(key, value)| if value.is_empty() { (*key).into() } else { format!("{key}={value}") })
            .collect();
        self.0 = words.join(";");
    }

    /// Takes a parameter out.
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_none() {
            return;
        }
        let other = |word: &&str| {
            let key = word.split_once('=').map_or(*word, |(key, _)| key);
            !word.trim().is_empty() && !key.trim().eq_ignore_ascii_case(name)
        };
        self.0 = self.0.split(';').filter(other).map(str::trim).collect::<Vec<_>>().join(";");
    }

    /// Parameters in order; a word without `=` has an empty value.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split(';').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.trim(), value.trim())
        })
    }

    /// H.264's `profile_idc` and constraint bits, without the level, which need not be equal (RFC 6184
    /// section 8.2.2). Constrained baseline is spelled in two ways.
    fn h264_profile(&self) -> Option<(u8, u8)> {
        let text = self.get("profile-level-id").unwrap_or("42000a");
        let digits = |range| text.get(range).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (idc, constraints) = (digits(0..2)?, digits(2..4)?);
        match idc {
            // Baseline with constraint_set1 is constrained baseline, as is main with constraint_set0.
            0x42 if constraints & 0x40 != 0 => Some((0x42, 0x40)),
            0x4d if constraints & 0x80 != 0 => Some((0x42, 0x40)),
            // Constrained high has constraint_set4 and 5 set.
            0x64 => Some((0x64, constraints & 0x0c)),
            _ => Some((idc, 0)),
        }
    }
}

impl Feedback {
    /// From what follows the payload type.
    pub fn from_text(text: &str) -> Self {
        match text {
            "nack" => Self::Nack,
            "nack pli" => Self::NackPli,
            "ccm fir" => Self::CcmFir,
            "transport-cc" => Self::TransportCc,
            "goog-remb" => Self::Remb,
            other => Self::Other(other.into()),
        }
    }

    /// What follows the payload type.
    pub fn text(&self) -> &str {
        match self {
            Self::Nack => "nack",
            Self::NackPli => "nack pli",
            Self::CcmFir => "ccm fir",
            Self::TransportCc => "transport-cc",
            Self::Remb => "goog-remb",
            Self::Other(text) => text,
        }
    }
}

/// URIs and what they name.
const EXTENSIONS: [(&str, Extension); 10] = [
    ("urn:ietf:params:rtp-hdrext:sdes:mid", Extension::Mid),
    ("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", Extension::Rid),
    ("urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", Extension::RepairedRid),
    ("http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", Extension::AbsSendTime),
    ("http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", Extension::TransportCc),
    ("urn:ietf:params:rtp-hdrext:ssrc-audio-level", Extension::AudioLevel),
    ("urn:3gpp:video-orientation", Extension::VideoOrientation),
    ("http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", Extension::PlayoutDelay),
    (
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        Extension::DependencyDescriptor,
    ),
    ("http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time", Extension::AbsCaptureTime),
];

impl Extension {
    /// From a URI.
    pub fn from_uri(uri: &str) -> Self {
        match EXTENSIONS.iter().find(|(known, _)| *known == uri) {
            Some((_, extension)) => extension.clone(),
            None => Self::Other(uri.into()),
        }
    }

    /// Its URI.
    pub fn uri(&self) -> &str {
        if let Self::Other(uri) = self {
            return uri;
        }
        EXTENSIONS.iter().find(|(_, known)| known == self).map_or("", |(uri, _)| uri)
    }
}

impl Rtp {
    /// The payload of a type.
    pub fn payload(&self, pt: Pt) -> Option<&Payload> {
        self.payloads.iter().find(|payload| payload.pt == pt)
    }

    /// The RTX payload type for `pt`.
    pub fn rtx_of(&self, pt: Pt) -> Option<Pt> {
        self.payloads.iter().find(|payload| payload.apt() == Some(pt)).map(|payload| payload.pt)
    }

    /// The id of an extension.
    pub fn extension_id(&self, extension: &Extension) -> Option<u8> {
        self.extensions.iter().find(|extmap| extmap.extension == *extension).map(|extmap| extmap.id)
    }

    /// The rids that go `way`, in the order of the simulcast line, without those that have no `a=rid`
    /// line of their own or come twice; of alternatives the first. Without a simulcast line, the `a=rid`
    /// lines themselves.
    pub fn encodings(&self, way: Way) -> Vec<Rid> {
        let declared = |rid: Rid| self.rids.iter().any(|line| line.rid == rid && line.way == way);
        let listed: Vec<Rid> = match &self.simulcast {
            Some(simulcast) => {
                let streams = if way == Way::Send { &simulcast.send } else { &simulcast.recv };
                streams.iter().filter_map(|any| any.first()).map(|any| any.rid).collect()
            }
            None => self.rids.iter().filter(|line| line.way == way).map(|line| line.rid).collect(),
        };
        let mut rids: Vec<Rid> = Vec::new();
        for rid in listed {
            if declared(rid) && !rids.contains(&rid) {
                rids.push(rid);
            }
        }
        rids
    }

    /// The RTX stream of `ssrc`, by an `FID` group.
    pub fn rtx_ssrc_of(&self, ssrc: Ssrc) -> Option<Ssrc> {
        self.ssrc_groups.iter().find_map(|group| match *group.ssrcs.as_slice() {
            [first, second] if group.semantics == "FID" && first == ssrc => Some(second),
            _ => None,
        })
    }
}

impl Simulcast {
    /// One stream a rid, none paused.
    pub fn of(rids: &[Rid], way: Way) -> Self {
        let streams = rids.iter().map(|rid| vec![RidRef { rid: *rid, paused: false }]).collect();
        match way {
            Way::Send => Self { send: streams, recv: Vec::new() },
            Way::Recv => Self { send: Vec::new(), recv: streams },
        }
    }
}

impl Way {
    /// As `rid` and `simulcast` lines spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Recv => "recv",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "send" => Some(Self::Send),
            "recv" => Some(Self::Recv),
            _ => None,
        }
    }
}

impl Msid {
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let stream = words.next()?.into();
        Some(Self { stream, track: words.next().map(Into::into) })
    }
}

impl fmt::Display for Msid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.track {
            Some(track) => write!(f, "{} {track}", self.stream),
            None => f.write_str(&self.stream),
        }
    }
}
