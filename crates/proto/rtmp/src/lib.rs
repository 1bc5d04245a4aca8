//! RTMP as a state machine: handshake, chunks, messages, publishing and playing, either end.
//!
//! Owns: bytes of a connection to what the other end wants and sends ([`Server`], [`Client`]), and what a
//! stream's frames are as messages ([`egress`]). Knows no socket, and nothing of which streams there are.

pub mod chunk;
pub mod client;
mod connection;
pub mod egress;
pub mod handshake;
pub mod server;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use connection::{CHUNK_SIZE, Error, Media};
pub use server::Server;
