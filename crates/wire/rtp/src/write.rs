//! Building packets in the caller's memory, without allocating.

use std::ops::Range;

use crate::header::FIXED_LEN;
use crate::{Form, Pt, Ssrc, ext};

/// Bytes of an extension block before its first element.
const BLOCK_HEAD: usize = 4;

/// What a fresh header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
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
}

/// Writes a header, then extension elements, then a payload, into one buffer.
///
/// Each element is refused (`None`, nothing written) when it does not fit the buffer or the form; the
/// caller picks the form before the first one, with [`Writer::form_for`] where values can be long.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
    form: Form,
}

impl<'a> Writer<'a> {
    /// Writes the fixed header. `None` if `buf` has less than 16 bytes.
    pub fn new(buf: &'a mut [u8], fields: &Fields, form: Form) -> Option<Self> {
        if buf.len() < FIXED_LEN + BLOCK_HEAD {
            return None;
        }
        put_fixed(buf.first_chunk_mut()?, 0x80, fields);
        let mut len = FIXED_LEN;
        if form != Form::None {
            len += BLOCK_HEAD;
        }
        Some(Self { buf, len, form })
    }

    /// The form that holds an element with this id and a value this long; [`Form::OneByte`] where it can.
    pub fn form_for(id: u8, len: usize) -> Form {
        if (1..=14).contains(&id) && (1..=16).contains(&len) { Form::OneByte } else { Form::TwoByte }
    }

    /// Appends an element; where its value lies in the packet is returned, so that it can be filled in
    /// later (a sequence number that is given out last).
    pub fn element(&mut self, id: u8, value: &[u8]) -> Option<Range<usize>> {
        let len = value.len();
        let head = match self.form {
            Form::OneByte if (1..=14).contains(&id) && (1..=16).contains(&len) => {
                *self.buf.get_mut(self.len)? = id << 4 | (len - 1) as u8;
                1
            }
            Form::TwoByte if id != 0 && len <= 255 => {
                *self.buf.get_mut(self.len)? = id;
                *self.buf.get_mut(self.len + 1)? = len as u8;
                2
            }
            _ => return None,
        };
        let range = self.len + head..self.len + head + len;
        self.buf.get_mut(range.clone())?.copy_from_slice(value);
        self.len = range.end;
        Some(range)
    }

    /// Closes the extension block and returns the header's length; the payload goes there. A block without
    /// elements is left out.
    pub fn finish(mut self) -> Option<usize> {
        self.close()?;
        Some(self.len)
    }

    /// Closes the extension block and appends the payload; returns the header's and the packet's length.
    pub fn payload(mut self, payload: &[u8]) -> Option<(usize, usize)> {
        self.close()?;
        let end = self.len + payload.len();
        self.buf.get_mut(self.len..end)?.copy_from_slice(payload);
        Some((self.len, end))
    }

    /// As [`Writer::payload`], for a retransmission: the original sequence number goes before the payload,
    /// RFC 4588 section 4.
    pub fn rtx_payload(mut self, original_seq: u16, payload: &[u8]) -> Option<(usize, usize)> {
        self.close()?;
        let body = self.len + 2;
        let end = body + payload.len();
        self.buf.get_mut(self.len..body)?.copy_from_slice(&original_seq.to_be_bytes());
        self.buf.get_mut(body..end)?.copy_from_slice(payload);
        Some((self.len, end))
    }

    fn close(&mut self) -> Option<()> {
        if self.form == Form::None {
            return Some(());
        }
        let start = FIXED_LEN + BLOCK_HEAD;
        if self.len == start {
            self.len = FIXED_LEN;
            return Some(());
        }
        let padded = self.len.next_multiple_of(4);
        self.buf.get_mut(self.len..padded)?.fill(0);
        self.len = padded;
        let profile = if self.form == Form::OneByte { ext::ONE_BYTE_PROFILE } else { ext::TWO_BYTE_PROFILE };
        let words = ((self.len - start) / 4) as u32;
        let head = (u32::from(profile) << 16 | words).to_be_bytes();
        self.buf.get_mut(FIXED_LEN..start)?.copy_from_slice(&head);
        *self.buf.first_mut()? |= 0x10;
        Some(())
    }
}

fn put_fixed(out: &mut [u8; FIXED_LEN], first: u8, f: &Fields) {
    let [s0, s1] = f.seq.to_be_bytes();
    let [t0, t1, t2, t3] = f.timestamp.to_be_bytes();
    let [c0, c1, c2, c3] = f.ssrc.0.to_be_bytes();
    *out = [first, u8::from(f.marker) << 7 | f.pt.0 & 0x7f, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3];
}

/// Overwrites a packet's fixed fields in place; its extension block, CSRCs and padding stay. Packets
/// shorter than a header stay as they are.
pub fn rewrite_fixed(packet: &mut [u8], fields: &Fields) {
    if let Some(fixed) = packet.first_chunk_mut::<FIXED_LEN>() {
        let first = fixed[0];
        put_fixed(fixed, first, fields);
    }
}

/// Appends `count` bytes of RTP padding to the unpadded packet in `buf[..len]` and returns its new length.
/// `None`, with nothing done, if there is no room, no header, or padding already.
pub fn pad(buf: &mut [u8], len: usize, count: u8) -> Option<usize> {
    let end = len + usize::from(count);
    if count == 0 || len < FIXED_LEN || buf.first()? & 0x20 != 0 {
        return (count == 0).then_some(len);
    }
    let padding = buf.get_mut(len..end)?;
    padding.fill(0);
    *padding.last_mut()? = count;
    *buf.first_mut()? |= 0x20;
    Some(end)
}

