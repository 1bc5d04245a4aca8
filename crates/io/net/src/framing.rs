//! Datagrams in a byte stream: each behind its length in two bytes, RFC 4571 section 2.

/// Bytes of the length in front of each datagram.
pub const FRAME_HEADER: usize = 2;

/// A stream that announces a longer datagram than its reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes is too long")]
pub struct FrameTooLong(pub usize);

/// The first datagram in `bytes` and what comes behind it; `None` until it is complete.
#[allow(clippy::type_complexity)]
pub fn split_frame(bytes: &mut [u8], max: usize) -> Result<Option<(&mut [u8], &mut [u8])>, FrameTooLong> {
    let Some((&mut header, rest)) = bytes.split_first_chunk_mut::<FRAME_HEADER>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes(header));
    if len > max {
        return Err(FrameTooLong(len));
    }
    Ok(rest.split_at_mut_checked(len))
}

/// Puts `datagram` behind what is in `out`. One that no frame can carry is left out, and false comes back.
pub fn push_frame(out: &mut Vec<u8>, datagram: &[u8]) -> bool {
    let Ok(len) = u16::try_from(datagram.len()) else { return false };
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(datagram);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_apart_wherever_the_stream_is_cut() {
        let mut stream = Vec::new();
        for datagram in [&b"one"[..], b"", b"three"] {
            assert!(push_frame(&mut stream, datagram));
        }
        for cut in 0..=stream.len() {
            let mut got: Vec<Vec<u8>> = Vec::new();
            let mut held = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                held.extend_from_slice(part);
                let mut rest = &mut held[..];
                while let Some((frame, _)) = split_frame(rest, 5).unwrap() {
                    let used = FRAME_HEADER + frame.len();
                    got.push(frame.to_vec());
                    rest = &mut rest[used..];
                }
                held = rest.to_vec();
            }
            assert_eq!(got, [b"one".to_vec(), vec![], b"three".to_vec()], "cut at {cut}");
            assert!(held.is_empty());
        }
    }

    #[test]
    fn too_long_is_said_as_soon_as_it_is_known() {
        assert_eq!(split_frame(&mut [0, 6], 5), Err(FrameTooLong(6)));
        assert_eq!(split_frame(&mut [0, 5], 5), Ok(None));
        assert!(!push_frame(&mut Vec::new(), &vec![0; 65_536]));
    }
}
