//! The sockets of the TURN server: clients over UDP, TCP and TLS, and a relay address for each allocation.
//!
//! Owns: listeners, connections with their bounds, relay sockets, and the short way where a relay's peer is this
//! server itself. What a message means, and who may what, is `turn`'s. Nothing is written to a socket that would
//! block: a client that reads slowly loses datagrams of its own.
//!
//! Peers that are this server are reached inside the machine: the address that clients are told may be one that
//! only a router outside knows (a 1:1 NAT), and sending there would need a hairpin.

mod clients;
mod relays;
mod service;

pub use service::{Config, Own, Service, StartError, Stats};
