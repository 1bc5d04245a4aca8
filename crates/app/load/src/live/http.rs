//! Answers of HTTP/1.1 and messages of WebSockets, arriving in pieces.

/// Bytes of the largest head of an answer.
const MAX_HEAD: usize = 16 << 10;

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Of the body, if it is said.
    pub(crate) length: Option<usize>,
    /// Bytes of the head itself.
    pub(crate) len: usize,
}

impl Head {
    /// Reads a head; none until it is all there.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, String> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() < MAX_HEAD { Ok(None) } else { Err("an answer's head has no end".into()) };
        };
        let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
        let status = status.and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let Some(status) = status else { return Err("the answer is not HTTP".into()) };
        let mut length = None;
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
        Ok(Some(Self { status, length, len: end + 4 }))
    }
}

/// A request on a connection that is kept.
pub(crate) fn request(path: &str, authority: &str) -> String {
    get("1.1", path, authority)
}

/// A request for an answer without end, which ends with its connection: in HTTP/1.1 a server may send it in chunks
/// (RFC 9112 section 7.1).
pub(crate) fn endless(path: &str, authority: &str) -> String {
    get("1.0", path, authority)
}

fn get(version: &str, path: &str, authority: &str) -> String {
    format!("GET {path} HTTP/{version}\r\nHost: {authority}\r\nUser-Agent: millrace-load\r\n\r\n")
}

/// A request that becomes a WebSocket (RFC 6455 section 4.1); what the key says back is not looked at.
pub(crate) fn upgrade(path: &str, authority: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: bWlsbHJhY2UgbG9hZCBrZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The messages of a server, which have no masks (RFC 6455 section 5.2).
#[derive(Debug, Default)]
pub(crate) struct Messages {
    header: Vec<u8>,
    /// Bytes of the payload to come.
    left: u64,
}

impl Messages {
    const CLOSE: u8 = 8;

    /// Hands on the payload of messages; an error where the server closes.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut payload: impl FnMut(&[u8])) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                let (now, rest) = bytes.split_at(count);
                payload(now);
                self.left -= count as u64;
                bytes = rest;
                continue;
            }
            let Some((first, rest)) = bytes.split_first() else { break };
            self.header.push(*first);
            bytes = rest;
            let Some(length) = length(&self.header) else { continue };
            if self.header.first().is_some_and(|first| first & 0x0f == Self::CLOSE) {
                return Err("the server closed the WebSocket".into());
            }
            self.left = length;
            self.header.clear();
        }
        Ok(())
    }
}

/// Of the payload, once the header is whole.
fn length(header: &[u8]) -> Option<u64> {
    match header {
        [_, length @ 0..=125] => Some(u64::from(*length)),
        [_, 126, a, b] => Some(u64::from(u16::from_be_bytes([*a, *b]))),
        [_, 127, rest @ ..] => rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 12\r\nX: y\r\n\r\nbody";
        for len in 0..text.len() - 4 {
            assert_eq!(Head::read(&text[..len]), Ok(None));
        }
        let head = Head { status: 200, length: Some(12), len: text.len() - 4 };
        assert_eq!(Head::read(text), Ok(Some(head)));
        assert!(Head::read(b"SSH-2.0\r\n\r\n").is_err());
        assert!(Head::read(&[b'x'; MAX_HEAD]).is_err());
    }

    #[test]
    fn messages_are_taken_apart_wherever_the_pieces_end() {
        let mut bytes = vec![0x82, 3, 1, 2, 3, 0x82, 126, 1, 0];
        bytes.extend([7; 256]);
        bytes.extend([0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 9]);
        for size in 1..bytes.len() {
            let (mut messages, mut got) = (Messages::default(), Vec::new());
            for piece in bytes.chunks(size) {
                messages.push(piece, |payload| got.extend_from_slice(payload)).unwrap();
            }
            assert_eq!(got, [&[1, 2, 3][..], &[7; 256], &[9]].concat(), "in pieces of {size}");
        }
        assert!(Messages::default().push(&[0x88, 0], |_| {}).is_err());
    }
}
