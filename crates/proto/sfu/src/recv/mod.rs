//! Receiving from publishers: what a good RTP receiver owes a sender.
//!
//! Each module is one duty, knows one stream (or one transport) and none of the others.

pub(crate) mod keyframes;
pub(crate) mod nack;
pub(crate) mod remb;
pub(crate) mod stream;
pub(crate) mod twcc;
