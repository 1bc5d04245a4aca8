//! Participants without signalling (RFC 9725): one offer, one answer, and nothing said in between.
//!
//! Owns: what an offer over HTTP may look like, the tracks that it announces by its mere sections, and the
//! description fragments (RFC 8840) with which such a client trickles and restarts. The rest is an ordinary
//! participant with one peer connection, whose answers somebody else fetches.

use std::fmt::{self, Write as _};

use clock::Time;
use codec::Kind;
use livekit_protocol as proto;
use room::{ParticipantSid, TrackKind};

use crate::Conference;
use crate::negotiation::{Remote, cid_of, rids_of, track_kind};

/// Length of an offer, bytes: Chromium's with every codec has 20,000 for two sections.
const OFFER_MAX: usize = 128 << 10;
/// Sections of an offer.
const SECTIONS_MAX: usize = 16;
/// Length of a fragment, bytes.
const FRAGMENT_MAX: usize = 16 << 10;
/// Candidates in one fragment.
const CANDIDATES_MAX: usize = 32;
/// User fragments and passwords, RFC 8839 section 5.4.
const ICE_TEXT: std::ops::RangeInclusive<usize> = 4..=256;

/// What an offer wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// Sound or pictures from the client.
    pub sends: bool,
    /// Sound or pictures for the client.
    pub receives: bool,
}

/// Why an offer cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    #[error("malformed SDP offer: {0}")]
    Malformed(sdp::Error),
    #[error("SDP offer cannot be used: {0}")]
    Unusable(&'static str),
}

/// Reads an offer far enough to know that it will be answered.
pub fn read_offer(text: &str) -> Result<Offered, OfferError> {
    let limits = sdp::Limits { bytes: OFFER_MAX, sections: SECTIONS_MAX, ..sdp::Limits::default() };
    let offer = sdp::parse(text, &limits).map_err(OfferError::Malformed)?;
    match Remote::of(&offer) {
        Ok(Some(_)) => {}
        Ok(None) => return Err(OfferError::Unusable("no media")),
        Err(error) => return Err(OfferError::Unusable(error.reason())),
    }
    let live = || offer.sections.iter().filter(|s| track_kind(s).is_some() && !s.is_rejected());
    let offered = Offered {
        sends: live().any(|s| s.direction.sends()),
        receives: live().any(|s| s.direction.receives() && !s.direction.sends()),
    };
    if !offered.sends && !offered.receives {
        return Err(OfferError::Unusable("no audio or video"));
    }
    if live().any(|s| s.mid.is_none()) {
        return Err(OfferError::Unusable("a section without mid"));
    }
    Ok(offered)
}

/// What a client says after its offer (RFC 8840 section 9).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    /// Empty if it does not say.
    pub ufrag: String,
    pwd: String,
    /// `candidate:…`, as they were written.
    pub candidates: Vec<String>,
}

impl fmt::Debug for Fragment {
    /// The password is a secret: it is not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fragment({}, {} candidates)", self.ufrag, self.candidates.len())
    }
}

