//! Whole conferences in virtual time: clients with real transports and SRTP against routers.
#![allow(clippy::disallowed_methods)] // a test may pick any moment to begin at

mod client;
mod data;
mod layers;
mod life;
mod repair;
mod stage;
mod timing;
mod workers;
mod world;
