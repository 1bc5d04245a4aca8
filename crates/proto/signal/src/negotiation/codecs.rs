//! Which codecs, payload types and header extensions are taken.

use codec::Kind;
use rtp::Pt;
use sdp::{Extension, Extmap, Feedback, Payload, Rtp};
use sfu::{CodecParams, ExtensionIds};

/// A payload that was agreed on, with its retransmissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) kind: Kind,
    pub(crate) payload: Payload,
    pub(crate) rtx: Option<Pt>,
}

impl Chosen {
    /// As the media engine is told.
    pub(crate) fn params(&self) -> CodecParams {
        CodecParams {
            codec: self.kind,
            pt: self.payload.pt,
            rtx: self.rtx,
            clock_rate: self.payload.clock_rate,
            nack: self.payload.has(&Feedback::Nack),
            fmtp: identity_of(self.kind, &self.payload),
        }
    }

    /// As it stands in a section, RTX after it.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = Payload> {
        let rtx = self.rtx.map(|pt| {
            let mut rtx = Payload::new(pt, "rtx", self.payload.clock_rate);
            rtx.fmtp.set("apt", &self.payload.pt.0.to_string());
            rtx
        });
        std::iter::once(self.payload.clone()).chain(rtx)
    }
}

/// Format parameters that tell two entries of one codec apart, spelled in one way. An H.264 level is
/// left out of it (RFC 6184 section 8.2.2: it need not be equal).
fn identity_of(kind: Kind, payload: &Payload) -> String {
    let get = |name: &str, default: &str| payload.fmtp.get(name).unwrap_or(default).to_ascii_lowercase();
    match kind {
        Kind::H264 => {
            let profile: String = get("profile-level-id", "42000a").chars().take(4).collect();
            format!("packetization-mode={};profile-level-id={profile}1f", get("packetization-mode", "0"))
        }
        Kind::Vp9 => format!("profile-id={}", get("profile-id", "0")),
        _ => String::new(),
    }
}

/// Leaves of what a client can do those payloads that the server is configured to take.
pub(crate) fn restrict(offer: &mut sdp::Session, profiles: &[(Kind, String)]) {
    if profiles.is_empty() {
        return;
    }
    let fits = |payload: &Payload| {
        let Some(kind) = payload.codec() else { return true };
        let mut lines = profiles.iter().filter(|(of, _)| *of == kind).peekable();
        lines.peek().is_none()
            || lines.any(|(_, line)| {
                let mut wanted = Payload::new(payload.pt, &payload.name, payload.clock_rate);
                wanted.fmtp = sdp::Fmtp(line.clone());
                identity_of(kind, &wanted) == identity_of(kind, payload)
            })
    };
    for section in &mut offer.sections {
        section.rtp.payloads.retain(fits);
    }
}

/// Codecs of which the plain profile is carried, and no other.
fn is_plain(kind: Kind, payload: &Payload, offered: &Rtp) -> bool {
    let plain = |name: &str, value: &str| payload.fmtp.get(name).is_none_or(|v| v == value);
    match kind {
        Kind::Opus => payload.clock_rate == 48_000,
        Kind::Red => payload.clock_rate == 48_000 && is_redundant_opus(payload, offered),
        Kind::Vp9 => plain("profile-id", "0"),
        Kind::Av1 => plain("profile", "0"),
        Kind::H265 => plain("profile-id", "1"),
        _ => true,
    }
}

/// Redundant audio (RFC 2198 section 5) whose blocks are all Opus of the same section.
fn is_redundant_opus(red: &Payload, offered: &Rtp) -> bool {
    let opus = |pt: &str| {
        let inner = pt.trim().parse().ok().and_then(|pt| offered.payload(Pt(pt)));
        inner.is_some_and(|p| p.codec() == Some(Kind::Opus) && p.clock_rate == red.clock_rate)
    };
    !red.fmtp.0.is_empty() && red.fmtp.0.split('/').all(opus)
}

/// How well an H.264 variant suits everyone: constrained baseline, packetization mode 1 first; high
/// profile is what not everyone decodes.
fn h264_rank(payload: &Payload) -> u8 {
    let profile = payload.fmtp.get("profile-level-id").unwrap_or("42000a").to_ascii_lowercase();
    let mode_one = payload.fmtp.get("packetization-mode") == Some("1");
    let suits = match profile.get(..4) {
        Some("42e0") => 0,
        Some("4200") => 1,
        Some("4d00") => 2,
        _ => 6,
    };
    suits + if mode_one { 0 } else { 3 }
}

