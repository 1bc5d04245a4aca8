//! Record framing, which can be checked without keys.

/// Plaintext and DTLS 1.2 record header, RFC 6347 section 4.1.
const HEADER: usize = 13;
/// The three bits that mark a DTLS 1.3 ciphertext, RFC 9147 section 4.
const UNIFIED_MASK: u8 = 0xe0;
const UNIFIED: u8 = 0x20;
/// A connection id follows, which nobody negotiates here.
const UNIFIED_CID: u8 = 0x10;
/// The sequence number has two bytes.
const UNIFIED_LONG_SEQUENCE: u8 = 0x08;
/// A length follows; else the record ends with the datagram.
const UNIFIED_LENGTH: u8 = 0x04;

/// Whether a datagram is one or more whole records from its first byte to its last.
pub(super) fn is_framed(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    loop {
        match record_len(rest).and_then(|len| rest.get(len..)) {
            Some([]) => return true,
            Some(tail) => rest = tail,
            None => return false,
        }
    }
}

/// The length of the first record with its header, if its header is one. It may reach over the end.
fn record_len(datagram: &[u8]) -> Option<usize> {
    let flags = *datagram.first()?;
    if flags & UNIFIED_MASK == UNIFIED {
        if flags & UNIFIED_CID != 0 {
            return None;
        }
        let length_at = if flags & UNIFIED_LONG_SEQUENCE == 0 { 2 } else { 3 };
        if flags & UNIFIED_LENGTH == 0 {
            return (datagram.len() > length_at).then_some(datagram.len());
        }
        return Some(length_at + 2 + be16(datagram.get(length_at..)?)?);
    }
    // From change_cipher_spec to ACK (RFC 9147 section 4); version DTLS 1.2, or 1.0 in a first flight.
    match datagram {
        [20..=26, 0xfe, 0xfd | 0xff, ..] => Some(HEADER + be16(datagram.get(HEADER - 2..)?)?),
        _ => None,
    }
}

fn be16(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAINTEXT: &[u8] = &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2];
    /// RFC 9147 figure 4: two bytes of sequence number, a length.
    const UNIFIED_FULL: &[u8] = &[0b0010_1110, 0, 1, 0, 2, 1, 2];
    /// RFC 9147 figure 4: one byte of sequence number, no length.
    const UNIFIED_SHORT: &[u8] = &[0b0010_0010, 1, 1, 2];

    #[test]
    fn whole_records_are_framed() {
        for records in [
            PLAINTEXT.to_vec(),
            UNIFIED_FULL.to_vec(),
            UNIFIED_SHORT.to_vec(),
            [PLAINTEXT, UNIFIED_FULL, UNIFIED_FULL, UNIFIED_SHORT].concat(),
        ] {
            assert!(is_framed(&records), "{records:02x?}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        let chain = [PLAINTEXT, UNIFIED_FULL].concat();
        for len in 0..chain.len() {
            assert_eq!(is_framed(&chain[..len]), len == PLAINTEXT.len(), "cut at {len}");
        }
        for noise in [
            &[][..],
            &[0xff; 40],
            &[22, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[19, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0b0011_0110, 0, 0, 0, 0],
            &[0b0010_0010, 1],
        ] {
            assert!(!is_framed(noise), "{noise:02x?}");
        }
    }
}
