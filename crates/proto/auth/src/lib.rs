//! Access tokens, grants and API keys.
//!
//! Owns: JSON Web Tokens (RFC 7519) signed with HS256, as LiveKit's server SDKs make them: which key signed,
//! whether it holds now, and what it allows. Knows nothing of HTTP, of rooms that exist, or of protobuf.
//!
//! No other algorithm is accepted, whatever a token's header says, and a secret never appears in `Debug`.

mod claims;
mod keys;
mod token;

#[cfg(test)]
mod tests;

pub use claims::{Claims, Kind, LiveGrant, SipGrant, Source, VideoGrant};
pub use keys::{ApiKeys, KeyError, Secret};
pub use token::{DEFAULT_LIFETIME, Error, LEEWAY, issue, verify};
