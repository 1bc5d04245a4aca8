//! The transport on which the client offers: what it sends us, in which section.
//!
//! A section and the request that announces its track may come in either order; each waits here for the
//! other.

use codec::Kind;
use peer::Credentials;
use room::{TrackKind, TrackSid};
use rtp::{Mid, Rid};
use sdp::{Section, Session, Way};
use sfu::{Encoding, ExtensionIds, PeerId, ProducerId, ProducerParams};

use super::codecs::{Chosen, accepts, choose_to_receive, extension_ids};
use super::early::Early;

/// Simulcast layers of one track; browsers send three.
const ENCODINGS_MAX: usize = 4;
/// Names of simulcast layers in use, lowest first.
const RID_ORDERS: [[&str; 3]; 6] = [
    ["q", "h", "f"],
    ["2", "1", "0"],
    ["l", "m", "h"],
    ["low", "mid", "high"],
    ["low", "medium", "high"],
    ["lo", "mid", "hi"],
];

/// A track that was announced and waits for its section.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) track: TrackSid,
    pub(crate) kind: TrackKind,
    /// The client's ids for it, one a codec.
    pub(crate) cids: Vec<String>,
    pub(crate) wish: Wish,
}

/// How a track is to be sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) preferred: Option<Kind>,
    /// Several spatial layers in one stream.
    pub(crate) svc: bool,
    /// Announced rids, lowest layer first.
    pub(crate) rids: Vec<String>,
    pub(crate) stereo: bool,
    pub(crate) no_dtx: bool,
    /// Audio may come twice, RFC 2198.
    pub(crate) redundant: bool,
    /// The same track in a second codec.
    pub(crate) backup: bool,
}

/// A section in which the client sends, or did.
#[derive(Debug, Clone)]
pub(crate) struct Receiving {
    pub(crate) mid: Mid,
    pub(crate) kind: TrackKind,
    /// The client's id of the track, if it says one.
    pub(crate) cid: String,
    pub(crate) sends: bool,
    pub(crate) codecs: Vec<Chosen>,
    pub(crate) encodings: Vec<Encoding>,
    pub(crate) transport_cc: bool,
    pub(crate) track: Option<TrackSid>,
    pub(crate) producer: Option<ProducerId>,
    pub(crate) wish: Wish,
}

impl Receiving {
    /// As the media engine is told.
    pub(crate) fn params(&self) -> ProducerParams {
        let mut encodings = self.encodings.clone();
        if encodings.is_empty() {
            encodings.push(Encoding::default());
        }
        ProducerParams {
            kind: match self.kind {
                TrackKind::Audio => sfu::Kind::Audio,
                TrackKind::Video => sfu::Kind::Video,
            },
            mid: Some(self.mid),
            encodings,
            codecs: self.codecs.iter().map(Chosen::params).collect(),
            // Layers that come as streams of their own are not inside of one.
            svc: self.wish.svc && self.encodings.len() <= 1,
            transport_cc: self.transport_cc,
        }
    }

    /// The rids that we take, lowest first.
    pub(crate) fn rids(&self) -> Vec<Rid> {
        self.encodings.iter().filter_map(|e| e.rid).collect()
    }
}

/// The transport on which the client offers.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) peer: PeerId,
    pub(crate) credentials: Credentials,
    /// The media engine knows of it.
    pub(crate) opened: bool,
    pub(crate) connected: bool,
    /// Of the last offer.
    pub(crate) remote: Option<Credentials>,
    /// Descriptions written.
    pub(crate) version: u64,
    pub(crate) sections: Vec<Receiving>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) extensions: ExtensionIds,
    pub(crate) early: Early,
}

impl Upstream {
    pub(crate) fn new(peer: PeerId, credentials: Credentials) -> Self {
        Self {
            peer,
            credentials,
            opened: false,
            connected: false,
            remote: None,
            version: 0,
            sections: Vec::new(),
            pending: Vec::new(),
            extensions: ExtensionIds::default(),
            early: Early::default(),
        }
    }

