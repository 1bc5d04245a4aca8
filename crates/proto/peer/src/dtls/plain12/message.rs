//! Records and handshake messages of DTLS 1.2, RFC 6347 section 4, as far as the server needs them.

use std::collections::BTreeMap;

use super::keys::RANDOM;
use crate::dtls::hello::{Client, EC_POINT_FORMATS, EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO, USE_SRTP};
use crate::dtls::pieces::Pieces;

/// Content types, RFC 5246 section 6.2.1.
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// Handshake types, RFC 5246 section 7.4.
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(super) const CERTIFICATE_REQUEST: u8 = 13;
pub(super) const SERVER_HELLO_DONE: u8 = 14;
pub(super) const CERTIFICATE_VERIFY: u8 = 15;
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;
pub(super) const FINISHED: u8 = 20;

/// DTLS 1.2 on the wire.
pub(super) const VERSION: [u8; 2] = [0xfe, 0xfd];
/// Record header, RFC 6347 section 4.1.
pub(super) const RECORD_HEADER: usize = 13;
/// Handshake header, RFC 6347 section 4.2.2.
const HANDSHAKE_HEADER: usize = 12;
/// `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`, RFC 5289.
const SUITE: [u8; 2] = [0xc0, 0x2b];
/// `secp256r1` as a named curve, RFC 8422 section 5.4.
const NAMED_P256: [u8; 3] = [3, 0, 23];
/// Hash and signature, RFC 5246 section 7.4.1.4.1.
pub(super) const RSA_SHA256: [u8; 2] = [4, 1];
pub(super) const RSA_SHA384: [u8; 2] = [5, 1];
pub(super) const RSA_SHA512: [u8; 2] = [6, 1];
pub(super) const ECDSA_SHA256: [u8; 2] = [4, 3];
pub(super) const ECDSA_SHA384: [u8; 2] = [5, 3];
/// The longest message taken, bytes: a chain of RSA certificates.
const MAX_MESSAGE: usize = 16 << 10;
/// Messages on their way in at once: what a client's flight has.
const MAX_WAITING: u16 = 4;

/// One record as it came.
pub(super) struct Record<'a> {
    pub(super) kind: u8,
    pub(super) epoch: u16,
    /// Epoch and sequence number as they stand there.
    pub(super) number: [u8; 8],
    pub(super) body: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record of a datagram, and what follows it.
    pub(super) fn split(datagram: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = datagram.split_at_checked(RECORD_HEADER)?;
        let [kind, _, _, number @ .., high, low] = header else { return None };
        let number: [u8; 8] = number.try_into().ok()?;
        let (body, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        Some((Self { kind: *kind, epoch: u16::from_be_bytes([number[0], number[1]]), number, body }, rest))
    }
}

/// A record in the clear.
pub(super) fn record(kind: u8, sequence: u64, body: &[u8]) -> Vec<u8> {
    framed(kind, sequence.to_be_bytes(), body)
}

/// A record of a body that is sealed already, if it is to be.
pub(super) fn framed(kind: u8, number: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(RECORD_HEADER + body.len());
    out.push(kind);
    out.extend_from_slice(&VERSION);
    out.extend_from_slice(&number);
    out.extend_from_slice(&length16(body));
    out.extend_from_slice(body);
    out
}

/// A handshake message in one piece.
pub(super) fn message(kind: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let length = length24(body);
    let mut out = Vec::with_capacity(HANDSHAKE_HEADER + body.len());
    out.push(kind);
    out.extend_from_slice(&length);
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0]);
    out.extend_from_slice(&length);
    out.extend_from_slice(body);
    out
}

/// The kind of the first message in a record's body.
pub(super) fn kind_of(body: &[u8]) -> Option<u8> {
    body.first().copied()
}

/// RFC 5246 section 7.4.1.3.
pub(super) fn server_hello(random: &[u8; RANDOM], client: &Client) -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, data: &[u8]| {
        extensions.extend_from_slice(&kind.to_be_bytes());
        extensions.extend_from_slice(&length16(data));
        extensions.extend_from_slice(data);
    };
    // RFC 5746 section 3.6: clients hang up on servers that do not say it.
    if client.renegotiation_info {
        extension(RENEGOTIATION_INFO, &[0]);
    }
    extension(EXTENDED_MASTER_SECRET, &[]);
    // RFC 8422 section 5.2: uncompressed.
    if client.point_formats {
        extension(EC_POINT_FORMATS, &[1, 0]);
    }
    if let Some(profile) = client.profile {
        let [high, low] = profile.id().to_be_bytes();
        // RFC 5764 section 4.1.1: one profile, no MKI.
        extension(USE_SRTP, &[0, 2, high, low, 0]);
    }
    let mut out = VERSION.to_vec();
    out.extend_from_slice(random);
    // No session, no compression.
    out.push(0);
    out.extend_from_slice(&SUITE);
    out.push(0);
    out.extend_from_slice(&length16(&extensions));
    out.extend_from_slice(&extensions);
    out
}

