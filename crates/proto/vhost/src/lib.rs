//! Virtual hosts of live streams.
//!
//! Owns: domains and their applications with all that can be set for them ([`App`]), what a stream is called
//! in the addresses of every protocol ([`Directory`]), and who may publish and play it ([`Access`]). Knows no
//! socket and no stream that exists.

mod access;
mod app;
mod directory;
mod query;

pub use access::{Access, Action, Bearer, Refusal};
pub use app::{App, Callbacks, Hls, HlsContainer, Origin, Policy, Protocol, Protocols, Push, StreamKey};
pub use directory::{AddressError, DEFAULT_DOMAIN, Directory, Domain, FilePlace, Place};
pub use query::Query;