/// What to receive of what a client offers to send, `preferred` first, and before it redundant audio where
/// that is wanted. One H.264 variant is taken: a publisher that may change it would lose subscribers that
/// have only the other.
pub(crate) fn choose_to_receive(
    offered: &Rtp,
    enabled: &[Kind],
    preferred: Option<Kind>,
    redundant: bool,
) -> Vec<Chosen> {
    let wanted = |c: &Chosen| c.kind != Kind::Red || redundant;
    let mut chosen: Vec<Chosen> = candidates(offered, enabled).filter(wanted).collect();
    if let Some(best) = chosen.iter().filter(|c| c.kind == Kind::H264).map(|c| h264_rank(&c.payload)).min() {
        let mut first = true;
        chosen.retain(|c| {
            c.kind != Kind::H264 || (h264_rank(&c.payload) == best && std::mem::take(&mut first))
        });
    }
    // Stable: what is not preferred stays in the offerer's order.
    chosen.sort_by_key(|c| (c.kind != Kind::Red, Some(c.kind) != preferred));
    for c in &mut chosen {
        // Lost audio is asked for again too; clients answer although they do not offer it.
        if matches!(c.kind, Kind::Opus | Kind::Red) && !c.payload.has(&Feedback::Nack) {
            c.payload.feedback.push(Feedback::Nack);
        }
    }
    chosen
}

/// Those payloads of a client's receiving section in which a track that comes as `sent` can be passed on.
pub(crate) fn choose_for(offered: &Rtp, enabled: &[Kind], sent: &[Chosen]) -> Vec<Chosen> {
    let mut chosen: Vec<Chosen> = Vec::new();
    for source in sent {
        let exact = candidates(offered, enabled).find(|c| c.payload.matches(&source.payload));
        // A decoder for one H.264 profile in packetization mode 1 in practice takes baseline too.
        let close =
            || candidates(offered, enabled).find(|c| c.kind == Kind::H264 && source.kind == Kind::H264);
        if let Some(found) = exact.or_else(close)
            && !chosen.contains(&found)
        {
            chosen.push(found);
        }
    }
    chosen
}

/// Whether what was chosen misses what comes: publishers could send all that was agreed on with them, and send
/// the first.
pub(crate) fn misses_first(sent: &[Chosen], chosen: &[Chosen]) -> bool {
    let first = sent.first().map(|c| c.kind);
    // Sound is understood by everybody, with its redundancy or without.
    let sound = first.is_some_and(Kind::is_audio);
    chosen.is_empty() || !sound && chosen.iter().all(|c| Some(c.kind) != first)
}

fn candidates<'a>(offered: &'a Rtp, enabled: &'a [Kind]) -> impl Iterator<Item = Chosen> + 'a {
    offered.payloads.iter().filter_map(move |payload| {
        let kind = payload.codec().filter(|k| enabled.contains(k) && is_plain(*k, payload, offered))?;
        let mut payload = payload.clone();
        payload.feedback.retain(|f| !matches!(f, Feedback::Other(_)));
        let rtx = if kind.is_audio() { None } else { offered.rtx_of(payload.pt) };
        Some(Chosen { kind, payload, rtx })
    })
}

