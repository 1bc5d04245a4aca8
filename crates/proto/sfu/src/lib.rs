//! The selective forwarding unit: router, producers, consumers.

mod api;

pub use api::*;
