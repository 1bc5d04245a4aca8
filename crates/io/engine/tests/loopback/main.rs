//! Engines and clients over real sockets of this machine. Nothing sleeps: clients and rooms wait for
//! datagrams and events, with a deadline.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

mod client;
mod line;
mod media;
mod pressure;
mod stage;
mod tcp;
