//! Packet trailers: what LiveKit's clients put behind an encoded picture before it is cut into packets.
//!
//! Fields of a type, a length and a value, all bits inverted; the length of the whole, inverted; `LKTS`. Encryption ends
//! before it. A picture is cut into packets of about one size, so all of it is at the end of the last one. Decoders that
//! check what they are given take such a picture for broken.

use crate::Kind;

const MAGIC: &[u8] = b"LKTS";
/// The length of the whole, and what marks it.
const ENVELOPE: usize = 5;
/// Aggregation packets: RFC 6184 section 5.7.1, RFC 7798 section 4.4.2.
const STAP_A: u8 = 24;
const AGGREGATION_H265: u8 = 48;

/// A trailer at the end of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    len: u8,
    /// Where the payload says in 16 bits how long the unit is that the trailer belongs to, if it says so.
    size_at: Option<u16>,
}

impl Trailer {
    /// The trailer of a picture's last packet, if it has one.
    pub fn find(kind: Kind, payload: &[u8]) -> Option<Self> {
        let marked = payload.strip_suffix(MAGIC)?;
        let (len, _) = marked.split_last().map(|(inverted, rest)| (!inverted, rest))?;
        let whole = usize::from(len);
        let fields = payload.get(payload.len().checked_sub(whole)?..payload.len() - ENVELOPE)?;
        if payload.len() <= whole || !are_fields(fields) {
            return None;
        }
        let size_at = match (kind, *payload.first()?) {
            (Kind::H264, first) if first & 0x1f == STAP_A => Some(last_size(payload, 1, whole)?),
            (Kind::H265, first) if first >> 1 & 0x3f == AGGREGATION_H265 => {
                Some(last_size(payload, 2, whole)?)
            }
            _ => None,
        };
        Some(Self { len, size_at })
    }

    /// The payload before it.
    pub fn before(self, payload: &[u8]) -> &[u8] {
        payload
            .split_at_checked(payload.len().saturating_sub(self.len.into()))
            .map_or(payload, |(rest, _)| rest)
    }

    /// Makes what the payload says of itself true without it.
    pub fn mend(self, rest: &mut [u8]) {
        let size = self.size_at.and_then(|at| rest.get_mut(usize::from(at)..)?.first_chunk_mut::<2>());
        if let Some(size) = size {
            *size = u16::from_be_bytes(*size).saturating_sub(self.len.into()).to_be_bytes();
        }
    }
}

/// Whether these are fields, one at least, and nothing else.
fn are_fields(mut rest: &[u8]) -> bool {
    let any = !rest.is_empty();
    while let [_, len, behind @ ..] = rest {
        let Some(next) = behind.get(usize::from(!len)..) else { return false };
        rest = next;
    }
    any && rest.is_empty()
}

/// Where the size of the last unit stands, which has more in it than the trailer.
fn last_size(payload: &[u8], header: usize, trailer: usize) -> Option<u16> {
    let mut at = header;
    loop {
        let size = usize::from(u16::from_be_bytes(*payload.get(at..)?.first_chunk()?));
        match (at + 2 + size).checked_sub(payload.len()) {
            Some(0) => return u16::try_from(at).ok().filter(|_| size > trailer),
            Some(_) => return None,
            None => at += 2 + size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `appendPacketTrailer` of livekit-client 2.23 writes it, for a moment of 0x0102030405060708 and picture 9.
    const WRITTEN: [u8; 21] = [
        0xfe, 0xf7, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8, 0xf7, 0xfd, 0xfb, 0xff, 0xff, 0xff, 0xf6, 0xea,
        b'L', b'K', b'T', b'S',
    ];

    fn with(parts: &[&[u8]]) -> Vec<u8> {
        [parts.concat(), WRITTEN.to_vec()].concat()
    }

    fn without(kind: Kind, payload: &[u8]) -> Option<Vec<u8>> {
        let trailer = Trailer::find(kind, payload)?;
        let mut rest = trailer.before(payload).to_vec();
        trailer.mend(&mut rest);
        Some(rest)
    }

    #[test]
    fn what_stands_behind_a_picture_is_taken_off() {
        for kind in [Kind::Vp8, Kind::Vp9, Kind::H264, Kind::H265, Kind::Av1] {
            assert_eq!(without(kind, &with(&[&[0x10, 1, 2, 3]])), Some(vec![0x10, 1, 2, 3]), "{kind:?}");
        }
        // The last fragment of a unit says no size.
        assert_eq!(without(Kind::H264, &with(&[&[0x7c, 0x45, 9]])), Some(vec![0x7c, 0x45, 9]));
    }

    #[test]
    fn an_aggregate_says_the_size_of_its_last_unit_without_it() {
        let h264 = [&[0x78, 0, 2, 0x67, 1, 0, 21 + 3][..], &[0x65, 8, 8]];
        assert_eq!(without(Kind::H264, &with(&h264)), Some(vec![0x78, 0, 2, 0x67, 1, 0, 3, 0x65, 8, 8]));
        let h265 = [&[0x60, 1, 0, 2, 0x42, 1, 0, 21 + 3][..], &[0x26, 1, 8]];
        assert_eq!(without(Kind::H265, &with(&h265)), Some(vec![0x60, 1, 0, 2, 0x42, 1, 0, 3, 0x26, 1, 8]));
        // Nothing but the trailer in the last unit; sizes that do not add up.
        assert_eq!(without(Kind::H264, &with(&[&[0x78, 0, 1, 0x67, 0, 21]])), None);
        assert_eq!(without(Kind::H264, &with(&[&[0x78, 0, 2, 0x67, 1, 0, 21 + 4], &[0x65, 8, 8]])), None);
        assert_eq!(without(Kind::H264, &with(&[&[0x78]])), None);
        assert_eq!(without(Kind::H265, &with(&[&[0x60]])), None);
    }

    #[test]
    fn what_only_looks_like_one_stays() {
        let whole = with(&[&[0x10, 1]]);
        assert_eq!(without(Kind::Vp9, &WRITTEN), None, "no picture");
        assert_eq!(without(Kind::Vp9, &whole[..whole.len() - 1]), None);
        assert_eq!(without(Kind::Vp9, &[]), None);
        assert_eq!(without(Kind::Vp9, b"LKTS"), None);
        for (at, value) in
            [(whole.len() - 5, !22), (whole.len() - 5, !5), (whole.len() - 5, !4), (3, !9), (3, !7)]
        {
            let mut other = whole.clone();
            other[at] = value;
            assert_eq!(without(Kind::Vp9, &other), None, "{at} {value}");
        }
        // An application's own field, of any length.
        let own = [&[0x10, 1, !3, !2, 7, 7, !9][..], b"LKTS"].concat();
        assert_eq!(without(Kind::Vp9, &own), Some(vec![0x10, 1]));
    }
}
