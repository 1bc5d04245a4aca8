//! The bytes of an outgoing packet.
//!
//! A fresh header with the subscriber's numbers and extension ids, the publisher's payload behind it.
//! Elements stand in a fixed order, so that packets of one frame have headers of one length and the same
//! packet composed again is the same bytes.

use std::ops::Range;

use rtp::{Fields, Form, Pt, Ssrc, Writer};

use crate::consumer::redundancy::{self, Content};
use crate::consumer::route::{Redundancy, Route};
use crate::consumer::sent::Stamp;
use crate::packet::{Carried, Meta};

/// Bytes beside payload and carried extensions at most: fixed header, block header, heads of ten elements,
/// mid, sending time, transport-wide number, playout delay, RTX's sequence number, padding to words and of one byte.
const HEADROOM: usize = 12 + 4 + 20 + 16 + 3 + 2 + 3 + 2 + 4 + 1;

/// A retransmission's own numbers, RFC 4588 section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rtx {
    pub(crate) ssrc: Ssrc,
    pub(crate) pt: Pt,
    pub(crate) seq: u16,
}

/// What is to be composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct What {
    pub(crate) stamp: Stamp,
    pub(crate) rtx: Option<Rtx>,
    /// No payload.
    pub(crate) blank: bool,
    /// Byte for byte what went out before, down to its transport-wide number.
    pub(crate) repeat: bool,
}

/// Where the parts of a composed packet lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Composed {
    pub(crate) header_len: usize,
    pub(crate) len: usize,
    pub(crate) payload_len: usize,
    /// To be filled in when the number is given out.
    pub(crate) transport_seq: Option<Range<usize>>,
}

impl Route {
    /// Room that composing a packet may need, without what sealing adds.
    pub(crate) fn room_for(&self, meta: &Meta) -> usize {
        let makes = self.target(meta.codec).is_some_and(|target| target.makes_redundancy());
        HEADROOM + if makes { redundancy::ROOM } else { 0 } + meta.weight() as usize
    }

    /// Composes a packet at the front of `buf`. `None` if it does not fit or the subscriber has no payload
    /// type for it.
    pub(crate) fn compose(&self, what: &What, content: &Content<'_>, buf: &mut [u8]) -> Option<Composed> {
        let Content { meta, packet, .. } = *content;
        let target = self.target(meta.codec)?;
        let numbers = &what.stamp.numbers;
        let mut fields = Fields {
            marker: what.stamp.marker,
            pt: target.pt,
            seq: numbers.seq as u16,
            timestamp: numbers.timestamp,
            ssrc: self.ssrc,
        };
        if let Some(rtx) = &what.rtx {
            (fields.pt, fields.seq, fields.ssrc) = (rtx.pt, rtx.seq, rtx.ssrc);
        }
        let mut writer = Writer::new(buf, &fields, if what.blank { self.form } else { self.form_for(meta) })?;
        let transport_seq = self.write_elements(&mut writer, what, meta, packet);
        let mut payload = content.payload();
        let unread = meta.trailer.filter(|_| !target.keeps_trailers && !what.blank);
        if what.blank {
            payload = &[];
        } else if let Redundancy::Make { inner } = target.red {
            let header_len = writer.finish()?;
            let payload_len = content.write_redundant(inner, buf.get_mut(header_len..)?)?;
            return Some(Composed { header_len, len: header_len + payload_len, payload_len, transport_seq });
        } else if target.red == Redundancy::Primary {
            payload = redundancy::primary(payload)?;
        } else if let Some(trailer) = unread {
            payload = trailer.before(payload);
        }
        let (header_len, mut len) = match &what.rtx {
            Some(_) => writer.rtx_payload(numbers.seq as u16, payload)?,
            None => writer.payload(payload)?,
        };
        if let Some(vp8) = meta.vp8.filter(|_| !what.blank) {
            vp8.rewrite(buf.get_mut(len - payload.len()..len)?, numbers.vp8);
        }
        if let Some(trailer) = unread {
            trailer.mend(buf.get_mut(len - payload.len()..len)?);
        }
        if let Redundancy::Renumber { from, to } = target.red
            && !what.blank
        {
            codec::red::renumber(buf.get_mut(len - payload.len()..len)?, from.0, to.0);
        }
        // A retransmission restores the payload, which padding is no part of.
        if what.rtx.is_none() && (meta.pad || what.blank) {
            len = rtp::pad(buf, len, 1)?;
        }
        Some(Composed { header_len, len, payload_len: payload.len(), transport_seq })
    }

    fn form_for(&self, meta: &Meta) -> Form {
        let long = |which: Carried| which.id(&self.ids).is_some() && meta.carried[which as usize].len > 16;
        if Carried::ALL.into_iter().any(long) { Form::TwoByte } else { self.form }
    }

    /// Writes all elements; where the transport-wide number lies is returned. An element that its form
    /// cannot hold is left out.
    fn write_elements(
        &self,
        writer: &mut Writer<'_>,
        what: &What,
        meta: &Meta,
        packet: &[u8],
    ) -> Option<Range<usize>> {
        let ids = &self.ids;
        if let Some(id) = ids.mid {
            writer.element(id, self.mid.as_bytes());
        }
        let transport_seq = ids.transport_cc.and_then(|id| writer.element(id, &[0, 0]));
        if let Some(id) = ids.abs_send_time {
            writer.element(id, &rtp::ext::AbsSendTime(what.stamp.abs_send_time).bytes());
        }
        for which in Carried::ALL {
            let value = match &self.playout_delay {
                Some(ours) if which == Carried::PlayoutDelay => &ours[..],
                _ => meta.carried(which, packet),
            };
            if let Some(id) = which.id(ids).filter(|_| !value.is_empty() && !what.blank) {
                writer.element(id, value);
            }
        }
        transport_seq
    }
}
