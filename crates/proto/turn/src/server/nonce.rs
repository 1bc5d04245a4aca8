//! Nonces that remember themselves (RFC 8489 section 9.2): the time of issue, and a proof that it was ours.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;

/// Bytes of the proof that are shown: nobody guesses 64 bits within a nonce's life.
const PROOF: usize = 8;

pub(super) struct Nonces {
    key: hmac::Key,
    lifetime: Duration,
}

impl Nonces {
    pub(super) fn new(seed: &[u8; 32], lifetime: Duration) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, seed), lifetime }
    }

    /// One for a client at `ip`, at `unix` since 1970.
    pub(super) fn issue(&self, unix: Duration, ip: IpAddr) -> String {
        let seconds = unix.as_secs();
        let proof: String = self.proof(seconds, ip).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{seconds:x}.{proof}")
    }

    pub(super) fn is_fresh(&self, nonce: &str, unix: Duration, ip: IpAddr) -> bool {
        let seconds = nonce.split_once('.').and_then(|(seconds, _)| u64::from_str_radix(seconds, 16).ok());
        let Some(seconds) = seconds else { return false };
        let age = unix.as_secs().checked_sub(seconds);
        let fresh = age.is_some_and(|age| age < self.lifetime.as_secs());
        fresh && nonce == self.issue(Duration::from_secs(seconds), ip)
    }

    fn proof(&self, seconds: u64, ip: IpAddr) -> [u8; PROOF] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&seconds.to_be_bytes());
        match ip {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        let mut proof = [0; PROOF];
        for (place, byte) in proof.iter_mut().zip(context.sign().as_ref()) {
            *place = *byte;
        }
        proof
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonces({:?})", self.lifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_time_and_its_client() {
        let nonces = Nonces::new(&[7; 32], Duration::from_secs(60));
        let (ip, at) = (IpAddr::from([192, 0, 2, 1]), Duration::from_secs(1_700_000_000));
        let nonce = nonces.issue(at, ip);
        let after = |s| at + Duration::from_secs(s);
        assert!(nonces.is_fresh(&nonce, at, ip) && nonces.is_fresh(&nonce, after(59), ip));
        assert!(!nonces.is_fresh(&nonce, after(60), ip), "too old");
        assert!(!nonces.is_fresh(&nonce, at - Duration::from_secs(1), ip), "from the future");
        assert!(!nonces.is_fresh(&nonce, at, IpAddr::from([192, 0, 2, 2])), "somebody else's");
        assert!(!Nonces::new(&[8; 32], Duration::from_secs(60)).is_fresh(&nonce, at, ip), "another server's");
        for made_up in
            ["", ".", "6553f100.", "6553f100.0000000000000000", "zz.00", &nonce[1..], &format!("{nonce}0")]
        {
            assert!(!nonces.is_fresh(made_up, at, ip), "{made_up}");
        }
    }
}
