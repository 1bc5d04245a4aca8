//! Session descriptions as a browser makes them, and what is read out of the server's.

use std::net::SocketAddr;

use peer::{Candidate, CandidateKind, Credentials, DtlsRole, Fingerprint, RemoteTransport, SctpRemote};
use rtp::{Mid, Pt, Rid, Ssrc};
use sdp::{
    Direction, Extension, Extmap, Feedback, Fmtp, Kind, Msid, Payload, RidLine, Section, Session, Setup,
    Simulcast, Way,
};

use crate::payload::Coding;

/// Our `a=sctp-port` and `a=max-message-size`, as in Chromium.
const SCTP_PORT: u16 = 5000;
const MAX_MESSAGE_SIZE: u64 = 262_144;
/// Of a host candidate on UDP, RFC 8445 section 5.1.2.1.
const HOST_PRIORITY: u32 = 2_130_706_431;

/// A description that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DescribeError {
    #[error("the server's description: {0}")]
    Sdp(#[from] sdp::Error),
    #[error("the server's description has no ICE credentials or no fingerprint")]
    Transport,
}

/// Ids of header extensions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) mid: Option<u8>,
    pub(crate) rid: Option<u8>,
    pub(crate) repaired_rid: Option<u8>,
    pub(crate) abs_send_time: Option<u8>,
    pub(crate) transport_cc: Option<u8>,
    pub(crate) audio_level: Option<u8>,
}

impl Ids {
    pub(crate) fn of(rtp: &sdp::Rtp) -> Self {
        Self {
            mid: rtp.extension_id(&Extension::Mid),
            rid: rtp.extension_id(&Extension::Rid),
            repaired_rid: rtp.extension_id(&Extension::RepairedRid),
            abs_send_time: rtp.extension_id(&Extension::AbsSendTime),
            transport_cc: rtp.extension_id(&Extension::TransportCc),
            audio_level: rtp.extension_id(&Extension::AudioLevel),
        }
    }
}

/// Our end as it is described.
pub(crate) struct Local {
    pub(crate) credentials: Credentials,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) address: SocketAddr,
    /// Grows with each description.
    pub(crate) version: u64,
}

/// What a section of ours is for.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    Data,
    /// Sound, if it is coded in nothing.
    Send {
        coding: Option<Coding>,
        cid: String,
        rids: Vec<Rid>,
    },
    Receive {
        video: bool,
    },
}

/// A stream that the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) mid: Mid,
    pub(crate) video: bool,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Option<Ssrc>,
    pub(crate) ids: Ids,
    codings: [Option<(Pt, Coding)>; Coding::ALL.len()],
}

impl Told {
    /// What a packet with this payload type is coded in.
    pub(crate) fn coding(&self, pt: Pt) -> Option<Coding> {
        self.codings.iter().flatten().find(|(known, _)| *known == pt).map(|(_, coding)| *coding)
    }
}

impl Local {
    fn session(&mut self) -> Session {
        self.version += 1;
        let mut session = Session { extmap_allow_mixed: true, ..Session::default() };
        session.origin.version = self.version;
        session
    }

    fn describe(&self, section: &mut Section, setup: Setup) {
        section.transport = sdp::Transport {
            ice: Some(sdp::Ice { ufrag: self.credentials.ufrag.clone(), pwd: self.credentials.pwd.clone() }),
            fingerprints: vec![sdp::Fingerprint::sha256(self.fingerprint.0)],
            setup: Some(setup),
            candidates: vec![sdp::Candidate {
                foundation: "1".into(),
                component: 1,
                protocol: sdp::Protocol::Udp,
                priority: HOST_PRIORITY,
                address: sdp::Address::Ip(self.address.ip()),
                port: self.address.port(),
                kind: sdp::CandidateKind::Host,
                related: None,
                tcp: None,
                ufrag: None,
            }],
            end_of_candidates: true,
            ..sdp::Transport::default()
        };
    }

    /// An offer of these sections, in this order.
    pub(crate) fn offer(&mut self, sections: &[(Mid, Purpose)]) -> Session {
        let mut session = self.session();
        for (mid, purpose) in sections {
            let mut section = match purpose {
                Purpose::Data => Section::data(*mid, SCTP_PORT, MAX_MESSAGE_SIZE),
                Purpose::Receive { video } => {
                    let codings: &[Coding] = if *video { &Coding::ALL } else { &[] };
                    media(*mid, codings, Direction::RecvOnly)
                }
                Purpose::Send { coding, cid, rids } => {
                    let mut section = media(*mid, coding.as_slice(), Direction::SendOnly);
                    section.rtp.msids = vec![Msid { stream: "-".into(), track: Some(cid.clone()) }];
                    if !rids.is_empty() {
                        let line = |rid: &Rid| RidLine { rid: *rid, way: Way::Send, restrictions: None };
                        section.rtp.rids = rids.iter().map(line).collect();
                        section.rtp.simulcast = Some(Simulcast::of(rids, Way::Send));
                    }
                    section
                }
            };
            self.describe(&mut section, Setup::ActPass);
            session.sections.push(section);
        }
        bundle(&mut session);
        session
    }

