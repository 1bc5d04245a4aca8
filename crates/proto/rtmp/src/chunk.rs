//! Chunks: how messages share a connection (RTMP 1.0 section 5.3).
//!
//! Owns: the chunk headers of both directions and the messages that are only partly there. Knows nothing of
//! what a message says, except the two that change how chunks are read.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{ChunkReader, Limits};
pub use writer::{ChunkWriter, write_header};

use bytes::Bytes;

/// Chunk payload bytes until a Set Chunk Size says otherwise, section 5.4.1.
pub const DEFAULT_CHUNK_SIZE: usize = 128;
/// A timestamp field of this value means that 32 bits follow, section 5.3.1.3.
const EXTENDED: u32 = 0x00ff_ffff;

/// Message types, sections 5.4, 6.2 and 7.1.
pub mod message_type {
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ABORT: u8 = 2;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW_ACK_SIZE: u8 = 5;
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA_AMF3: u8 = 15;
    pub const COMMAND_AMF3: u8 = 17;
    pub const DATA: u8 = 18;
    pub const COMMAND: u8 = 20;
    pub const AGGREGATE: u8 = 22;
}

/// A message, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Milliseconds modulo 2^32.
    pub timestamp: u32,
    /// One of [`message_type`].
    pub kind: u8,
    /// The message stream it belongs to; 0 is the connection itself.
    pub stream: u32,
    pub payload: Bytes,
}

/// A connection whose chunks cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("chunk size {0} is not between 1 and {max}", max = reader::MAX_STATED)]
    ChunkSize(u32),
    #[error("message of {0} bytes is larger than the limit of {1}")]
    TooLarge(usize, usize),
    #[error("more than {0} chunk streams")]
    TooManyStreams(usize),
    #[error("unfinished messages hold more than {0} bytes")]
    TooMuchPending(usize),
    #[error("chunk stream {0} refers to a message that never was")]
    NoPrevious(u32),
    #[error("control message of {0} bytes is too short")]
    Control(usize),
}
