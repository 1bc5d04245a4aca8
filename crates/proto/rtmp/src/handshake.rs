//! The handshake (RTMP 1.0 section 5.2), in its simple form and with the digest that Adobe's players and
//! some encoders expect.
//!
//! Owns: C0 to C2 and S0 to S2 of either end. A client that sends a digest is answered with one; a client
//! that sends none, or a wrong one, gets the simple answer. Nothing in it is a secret or an authentication:
//! the keys of the digest are in every player.

use aws_lc_rs::hmac;
use bytes::{Buf, BytesMut};

/// C1, C2, S1 and S2.
const PACKET: usize = 1536;
const DIGEST: usize = 32;
const VERSION: u8 = 3;

const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
/// What both keys are longer by when C2 and S2 are signed.
const KEY_TAIL: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e,
    0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];
/// A version of 0 in C1 means "no digest"; this is what a digest's sender claims to be.
const CLIENT_VERSION: [u8; 4] = [0x80, 0, 7, 2];
const SERVER_VERSION: [u8; 4] = [4, 5, 0, 1];

/// The far end does not speak RTMP, or not as we do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("RTMP version {0} is not supported, only 3")]
    Version(u8),
}

/// Where a C1 or S1 has its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    KeyFirst,
    DigestFirst,
}

impl Scheme {
    fn offset(self, packet: &[u8; PACKET]) -> usize {
        let base = match self {
            Self::DigestFirst => 8,
            Self::KeyFirst => 772,
        };
        let sum: usize = packet.iter().skip(base).take(4).map(|b| usize::from(*b)).sum();
        sum % 728 + base + 4
    }
}

/// One end's handshake. Feed it bytes; it appends its answers; what comes behind is left over.
#[derive(Debug)]
pub struct Handshake {
    buffer: BytesMut,
    step: Step,
    own: Box<[u8; PACKET]>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Server: C0 and C1. Client: S0 and S1.
    First,
    /// Server: C2. Client: S2.
    Second,
    Done,
}

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

impl Handshake {
    /// A server's handshake. `random` fills its packet; it is not a secret.
    pub fn server(mut random: impl FnMut() -> u32) -> Self {
        Self::new(&mut random)
    }

    /// A client's handshake, which begins by appending C0 and C1, with a digest.
    pub fn client(mut random: impl FnMut() -> u32, out: &mut BytesMut) -> Self {
        let mut handshake = Self::new(&mut random);
        let own = &mut handshake.own;
        own[4..8].copy_from_slice(&CLIENT_VERSION);
        sign(own, Scheme::DigestFirst, CLIENT_KEY);
        out.extend_from_slice(&[VERSION]);
        out.extend_from_slice(&own[..]);
        handshake
    }

    fn new(random: &mut impl FnMut() -> u32) -> Self {
        let mut own = Box::new([0; PACKET]);
        for chunk in own[8..].chunks_mut(4) {
            chunk.copy_from_slice(&random().to_be_bytes()[..chunk.len()]);
        }
        Self { buffer: BytesMut::new(), step: Step::First, own }
    }

    /// Whether the connection has begun.
    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// What came behind the handshake: the first chunks.
    pub fn take_rest(&mut self) -> BytesMut {
        self.buffer.split()
    }

    /// Takes in bytes, appends answers to `out`. Holds at most what was pushed and two packets.
    pub fn push(&mut self, role: Role, bytes: &[u8], out: &mut BytesMut) -> Result<(), HandshakeError> {
        self.buffer.extend_from_slice(bytes);
        if self.step == Step::First {
            let Some(&version) = self.buffer.first() else { return Ok(()) };
            // Versions above 3 are said to be possible and are never seen; text, as of an HTTP request, is.
            if version != VERSION {
                return Err(HandshakeError::Version(version));
            }
            let Some(theirs) = self.buffer.get(1..).and_then(|b| b.first_chunk::<PACKET>()).copied() else {
                return Ok(());
            };
            self.buffer.advance(1 + PACKET);
            self.answer_first(role, &theirs, out);
            self.step = Step::Second;
        }
        if self.step == Step::Second && self.buffer.len() >= PACKET {
            // What C2 and S2 repeat is not checked: several encoders get it wrong, and it proves nothing.
            self.buffer.advance(PACKET);
            self.step = Step::Done;
        }
        Ok(())
    }

    fn answer_first(&mut self, role: Role, theirs: &[u8; PACKET], out: &mut BytesMut) {
        let (their_key, our_key) = match role {
            Role::Server => (CLIENT_KEY, SERVER_KEY),
            Role::Client => (SERVER_KEY, CLIENT_KEY),
        };
        let found = [Scheme::DigestFirst, Scheme::KeyFirst]
            .into_iter()
            .find_map(|scheme| verify(theirs, scheme, their_key).map(|digest| (scheme, digest)));
        if role == Role::Server {
            if let Some((scheme, _)) = found {
                self.own[4..8].copy_from_slice(&SERVER_VERSION);
                sign(&mut self.own, scheme, SERVER_KEY);
            }
            out.extend_from_slice(&[VERSION]);
            out.extend_from_slice(&self.own[..]);
        }
        match found {
            Some((_, digest)) => out.extend_from_slice(&signed_echo(&self.own, &digest, our_key)),
            None => out.extend_from_slice(&theirs[..]),
        }
    }
}

