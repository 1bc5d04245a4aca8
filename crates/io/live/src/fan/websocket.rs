//! The server's end of a WebSocket on which a player gets tags (RFC 6455).
//!
//! Owns: frames of both directions, and whether anybody is still there. A player has nothing to say in
//! messages: what it sends of them is passed over and never kept.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::time::Instant;

/// How often the player is asked for a sign of life, which also keeps the connection open in between.
const PING: Duration = Duration::from_secs(30);
/// Without one for so long, while three were asked for, nobody is there.
const SILENCE: Duration = Duration::from_secs(120);
/// Bytes of a control frame's payload, section 5.5.
const MAX_CONTROL: usize = 125;

/// Status codes, section 7.4.1.
pub(super) const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;

/// Operation codes, section 5.2.
mod op {
    pub(super) const CONTINUATION: u8 = 0;
    pub(super) const BINARY: u8 = 2;
    pub(super) const CLOSE: u8 = 8;
    pub(super) const PING: u8 = 9;
    pub(super) const PONG: u8 = 10;
}

/// A binary message, in one frame and without a mask.
pub(crate) fn message(payload: &[u8]) -> Bytes {
    frame(op::BINARY, payload)
}

/// The frame that closes a connection, and why.
pub(super) fn close(code: u16, why: &str) -> Bytes {
    let mut payload = BytesMut::new();
    payload.put_u16(code);
    payload.put_slice(why.as_bytes().get(..MAX_CONTROL - 2).unwrap_or(why.as_bytes()));
    frame(op::CLOSE, &payload)
}

fn frame(code: u8, payload: &[u8]) -> Bytes {
    const FIN: u8 = 0x80;
    let mut out = BytesMut::with_capacity(payload.len() + 10);
    out.put_u8(FIN | code);
    match payload.len() {
        len @ 0..126 => out.put_u8(len as u8),
        len @ 126..0x1_0000 => {
            out.put_u8(126);
            out.put_u16(len as u16);
        }
        len => {
            out.put_u8(127);
            out.put_u64(len as u64);
        }
    }
    out.put_slice(payload);
    out.freeze()
}

/// What a connection has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// It goes on.
    Nothing,
    /// It is over, and this is the last thing to be said.
    Over(Bytes),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Talk {
    /// A frame's header, or a control frame, that is not all there.
    buffer: BytesMut,
    /// Bytes of a message that are still to be passed over.
    passing: u64,
    /// The answer to the newest ping; the one before it needs none (section 5.5.3).
    pong: Option<Bytes>,
    heard: Instant,
    pinged: Instant,
}

/// A frame's header.
struct Header {
    code: u8,
    /// Bytes of itself.
    size: usize,
    len: u64,
    mask: [u8; 4],
}

impl Talk {
    pub(super) fn new(now: Instant) -> Self {
        Self { buffer: BytesMut::new(), passing: 0, pong: None, heard: now, pinged: now }
    }

    /// Whether nobody is there any more.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        now.duration_since(self.heard) >= SILENCE
    }

    /// What is to be said between messages.
    pub(super) fn answer(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(pong) = self.pong.take() {
            return Some(pong);
        }
        if now.duration_since(self.pinged) < PING {
            return None;
        }
        self.pinged = now;
        Some(frame(op::PING, &[]))
    }

    /// Takes bytes as they come.
    pub(super) fn hear(&mut self, now: Instant, bytes: &[u8]) -> Heard {
        self.heard = now;
        self.buffer.extend_from_slice(bytes);
        loop {
            let passed = self.buffer.len().min(usize::try_from(self.passing).unwrap_or(usize::MAX));
            self.buffer.advance(passed);
            self.passing -= passed as u64;
            let header = match header(&self.buffer) {
                Ok(Some(header)) => header,
                Ok(None) => return Heard::Nothing,
                Err(Violation) => return Heard::Over(close(PROTOCOL_ERROR, "not a client's frame")),
            };
            if header.code < op::CLOSE {
                self.buffer.advance(header.size);
                self.passing = header.len;
                continue;
            }
            // A control frame's length is small, and has been looked at.
            let end = header.size + header.len as usize;
            if self.buffer.len() < end {
                return Heard::Nothing;
            }
            let mut payload = self.buffer.split_to(end);
            payload.advance(header.size);
            payload.iter_mut().zip(header.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            match header.code {
                op::CLOSE => return Heard::Over(goodbye(&payload)),
                op::PING => self.pong = Some(frame(op::PONG, &payload)),
                _ => {}
            }
        }
    }
}

/// The answer to a close, which repeats its code if that is one that may be sent (section 7.4).
fn goodbye(payload: &[u8]) -> Bytes {
    match payload.first_chunk().map(|code| u16::from_be_bytes(*code)) {
        None => frame(op::CLOSE, &[]),
        Some(code @ (1000..=1003 | 1007..=1014 | 3000..=4999)) => close(code, ""),
        Some(_) => close(PROTOCOL_ERROR, ""),
    }
}

