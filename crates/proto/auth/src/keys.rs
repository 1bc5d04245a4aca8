//! API keys and their secrets.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::hmac;

/// A secret that signs tokens. It cannot be read back or printed.
#[derive(Clone)]
pub struct Secret {
    key: hmac::Key,
    len: usize,
}

/// Shorter secrets can be guessed: HS256 wants as many bits as its hash has (RFC 7518 section 3.2).
const SHORT_SECRET: usize = 32;

impl Secret {
    /// `None` if it is empty: everybody knows that one.
    pub fn new(secret: &str) -> Option<Self> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        (!secret.is_empty()).then_some(Self { key, len: secret.len() })
    }

    /// Shorter than RFC 7518 asks for. It works, but whoever starts the server should be told.
    pub fn is_short(&self) -> bool {
        self.len < SHORT_SECRET
    }

    pub(crate) fn sign(&self, input: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, input)
    }

    /// In constant time.
    pub(crate) fn verify(&self, input: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.key, input, tag).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("an API key is empty")]
    EmptyKey,
    #[error("the secret of API key {0:?} is empty")]
    EmptySecret(String),
}

/// All API keys that are valid at once.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys {
    keys: BTreeMap<String, Secret>,
}

impl ApiKeys {
    /// No key: nobody can do anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a key.
    pub fn insert(&mut self, key: &str, secret: &str) -> Result<(), KeyError> {
        if key.is_empty() {
            return Err(KeyError::EmptyKey);
        }
        let secret = Secret::new(secret).ok_or_else(|| KeyError::EmptySecret(key.to_owned()))?;
        self.keys.insert(key.to_owned(), secret);
        Ok(())
    }

    /// The secret of `key`.
    pub fn get(&self, key: &str) -> Option<&Secret> {
        self.keys.get(key)
    }

    /// Any one key, always the same: the one that signs the tokens which the server itself makes.
    pub fn signing(&self) -> Option<(&str, &Secret)> {
        self.keys.first_key_value().map(|(key, secret)| (key.as_str(), secret))
    }

    /// The keys' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Names of keys whose secret is too short.
    pub fn short(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter(|(_, s)| s.is_short()).map(|(k, _)| k.as_str())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
