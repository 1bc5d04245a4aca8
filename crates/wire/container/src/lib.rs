//! Containers of live streams: how frames lie in a file, a segment or an RTMP message.
//!
//! Owns: the bytes around a frame. Knows nothing of streams over time, of sockets, or of what a decoder
//! makes of the payload. Every parser takes untrusted bytes and trusts no length before it is there.

pub mod amf;
pub mod flv;
pub mod fmp4;
pub mod ts;
