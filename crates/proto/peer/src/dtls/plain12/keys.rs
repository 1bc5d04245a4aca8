//! Keys of DTLS 1.2: the exchange, what is derived from it (RFC 5246 sections 5, 6.3 and 8.1), and sealed records
//! (RFC 5288).

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::{constant_time, digest, hmac, rand};

use super::message::{Record, VERSION, framed};

/// Of each side's random number, bytes.
pub(super) const RANDOM: usize = 32;
/// Of a `Finished` message, bytes.
pub(super) const VERIFY_DATA: usize = 12;
/// RFC 5246 section 8.1.
const MASTER: usize = 48;
/// AES-128.
const KEY: usize = 16;
/// The part of a nonce that both sides derive, RFC 5288 section 3.
const SALT: usize = 4;
/// The part that stands in the record.
const EXPLICIT: usize = 8;
const TAG: usize = 16;
/// Records that may come late, RFC 6347 section 4.1.2.6.
const WINDOW: u64 = 64;
/// Epoch 1 in a record's number.
const SEALED_EPOCH: u64 = 1 << 48;

pub(super) fn random() -> Option<[u8; RANDOM]> {
    let mut bytes = [0; RANDOM];
    rand::fill(&mut bytes).ok().map(|()| bytes)
}

/// Our half of the key exchange, of P-256.
pub(super) struct Exchange {
    private: PrivateKey,
    share: Vec<u8>,
}

impl Exchange {
    pub(super) fn new() -> Option<Self> {
        let private = PrivateKey::generate(&ECDH_P256).ok()?;
        let share = private.compute_public_key().ok()?.as_ref().to_vec();
        Some(Self { private, share })
    }

    /// The uncompressed point.
    pub(super) fn share(&self) -> &[u8] {
        &self.share
    }
}

/// What both sides share once the client has sent its share.
pub(super) struct Keys {
    master: [u8; MASTER],
    client: Half,
    server: Half,
    /// Of our next record.
    sequence: u64,
    /// The latest record of the client's, and which of those before it have come: bit 0 is the latest.
    latest: u64,
    seen: u64,
}

struct Half {
    key: LessSafeKey,
    salt: [u8; SALT],
}

