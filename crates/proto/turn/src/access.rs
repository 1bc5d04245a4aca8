//! Who may relay: long-term credentials (RFC 8489 section 9.2) that are derived, not stored.
//!
//! Two kinds of user names are understood: those that a LiveKit server gives out, which name an API key, and those
//! of the shared-secret scheme that TURN servers have in common ("A REST API for access to TURN services"). Both
//! carry the time until which a new allocation may be made.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

/// The longest user name looked at, bytes (RFC 8489 section 14.3 has 508).
const USERNAME_MAX: usize = 508;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The secrets that credentials are derived from. Not printed.
#[derive(Clone, Default)]
pub struct Access {
    /// API keys with their secrets.
    pub keys: Vec<(String, String)>,
    /// The shared secret, if there is one.
    pub secret: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({} keys)", self.keys.len())
    }
}

/// A user name and its password, for a client.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    pub username: String,
    pub credential: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued({})", self.username)
    }
}

/// What a user name stands for.
pub(crate) struct Granted {
    /// Of the messages' integrity.
    pub(crate) key: [u8; 16],
    /// Whose allocations are counted together.
    pub(crate) user: String,
    /// Seconds since 1970 after which nothing new may be allocated.
    pub(crate) expires: u64,
}

/// Credentials of `participant` that hold until `expires`, seconds since 1970, by an API key.
pub fn issue_for_key(key: &str, secret: &str, participant: &str, expires: u64) -> Issued {
    let username = base62(format!("{key}|{participant}|{expires}").as_bytes());
    Issued { username, credential: key_credential(secret, participant, expires) }
}

/// The same by a shared secret.
pub fn issue_for_secret(secret: &str, user: &str, expires: u64) -> Issued {
    let username = format!("{expires}:{user}");
    let credential = secret_credential(secret, &username);
    Issued { username, credential }
}

fn key_credential(secret: &str, participant: &str, expires: u64) -> String {
    let text = format!("{secret}|{participant}|{expires}");
    base62(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn secret_credential(secret: &str, username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, username.as_bytes()))
}

/// RFC 8489 section 9.2.2.
pub(crate) fn long_term_key(username: &str, realm: &str, password: &str) -> [u8; 16] {
    let mut md5 = Md5::new();
    for part in [username, ":", realm, ":", password] {
        md5.update(part);
    }
    md5.finalize().into()
}

impl Access {
    /// What `username` may do; `None` if no secret of ours gives it a password.
    pub(crate) fn grant(&self, username: &str, realm: &str) -> Option<Granted> {
        if username.len() > USERNAME_MAX {
            return None;
        }
        let (user, expires, password) = self
            .by_secret(username)
            .or_else(|| self.by_key(username))
            .filter(|(user, ..)| !user.is_empty())?;
        Some(Granted { key: long_term_key(username, realm, &password), user, expires })
    }

    fn by_secret(&self, username: &str) -> Option<(String, u64, String)> {
        let (secret, (expires, user)) = (self.secret.as_ref()?, username.split_once(':')?);
        Some((user.into(), expires.parse().ok()?, secret_credential(secret, username)))
    }

    fn by_key(&self, username: &str) -> Option<(String, u64, String)> {
        let text = String::from_utf8(unbase62(username)?).ok()?;
        let mut parts = text.split('|');
        let (key, participant, expires) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        let (_, secret) = self.keys.iter().find(|(known, _)| known == key)?;
        let whole = parts.next().is_none();
        whole.then(|| (participant.into(), expires, key_credential(secret, participant, expires)))
    }
}

/// The bytes as one big-endian number in base 62.
fn base62(bytes: &[u8]) -> String {
    let digits = convert(bytes.iter().copied(), 256, 62);
    digits.into_iter().rev().filter_map(|d| BASE62.get(usize::from(d)).map(|c| char::from(*c))).collect()
}

fn unbase62(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| BASE62.iter().position(|known| *known == c).map(|at| at as u8);
    let digits: Vec<u8> = text.bytes().map(digit).collect::<Option<_>>()?;
    let mut bytes = convert(digits.into_iter(), 62, 256);
    bytes.reverse();
    Some(bytes)
}

/// A number from digits, first one first, to digits in another base, last one first.
fn convert(digits: impl Iterator<Item = u8>, from: u32, to: u32) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for digit in digits {
        let mut carry = u32::from(digit);
        for place in &mut out {
            let value = u32::from(*place) * from + carry;
            *place = (value % to) as u8;
            carry = value / to;
        }
        while carry > 0 {
            out.push((carry % to) as u8);
            carry /= to;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_term_key_is_that_of_rfc_8489() {
        // RFC 8489 section 9.2.2: 'user', 'realm', 'pass'.
        let key = long_term_key("user", "realm", "pass");
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "8493fbc53ba582fb4c044c456bdc40eb");
    }

    #[test]
    fn what_is_issued_is_granted_and_what_is_not_is_not() {
        let keys = vec![("other".into(), "x".into()), ("APIkey".into(), "s3cret".into())];
        let access = Access { keys, secret: Some("shared".into()) };
        for (issued, user) in [
            (issue_for_key("APIkey", "s3cret", "PA_1", 1234), "PA_1"),
            (issue_for_secret("shared", "PA_2", 1234), "PA_2"),
        ] {
            let granted = access.grant(&issued.username, "livekit").unwrap();
            assert_eq!((granted.user.as_str(), granted.expires), (user, 1234));
            assert_eq!(granted.key, long_term_key(&issued.username, "livekit", &issued.credential));
            assert!(issued.username.bytes().all(|c| c.is_ascii_alphanumeric() || c == b':' || c == b'_'));
            assert!(!format!("{issued:?}").contains(&issued.credential));
        }
        let forged = issue_for_key("nobody", "s3cret", "PA_1", 1234);
        let long = "9".repeat(600);
        for username in [&forged.username, "", ":", "x:y", "1234:", "0", "é", &long, "zzzz"] {
            assert!(access.grant(username, "livekit").is_none(), "{username}");
        }
        assert!(Access::default().grant("1234:PA", "livekit").is_none(), "no secret, no access");
    }

    #[test]
    fn base_62_goes_both_ways() {
        for bytes in [&b"a"[..], b"key|PA_x|1700000000", &[0xff; 32], &[1, 0, 0]] {
            assert_eq!(unbase62(&base62(bytes)).unwrap(), bytes);
        }
        assert_eq!(base62(&[61]), "z");
        assert_eq!(base62(&[62]), "10");
        assert_eq!(unbase62("a-b"), None);
    }
}
