//! STUN messages: reading, writing, integrity and fingerprint (RFC 8489 sections 5, 14).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::hmac;

/// Bytes of the header.
const HEADER: usize = 20;
/// RFC 8489 section 5.
const COOKIE: u32 = 0x2112_a442;
/// Bytes of an attribute's type and length.
const ATTRIBUTE: usize = 4;
/// Bytes of an HMAC-SHA1.
const MAC: usize = 20;
/// RFC 8489 section 14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Attribute types, RFC 8489 section 18.3 and RFC 8656 section 18.
pub(crate) mod attribute {
    pub(crate) const USERNAME: u16 = 0x0006;
    pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(crate) const ERROR_CODE: u16 = 0x0009;
    pub(crate) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
    pub(crate) const LIFETIME: u16 = 0x000d;
    pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(crate) const DATA: u16 = 0x0013;
    pub(crate) const REALM: u16 = 0x0014;
    pub(crate) const NONCE: u16 = 0x0015;
    pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(crate) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(crate) const EVEN_PORT: u16 = 0x0018;
    pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(crate) const SOFTWARE: u16 = 0x8022;
    pub(crate) const FINGERPRINT: u16 = 0x8028;
    /// From here on a reader may ignore what it does not know.
    pub(crate) const OPTIONAL: u16 = 0x8000;
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Binding,
    Allocate,
    Refresh,
    Send,
    Data,
    CreatePermission,
    ChannelBind,
}

impl Method {
    fn from_bits(bits: u16) -> Option<Self> {
        Some(match bits {
            0x001 => Self::Binding,
            0x003 => Self::Allocate,
            0x004 => Self::Refresh,
            0x006 => Self::Send,
            0x007 => Self::Data,
            0x008 => Self::CreatePermission,
            0x009 => Self::ChannelBind,
            _ => return None,
        })
    }

    fn bits(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::Send => 0x006,
            Self::Data => 0x007,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
        }
    }
}

/// RFC 8489 section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// Why bytes are no message that concerns us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("not a STUN message")]
    NotStun,
    #[error("an attribute does not fit")]
    Attribute,
    #[error("a method that is not TURN's")]
    Method,
    #[error("the fingerprint does not match")]
    Fingerprint,
}

/// A message that has been looked through once: its attributes lie within it.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    pub(crate) method: Method,
    pub(crate) class: Class,
    /// Where MESSAGE-INTEGRITY begins, if there is one. What stands behind it, but for the fingerprint, is not
    /// authentic and is not read.
    integrity: Option<usize>,
    pub(crate) has_fingerprint: bool,
}

impl<'a> Message<'a> {
    /// Reads a whole datagram.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header = bytes.first_chunk::<HEADER>().ok_or(Malformed::NotStun)?;
        let [t0, t1, l0, l1, c0, c1, c2, c3, ..] = *header;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if t0 > 3 || u32::from_be_bytes([c0, c1, c2, c3]) != COOKIE || length + HEADER != bytes.len() {
            return Err(Malformed::NotStun);
        }
        let kind = u16::from_be_bytes([t0, t1]);
        // The class bits stand between those of the method.
        let class = match (kind >> 8 & 1, kind >> 4 & 1) {
            (0, 0) => Class::Request,
            (0, _) => Class::Indication,
            (_, 0) => Class::Success,
            _ => Class::Error,
        };
        let method = (kind & 0x000f) | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2;
        let method = Method::from_bits(method).ok_or(Malformed::Method)?;
        let mut message = Self { bytes, method, class, integrity: None, has_fingerprint: false };
        let mut at = HEADER;
        while at < bytes.len() {
            let (kind, value) = attribute_at(bytes, at).ok_or(Malformed::Attribute)?;
            match kind {
                attribute::MESSAGE_INTEGRITY if value.len() == MAC => _ = message.integrity.get_or_insert(at),
                attribute::MESSAGE_INTEGRITY => return Err(Malformed::Attribute),
                attribute::FINGERPRINT => {
                    let last = at + ATTRIBUTE + value.len() == bytes.len();
                    let before = bytes.get(..at).unwrap_or_default();
                    let expected = crc32fast::hash(before) ^ FINGERPRINT_XOR;
                    if !last || value != expected.to_be_bytes() {
                        return Err(Malformed::Fingerprint);
                    }
                    message.has_fingerprint = true;
                }
                _ => {}
            }
            at += ATTRIBUTE + value.len().next_multiple_of(4);
        }
        Ok(message)
    }

    pub(crate) fn transaction(&self) -> [u8; 12] {
        let mut id = [0; 12];
        id.copy_from_slice(self.bytes.get(8..HEADER).unwrap_or(&[0; 12]));
        id
    }

    /// Attributes in order, as far as they are protected.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let bytes = self.bytes.get(..self.integrity.unwrap_or(self.bytes.len())).unwrap_or_default();
        let mut at = HEADER;
        std::iter::from_fn(move || {
            let (kind, value) = attribute_at(bytes, at)?;
            at += ATTRIBUTE + value.len().next_multiple_of(4);
            Some((kind, value))
        })
    }

    /// The first attribute of a type.
    pub(crate) fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        self.attributes().find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    }

    pub(crate) fn text(&self, wanted: u16) -> Option<&'a str> {
        self.attribute(wanted).and_then(|value| std::str::from_utf8(value).ok())
    }

    pub(crate) fn u32(&self, wanted: u16) -> Option<u32> {
        self.attribute(wanted).and_then(|value| value.try_into().ok()).map(u32::from_be_bytes)
    }

    pub(crate) fn address(&self, wanted: u16) -> Option<SocketAddr> {
        self.attribute(wanted).and_then(|value| read_xored(value, &self.transaction()))
    }

    /// Every address of a type; `None` if one of them is malformed.
    pub(crate) fn addresses(&self, wanted: u16) -> Option<Vec<SocketAddr>> {
        let all = self.attributes().filter(|(kind, _)| *kind == wanted);
        all.map(|(_, value)| read_xored(value, &self.transaction())).collect()
    }

    pub(crate) fn has_integrity(&self) -> bool {
        self.integrity.is_some()
    }

    /// Whether MESSAGE-INTEGRITY is that of `key`, RFC 8489 section 14.5.
    pub(crate) fn verify(&self, key: &[u8]) -> bool {
        let Some(at) = self.integrity else { return false };
        let (Some(before), Some((_, mac))) = (self.bytes.get(2 + 2..at), attribute_at(self.bytes, at)) else {
            return false;
        };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        // The length counts up to and including this attribute.
        let length = (at + ATTRIBUTE + MAC - HEADER) as u16;
        let mut data = self.bytes.get(..2).unwrap_or_default().to_vec();
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(before);
        hmac::verify(&key, &data, mac).is_ok()
    }
}