    /// Notes which sections send what. Returns those that were sending a track and no longer do.
    pub(crate) fn read(&mut self, offer: &Session) -> Vec<Receiving> {
        let mut before = std::mem::take(&mut self.sections);
        let mut ended = Vec::new();
        for section in &offer.sections {
            let (Some(mid), Some(kind)) = (section.mid, track_kind(section)) else { continue };
            let sends = section.direction.sends() && !section.is_rejected();
            let cid = cid_of(section);
            let known = before.iter().position(|s| s.mid == mid).map(|at| before.swap_remove(at));
            let mut receiving = known.unwrap_or_else(|| blank(mid, kind, &cid));
            let renamed =
                !cid.is_empty() && receiving.cid != cid && self.pending.iter().any(|p| p.cids.contains(&cid));
            if receiving.track.is_some() && (!sends || renamed || receiving.kind != kind) {
                ended.push(receiving);
                receiving = blank(mid, kind, &cid);
            }
            receiving.sends = sends;
            if sends {
                receiving.cid = cid;
            }
            self.sections.push(receiving);
        }
        // A section cannot leave a description, but a client may start a new one.
        ended.extend(before.into_iter().filter(|s| s.track.is_some()));
        ended
    }

    /// Brings sections and announced tracks together: by id, and where ids are no help by kind. Returns
    /// the indices of sections that have got their track.
    pub(crate) fn match_tracks(&mut self, alters_ids: bool) -> Vec<usize> {
        let mut matched = Vec::new();
        for (at, section) in self.sections.iter_mut().enumerate() {
            if !section.sends || section.track.is_some() || section.cid.is_empty() {
                continue;
            }
            let found =
                self.pending.iter().position(|p| p.kind == section.kind && p.cids.contains(&section.cid));
            if let Some(found) = found {
                take(section, self.pending.remove(found));
                matched.push(at);
            }
        }
        for kind in [TrackKind::Audio, TrackKind::Video] {
            loop {
                let open = |s: &Receiving| s.sends && s.track.is_none() && s.kind == kind;
                let sections = self.sections.iter().filter(|s| open(s)).count();
                let waiting = self.pending.iter().filter(|p| p.kind == kind).count();
                let Some(at) = self.sections.iter().position(open) else { break };
                let Some(found) = self.pending.iter().position(|p| p.kind == kind) else { break };
                let unnamed = self.sections[at].cid.is_empty();
                // With several of each, guessing would swap a camera and a screen.
                if !(alters_ids || unnamed || (sections == 1 && waiting == 1)) {
                    break;
                }
                take(&mut self.sections[at], self.pending.remove(found));
                matched.push(at);
            }
        }
        matched
    }

    /// Agrees on codecs, encodings and extensions with the sections of `offer`, after
    /// [`Upstream::match_tracks`]. Returns the indices of sections whose terms have changed.
    pub(crate) fn agree(&mut self, offer: &Session, enabled: &[Kind], only_preferred: bool) -> Vec<usize> {
        let mut changed = Vec::new();
        let mut extensions = Vec::new();
        for (at, receiving) in self.sections.iter_mut().enumerate() {
            let Some(section) = offer.section(receiving.mid).filter(|_| receiving.sends) else { continue };
            let preferred = receiving.wish.preferred;
            let mut codecs = choose_to_receive(&section.rtp, enabled, preferred, receiving.wish.redundant);
            if only_preferred
                && receiving.kind == TrackKind::Video
                && codecs.first().is_some_and(|c| Some(c.kind) == preferred)
            {
                codecs.retain(|c| Some(c.kind) == preferred);
            }
            let taken = accepts(&section.rtp);
            let encodings = encodings_of(section, &receiving.wish);
            let transport_cc = taken.iter().any(|e| e.extension == sdp::Extension::TransportCc)
                && codecs.iter().any(|c| c.payload.has(&sdp::Feedback::TransportCc));
            extensions.extend(taken);
            if receiving.codecs != codecs
                || receiving.encodings != encodings
                || receiving.transport_cc != transport_cc
            {
                changed.push(at);
            }
            receiving.codecs = codecs;
            receiving.encodings = encodings;
            receiving.transport_cc = transport_cc;
        }
        self.tune_opus();
        self.extensions = extension_ids(&extensions);
        changed
    }

