//! Telling datagrams apart before anything is known about them.

/// What a datagram is by its first byte, RFC 7983 section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// STUN, RFC 8489.
    Stun,
    /// DTLS 1.2 and 1.3.
    Dtls,
    /// TURN channel data, RFC 8656.
    TurnChannel,
    /// RTP or RTCP, protected or not.
    Rtp,
    /// Nothing that belongs on this port.
    Unknown,
}

/// Classifies by the first byte, RFC 7983 section 7 as updated by RFC 9443.
pub fn classify(first_byte: u8) -> Class {
    match first_byte {
        0..=3 => Class::Stun,
        20..=63 => Class::Dtls,
        64..=79 => Class::TurnChannel,
        128..=191 => Class::Rtp,
        _ => Class::Unknown,
    }
}

/// STUN header length, RFC 8489 section 5.
const STUN_HEADER: usize = 20;
/// STUN's magic cookie, RFC 8489 section 5.
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// The USERNAME attribute, RFC 8489 section 14.3.
const USERNAME: u16 = 0x0006;

/// The receiver's user fragment in a connectivity check: what stands before the colon in USERNAME
/// (RFC 8445 section 7.2.2). `None` if the datagram is not STUN or has no such attribute.
pub fn stun_ufrag(datagram: &[u8]) -> Option<&str> {
    let (header, body) = datagram.split_at_checked(STUN_HEADER)?;
    let length = usize::from(u16::from_be_bytes([*header.get(2)?, *header.get(3)?]));
    if *header.first()? > 3 || header.get(4..8)? != MAGIC_COOKIE || length != body.len() {
        return None;
    }
    let mut rest = body;
    while let [t0, t1, l0, l1, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if u16::from_be_bytes([*t0, *t1]) == USERNAME {
            let username = std::str::from_utf8(tail.get(..length)?).ok()?;
            return username.split_once(':').map(|(ours, _)| ours);
        }
        // Attributes are padded to four bytes.
        rest = tail.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_divide_as_in_rfc_7983() {
        for (byte, class) in [
            (0, Class::Stun),
            (1, Class::Stun),
            (3, Class::Stun),
            (4, Class::Unknown),
            (19, Class::Unknown),
            (20, Class::Dtls),
            (22, Class::Dtls),
            // A DTLS 1.3 unified header starts with the bits 001.
            (0x2f, Class::Dtls),
            (63, Class::Dtls),
            (64, Class::TurnChannel),
            (79, Class::TurnChannel),
            (80, Class::Unknown),
            (127, Class::Unknown),
            (128, Class::Rtp),
            (191, Class::Rtp),
            (192, Class::Unknown),
            (255, Class::Unknown),
        ] {
            assert_eq!(classify(byte), class, "first byte {byte}");
        }
    }

    /// RFC 5769 section 2.1: sample request, USERNAME "evtj:h6vY".
    const RFC5769_REQUEST: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\
        \xfa\x87\xdf\xae\x80\x22\x00\x10\x53\x54\x55\x4e\x20\x74\x65\x73\x74\x20\x63\x6c\x69\x65\x6e\x74\
        \x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09\
        \x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\
        \x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\x80\x28\x00\x04\xe5\x7a\x3b\xcf";

    #[test]
    fn the_user_fragment_comes_out_of_a_request() {
        assert_eq!(stun_ufrag(RFC5769_REQUEST), Some("evtj"));
    }

    #[test]
    fn damaged_requests_give_none_and_never_panic() {
        for len in 0..RFC5769_REQUEST.len() {
            assert_eq!(stun_ufrag(&RFC5769_REQUEST[..len]), None, "cut at {len}");
        }
        for bit in 0..RFC5769_REQUEST.len() * 8 {
            let mut copy = RFC5769_REQUEST.to_vec();
            copy[bit / 8] ^= 1 << (bit % 8);
            let _ = stun_ufrag(&copy);
        }
        let mut not_stun = RFC5769_REQUEST.to_vec();
        not_stun[4] ^= 1;
        assert_eq!(stun_ufrag(&not_stun), None);
    }
}
