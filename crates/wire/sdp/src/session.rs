//! The description and its sections.

use std::fmt;

use rtp::Mid;

use crate::{Attribute, Candidate, Direction, Fingerprint, Rtp, Setup};

/// A session description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    pub origin: Origin,
    /// `a=group`, RFC 5888; WebRTC has one, of semantics `BUNDLE`.
    pub groups: Vec<Group>,
    /// Session-level values. The parser has copied them to sections that had none of their own, so a
    /// reader looks only at [`Section::transport`].
    pub transport: Transport,
    /// `a=ice-lite`.
    pub ice_lite: bool,
    /// `a=extmap-allow-mixed`: header extensions of one and two bytes in one stream (RFC 8285 section 6).
    pub extmap_allow_mixed: bool,
    /// In the order of their indices.
    pub sections: Vec<Section>,
    /// Attributes not known here, such as `msid-semantic`.
    pub attributes: Vec<Attribute>,
}

/// The `o=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub username: String,
    pub session_id: u64,
    /// Grows with each description of a session.
    pub version: u64,
}

impl Default for Origin {
    fn default() -> Self {
        Self { username: "-".into(), session_id: 1, version: 1 }
    }
}

/// `a=group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `BUNDLE`, `LS`, …
    pub semantics: String,
    pub mids: Vec<Mid>,
}

/// ICE, DTLS and where to reach the describing side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transport {
    pub ice: Option<Ice>,
    /// `a=ice-options`.
    pub ice_options: Vec<String>,
    pub fingerprints: Vec<Fingerprint>,
    pub setup: Option<Setup>,
    /// Candidates that could be read; others are left out, as they could not be used either.
    pub candidates: Vec<Candidate>,
    pub end_of_candidates: bool,
}

/// ICE credentials, RFC 8839 section 5.4.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Ice {
    pub ufrag: String,
    pub pwd: String,
}

impl fmt::Debug for Ice {
    /// The password is a secret: it is not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ice({})", self.ufrag)
    }
}

/// What a section carries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    Audio,
    Video,
    Application,
    Other(String),
}

impl Kind {
    /// As an `m=` line spells it.
    pub fn name(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Application => "application",
            Self::Other(name) => name,
        }
    }
}

/// An `m=` line and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub kind: Kind,
    /// 0 means rejected, or bundle-only in an offer; 9 stands for "by ICE".
    pub port: u16,
    /// Such as `UDP/TLS/RTP/SAVPF`.
    pub protocol: String,
    /// Formats where [`Section::is_rtp`] is false; payload types are in [`Rtp::payloads`].
    pub formats: Vec<String>,
    pub mid: Option<Mid>,
    pub direction: Direction,
    /// `a=bundle-only`, RFC 9143 section 6.
    pub bundle_only: bool,
    pub transport: Transport,
    pub rtp: Rtp,
    pub data: Data,
    /// Attributes not known here.
    pub attributes: Vec<Attribute>,
}

/// Data channels, RFC 8841.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Data {
    pub sctp_port: Option<u16>,
    /// Bytes; 0 means any.
    pub max_message_size: Option<u64>,
}

/// The protocol of RTP sections, RFC 8827 section 6.5.
const RTP_PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";
/// The protocol of data channel sections, RFC 8841 section 5.
const DATA_PROTOCOL: &str = "UDP/DTLS/SCTP";
/// The port that says "as ICE finds", RFC 8839 section 4.2.
const DISCARD_PORT: u16 = 9;

impl Section {
    /// An RTP section with neither payloads nor transport.
    pub fn rtp(kind: Kind, mid: Mid, direction: Direction) -> Self {
        let rtp = Rtp { rtcp_mux: true, rtcp_rsize: true, ..Rtp::default() };
        Self { mid: Some(mid), direction, rtp, ..Self::new(kind, RTP_PROTOCOL) }
    }

    /// A data channel section without transport.
    pub fn data(mid: Mid, sctp_port: u16, max_message_size: u64) -> Self {
        Self {
            mid: Some(mid),
            formats: vec!["webrtc-datachannel".into()],
            data: Data { sctp_port: Some(sctp_port), max_message_size: Some(max_message_size) },
            ..Self::new(Kind::Application, DATA_PROTOCOL)
        }
    }

    pub(crate) fn new(kind: Kind, protocol: &str) -> Self {
        Self {
            kind,
            port: DISCARD_PORT,
            protocol: protocol.into(),
            formats: Vec::new(),
            mid: None,
            direction: Direction::default(),
            bundle_only: false,
            transport: Transport::default(),
            rtp: Rtp::default(),
            data: Data::default(),
            attributes: Vec::new(),
        }
    }

    /// The twin that rejects this section: port 0, inactive, the same kind, protocol, formats and mid
    /// (RFC 3264 section 6).
    #[must_use]
    pub fn rejection(&self) -> Self {
        let mut twin = Self::new(self.kind.clone(), &self.protocol);
        twin.port = 0;
        twin.formats = self.formats.clone();
        twin.mid = self.mid;
        twin.direction = Direction::Inactive;
        // An m-line needs a format; one is enough.
        twin.rtp.payloads = self.rtp.payloads.first().cloned().into_iter().collect();
        twin
    }

    /// Turned off: port 0 and not merely bundle-only.
    pub fn is_rejected(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }

    /// Carries RTP.
    pub fn is_rtp(&self) -> bool {
        is_rtp_protocol(&self.protocol)
    }

    /// Carries data channels.
    pub fn is_data(&self) -> bool {
        self.kind == Kind::Application && self.protocol.ends_with("SCTP")
    }
}

pub(crate) fn is_rtp_protocol(protocol: &str) -> bool {
    protocol.split('/').any(|part| part == "RTP")
}

impl Session {
    /// The section of a mid.
    pub fn section(&self, mid: Mid) -> Option<&Section> {
        self.sections.iter().find(|section| section.mid == Some(mid))
    }

    /// The mids of the BUNDLE group, empty if there is none.
    pub fn bundle(&self) -> &[Mid] {
        self.groups.iter().find(|group| group.semantics == "BUNDLE").map_or(&[], |group| &group.mids)
    }

    /// The transport that a bundle shares: of its first section that is not rejected and has one
    /// (RFC 9143 section 7.3), else of the first such section at all.
    pub fn bundle_transport(&self) -> Option<&Transport> {
        let usable = |section: &&Section| !section.is_rejected() && section.transport.ice.is_some();
        let tagged = self.bundle().iter().filter_map(|mid| self.section(*mid)).find(usable);
        tagged.or_else(|| self.sections.iter().find(usable)).map(|section| &section.transport)
    }
}
