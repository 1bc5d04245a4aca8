//! The RTP header, RFC 3550 section 5.1, and a packet seen through it.

use std::ops::Range;

use crate::ext::{self, Extensions};
use crate::{Malformed, Pt, Ssrc};

/// Bytes before the CSRC list.
pub(crate) const FIXED_LEN: usize = 12;

/// How header extension elements are laid out, RFC 8285 section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// No block, or one with a profile that nobody knows.
    #[default]
    None,
    /// Ids 1 to 14, values of 1 to 16 bytes; profile 0xBEDE.
    OneByte,
    /// Ids 1 to 255, values of 0 to 255 bytes; profile 0x1000.
    TwoByte,
}

/// The header's fields, and where its parts lie. Plain data: it can be kept beside the packet's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Last packet of a frame.
    pub marker: bool,
    /// Payload type.
    pub pt: Pt,
    /// Sequence number.
    pub seq: u16,
    /// Media time.
    pub timestamp: u32,
    /// Source.
    pub ssrc: Ssrc,
    /// The padding bit. Its length is known only once the packet is decrypted.
    pub padded: bool,
    /// How the extension block is laid out.
    pub form: Form,
    ext_start: u16,
    ext_end: u16,
    len: u16,
}

impl Header {
    /// Reads the header alone: what lies behind it may still be encrypted.
    pub fn parse(packet: &[u8]) -> Result<Self, Malformed> {
        let Some((fixed, _)) = packet.split_first_chunk::<FIXED_LEN>() else {
            return Err(Malformed::Truncated);
        };
        let [b0, b1, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if b0 >> 6 != 2 {
            return Err(Malformed::Version);
        }
        let mut header = Self {
            marker: b1 & 0x80 != 0,
            pt: Pt(b1 & 0x7f),
            seq: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: Ssrc(u32::from_be_bytes([c0, c1, c2, c3])),
            padded: b0 & 0x20 != 0,
            form: Form::None,
            ext_start: 0,
            ext_end: 0,
            len: 0,
        };
        let mut len = FIXED_LEN + 4 * usize::from(b0 & 0x0f);
        if b0 & 0x10 != 0 {
            let Some(&[p0, p1, l0, l1]) = packet.get(len..len + 4) else {
                return Err(Malformed::Truncated);
            };
            let words = usize::from(u16::from_be_bytes([l0, l1]));
            header.form = match u16::from_be_bytes([p0, p1]) {
                ext::ONE_BYTE_PROFILE => Form::OneByte,
                // The low four bits are "appbits", to be ignored.
                p if p & 0xfff0 == ext::TWO_BYTE_PROFILE => Form::TwoByte,
                _ => Form::None,
            };
            let start = len + 4;
            len = start + 4 * words;
            header.ext_start = u16::try_from(start).map_err(|_| Malformed::Length)?;
            header.ext_end = u16::try_from(len).map_err(|_| Malformed::Length)?;
        }
        if packet.len() < len {
            return Err(Malformed::Truncated);
        }
        header.len = u16::try_from(len).map_err(|_| Malformed::Length)?;
        Ok(header)
    }

    /// Bytes of the header with CSRCs and extension block; the payload follows.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// A header is never empty.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The extension elements of the packet that this header was read from.
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        let block = packet.get(usize::from(self.ext_start)..usize::from(self.ext_end)).unwrap_or_default();
        Extensions::new(self.form, block)
    }
}

/// A decrypted packet, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The parsed header.
    pub header: Header,
    bytes: &'a [u8],
    padding: u8,
}

impl<'a> View<'a> {
    /// Reads a whole packet.
    pub fn parse(packet: &'a [u8]) -> Result<Self, Malformed> {
        Self::with_header(Header::parse(packet)?, packet)
    }

    /// Reads a packet whose header has been read already.
    pub fn with_header(header: Header, packet: &'a [u8]) -> Result<Self, Malformed> {
        let body = packet.get(header.len()..).ok_or(Malformed::Truncated)?;
        let mut padding = 0;
        if header.padded {
            padding = *body.last().ok_or(Malformed::Padding)?;
            if padding == 0 || usize::from(padding) > body.len() {
                return Err(Malformed::Padding);
            }
        }
        Ok(Self { header, bytes: packet, padding })
    }

    /// The whole packet.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What the packet carries, without padding. Empty for padding-only packets.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.payload_range()).unwrap_or_default()
    }

    /// Where the payload lies in the packet.
    pub fn payload_range(&self) -> Range<usize> {
        self.header.len()..self.bytes.len() - usize::from(self.padding)
    }

    /// Bytes of padding, with their count.
    pub fn padding(&self) -> u8 {
        self.padding
    }

    /// Contributing sources.
    pub fn csrcs(&self) -> impl Iterator<Item = Ssrc> + 'a {
        let count = usize::from(self.bytes.first().copied().unwrap_or(0) & 0x0f);
        let list = self.bytes.get(FIXED_LEN..FIXED_LEN + 4 * count).unwrap_or_default();
        list.as_chunks::<4>().0.iter().map(|c| Ssrc(u32::from_be_bytes(*c)))
    }

    /// All extension elements.
    pub fn extensions(&self) -> Extensions<'a> {
        self.header.extensions(self.bytes)
    }

    /// The value of the first element with this id.
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find(|e| e.0 == id).map(|e| e.1)
    }
}

#[cfg(test)]
mod tests;
