//! Signatures: ours, and the client's proof that it has the key of its certificate (RFC 5246 section 7.4.8).
//!
//! Of an X.509 certificate (RFC 5280 section 4.1) only the public key is read: in WebRTC it is the fingerprint that
//! says whose it is, and dates and names mean nothing (RFC 8827 section 6.5).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};

use super::message::{ECDSA_SHA256, ECDSA_SHA384, RSA_SHA256, RSA_SHA384, RSA_SHA512, read_signed, signed};

/// Bytes of an uncompressed point, SEC 1 section 2.3.3.
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;

/// DER tags, X.690 section 8.
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`, the version.
const VERSION: u8 = 0xa0;

/// A signature by our key, which is PKCS #8 in DER, with its algorithm.
pub(super) fn sign(key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).ok()?;
    let signature = key.sign(&SystemRandom::new(), data).ok()?;
    Some(signed(ECDSA_SHA256, signature.as_ref()))
}

/// Whether a `CertificateVerify` signs `transcript` with the certificate's key.
pub(super) fn is_proof(certificate: &[u8], transcript: &[u8], body: &[u8]) -> bool {
    let (Some(key), Some((algorithm, signature))) = (PublicKey::of(certificate), read_signed(body)) else {
        return false;
    };
    // In TLS 1.2 the algorithm says the hash, and the key the curve (RFC 8422 section 5.3).
    let (verification, bytes): (&'static dyn VerificationAlgorithm, _) = match (algorithm, key.bits.len()) {
        (RSA_SHA256, _) => (&RSA_PKCS1_2048_8192_SHA256, key.info),
        (RSA_SHA384, _) => (&RSA_PKCS1_2048_8192_SHA384, key.info),
        (RSA_SHA512, _) => (&RSA_PKCS1_2048_8192_SHA512, key.info),
        (ECDSA_SHA256, P256_POINT) => (&ECDSA_P256_SHA256_ASN1, key.bits),
        (ECDSA_SHA384, P256_POINT) => (&ECDSA_P256_SHA384_ASN1, key.bits),
        (ECDSA_SHA256, P384_POINT) => (&ECDSA_P384_SHA256_ASN1, key.bits),
        (ECDSA_SHA384, P384_POINT) => (&ECDSA_P384_SHA384_ASN1, key.bits),
        _ => return false,
    };
    UnparsedPublicKey::new(verification, bytes).verify(transcript, signature).is_ok()
}

/// The public key of a certificate.
struct PublicKey<'a> {
    /// `SubjectPublicKeyInfo`, whole.
    info: &'a [u8],
    /// Its `BIT STRING` without the count of unused bits.
    bits: &'a [u8],
}

impl<'a> PublicKey<'a> {
    fn of(certificate: &'a [u8]) -> Option<Self> {
        let (certificate, _) = element(certificate, SEQUENCE)?;
        let (mut signed, _) = element(certificate.content, SEQUENCE).map(|(e, rest)| (e.content, rest))?;
        if let Some((_, rest)) = element(signed, VERSION) {
            signed = rest;
        }
        // Serial number, signature, issuer, validity, subject.
        for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
            signed = element(signed, tag)?.1;
        }
        let (info, _) = element(signed, SEQUENCE)?;
        let (_algorithm, rest) = element(info.content, SEQUENCE)?;
        let (bits, _) = element(rest, BIT_STRING)?;
        let (0, bits) = bits.content.split_first().map(|(unused, bits)| (*unused, bits))? else {
            return None;
        };
        Some(Self { info: info.whole, bits })
    }
}

struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

/// The first element, which must have this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match usize::from(*first) {
        short @ 0..0x80 => (short, rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(long & 0x7f)?;
            // A certificate fits into a message, whose length has three bytes.
            if bytes.is_empty() || bytes.len() > 3 {
                return None;
            }
            (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
    };
    let (content, after) = rest.split_at_checked(len)?;
    let whole = der.get(..der.len() - after.len())?;
    (*found == tag).then_some((Element { whole, content }, after))
}