/// Not a fragment of a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed SDP fragment: {0}")]
pub struct FragmentError(&'static str);

impl Fragment {
    /// Reads a fragment; what is neither credentials nor a candidate is left out.
    pub fn parse(text: &str) -> Result<Self, FragmentError> {
        if text.len() > FRAGMENT_MAX {
            return Err(FragmentError("too long"));
        }
        let mut fragment = Self::default();
        for line in text.lines().map(str::trim) {
            let Some(value) = line.strip_prefix("a=") else { continue };
            if let Some(ufrag) = value.strip_prefix("ice-ufrag:") {
                fragment.ufrag = ice_text(ufrag)?;
            } else if let Some(pwd) = value.strip_prefix("ice-pwd:") {
                fragment.pwd = ice_text(pwd)?;
            } else if value.starts_with("candidate:") {
                if fragment.candidates.len() == CANDIDATES_MAX {
                    return Err(FragmentError("too many candidates"));
                }
                fragment.candidates.push(value.to_owned());
            }
        }
        if fragment.ufrag.is_empty() != fragment.pwd.is_empty() {
            return Err(FragmentError("one of ice-ufrag and ice-pwd without the other"));
        }
        Ok(fragment)
    }

    /// The offer of an ICE restart: the last one with these credentials, and without its candidates. `None` if
    /// there are no credentials.
    pub fn restart(&self, offer: &str) -> Option<String> {
        if self.ufrag.is_empty() {
            return None;
        }
        let mut text = String::with_capacity(offer.len());
        for line in offer.lines().map(str::trim_end) {
            // Writing to a string cannot fail.
            let _ = match line {
                l if l.starts_with("a=ice-ufrag:") => write!(text, "a=ice-ufrag:{}\r\n", self.ufrag),
                l if l.starts_with("a=ice-pwd:") => write!(text, "a=ice-pwd:{}\r\n", self.pwd),
                l if l.starts_with("a=candidate:") || l == "a=end-of-candidates" => Ok(()),
                l => write!(text, "{l}\r\n"),
            };
        }
        Some(text)
    }
}

/// Letters, digits, `+` and `/`.
fn ice_text(value: &str) -> Result<String, FragmentError> {
    let is_plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_'));
    if !is_plain || !ICE_TEXT.contains(&value.len()) {
        return Err(FragmentError("ice-ufrag or ice-pwd"));
    }
    Ok(value.to_owned())
}

/// The credentials of our description: what its ICE session is known by.
pub fn ufrag_of(answer: &str) -> Option<String> {
    let answer = sdp::parse(answer, &sdp::Limits::default()).ok()?;
    Some(answer.bundle_transport()?.ice.as_ref()?.ufrag.clone())
}

/// Our half of an ICE restart, out of the answer to its offer.
pub fn fragment_of(answer: &str) -> Option<String> {
    let mut text = String::new();
    let mut section = false;
    let mut done = false;
    for line in answer.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            // The other sections share the first one's transport.
            done |= std::mem::replace(&mut section, true) && text.contains("a=ice-pwd:");
        }
        let wanted = ["m=", "a=mid:", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:", "a=end-of-candidates"];
        let wanted = section && !done && wanted.iter().any(|w| line.starts_with(w));
        if wanted || line == "a=ice-lite" || line.starts_with("a=ice-options:") && !section {
            text.push_str(line);
            text.push_str("\r\n");
        }
    }
    text.contains("a=ice-pwd:").then_some(text)
}

impl Conference {
    /// Announces what an offer sends, since its client has no other way to.
    pub(crate) fn announce_offered(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        offer: &proto::SessionDescription,
    ) {
        // An offer that cannot be read is refused where it is answered.
        let Ok(offer) = sdp::parse(&offer.sdp, &sdp::Limits::default()) else { return };
        let mut seen = [false; 2];
        for section in offer.sections.iter().filter(|s| s.direction.sends() && !s.is_rejected()) {
            let (Some(kind), Some(mid)) = (track_kind(section), section.mid) else { continue };
            let enabled = |k: &Kind| self.config.codecs.contains(k) && *k != Kind::Red;
            let Some(codec) = section.rtp.payloads.iter().filter_map(sdp::Payload::codec).find(enabled)
            else {
                continue;
            };
            let cid = Some(cid_of(section)).filter(|cid| !cid.is_empty() && cid.len() <= 256);
            let cid = cid.unwrap_or_else(|| format!("mid-{mid}"));
            let is_first = !std::mem::replace(&mut seen[usize::from(kind == TrackKind::Video)], true);
            let (r#type, source) = match kind {
                TrackKind::Audio => (proto::TrackType::Audio, proto::TrackSource::Microphone),
                TrackKind::Video => (proto::TrackType::Video, proto::TrackSource::Camera),
            };
            let source = if is_first { source } else { proto::TrackSource::Unknown };
            let add = proto::AddTrackRequest {
                simulcast_codecs: vec![proto::SimulcastCodec {
                    codec: codec.name().to_owned(),
                    cid: cid.clone(),
                    layers: layers(&rids_of(section)),
                    ..proto::SimulcastCodec::default()
                }],
                // Nobody would know that it may come twice.
                disable_red: true,
                cid,
                r#type: r#type.into(),
                source: source.into(),
                ..proto::AddTrackRequest::default()
            };
            self.on_add_track(now, sid, add);
        }
    }
}

/// The layers of a simulcast, lowest first.
fn layers(rids: &[rtp::Rid]) -> Vec<proto::VideoLayer> {
    use proto::VideoQuality::{High, Low, Medium};
    let qualities: &[_] = match rids.len() {
        0 | 1 => &[High],
        2 => &[Low, High],
        _ => &[Low, Medium, High],
    };
    let layer = |(rid, quality): (&rtp::Rid, &proto::VideoQuality)| proto::VideoLayer {
        quality: (*quality).into(),
        rid: rid.as_str().to_owned(),
        ..proto::VideoLayer::default()
    };
    rids.iter().zip(qualities).map(layer).collect()
}