/// A frame that no client may send.
struct Violation;

/// Reads a frame's header; none until it is all there.
fn header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (is_last, reserved, code) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
    let is_control = code >= op::CLOSE;
    // A client masks; nothing was agreed that uses a reserved bit; control frames are short and whole.
    let is_known = matches!(code, op::CONTINUATION..=op::BINARY | op::CLOSE..=op::PONG);
    let len = second & 0x7f;
    if second & 0x80 == 0 || reserved != 0 || !is_known || (is_control && (!is_last || len > 125)) {
        return Err(Violation);
    }
    let (len, at) = match len {
        126 => (rest.first_chunk().map(|len| u16::from_be_bytes(*len).into()), 4),
        127 => (rest.first_chunk().map(|len| u64::from_be_bytes(*len)), 10),
        len => (Some(u64::from(len)), 2),
    };
    let mask = bytes.get(at..).and_then(|rest| rest.first_chunk());
    let (Some(len), Some(mask)) = (len, mask) else { return Ok(None) };
    Ok(Some(Header { code, size: at + 4, len, mask: *mask }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    /// A client's frame.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = frame(0, payload).to_vec();
        let header = out.len() - payload.len();
        (out[0], out[1]) = (first, out[1] | 0x80);
        let body: Vec<u8> = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        out.truncate(header);
        [out, MASK.to_vec(), body].concat()
    }

    #[test]
    fn pings_are_answered_and_messages_passed_over_whatever_the_pieces() {
        let long = vec![7; 70_000];
        let said = [
            masked(0x82, b"hello"),
            masked(0x02, &long),
            masked(0x89, b"between"),
            masked(0x80, &long[..300]),
            masked(0x8a, b""),
            masked(0x89, b"are you there"),
        ]
        .concat();
        for piece in [1, 7, 4096] {
            let now = Instant::now();
            let mut talk = Talk::new(now);
            for bytes in said.chunks(piece) {
                assert_eq!(talk.hear(now, bytes), Heard::Nothing);
                assert!(talk.buffer.len() < 200, "what is passed over is not kept");
            }
            assert_eq!(talk.answer(now), Some(frame(op::PONG, b"are you there")), "the newest, once");
            assert_eq!(talk.answer(now), None);
        }
    }

    #[test]
    fn a_goodbye_is_answered_with_its_code() {
        for (payload, answer) in [
            (&b""[..], &[0x88, 0][..]),
            (b"\x03\xe8", b"\x88\x02\x03\xe8"),
            (b"\x0f\xa0bye", b"\x88\x02\x0f\xa0"),
            // Codes that never stand in a frame, and half of one.
            (b"\x03\xed", b"\x88\x02\x03\xea"),
            (b"\0\0", b"\x88\x02\x03\xea"),
            (b"\x03", b"\x88\0"),
        ] {
            let now = Instant::now();
            let heard = Talk::new(now).hear(now, &masked(0x88, payload));
            assert_eq!(heard, Heard::Over(Bytes::copy_from_slice(answer)), "{payload:?}");
        }
    }

    #[test]
    fn what_no_client_may_send_ends_it() {
        for bad in [
            &frame(op::BINARY, b"no mask")[..],
            &masked(0xc2, b"a reserved bit"),
            &masked(0x83, b"a code without meaning"),
            &masked(0x09, b"a ping in pieces"),
            &masked(0x89, &[0; 126]),
        ] {
            let now = Instant::now();
            let heard = Talk::new(now).hear(now, bad);
            assert!(matches!(&heard, Heard::Over(last) if last[2..4] == 1002_u16.to_be_bytes()), "{heard:?}");
        }
        // A length that lies is passed over until the connection ends, and takes no memory.
        let now = Instant::now();
        let mut talk = Talk::new(now);
        let mut endless = vec![0x82, 0xff];
        endless.extend_from_slice(&u64::MAX.to_be_bytes());
        endless.extend_from_slice(&MASK);
        assert_eq!(talk.hear(now, &endless), Heard::Nothing);
        for _ in 0..100 {
            assert_eq!(talk.hear(now, &[0x88; 4096]), Heard::Nothing);
            assert!(talk.buffer.is_empty());
        }
    }

    #[test]
    fn who_answers_no_ping_is_not_there() {
        let start = Instant::now();
        let mut talk = Talk::new(start);
        assert_eq!(talk.answer(start + PING / 2), None);
        assert_eq!(talk.answer(start + PING), Some(frame(op::PING, b"")));
        assert_eq!(talk.answer(start + PING), None, "once");
        assert!(talk.answer(start + PING * 2).is_some());
        talk.hear(start + PING * 2, &masked(0x8a, b""));
        assert!(!talk.is_dead(start + SILENCE));
        assert!(talk.is_dead(start + PING * 2 + SILENCE));
    }
}
