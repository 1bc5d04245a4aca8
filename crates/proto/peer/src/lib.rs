//! One WebRTC transport: ICE, DTLS, SCTP and demultiplexing, either end.

mod api;

pub use api::*;
