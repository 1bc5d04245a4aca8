//! The transport on which we offer (v0's subscriber): one offer at a time, numbered from one.

use std::time::Instant;

use peer::Credentials;
use rtp::Mid;
use sdp::{Direction, Section, Session, Setup};
use sfu::PeerId;

use super::answer::Stream;
use super::codecs::{Chosen, offered_extensions};
use super::downstream::{Downstream, SlotState};
use super::early::Early;
use super::local::{Local, MESSAGE_MAX, SCTP_PORT};

/// The mid of the data channels' section, which comes first.
const DATA_MID: &str = "0";
/// Of an Opus payload: what is sent is likely to have two channels.
pub(crate) const SPROP_STEREO: &str = "sprop-stereo";

/// Where the exchange stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Both sides agree.
    Settled,
    /// An offer is to be made then.
    Due(Instant),
    /// Our offer is out; whether another is to follow.
    Waiting { again: bool },
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It answers our offer.
    Current { again: bool },
    /// Of another offer, or of none: to be dropped.
    Stale,
}

/// The transport on which we offer.
#[derive(Debug)]
pub(crate) struct Offerer {
    pub(crate) peer: PeerId,
    pub(crate) credentials: Credentials,
    pub(crate) connected: bool,
    pub(crate) remote: Option<Credentials>,
    pub(crate) phase: Phase,
    /// Of the last offer.
    pub(crate) id: u32,
    pub(crate) early: Early,
}

impl Offerer {
    pub(crate) fn new(peer: PeerId, credentials: Credentials) -> Self {
        Self {
            peer,
            credentials,
            connected: false,
            remote: None,
            phase: Phase::Settled,
            id: 0,
            early: Early::default(),
        }
    }

    /// An offer is wanted, at the latest then. Returns the moment to look again, if that is new.
    pub(crate) fn want(&mut self, at: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { .. } => {
                self.phase = Phase::Waiting { again: true };
                None
            }
            Phase::Due(due) if due <= at => None,
            Phase::Settled | Phase::Due(_) => {
                self.phase = Phase::Due(at);
                Some(at)
            }
        }
    }

    /// An answer with this id has come. Zero is a client that does not number.
    pub(crate) fn answered(&mut self, id: u32) -> Answered {
        let Phase::Waiting { again } = self.phase else { return Answered::Stale };
        if id != 0 && id != self.id {
            return Answered::Stale;
        }
        self.phase = Phase::Settled;
        Answered::Current { again }
    }

    /// Writes the next offer; `streams` names the tracks that have a section, in their order.
    pub(crate) fn offer(&mut self, downstream: &Downstream, local: &Local, streams: &[Stream]) -> Session {
        let mut streams = streams.iter();
        self.id += 1;
        self.phase = Phase::Waiting { again: false };
        let mut session = local.session();
        session.origin.version = u64::from(self.id);
        if let Some(mid) = Mid::new(DATA_MID) {
            let mut data = Section::data(mid, SCTP_PORT, MESSAGE_MAX);
            local.describe(&mut data, Setup::ActPass, true);
            session.sections.push(data);
        }
        for slot in &downstream.slots {
            let audio = slot.kind == room::TrackKind::Audio;
            let kind = if audio { sdp::Kind::Audio } else { sdp::Kind::Video };
            let mut section = match &slot.state {
                SlotState::Busy(line) => {
                    let mut section = Section::rtp(kind, slot.mid, Direction::SendOnly);
                    section.rtp.payloads = line.codecs.iter().flat_map(Chosen::payloads).collect();
                    if let Some(stream) = streams.next() {
                        stream.describe(&mut section);
                    }
                    section
                }
                SlotState::Free | SlotState::Closing => {
                    let mut section = Section::rtp(kind, slot.mid, Direction::Inactive);
                    section.rtp.payloads = placeholder(audio).iter().flat_map(Chosen::payloads).collect();
                    section
                }
            };
            section.rtp.extensions = offered_extensions(audio);
            section.rtp.extmap_allow_mixed = true;
            local.describe(&mut section, Setup::ActPass, false);
            session.sections.push(section);
        }
        level_stereo(&mut session);
        Local::bundle(&mut session);
        session
    }
}

/// A stereo track has clients play stereo (RFC 7587 section 6.1, `sprop-stereo`). A payload type means the same in all
/// sections of a bundle (RFC 9143 section 9.1), so it is said in all of them.
fn level_stereo(session: &mut Session) {
    let opus = |p: &&mut sdp::Payload| p.codec() == Some(codec::Kind::Opus);
    let mut payloads: Vec<_> =
        session.sections.iter_mut().flat_map(|s| s.rtp.payloads.iter_mut()).filter(opus).collect();
    if payloads.iter().any(|p| p.fmtp.get(SPROP_STEREO).is_some()) {
        payloads.iter_mut().for_each(|p| p.fmtp.set(SPROP_STEREO, "1"));
    }
}

/// An inactive section needs a payload all the same.
fn placeholder(audio: bool) -> Vec<Chosen> {
    super::codecs::placeholder(if audio { codec::Kind::Opus } else { codec::Kind::Vp8 })
}