/// RFC 5246 section 7.4.2.
pub(super) fn certificate(der: &[u8]) -> Vec<u8> {
    let one = [&length24(der)[..], der].concat();
    [&length24(&one)[..], &one].concat()
}

/// What is signed of RFC 8422 section 5.4's message.
pub(super) fn server_key_exchange(share: &[u8]) -> Vec<u8> {
    let length = u8::try_from(share.len()).unwrap_or(u8::MAX);
    [&NAMED_P256[..], &[length], share].concat()
}

/// RFC 5246 section 7.4.4: `rsa_sign` and `ecdsa_sign`; the authorities do not matter.
pub(super) fn certificate_request() -> Vec<u8> {
    let algorithms = [ECDSA_SHA256, RSA_SHA256, ECDSA_SHA384, RSA_SHA384, RSA_SHA512].concat();
    [&[2, 1, 64][..], &length16(&algorithms), &algorithms, &[0, 0]].concat()
}

/// A signature with its algorithm, RFC 5246 section 4.7.
pub(super) fn signed(algorithm: [u8; 2], signature: &[u8]) -> Vec<u8> {
    [&algorithm[..], &length16(signature), signature].concat()
}

/// What [`signed`] writes.
pub(super) fn read_signed(body: &[u8]) -> Option<([u8; 2], &[u8])> {
    let (algorithm, rest) = body.split_first_chunk::<2>()?;
    let (length, signature) = rest.split_first_chunk::<2>()?;
    (signature.len() == usize::from(u16::from_be_bytes(*length))).then_some((*algorithm, signature))
}

/// The client's own certificate; none if it has none of a kind that was asked for.
pub(super) fn first_certificate(body: &[u8]) -> Option<&[u8]> {
    let (all, after) = vector24(body)?;
    let (first, _) = vector24(all)?;
    (after.is_empty() && !first.is_empty()).then_some(first)
}

/// The client's point, RFC 8422 section 5.7.
pub(super) fn client_share(body: &[u8]) -> Option<&[u8]> {
    let (length, point) = body.split_first()?;
    (point.len() == usize::from(*length)).then_some(point)
}

fn vector24(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([a, b, c], rest) = bytes.split_first_chunk::<3>()?;
    rest.split_at_checked(usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c))
}

fn length16(body: &[u8]) -> [u8; 2] {
    u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes()
}

fn length24(body: &[u8]) -> [u8; 3] {
    let [_, a, b, c] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    [a, b, c]
}

/// Handshake messages on their way in: whole, in order, once.
pub(super) struct Assembly {
    expected: u16,
    waiting: BTreeMap<u16, Waiting>,
}

struct Waiting {
    kind: u8,
    pieces: Pieces,
}

/// Fragments that contradict each other, or cost too much.
#[derive(Debug)]
pub(super) struct Malformed;

impl Assembly {
    pub(super) fn new(expected: u16) -> Self {
        Self { expected, waiting: BTreeMap::new() }
    }

    /// The number of the next message.
    pub(super) fn expected(&self) -> u16 {
        self.expected
    }

    /// Takes the fragments of a record. False if all of it was had before.
    pub(super) fn take(&mut self, mut body: &[u8]) -> Result<bool, Malformed> {
        let mut news = false;
        while !body.is_empty() {
            let (header, rest) = body.split_at_checked(HANDSHAKE_HEADER).ok_or(Malformed)?;
            let [kind, t0, t1, t2, s0, s1, o0, o1, o2, l0, l1, l2] = *header else { return Err(Malformed) };
            let number = |a: u8, b: u8, c: u8| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let (total, offset, length) = (number(t0, t1, t2), number(o0, o1, o2), number(l0, l1, l2));
            let (fragment, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
            body = rest;
            let sequence = u16::from_be_bytes([s0, s1]);
            let ahead = sequence.wrapping_sub(self.expected);
            if ahead >= MAX_WAITING {
                // Old, or from nowhere.
                continue;
            }
            news = true;
            if total > MAX_MESSAGE {
                return Err(Malformed);
            }
            let new = || Waiting { kind, pieces: Pieces::of(total) };
            let waiting = self.waiting.entry(sequence).or_insert_with(new);
            if waiting.kind != kind || waiting.pieces.total() != total {
                return Err(Malformed);
            }
            waiting.pieces.add(offset, fragment).map_err(|_| Malformed)?;
        }
        Ok(news)
    }

    /// The next message, if it is all there: its kind, number and body.
    pub(super) fn next(&mut self) -> Option<(u8, u16, Vec<u8>)> {
        let first = self
            .waiting
            .first_entry()
            .filter(|e| *e.key() == self.expected && e.get().pieces.whole().is_some())?;
        let (sequence, waiting) = first.remove_entry();
        self.expected = self.expected.wrapping_add(1);
        Some((waiting.kind, sequence, waiting.pieces.into_body()))
    }
}