fn attribute_at(bytes: &[u8], at: usize) -> Option<(u16, &[u8])> {
    let (&[t0, t1, l0, l1], rest) = bytes.get(at..)?.split_first_chunk::<ATTRIBUTE>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    // The padding has to be there, too.
    rest.get(..length.next_multiple_of(4))?;
    Some((u16::from_be_bytes([t0, t1]), rest.get(..length)?))
}

/// RFC 8489 section 14.2.
fn read_xored(value: &[u8], transaction: &[u8; 12]) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], rest) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([p0, p1]) ^ (COOKIE >> 16) as u16;
    let ip = match family {
        1 => Ipv4Addr::from_bits(u32::from_be_bytes(rest.try_into().ok()?) ^ COOKIE).into(),
        2 => Ipv6Addr::from_bits(u128::from_be_bytes(rest.try_into().ok()?) ^ pad(transaction)).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// What an IPv6 address is XORed with.
fn pad(transaction: &[u8; 12]) -> u128 {
    let mut low = [0; 16];
    low[..4].copy_from_slice(&COOKIE.to_be_bytes());
    low[4..].copy_from_slice(transaction);
    u128::from_be_bytes(low)
}

/// Writes one message behind what is in `out`.
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    transaction: [u8; 12],
}

impl<'o> Writer<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>, method: Method, class: Class, transaction: [u8; 12]) -> Self {
        let start = out.len();
        let bits = method.bits();
        let class = match class {
            Class::Request => 0x000,
            Class::Indication => 0x010,
            Class::Success => 0x100,
            Class::Error => 0x110,
        };
        let kind = bits & 0x000f | (bits & 0x0070) << 1 | (bits & 0x0f80) << 2 | class;
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&COOKIE.to_be_bytes());
        out.extend_from_slice(&transaction);
        Self { out, start, transaction }
    }

    /// Values longer than an attribute can be are cut; nothing here writes one.
    pub(crate) fn attribute(self, kind: u16, value: &[u8]) -> Self {
        let value = value.get(..value.len().min(usize::from(u16::MAX) - 3)).unwrap_or_default();
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.out.extend_from_slice(value);
        let padded = self.out.len() - self.start;
        self.out.resize(self.start + padded.next_multiple_of(4), 0);
        self
    }

    pub(crate) fn address(self, kind: u16, addr: SocketAddr) -> Self {
        let port = addr.port() ^ (COOKIE >> 16) as u16;
        let [p0, p1] = port.to_be_bytes();
        match addr.ip() {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = (ip.to_bits() ^ COOKIE).to_be_bytes();
                self.attribute(kind, &[0, 1, p0, p1, a, b, c, d])
            }
            IpAddr::V6(ip) => {
                let mut value = [0; 20];
                value[..4].copy_from_slice(&[0, 2, p0, p1]);
                value[4..].copy_from_slice(&(ip.to_bits() ^ pad(&self.transaction)).to_be_bytes());
                self.attribute(kind, &value)
            }
        }
    }

    pub(crate) fn error(self, code: u16, reason: &str) -> Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend_from_slice(reason.as_bytes());
        self.attribute(attribute::ERROR_CODE, &value)
    }

    fn set_length(&mut self, beyond: usize) {
        let length = self.out.len() - self.start - HEADER + beyond;
        if let Some(place) = self.out.get_mut(self.start + 2..self.start + 4) {
            place.copy_from_slice(&(length as u16).to_be_bytes());
        }
    }

    fn written(&self) -> &[u8] {
        self.out.get(self.start..).unwrap_or_default()
    }

    /// Finishes, signed with `key` if there is one.
    pub(crate) fn finish(mut self, key: Option<&[u8]>, fingerprint: bool) {
        if let Some(key) = key {
            self.set_length(ATTRIBUTE + MAC);
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
            let mac = hmac::sign(&key, self.written());
            self = self.attribute(attribute::MESSAGE_INTEGRITY, mac.as_ref());
        }
        if fingerprint {
            self.set_length(ATTRIBUTE + 4);
            let crc = crc32fast::hash(self.written()) ^ FINGERPRINT_XOR;
            self = self.attribute(attribute::FINGERPRINT, &crc.to_be_bytes());
        }
        self.set_length(0);
    }
}

#[cfg(test)]
mod tests;