impl Keys {
    /// `transcript` ends with the client's key exchange (RFC 7627 section 4).
    pub(super) fn derive(
        exchange: Exchange,
        theirs: &[u8],
        transcript: &[u8],
        client_random: &[u8],
        server_random: &[u8],
    ) -> Option<Self> {
        let session = digest::digest(&digest::SHA256, transcript);
        let theirs = UnparsedPublicKey::new(&ECDH_P256, theirs);
        let mut master = [0; MASTER];
        agreement::agree(&exchange.private, theirs, (), |premaster| {
            expand(premaster, b"extended master secret", session.as_ref(), &mut master);
            Ok(())
        })
        .ok()?;
        let mut block = [0; 2 * (KEY + SALT)];
        let seed = [server_random, client_random].concat();
        expand(&master, b"key expansion", &seed, &mut block);
        let (keys, salts) = block.split_at_checked(2 * KEY)?;
        let half = |key: &[u8], salt: &[u8]| {
            let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).ok()?);
            Some(Half { key, salt: salt.try_into().ok()? })
        };
        let client = half(keys.get(..KEY)?, salts.get(..SALT)?)?;
        let server = half(keys.get(KEY..)?, salts.get(SALT..)?)?;
        Some(Self { master, client, server, sequence: 0, latest: 0, seen: 0 })
    }

    /// Whether this is what the client's `Finished` must say.
    pub(super) fn is_finished(&self, transcript: &[u8], said: &[u8]) -> bool {
        let expected = self.verify_data(b"client finished", transcript);
        constant_time::verify_slices_are_equal(&expected, said).is_ok()
    }

    /// What ours says.
    pub(super) fn finished(&self, transcript: &[u8]) -> Option<[u8; VERIFY_DATA]> {
        Some(self.verify_data(b"server finished", transcript))
    }

    fn verify_data(&self, label: &[u8], transcript: &[u8]) -> [u8; VERIFY_DATA] {
        let mut out = [0; VERIFY_DATA];
        let hash = digest::digest(&digest::SHA256, transcript);
        expand(&self.master, label, hash.as_ref(), &mut out);
        out
    }

    /// RFC 5705 section 4, under SRTP's label.
    pub(super) fn export(&self, client_random: &[u8], server_random: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; len];
        let seed = [client_random, server_random].concat();
        expand(&self.master, b"EXTRACTOR-dtls_srtp", &seed, &mut out);
        Some(out)
    }

    /// A whole record. `None` once the numbers have run out, and for a body that no record holds.
    pub(super) fn seal(&mut self, kind: u8, plain: &[u8]) -> Option<Vec<u8>> {
        if self.sequence >= SEALED_EPOCH {
            return None;
        }
        let number = (SEALED_EPOCH | self.sequence).to_be_bytes();
        self.sequence += 1;
        let aad = aad(number, kind, plain.len())?;
        let mut body = plain.to_vec();
        self.server.key.seal_in_place_append_tag(self.server.nonce(number), aad, &mut body).ok()?;
        let body = [&number[..], &body].concat();
        u16::try_from(body.len()).ok()?;
        Some(framed(kind, number, &body))
    }

    /// What a record says, if it is the client's and new.
    pub(super) fn open(&mut self, record: &Record<'_>) -> Option<Vec<u8>> {
        let sequence = u64::from_be_bytes(record.number) & (SEALED_EPOCH - 1);
        if !self.is_new(sequence) {
            return None;
        }
        let (explicit, sealed) = record.body.split_first_chunk::<EXPLICIT>()?;
        let aad = aad(record.number, record.kind, sealed.len().checked_sub(TAG)?)?;
        let mut body = sealed.to_vec();
        let len = self.client.key.open_in_place(self.client.nonce(*explicit), aad, &mut body).ok()?.len();
        body.truncate(len);
        self.note(sequence);
        Some(body)
    }

    fn is_new(&self, sequence: u64) -> bool {
        match self.latest.checked_sub(sequence) {
            // Bit 0 is not set before the first.
            Some(age) => age < WINDOW && self.seen >> age & 1 == 0,
            None => true,
        }
    }

    fn note(&mut self, sequence: u64) {
        if let Some(ahead) = sequence.checked_sub(self.latest) {
            self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 } | 1;
            self.latest = sequence;
        } else {
            self.seen |= 1 << (self.latest - sequence).min(WINDOW - 1);
        }
    }
}

impl Half {
    fn nonce(&self, explicit: [u8; EXPLICIT]) -> Nonce {
        let mut nonce = [0; SALT + EXPLICIT];
        let (salt, rest) = nonce.split_at_mut(SALT);
        salt.copy_from_slice(&self.salt);
        rest.copy_from_slice(&explicit);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// RFC 5246 section 6.2.3.3, with DTLS's record number.
fn aad(number: [u8; 8], kind: u8, len: usize) -> Option<Aad<[u8; 13]>> {
    let mut aad = [0; 13];
    let (front, rest) = aad.split_at_mut(8);
    front.copy_from_slice(&number);
    let [high, low] = u16::try_from(len).ok()?.to_be_bytes();
    rest.copy_from_slice(&[kind, VERSION[0], VERSION[1], high, low]);
    Some(Aad::from(aad))
}

/// The pseudorandom function of RFC 5246 section 5, with SHA-256.
fn expand(secret: &[u8], label: &[u8], seed: &[u8], out: &mut [u8]) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let seed = [label, seed].concat();
    let mut a = hmac::sign(&key, &seed);
    for chunk in out.chunks_mut(32) {
        let block = hmac::sign(&key, &[a.as_ref(), &seed].concat());
        for (to, from) in chunk.iter_mut().zip(block.as_ref()) {
            *to = *from;
        }
        a = hmac::sign(&key, a.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors for TLS 1.2's PRF with SHA-256, from the IETF TLS working group's list (2009-02-12).
    #[test]
    fn the_pseudorandom_function_is_that_of_the_vectors() {
        let hex = |text: &str| -> Vec<u8> {
            let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            (0..text.len()).step_by(2).map(byte).collect()
        };
        let secret = hex("9bbe436ba940f017b17652849a71db35");
        let seed = hex("a0ba9f936cda311827a6f796ffd5198c");
        let mut out = [0; 100];
        expand(&secret, b"test label", &seed, &mut out);
        let expected = "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af\
                        0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
                        87347b66";
        assert_eq!(out.to_vec(), hex(expected));
    }
}
