//! Our answer to a client's offer.

use peer::DtlsRole;
use rtp::{Rid, Ssrc};
use sdp::{Direction, Msid, RidLine, Section, Session, Simulcast, SsrcGroup, SsrcLine, Way};

use super::codecs::{Chosen, accepts};
use super::local::{Local, MESSAGE_MAX, SCTP_PORT, setup_of};

/// What happens in one offered section.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// Nothing, ever.
    Reject,
    /// Nothing now.
    Inactive { codecs: Vec<Chosen> },
    /// The client sends, in these simulcast encodings if any.
    Receive { codecs: Vec<Chosen>, rids: Vec<Rid> },
    /// We may send at any time, and will not say so again.
    Open { codecs: Vec<Chosen> },
    /// We send.
    Send { codecs: Vec<Chosen>, stream: Stream },
    /// Data channels.
    Data,
}

/// A track that we send, as SDP names it.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) msid: Msid,
    pub(crate) cname: String,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Option<Ssrc>,
}

impl Stream {
    /// Puts its lines into a section in which we send.
    pub(crate) fn describe(&self, section: &mut Section) {
        section.rtp.msids = vec![self.msid.clone()];
        let line = |ssrc| SsrcLine { ssrc, cname: Some(self.cname.clone()), msid: Some(self.msid.clone()) };
        section.rtp.ssrcs = vec![line(self.ssrc)];
        if let Some(rtx) = self.rtx {
            section.rtp.ssrcs.push(line(rtx));
            section.rtp.ssrc_groups =
                vec![SsrcGroup { semantics: "FID".into(), ssrcs: vec![self.ssrc, rtx] }];
        }
    }
}

/// The answer: one section for each offered one, in the same order.
pub(crate) fn build_answer(offer: &Session, plans: &[Plan], local: &Local, role: DtlsRole) -> Session {
    let mut answer = local.session();
    answer.extmap_allow_mixed = offer.extmap_allow_mixed;
    let mut first = true;
    for (at, offered) in offer.sections.iter().enumerate() {
        let plan = plans.get(at).unwrap_or(&Plan::Reject);
        let mut section = answer_section(offered, plan);
        if !section.is_rejected() {
            local.describe(&mut section, setup_of(role), first);
            first = false;
        }
        answer.sections.push(section);
    }
    Local::bundle(&mut answer);
    answer
}

fn answer_section(offered: &Section, plan: &Plan) -> Section {
    let Some(mid) = offered.mid else { return offered.rejection() };
    let rtp = |direction, codecs: &[Chosen]| {
        let mut section = Section::rtp(offered.kind.clone(), mid, direction);
        section.protocol = offered.protocol.clone();
        section.rtp.payloads = codecs.iter().flat_map(Chosen::payloads).collect();
        section.rtp.extensions = accepts(&offered.rtp);
        section.rtp.extmap_allow_mixed = offered.rtp.extmap_allow_mixed;
        section
    };
    match plan {
        Plan::Reject => offered.rejection(),
        Plan::Inactive { codecs } => rtp(Direction::Inactive, codecs),
        Plan::Open { codecs } => rtp(Direction::SendOnly, codecs),
        Plan::Send { codecs, stream } => {
            let mut section = rtp(Direction::SendOnly, codecs);
            stream.describe(&mut section);
            section
        }
        Plan::Receive { codecs, rids } => {
            let mut section = rtp(Direction::RecvOnly, codecs);
            if !rids.is_empty() {
                let line = |rid: &Rid| RidLine { rid: *rid, way: Way::Recv, restrictions: None };
                section.rtp.rids = rids.iter().map(line).collect();
                section.rtp.simulcast = Some(Simulcast::of(rids, Way::Recv));
            }
            section
        }
        Plan::Data => {
            let mut section = Section::data(mid, SCTP_PORT, MESSAGE_MAX);
            section.protocol = offered.protocol.clone();
            section
        }
    }
}
