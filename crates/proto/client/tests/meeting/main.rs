//! Whole meetings in virtual time: the server's signalling and forwarding against participants that read
//! the protocol for themselves, over links that lose and delay.

#![allow(clippy::unwrap_used, reason = "a test's set-up")]

mod bandwidth;
mod loss;
mod plain;
mod simulcast;
mod world;
