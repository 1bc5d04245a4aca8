//! Messages to bytes.

use bytes::{BufMut, BytesMut};

use super::{DEFAULT_CHUNK_SIZE, EXTENDED, message_type};

/// Writes messages as chunks of format 0 and 3, which need no memory of what was sent before: so the bytes
/// of a frame are the same for every player and are made once a stream.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: usize,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self { chunk_size: DEFAULT_CHUNK_SIZE }
    }
}

impl ChunkWriter {
    /// A writer for a connection that has been told this chunk size already.
    pub fn with_chunk_size(chunk_size: usize) -> Self {
        Self { chunk_size: chunk_size.max(1) }
    }

    /// Tells the far end a larger chunk size, and uses it from here on.
    pub fn set_chunk_size(&mut self, size: u32, out: &mut BytesMut) {
        self.write(2, message_type::SET_CHUNK_SIZE, 0, 0, &size.to_be_bytes(), out);
        self.chunk_size = (size as usize).max(1);
    }

    /// Appends one message on chunk stream `chunk_stream` (2 to 63).
    pub fn write(
        &self,
        chunk_stream: u8,
        kind: u8,
        stream: u32,
        timestamp: u32,
        payload: &[u8],
        out: &mut BytesMut,
    ) {
        out.reserve(payload.len() + 18 + payload.len() / self.chunk_size * 5);
        write_header(chunk_stream, kind, stream, timestamp, payload.len(), out);
        let mut chunks = payload.chunks(self.chunk_size);
        out.put_slice(chunks.next().unwrap_or_default());
        for chunk in chunks {
            out.put_u8(0xc0 | chunk_stream);
            if timestamp >= EXTENDED {
                out.put_u32(timestamp);
            }
            out.put_slice(chunk);
        }
    }
}

/// Appends the header of a message's first chunk, format 0.
pub fn write_header(chunk_stream: u8, kind: u8, stream: u32, timestamp: u32, len: usize, out: &mut BytesMut) {
    debug_assert!((2..64).contains(&chunk_stream), "chunk stream ids of one byte are 2 to 63");
    out.put_u8(chunk_stream);
    let [_, t0, t1, t2] = timestamp.min(EXTENDED).to_be_bytes();
    let [_, l0, l1, l2] = (len as u32).to_be_bytes();
    out.put_slice(&[t0, t1, t2, l0, l1, l2, kind]);
    out.put_u32_le(stream);
    if timestamp >= EXTENDED {
        out.put_u32(timestamp);
    }
}
