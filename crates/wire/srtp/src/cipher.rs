//! The two kinds of packet protection under one face: encrypt and tag, verify and decrypt, in place.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

use crate::keys::KeyError;
use crate::{Profile, RTCP_HEADER, RTCP_TRAILER};

/// A session key of one direction, for RTP or for RTCP.
pub(crate) enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    Cm(Box<CounterMode>),
}

/// AES-CM and its authenticator; boxed, being three times as large as GCM's key and the rarer one.
pub(crate) struct CounterMode {
    key: EncryptingKey,
    mac: hmac::Key,
    salt: [u8; 16],
}

/// Verification failed, or a length makes no sense.
pub(crate) struct Failed;

/// A tag with room for the longest.
pub(crate) type Tag = [u8; 16];

impl Cipher {
    pub(crate) fn new(profile: Profile, key: &[u8], salt: &[u8], auth: &[u8]) -> Result<Self, KeyError> {
        let aead = match profile {
            Profile::Aes128CmSha1_80 => {
                let key = UnboundCipherKey::new(&AES_128, key).map_err(|_| KeyError::Refused)?;
                let mut padded = [0; 16];
                padded.get_mut(..salt.len()).ok_or(KeyError::Refused)?.copy_from_slice(salt);
                return Ok(Self::Cm(Box::new(CounterMode {
                    key: EncryptingKey::ctr(key).map_err(|_| KeyError::Refused)?,
                    mac: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth),
                    salt: padded,
                })));
            }
            Profile::AeadAes128Gcm => &AES_128_GCM,
            Profile::AeadAes256Gcm => &AES_256_GCM,
        };
        let key = UnboundKey::new(aead, key).map_err(|_| KeyError::Refused)?;
        let salt = salt.try_into().map_err(|_| KeyError::Refused)?;
        Ok(Self::Gcm { key: LessSafeKey::new(key), salt })
    }

    /// Reads what is at hand of the key.
    pub(crate) fn warm(&self) -> u64 {
        match self {
            Self::Gcm { salt, .. } => u64::from(salt[0]),
            Self::Cm(cm) => u64::from(cm.salt[0]),
        }
    }

    /// Encrypts `body` and returns its tag over `header` and `body`, for the packet `index` of `ssrc`.
    pub(crate) fn seal_rtp(
        &self,
        ssrc: u32,
        index: u64,
        header: &[u8],
        body: &mut [u8],
    ) -> Result<Tag, Failed> {
        match self {
            Self::Gcm { key, salt } => seal_gcm(key, gcm_nonce(salt, ssrc, index), header, body),
            Self::Cm(cm) => {
                cm.apply(ssrc, index, body)?;
                Ok(cm.tag(&[header, body, &rollover(index)]))
            }
        }
    }

    /// Verifies `tag` over `header` and `body`, then decrypts `body`.
    pub(crate) fn open_rtp(
        &self,
        ssrc: u32,
        index: u64,
        header: &[u8],
        body: &mut [u8],
        tag: &[u8],
    ) -> Result<(), Failed> {
        match self {
            Self::Gcm { key, salt } => open_gcm(key, gcm_nonce(salt, ssrc, index), header, body, tag),
            Self::Cm(cm) => {
                let expected = cm.tag(&[header, body, &rollover(index)]);
                verify_cm(&expected, tag)?;
                cm.apply(ssrc, index, body)
            }
        }
    }

    /// As [`Cipher::seal_rtp`], for SRTCP: the trailer (E flag and index) is authenticated too.
    pub(crate) fn seal_rtcp(
        &self,
        ssrc: u32,
        index: u32,
        header: &[u8],
        body: &mut [u8],
        trailer: [u8; RTCP_TRAILER],
    ) -> Result<Tag, Failed> {
        match self {
            Self::Gcm { key, salt } => {
                let aad = rtcp_aad(header, trailer)?;
                seal_gcm(key, gcm_nonce(salt, ssrc, u64::from(index)), &aad, body)
            }
            Self::Cm(cm) => {
                cm.apply(ssrc, u64::from(index), body)?;
                Ok(cm.tag(&[header, body, &trailer]))
            }
        }
    }

    /// As [`Cipher::open_rtp`], for SRTCP.
    pub(crate) fn open_rtcp(
        &self,
        ssrc: u32,
        index: u32,
        header: &[u8],
        body: &mut [u8],
        trailer: [u8; RTCP_TRAILER],
        tag: &[u8],
    ) -> Result<(), Failed> {
        match self {
            Self::Gcm { key, salt } => {
                let aad = rtcp_aad(header, trailer)?;
                open_gcm(key, gcm_nonce(salt, ssrc, u64::from(index)), &aad, body, tag)
            }
            Self::Cm(cm) => {
                let expected = cm.tag(&[header, body, &trailer]);
                verify_cm(&expected, tag)?;
                cm.apply(ssrc, u64::from(index), body)
            }
        }
    }
}