/// HMAC-SHA256 of a packet without its digest.
fn digest_of(packet: &[u8; PACKET], offset: usize, key: &[u8]) -> [u8; DIGEST] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(packet.get(..offset).unwrap_or_default());
    context.update(packet.get(offset + DIGEST..).unwrap_or_default());
    to_digest(&context.sign())
}

fn to_digest(tag: &hmac::Tag) -> [u8; DIGEST] {
    let mut digest = [0; DIGEST];
    digest.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    digest
}

fn sign(packet: &mut [u8; PACKET], scheme: Scheme, key: &[u8]) {
    let offset = scheme.offset(packet);
    let digest = digest_of(packet, offset, key);
    packet[offset..offset + DIGEST].copy_from_slice(&digest);
}

fn verify(packet: &[u8; PACKET], scheme: Scheme, key: &[u8]) -> Option<[u8; DIGEST]> {
    let offset = scheme.offset(packet);
    let digest = digest_of(packet, offset, key);
    (packet.get(offset..offset + DIGEST) == Some(&digest[..])).then_some(digest)
}

/// C2 or S2 with a digest: random bytes signed with a key made of the other end's digest.
fn signed_echo(own: &[u8; PACKET], their_digest: &[u8; DIGEST], key: &[u8]) -> [u8; PACKET] {
    let mut packet = *own;
    packet.rotate_left(PACKET / 2);
    let long_key = [key, &KEY_TAIL].concat();
    let temporary = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &long_key), their_digest);
    let (body, place) = packet.split_at_mut(PACKET - DIGEST);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, temporary.as_ref()), body);
    place.copy_from_slice(&to_digest(&tag));
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u32) -> impl FnMut() -> u32 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state
        }
    }

    #[test]
    fn two_of_us_shake_hands_with_digests_whatever_the_pieces() {
        for piece in [1, 7, 1536, 4000] {
            let mut to_server = BytesMut::new();
            let mut to_client = BytesMut::new();
            let mut client = Handshake::client(random(1), &mut to_server);
            let mut server = Handshake::server(random(2));
            while !(client.is_done() && server.is_done()) {
                assert!(!to_server.is_empty() || !to_client.is_empty(), "stuck");
                let bytes = to_server.split_to(piece.min(to_server.len()));
                server.push(Role::Server, &bytes, &mut to_client).unwrap();
                let bytes = to_client.split_to(piece.min(to_client.len()));
                client.push(Role::Client, &bytes, &mut to_server).unwrap();
            }
        }
    }

    #[test]
    fn a_digest_is_answered_with_a_digest_of_the_same_scheme() {
        for scheme in [Scheme::DigestFirst, Scheme::KeyFirst] {
            let mut c1 = [7; PACKET];
            c1[4..8].copy_from_slice(&CLIENT_VERSION);
            sign(&mut c1, scheme, CLIENT_KEY);
            let mut out = BytesMut::new();
            let mut server = Handshake::server(random(3));
            server.push(Role::Server, &[&[3][..], &c1].concat(), &mut out).unwrap();
            let s1: [u8; PACKET] = out[1..=PACKET].try_into().unwrap();
            assert!(verify(&s1, scheme, SERVER_KEY).is_some());
            // S2's last 32 bytes sign the rest with a key made of C1's digest.
            let digest = verify(&c1, scheme, CLIENT_KEY).unwrap();
            let long_key = [SERVER_KEY, &KEY_TAIL].concat();
            let temporary = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &long_key), &digest);
            let s2 = &out[1 + PACKET..];
            let key = hmac::Key::new(hmac::HMAC_SHA256, temporary.as_ref());
            assert!(hmac::verify(&key, &s2[..PACKET - DIGEST], &s2[PACKET - DIGEST..]).is_ok());
        }
    }

    #[test]
    fn a_simple_client_gets_its_own_packet_back_and_the_rest_is_kept() {
        let c1 = [0x55; PACKET];
        let mut out = BytesMut::new();
        let mut server = Handshake::server(random(4));
        server.push(Role::Server, &[&[3][..], &c1, &[0; PACKET], b"chunks"].concat(), &mut out).unwrap();
        assert_eq!(out.len(), 1 + 2 * PACKET);
        assert_eq!(out[1 + PACKET..], c1);
        assert!(server.is_done());
        assert_eq!(&server.take_rest()[..], b"chunks");
    }

    #[test]
    fn half_a_handshake_waits_and_another_protocol_is_named() {
        let mut out = BytesMut::new();
        let mut server = Handshake::server(random(5));
        server.push(Role::Server, &[3; 700], &mut out).unwrap();
        assert!(!server.is_done() && out.is_empty());
        let mut server = Handshake::server(random(6));
        let error = server.push(Role::Server, b"GET / HTTP/1.1\r\n", &mut out);
        assert_eq!(error, Err(HandshakeError::Version(b'G')));
    }
}
