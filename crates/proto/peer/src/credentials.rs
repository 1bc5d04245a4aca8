//! Credentials that say where a transport lives.

use rand::{CryptoRng, Rng};

use crate::Credentials;

/// What a user fragment and password may be made of, RFC 8839 section 5.4. Sixty-four characters: six bits
/// each.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Random characters in a user fragment: 60 bits, where RFC 8445 section 5.3 asks for 24.
const UFRAG_RANDOM: usize = 10;
/// Random characters in a password: 144 bits, where RFC 8445 section 5.3 asks for 128.
const PWD_LEN: usize = 24;

impl Credentials {
    /// Fresh credentials for a transport on `worker`, whose index stands in the user fragment
    /// ([`home_of`]), so that a datagram on a shared port finds its way without a table.
    ///
    /// The generator must be one whose output cannot be foretold: the password is all that keeps a stranger
    /// from redirecting a transport.
    pub fn generate<R: CryptoRng + ?Sized>(worker: u8, rng: &mut R) -> Self {
        let mut ufrag = String::with_capacity(2 + UFRAG_RANDOM);
        ufrag.push(hex(worker >> 4));
        ufrag.push(hex(worker & 15));
        for _ in 0..UFRAG_RANDOM {
            ufrag.push(ice_char(rng));
        }
        let pwd = (0..PWD_LEN).map(|_| ice_char(rng)).collect();
        Self { ufrag, pwd }
    }
}

/// The worker that a user fragment from [`Credentials::generate`] names; `None` for any other.
pub fn home_of(ufrag: &str) -> Option<u8> {
    match ufrag.as_bytes() {
        [high, low, random @ ..] if random.len() == UFRAG_RANDOM => Some(unhex(*high)? << 4 | unhex(*low)?),
        _ => None,
    }
}

fn ice_char<R: CryptoRng + ?Sized>(rng: &mut R) -> char {
    let bits = usize::from(rng.random::<u8>() & 63);
    char::from(ICE_CHARS[bits])
}

fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

fn unhex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn every_worker_is_read_back_from_its_user_fragment() {
        let mut rng = StdRng::seed_from_u64(7);
        for worker in 0..=u8::MAX {
            let credentials = Credentials::generate(worker, &mut rng);
            assert_eq!(home_of(&credentials.ufrag), Some(worker));
            let ice_chars = |s: &str| s.bytes().all(|c| ICE_CHARS.contains(&c));
            assert!(ice_chars(&credentials.ufrag) && ice_chars(&credentials.pwd));
            assert!(credentials.ufrag.len() >= 4 && credentials.pwd.len() >= 22);
        }
    }

    #[test]
    fn foreign_user_fragments_have_no_home() {
        for ufrag in ["", "0", "00", "evtj", "0gAAAAAAAAAA", "00AAAAAAAAA", "00AAAAAAAAAAA", "é0AAAAAAAAA"] {
            assert_eq!(home_of(ufrag), None, "{ufrag}");
        }
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let credentials = Credentials::generate(0, &mut StdRng::seed_from_u64(1));
        assert!(!format!("{credentials:?}").contains(&credentials.pwd));
    }
}
