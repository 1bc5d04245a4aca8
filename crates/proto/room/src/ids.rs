//! Names of things, as clients see them.

use std::fmt;

use rand::Rng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

/// Letters of an id: digits and letters that are not mistaken for one another.
const ALPHABET: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Random letters of an id, after its prefix.
const RANDOM_LETTERS: usize = 12;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub String);

        impl $name {
            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

id! {
    /// One life of a room, `RM_…`.
    RoomSid
}
id! {
    /// One stay of a participant, `PA_…`; a participant who comes back has another.
    ParticipantSid
}
id! {
    /// A published track, `TR_…`.
    TrackSid
}

/// A fresh id that starts with `prefix`.
pub(crate) fn random(prefix: &str, rng: &mut SmallRng) -> String {
    let mut id = String::with_capacity(prefix.len() + RANDOM_LETTERS);
    id.push_str(prefix);
    for _ in 0..RANDOM_LETTERS {
        id.push(char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
    }
    id
}
