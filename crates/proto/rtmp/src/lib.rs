//! RTMP as a state machine: handshake, chunks, messages, publishing and playing, either end.

pub mod chunk;
pub mod handshake;