    /// An answer that takes all the server offers.
    pub(crate) fn answer(&mut self, offer: &Session) -> Session {
        let mut session = self.session();
        for offered in &offer.sections {
            let mut section = offered.clone();
            section.transport = sdp::Transport::default();
            section.direction = offered.direction.reversed();
            section.rtp.msids.clear();
            section.rtp.ssrcs.clear();
            section.rtp.ssrc_groups.clear();
            section.attributes.clear();
            self.describe(&mut section, Setup::Active);
            session.sections.push(section);
        }
        bundle(&mut session);
        session
    }
}

fn bundle(session: &mut Session) {
    let mids = session.sections.iter().filter_map(|section| section.mid).collect();
    session.groups = vec![sdp::Group { semantics: "BUNDLE".into(), mids }];
}

/// Sound, if there are no codings of pictures.
fn media(mid: Mid, codings: &[Coding], direction: Direction) -> Section {
    let video = !codings.is_empty();
    let kind = if video { Kind::Video } else { Kind::Audio };
    let mut section = Section::rtp(kind, mid, direction);
    section.rtp.extmap_allow_mixed = true;
    let extension = |id, extension| Extmap { id, direction: None, extension };
    section.rtp.extensions = vec![
        extension(4, Extension::Mid),
        extension(2, Extension::AbsSendTime),
        extension(3, Extension::TransportCc),
    ];
    if video {
        section.rtp.extensions.push(extension(10, Extension::Rid));
        section.rtp.extensions.push(extension(11, Extension::RepairedRid));
        section.rtp.payloads = codings.iter().flat_map(|coding| video_payloads(*coding)).collect();
    } else {
        section.rtp.extensions.push(extension(1, Extension::AudioLevel));
        let mut opus = Payload::new(Pt(111), "opus", 48_000);
        opus.channels = Some(2);
        opus.fmtp = Fmtp("minptime=10;useinbandfec=1".into());
        opus.feedback = vec![Feedback::TransportCc];
        section.rtp.payloads = vec![opus];
    }
    section
}

/// A codec with its repair.
fn video_payloads(coding: Coding) -> [Payload; 2] {
    let pt = coding.pt();
    let mut payload = Payload::new(pt, coding.name(), 90_000);
    payload.fmtp = Fmtp(coding.fmtp().into());
    payload.feedback =
        vec![Feedback::Remb, Feedback::TransportCc, Feedback::CcmFir, Feedback::Nack, Feedback::NackPli];
    let mut rtx = Payload::new(Pt(pt.0 + 1), "rtx", 90_000);
    rtx.fmtp.set("apt", &pt.0.to_string());
    [payload, rtx]
}

/// Reads a description of the server's.
pub(crate) fn parse(text: &str) -> Result<Session, DescribeError> {
    Ok(sdp::parse(text, &sdp::Limits::default())?)
}

/// The server's end of the transport. `theirs` is the role its `setup` gives it; an offer leaves it to us.
pub(crate) fn remote(session: &Session) -> Result<RemoteTransport, DescribeError> {
    let transport = session.bundle_transport().ok_or(DescribeError::Transport)?;
    let ice = transport.ice.as_ref().ok_or(DescribeError::Transport)?;
    let fingerprints: Vec<Fingerprint> =
        transport.fingerprints.iter().filter_map(|f| f.as_sha256()).map(Fingerprint).collect();
    if fingerprints.is_empty() {
        return Err(DescribeError::Transport);
    }
    let candidate = |candidate: &sdp::Candidate| {
        let usable = candidate.protocol == sdp::Protocol::Udp && candidate.component == 1;
        let addr = candidate.socket_addr().filter(|_| usable)?;
        Some(Candidate {
            carrier: peer::Carrier::Udp,
            kind: CandidateKind::Host,
            addr,
            priority: candidate.priority,
            foundation: candidate.foundation.clone(),
        })
    };
    let data = session.sections.iter().find(|section| section.is_data() && !section.is_rejected());
    Ok(RemoteTransport {
        credentials: Credentials { ufrag: ice.ufrag.clone(), pwd: ice.pwd.clone() },
        ice_lite: session.ice_lite,
        fingerprints,
        dtls_role: if transport.setup == Some(Setup::Active) { DtlsRole::Server } else { DtlsRole::Client },
        candidates: transport.candidates.iter().filter_map(candidate).collect(),
        sctp: data.map(|section| SctpRemote {
            port: section.data.sctp_port.unwrap_or(SCTP_PORT),
            max_message_size: section
                .data
                .max_message_size
                .map_or(65_536, |size| u32::try_from(size).unwrap_or(u32::MAX)),
        }),
    })
}

/// The streams that the server says it sends.
pub(crate) fn streams(session: &Session) -> Vec<Told> {
    let sending = session.sections.iter().filter(|s| s.is_rtp() && !s.is_rejected() && s.direction.sends());
    let told = sending.filter_map(|section| {
        let first = section.rtp.ssrcs.first()?.ssrc;
        Some(Told {
            mid: section.mid?,
            video: section.kind == Kind::Video,
            ssrc: first,
            rtx: section.rtp.rtx_ssrc_of(first),
            ids: Ids::of(&section.rtp),
            codings: codings(&section.rtp),
        })
    });
    told.collect()
}

fn codings(rtp: &sdp::Rtp) -> [Option<(Pt, Coding)>; Coding::ALL.len()] {
    Coding::ALL.map(|coding| {
        let named = |payload: &&Payload| payload.name.eq_ignore_ascii_case(coding.name());
        rtp.payloads.iter().find(named).map(|payload| (payload.pt, coding))
    })
}