    /// Opus is one payload type in the whole bundle, and a payload type means the same in each of its
    /// sections (RFC 8843 section 9.1), so all tracks share their parameters: stereo if one wants it,
    /// discontinuous transmission if none forbids it.
    fn tune_opus(&mut self) {
        let audio = || self.sections.iter().filter(|s| s.kind == TrackKind::Audio && s.sends);
        let stereo = audio().any(|s| s.wish.stereo);
        let dtx = !audio().any(|s| s.wish.no_dtx);
        for section in &mut self.sections {
            for chosen in section.codecs.iter_mut().filter(|c| c.kind == Kind::Opus) {
                tune(chosen, stereo, dtx);
            }
        }
    }
}

/// Opus parameters as a receiver states them, RFC 7587 section 6.1.
fn tune(chosen: &mut Chosen, stereo: bool, dtx: bool) {
    let fmtp = &mut chosen.payload.fmtp;
    // What the offer says is what its maker wants to receive: livekit-client wants everything in stereo, and said
    // back to it that would make two channels of every microphone.
    for name in ["usedtx", "stereo", "sprop-stereo", "maxaveragebitrate"] {
        fmtp.remove(name);
    }
    if dtx {
        fmtp.set("usedtx", "1");
    }
    if stereo {
        fmtp.set("stereo", "1");
        // Music: RFC 7587's maximum.
        fmtp.set("maxaveragebitrate", "510000");
    }
}

fn take(section: &mut Receiving, pending: Pending) {
    section.track = Some(pending.track);
    section.wish = pending.wish;
}

fn blank(mid: Mid, kind: TrackKind, cid: &str) -> Receiving {
    Receiving {
        mid,
        kind,
        cid: cid.to_owned(),
        sends: false,
        codecs: Vec::new(),
        encodings: Vec::new(),
        transport_cc: false,
        track: None,
        producer: None,
        wish: Wish::default(),
    }
}

pub(crate) fn track_kind(section: &Section) -> Option<TrackKind> {
    match section.kind {
        sdp::Kind::Audio if section.is_rtp() => Some(TrackKind::Audio),
        sdp::Kind::Video if section.is_rtp() => Some(TrackKind::Video),
        _ => None,
    }
}

/// The client's id of the track that it sends: from the section's `msid`, else from an SSRC's.
pub(crate) fn cid_of(section: &Section) -> String {
    let in_section = section.rtp.msids.first();
    let in_ssrc = || section.rtp.ssrcs.iter().find_map(|s| s.msid.as_ref());
    in_section.or_else(in_ssrc).and_then(|m| m.track.clone()).filter(|t| t != "-").unwrap_or_default()
}

/// The rids of a section that the client sends, lowest first if they have names that are known, else in its order.
pub(crate) fn rids_of(section: &Section) -> Vec<Rid> {
    let mut rids = section.rtp.encodings(Way::Send);
    rids.truncate(ENCODINGS_MAX);
    let place = |order: &[&str; 3], rid: &Rid| order.iter().position(|name| *name == rid.as_str());
    let order = RID_ORDERS.iter().find(|order| rids.iter().all(|rid| place(order, rid).is_some()));
    if let Some(order) = order {
        rids.sort_by_key(|rid| place(order, rid));
    }
    rids
}

fn encodings_of(section: &Section, wish: &Wish) -> Vec<Encoding> {
    if section.kind == sdp::Kind::Audio {
        return by_ssrc(section);
    }
    let mut rids = rids_of(section);
    if rids.is_empty() {
        return by_ssrc(section);
    }
    let announced = |rid: &Rid| wish.rids.iter().position(|r| r == rid.as_str());
    if rids.iter().all(|r| announced(r).is_some()) {
        rids.sort_by_key(announced);
    }
    rids.into_iter().map(|rid| Encoding { rid: Some(rid), ..Encoding::default() }).collect()
}

/// Encodings that are named by SSRC: the layers of a `SIM` group, else the first stream.
fn by_ssrc(section: &Section) -> Vec<Encoding> {
    let rtp = &section.rtp;
    let layers = rtp.ssrc_groups.iter().find(|g| g.semantics == "SIM").map(|g| g.ssrcs.clone());
    let ssrcs = layers.unwrap_or_else(|| rtp.ssrcs.iter().take(1).map(|s| s.ssrc).collect());
    ssrcs
        .into_iter()
        .take(ENCODINGS_MAX)
        .map(|ssrc| Encoding { rid: None, ssrc: Some(ssrc), rtx_ssrc: rtp.rtx_ssrc_of(ssrc) })
        .collect()
}
