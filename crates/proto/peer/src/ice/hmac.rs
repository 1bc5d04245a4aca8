//! HMAC-SHA1 for STUN's message integrity (RFC 8489 section 14.5).

use aws_lc_rs::hmac;
use is::Sha1HmacProvider;

/// Lends the cipher library's HMAC to the ICE library.
#[derive(Debug)]
pub(crate) struct Sha1;

impl Sha1HmacProvider for Sha1 {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let mut context = hmac::Context::with_key(&key);
        for payload in payloads {
            context.update(payload);
        }
        let mut tag = [0; 20];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_that_of_rfc_2202() {
        // RFC 2202 section 3, test case 2, its data in two parts.
        let tag = Sha1.sha1_hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            tag,
            [
                0xef, 0xfc, 0xdf, 0x6a, 0xe5, 0xeb, 0x2f, 0xa2, 0xd2, 0x74, 0x16, 0xd5, 0xf1, 0x84, 0xdf,
                0x9c, 0x25, 0x9a, 0x7c, 0x79
            ]
        );
    }
}