/// Two zero bytes, SSRC, and the 48-bit index, masked with the salt: RFC 7714 sections 8.1 and 9.1. An
/// SRTCP index has 31 bits, which puts the zeroes of section 9.1 in their place.
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let word = (u128::from(ssrc) << 48) | u128::from(index & 0xffff_ffff_ffff);
    let mut nonce = [0; 12];
    for (byte, (salt, value)) in nonce.iter_mut().zip(salt.iter().zip(&word.to_be_bytes()[4..])) {
        *byte = salt ^ value;
    }
    Nonce::assume_unique_for_key(nonce)
}

fn seal_gcm(key: &LessSafeKey, nonce: Nonce, aad: &[u8], body: &mut [u8]) -> Result<Tag, Failed> {
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), body).map_err(|_| Failed)?;
    tag.as_ref().try_into().map_err(|_| Failed)
}

fn open_gcm(key: &LessSafeKey, nonce: Nonce, aad: &[u8], body: &mut [u8], tag: &[u8]) -> Result<(), Failed> {
    key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, body).map_err(|_| Failed)?;
    Ok(())
}

/// The SRTCP header and trailer side by side, RFC 7714 section 9.2.
fn rtcp_aad(header: &[u8], trailer: [u8; RTCP_TRAILER]) -> Result<[u8; RTCP_HEADER + RTCP_TRAILER], Failed> {
    let mut aad = [0; RTCP_HEADER + RTCP_TRAILER];
    let (front, back) = aad.split_at_mut(RTCP_HEADER);
    if header.len() != RTCP_HEADER {
        return Err(Failed);
    }
    front.copy_from_slice(header);
    back.copy_from_slice(&trailer);
    Ok(aad)
}

impl CounterMode {
    /// XORs the key stream over `body`: RFC 3711 section 4.1.1. The salt's and the counter's last 16 bits
    /// are the block counter, which a datagram cannot exhaust.
    fn apply(&self, ssrc: u32, index: u64, body: &mut [u8]) -> Result<(), Failed> {
        let word = (u128::from(ssrc) << 64) | (u128::from(index & 0xffff_ffff_ffff) << 16);
        let iv = (u128::from_be_bytes(self.salt) ^ word).to_be_bytes();
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        self.key.less_safe_encrypt(body, context).map_err(|_| Failed)?;
        Ok(())
    }

    /// HMAC-SHA1 over `parts`; the first ten bytes are the tag, RFC 3711 section 4.2.
    fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.mac);
        for part in parts {
            context.update(part);
        }
        let full = context.sign();
        let mut tag = [0; 16];
        for (to, from) in tag.iter_mut().zip(full.as_ref()) {
            *to = *from;
        }
        tag
    }
}

fn verify_cm(expected: &Tag, tag: &[u8]) -> Result<(), Failed> {
    let expected = expected.get(..tag.len()).ok_or(Failed)?;
    verify_slices_are_equal(expected, tag).map_err(|_| Failed)
}

/// The rollover counter as it is authenticated under HMAC-SHA1, RFC 3711 section 4.2.
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}
