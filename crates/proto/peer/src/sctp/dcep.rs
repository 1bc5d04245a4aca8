//! The data channel establishment protocol, RFC 8832 section 5.

use super::{ChannelParams, Reliability};

/// Message type, RFC 8832 section 8.2.1.
const ACK: u8 = 0x02;
/// Message type, RFC 8832 section 8.2.1.
const OPEN: u8 = 0x03;
/// OPEN up to its label, RFC 8832 section 5.1.
const OPEN_HEADER: usize = 12;
/// Channel type bit: unordered delivery, RFC 8832 section 5.1.
const UNORDERED: u8 = 0x80;
/// Channel types without [`UNORDERED`], RFC 8832 section 5.1.
const RELIABLE: u8 = 0x00;
const RETRANSMITS: u8 = 0x01;
const LIFETIME: u8 = 0x02;
/// What browsers send by default: "normal", RFC 8831 section 6.4.
const PRIORITY: u16 = 256;
/// The longest label taken, bytes. Labels name events and log lines; W3C's limit of 65,535 serves no use here.
pub(super) const MAX_LABEL: usize = 256;

/// A message of the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Open(ChannelParams),
    Ack,
}

/// Reads a message; `None` if it is none or asks for what is not taken.
pub(super) fn parse(bytes: &[u8]) -> Option<Message> {
    let kind = *bytes.first()?;
    if kind == ACK {
        return Some(Message::Ack);
    }
    if kind != OPEN {
        return None;
    }
    let (header, text) = bytes.split_at_checked(OPEN_HEADER)?;
    let [_, channel, _, _, r0, r1, r2, r3, l0, l1, p0, p1] = *header.first_chunk()?;
    let parameter = u32::from_be_bytes([r0, r1, r2, r3]);
    let bounded = u16::try_from(parameter).unwrap_or(u16::MAX);
    let reliability = match channel & !UNORDERED {
        RELIABLE => Reliability::Reliable,
        RETRANSMITS => Reliability::Retransmits(bounded),
        LIFETIME => Reliability::Lifetime(bounded),
        _ => return None,
    };
    let label_len = usize::from(u16::from_be_bytes([l0, l1]));
    let protocol_len = usize::from(u16::from_be_bytes([p0, p1]));
    if label_len > MAX_LABEL || text.len() != label_len + protocol_len {
        return None;
    }
    let label = std::str::from_utf8(text.get(..label_len)?).ok()?.to_owned();
    Some(Message::Open(ChannelParams {
        label,
        ordered: channel & UNORDERED == 0,
        reliability,
        negotiated: None,
    }))
}

/// Writes an OPEN.
pub(super) fn open(params: &ChannelParams) -> Vec<u8> {
    let (kind, parameter) = match params.reliability {
        Reliability::Reliable => (RELIABLE, 0),
        Reliability::Retransmits(n) => (RETRANSMITS, u32::from(n)),
        Reliability::Lifetime(ms) => (LIFETIME, u32::from(ms)),
    };
    let label_len = u16::try_from(params.label.len()).unwrap_or(0);
    let mut out = Vec::with_capacity(OPEN_HEADER + params.label.len());
    out.push(OPEN);
    out.push(if params.ordered { kind } else { kind | UNORDERED });
    out.extend_from_slice(&PRIORITY.to_be_bytes());
    out.extend_from_slice(&parameter.to_be_bytes());
    out.extend_from_slice(&label_len.to_be_bytes());
    // No subprotocol.
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(params.label.as_bytes());
    out
}

/// An ACK, RFC 8832 section 5.2.
pub(super) fn ack() -> Vec<u8> {
    vec![ACK]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Chromium sends for `createDataChannel("_lossy", {ordered: false, maxRetransmits: 0})`, laid out
    /// after RFC 8832 section 5.1.
    const LOSSY: &[u8] = b"\x03\x81\x01\x00\x00\x00\x00\x00\x00\x06\x00\x00_lossy";

    fn lossy() -> ChannelParams {
        ChannelParams {
            label: "_lossy".into(),
            ordered: false,
            reliability: Reliability::Retransmits(0),
            negotiated: None,
        }
    }

    #[test]
    fn an_open_is_read_and_written_as_in_rfc_8832() {
        assert_eq!(parse(LOSSY), Some(Message::Open(lossy())));
        assert_eq!(open(&lossy()), LOSSY);
        for (ordered, reliability) in [
            (true, Reliability::Reliable),
            (false, Reliability::Reliable),
            (true, Reliability::Retransmits(7)),
            (true, Reliability::Lifetime(3000)),
            (false, Reliability::Lifetime(u16::MAX)),
        ] {
            let params = ChannelParams { label: "ä".into(), ordered, reliability, negotiated: None };
            assert_eq!(parse(&open(&params)), Some(Message::Open(params)));
        }
    }

    #[test]
    fn malformed_messages_are_refused() {
        for len in 0..LOSSY.len() {
            assert_eq!(parse(&LOSSY[..len]), None, "cut at {len}");
        }
        let mut longer = LOSSY.to_vec();
        longer.push(0);
        assert_eq!(parse(&longer), None);
        let mut not_text = LOSSY.to_vec();
        not_text[13] = 0xff;
        assert_eq!(parse(&not_text), None);
        let mut unknown_channel = LOSSY.to_vec();
        unknown_channel[1] = 0x03;
        assert_eq!(parse(&unknown_channel), None);
        let mut unknown_message = LOSSY.to_vec();
        unknown_message[0] = 0x00;
        assert_eq!(parse(&unknown_message), None);
        let mut label = LOSSY[..OPEN_HEADER].to_vec();
        label[8..10].copy_from_slice(&257u16.to_be_bytes());
        label.extend_from_slice(&[b'a'; 257]);
        assert_eq!(parse(&label), None, "a label beyond the limit");
    }

    #[test]
    fn a_subprotocol_is_read_over() {
        let mut with_protocol = b"\x03\x00\x01\x00\x00\x00\x00\x00\x00\x01\x00\x04x".to_vec();
        with_protocol.extend_from_slice(b"json");
        let Some(Message::Open(params)) = parse(&with_protocol) else { panic!("not an OPEN") };
        assert_eq!(params.label, "x");
    }
}
