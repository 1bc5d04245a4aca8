//! Whole conferences in virtual time: clients with real transports and SRTP against routers.
#![allow(clippy::disallowed_methods)] // a test may pick any moment to begin at
#![allow(clippy::unwrap_used)] // what is not there fails the test

mod allocations;
mod bandwidth;
mod client;
mod codecs;
mod data;
mod extensions;
mod hostile;
mod layers;
mod life;
mod repair;
mod stage;
mod timing;
mod workers;
mod world;
