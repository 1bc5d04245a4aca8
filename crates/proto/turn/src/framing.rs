//! What a client sends: STUN messages and ChannelData, in datagrams and in streams (RFC 8656 section 12.4 and 12.5).

/// First byte of channel numbers. RFC 8656 section 12 ends at 0x4fff; clients of RFC 5766 (section 11) choose among
/// those up to 0x7fff, and here is nothing else that begins so.
const CHANNEL_FIRST: std::ops::RangeInclusive<u8> = 0x40..=0x7f;

/// What stands at the front of a client's stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// One message, and how many bytes of the stream it took.
    Whole { message: &'a [u8], taken: usize },
    /// The rest is on its way.
    Partial,
    /// Neither STUN nor ChannelData: there is no finding the way back in.
    Lost,
}

/// The first message in `stream` (RFC 8489 section 6.2.2). In a stream, ChannelData is padded to four bytes.
pub fn split_stream(stream: &[u8]) -> Incoming<'_> {
    let [first, _, l0, l1, ..] = *stream else {
        let lost = stream.first().is_some_and(|&first| first > 3 && !CHANNEL_FIRST.contains(&first));
        return if lost { Incoming::Lost } else { Incoming::Partial };
    };
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let (len, taken) = match first {
        0..=3 if length.is_multiple_of(4) => (20 + length, 20 + length),
        0x40..=0x7f => (4 + length, 4 + length.next_multiple_of(4)),
        _ => return Incoming::Lost,
    };
    match (stream.get(..len), stream.len() >= taken) {
        (Some(message), true) => Incoming::Whole { message, taken },
        _ => Incoming::Partial,
    }
}

/// Channel number and data of a ChannelData message, with or without padding behind it.
pub(crate) fn channel_data(message: &[u8]) -> Option<(u16, &[u8])> {
    let (&[c0, c1, l0, l1], rest) = message.split_first_chunk::<4>()?;
    if !CHANNEL_FIRST.contains(&c0) {
        return None;
    }
    let data = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
    Some((u16::from_be_bytes([c0, c1]), data))
}

/// Writes ChannelData behind what is in `out`. False, and nothing is written, if it is too long for one.
pub(crate) fn write_channel_data(out: &mut Vec<u8>, channel: u16, data: &[u8], padded: bool) -> bool {
    let Ok(length) = u16::try_from(data.len()) else { return false };
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(data);
    if padded {
        out.resize(out.len() + data.len().next_multiple_of(4) - data.len(), 0);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_comes_apart_wherever_it_is_cut() {
        let mut stream = vec![0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42];
        stream.resize(24, 7);
        assert!(write_channel_data(&mut stream, 0x4001, b"hello", true));
        assert!(write_channel_data(&mut stream, 0x4002, b"", true));
        for cut in 0..stream.len() {
            let mut rest = &stream[..cut];
            let mut taken = Vec::new();
            while let Incoming::Whole { message, taken: used } = split_stream(rest) {
                taken.push(message.len());
                rest = &rest[used..];
            }
            assert_eq!(split_stream(rest), Incoming::Partial, "cut at {cut}");
            assert_eq!(taken, [24, 9, 4][..usize::from(cut >= 24) + usize::from(cut >= 36)]);
        }
    }

    #[test]
    fn what_is_neither_is_lost_at_the_first_byte() {
        for junk in [&b"\x80\x60rtp"[..], b"\x16\x03", b"\x04", b"\xff\xff\xff\xff", b"\x00\x01\x00\x05"] {
            assert_eq!(split_stream(junk), Incoming::Lost, "{junk:?}");
        }
    }

    #[test]
    fn channel_data_is_what_its_length_says() {
        assert_eq!(channel_data(b"\x40\x00\x00\x02ab\0\0"), Some((0x4000, &b"ab"[..])));
        assert_eq!(channel_data(b"\x40\x00\x00\x03ab"), None);
        assert_eq!(channel_data(b"\x80\x00\x00\x00"), None);
        assert_eq!(channel_data(b"\x40\x00\x00"), None);
        assert!(!write_channel_data(&mut Vec::new(), 0x4000, &vec![0; 65_536], false));
    }
}
