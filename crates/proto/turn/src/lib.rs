//! A TURN server as a state machine: who may relay what to whom (RFC 8656, RFC 8489).
//!
//! Owns: STUN messages and their authentication, allocations with their permissions and channels, lifetimes, quotas
//! and the list of addresses that nobody may reach through this server. Knows nothing of sockets: its driver gives it
//! what clients and peers send, opens and closes a relay address when told, and sends what comes out.
//!
//! Nothing is remembered of a client before it has proved who it is: nonces carry their own time and proof.

mod access;
mod allocation;
mod framing;
mod message;
mod policy;
mod query;
mod server;

pub use access::{Access, Issued, issue_for_key, issue_for_secret};
pub use framing::{Incoming, split_stream};
pub use message::{Malformed, Message, Method};
pub use policy::{Cidr, CidrError, Policy};
pub use query::{binding_request, mapped_address};
pub use server::{Config, Counters, Deed, Flow, RelayId, Request, Server, Transport};