/// One entry of [`DEFAULTS`].
type Default = (Kind, u8, &'static str);

/// Payload types that we offer: those of LiveKit's server. RTX is the next number.
const DEFAULTS: [Default; 15] = [
    (Kind::Opus, 111, "minptime=10;useinbandfec=1"),
    (Kind::Red, 63, "111/111"),
    (Kind::Pcmu, 0, ""),
    (Kind::Pcma, 8, ""),
    (Kind::Vp8, 96, ""),
    (Kind::Vp9, 98, "profile-id=0"),
    (Kind::H264, 125, "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f"),
    (Kind::H264, 108, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    (Kind::H264, 104, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
    (Kind::H264, 102, "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f"),
    (Kind::H264, 39, "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=4d001f"),
    (Kind::H264, 106, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"),
    (Kind::H264, 123, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640032"),
    (Kind::Av1, 35, ""),
    (Kind::H265, 116, ""),
];

/// What we offer a subscriber for a track that comes as `sent`: its codecs with our payload types.
pub(crate) fn defaults_for(sent: &[Chosen]) -> Vec<Chosen> {
    let mut chosen: Vec<Chosen> = Vec::new();
    for source in sent {
        let all = DEFAULTS.iter().filter(|(kind, ..)| *kind == source.kind).map(default_payload);
        let exact = all.clone().find(|c| c.payload.matches(&source.payload));
        let Some(found) = exact.or_else(|| all.clone().next()) else { continue };
        if !chosen.contains(&found) {
            chosen.push(found);
        }
    }
    chosen
}

/// One codec with our payload type.
pub(crate) fn placeholder(kind: Kind) -> Vec<Chosen> {
    DEFAULTS.iter().filter(|(k, ..)| *k == kind).take(1).map(default_payload).collect()
}

fn default_payload(entry: &Default) -> Chosen {
    let (kind, pt, fmtp) = *entry;
    let clock_rate = match kind {
        Kind::Opus | Kind::Red => 48_000,
        Kind::Pcmu | Kind::Pcma => 8_000,
        _ => 90_000,
    };
    let mut payload = Payload::new(Pt(pt), kind.name(), clock_rate);
    payload.fmtp = sdp::Fmtp(fmtp.into());
    if matches!(kind, Kind::Opus | Kind::Red) {
        payload.channels = Some(2);
    }
    payload.feedback = if kind.is_audio() {
        vec![Feedback::TransportCc, Feedback::Nack]
    } else {
        vec![Feedback::Remb, Feedback::TransportCc, Feedback::CcmFir, Feedback::Nack, Feedback::NackPli]
    };
    let rtx = (!kind.is_audio()).then(|| Pt(pt + 1));
    Chosen { kind, payload, rtx }
}

/// Extension ids that we offer; all fit a one-byte header (RFC 8285 section 4.2).
const OFFERED_EXTENSIONS: [(u8, Extension, In); 7] = [
    (4, Extension::Mid, In::Both),
    (2, Extension::AbsSendTime, In::Both),
    (3, Extension::TransportCc, In::Both),
    (6, Extension::AbsCaptureTime, In::Both),
    (1, Extension::AudioLevel, In::Audio),
    (5, Extension::PlayoutDelay, In::Video),
    (12, Extension::DependencyDescriptor, In::Video),
];

/// Sections that an extension makes sense in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    Audio,
    Video,
    Both,
}

/// The extensions of a section in which we offer to send.
pub(crate) fn offered_extensions(audio: bool) -> Vec<Extmap> {
    OFFERED_EXTENSIONS
        .iter()
        .filter(|(_, _, within)| *within != if audio { In::Video } else { In::Audio })
        .map(|(id, extension, _)| Extmap { id: *id, direction: None, extension: extension.clone() })
        .collect()
}

/// The extensions of an offered section that we take, without directions: Firefox offers some as
/// `sendonly`, and saying that back would turn them off.
///
/// The same in every direction: what no section of a bundle has agreed on, Chromium leaves out of sections that it
/// adds later, and one with simulcast but without rid is then refused by Chromium itself.
///
/// Not video orientation: a sender that has agreed on it leaves its pictures as the camera is held, and every
/// subscriber that does not know it (Firefox) would show them lying on their side.
pub(crate) fn accepts(offered: &Rtp) -> Vec<Extmap> {
    let wanted = |extension: &Extension| match extension {
        Extension::Mid
        | Extension::AbsSendTime
        | Extension::TransportCc
        | Extension::DependencyDescriptor
        | Extension::AbsCaptureTime
        | Extension::Rid
        | Extension::RepairedRid
        | Extension::PlayoutDelay
        | Extension::AudioLevel => true,
        Extension::VideoOrientation | Extension::Other(_) => false,
    };
    let mut taken: Vec<Extmap> = Vec::new();
    for extmap in &offered.extensions {
        let repeated = taken.iter().any(|t| t.id == extmap.id || t.extension == extmap.extension);
        // 15 is reserved in one-byte headers, 0 is padding.
        let legal = extmap.id != 0 && extmap.id != 15;
        if legal && !repeated && wanted(&extmap.extension) {
            taken.push(Extmap { direction: None, ..extmap.clone() });
        }
    }
    taken
}

/// As the media engine is told.
pub(crate) fn extension_ids<'a>(extensions: impl IntoIterator<Item = &'a Extmap>) -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    for extmap in extensions {
        let slot = match extmap.extension {
            Extension::Mid => &mut ids.mid,
            Extension::Rid => &mut ids.rid,
            Extension::RepairedRid => &mut ids.repaired_rid,
            Extension::AbsSendTime => &mut ids.abs_send_time,
            Extension::TransportCc => &mut ids.transport_cc,
            Extension::AudioLevel => &mut ids.audio_level,
            Extension::VideoOrientation => &mut ids.video_orientation,
            Extension::PlayoutDelay => &mut ids.playout_delay,
            Extension::DependencyDescriptor => &mut ids.dependency_descriptor,
            Extension::AbsCaptureTime => &mut ids.abs_capture_time,
            Extension::Other(_) => continue,
        };
        *slot = Some(extmap.id);
    }
    ids
}