/// Takes an RTX payload apart (RFC 4588 section 4): original sequence number and original payload.
pub fn read_rtx(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (&osn, rest) = payload.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(osn), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::View;
    use proptest::prelude::*;

    const FIELDS: Fields =
        Fields { marker: true, pt: Pt(96), seq: 0xfffe, timestamp: 90_000, ssrc: Ssrc(0x0102_0304) };

    #[test]
    fn a_built_packet_reads_back() {
        let mut buf = [0xee; 64];
        let mut w = Writer::new(&mut buf, &FIELDS, Form::OneByte).unwrap();
        w.element(4, b"mid").unwrap();
        let twcc = w.element(5, &[0, 0]).unwrap();
        let (head, end) = w.payload(&[1, 2, 3]).unwrap();
        buf[twcc].copy_from_slice(&[0xab, 0xcd]);
        let v = View::parse(&buf[..end]).unwrap();
        assert_eq!(v.header.len(), head);
        assert_eq!((v.header.seq, v.header.marker, v.header.ssrc), (0xfffe, true, Ssrc(0x0102_0304)));
        assert_eq!(v.extension(4), Some(&b"mid"[..]));
        assert_eq!(v.extension(5), Some(&[0xab, 0xcd][..]));
        assert_eq!(v.payload(), [1, 2, 3]);
    }

    #[test]
    fn a_block_without_elements_is_left_out() {
        let mut buf = [0; 32];
        let w = Writer::new(&mut buf, &FIELDS, Form::OneByte).unwrap();
        assert_eq!(w.payload(&[9]).unwrap(), (12, 13));
        assert_eq!(View::parse(&buf[..13]).unwrap().payload(), [9]);
    }

    #[test]
    fn elements_that_do_not_fit_their_form_are_refused() {
        let mut buf = [0; 400];
        let mut w = Writer::new(&mut buf, &FIELDS, Form::OneByte).unwrap();
        assert_eq!(w.element(15, &[1]), None);
        assert_eq!(w.element(0, &[1]), None);
        assert_eq!(w.element(1, &[]), None);
        assert_eq!(w.element(1, &[0; 17]), None);
        assert!(w.element(1, &[7; 16]).is_some());
        let mut w = Writer::new(&mut buf, &FIELDS, Form::TwoByte).unwrap();
        assert!(w.element(15, &[1; 200]).is_some());
        let end = w.finish().unwrap();
        assert_eq!(View::parse(&buf[..end]).unwrap().extension(15).unwrap().len(), 200);
    }

    #[test]
    fn a_buffer_of_any_length_is_filled_or_refused() {
        for n in 0..48 {
            let mut buf = vec![0; n];
            let Some(mut w) = Writer::new(&mut buf, &FIELDS, Form::OneByte) else { continue };
            w.element(1, b"abcde");
            if let Some((_, end)) = w.payload(&[0; 10]) {
                assert!(View::parse(&buf[..end]).is_ok());
            }
        }
    }

    #[test]
    fn padding_is_counted_and_not_added_twice() {
        let mut buf = [0; 32];
        let w = Writer::new(&mut buf, &FIELDS, Form::None).unwrap();
        let (_, end) = w.payload(&[1, 2]).unwrap();
        assert_eq!(pad(&mut buf, end, 0), Some(end));
        let padded = pad(&mut buf, end, 3).unwrap();
        let v = View::parse(&buf[..padded]).unwrap();
        assert_eq!((v.payload(), v.padding()), (&[1, 2][..], 3));
        assert_eq!(pad(&mut buf, padded, 1), None);
        assert_eq!(pad(&mut [0x80; 12], 12, 1), None);
    }

    #[test]
    fn retransmissions_carry_their_original_number() {
        let mut buf = [0; 32];
        let w = Writer::new(&mut buf, &FIELDS, Form::None).unwrap();
        let (_, end) = w.rtx_payload(0x1234, &[5, 6]).unwrap();
        let v = View::parse(&buf[..end]).unwrap();
        assert_eq!(read_rtx(v.payload()), Some((0x1234, &[5, 6][..])));
        assert_eq!(read_rtx(&[1]), None);
    }

    #[test]
    fn rewriting_keeps_flags_and_payload() {
        let mut p = [0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x10, 7, 0, 0, 42];
        rewrite_fixed(&mut p, &FIELDS);
        let v = View::parse(&p).unwrap();
        assert_eq!((v.header.seq, v.extension(1), v.payload()), (0xfffe, Some(&[7][..]), &[42][..]));
        rewrite_fixed(&mut p[..5], &FIELDS);
    }

    proptest! {
        #[test]
        fn any_elements_read_back(
            elements in proptest::collection::vec((1u8..=14, proptest::collection::vec(any::<u8>(), 1..=16)), 0..6),
            payload in proptest::collection::vec(any::<u8>(), 0..40),
            two in any::<bool>(),
        ) {
            let mut buf = [0u8; 256];
            let form = if two { Form::TwoByte } else { Form::OneByte };
            let mut w = Writer::new(&mut buf, &FIELDS, form).unwrap();
            for (id, value) in &elements {
                prop_assert!(w.element(*id, value).is_some());
            }
            let (_, end) = w.payload(&payload).unwrap();
            let v = View::parse(&buf[..end]).unwrap();
            let read: Vec<_> = v.extensions().map(|(id, v)| (id, v.to_vec())).collect();
            prop_assert_eq!(read, elements);
            prop_assert_eq!(v.payload(), &payload[..]);
        }
    }
}
