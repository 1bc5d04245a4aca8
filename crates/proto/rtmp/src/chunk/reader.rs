//! Bytes to messages.

use bytes::{Buf, Bytes, BytesMut};

use super::{ChunkError, DEFAULT_CHUNK_SIZE, EXTENDED, Message, message_type};

/// A chunk cannot be larger than the largest message, whose length has 24 bits (section 5.4.1).
const MAX_CHUNK_SIZE: u32 = 0x00ff_ffff;
/// What may be said all the same, and means that.
pub(super) const MAX_STATED: u32 = 0x7fff_ffff;

/// What one connection may make us hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message.
    pub message: usize,
    /// Chunk streams with state; publishers use five.
    pub streams: usize,
    /// Bytes of all messages that are not complete.
    pub pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message: 8 << 20, streams: 64, pending: 12 << 20 }
    }
}

/// Puts the messages of one direction together.
#[derive(Debug)]
pub struct ChunkReader {
    buffer: BytesMut,
    chunk_size: usize,
    streams: Vec<Stream>,
    pending: usize,
    limits: Limits,
}

#[derive(Debug)]
struct Stream {
    id: u32,
    header: Option<Header>,
    payload: BytesMut,
}

#[derive(Debug, Clone, Copy, Default)]
struct Header {
    timestamp: u32,
    delta: u32,
    len: usize,
    kind: u8,
    message_stream: u32,
    is_extended: bool,
}

impl ChunkReader {
    pub fn new(limits: Limits) -> Self {
        Self {
            buffer: BytesMut::new(),
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
            pending: 0,
            limits,
        }
    }

    /// Other limits, for what comes from here on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// More of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message; `None` until more has come. Set Chunk Size and Abort are obeyed here and
    /// come out all the same. After an error the connection is lost.
    pub fn poll(&mut self) -> Result<Option<Message>, ChunkError> {
        while let Some(complete) = self.chunk()? {
            let Some(message) = complete else { continue };
            match message.kind {
                message_type::SET_CHUNK_SIZE => self.set_chunk_size(&message.payload)?,
                message_type::ABORT => self.abort(&message.payload)?,
                _ => {}
            }
            return Ok(Some(message));
        }
        Ok(None)
    }

    /// Reads one chunk: `None` if it is not all there, `Some(None)` if its message is not.
    fn chunk(&mut self) -> Result<Option<Option<Message>>, ChunkError> {
        let mut cursor = Cursor { bytes: &self.buffer, at: 0 };
        let Some((format, id)) = cursor.basic_header() else { return Ok(None) };
        let index = match self.streams.iter().position(|s| s.id == id) {
            Some(index) => index,
            None if self.streams.len() >= self.limits.streams => {
                return Err(ChunkError::TooManyStreams(self.limits.streams));
            }
            None => {
                self.streams.push(Stream { id, header: None, payload: BytesMut::new() });
                self.streams.len() - 1
            }
        };
        let Some(stream) = self.streams.get_mut(index) else { return Ok(None) };
        let is_first = stream.payload.is_empty();
        let Some(header) = cursor.message_header(format, stream.header, is_first, id)? else {
            return Ok(None);
        };
        if header.len > self.limits.message {
            return Err(ChunkError::TooLarge(header.len, self.limits.message));
        }
        // A new header in the middle of a message begins another one: what was there is given up.
        let restarts = !is_first && format < 3;
        let had = if restarts { 0 } else { stream.payload.len() };
        let want = header.len.saturating_sub(had).min(self.chunk_size);
        let Some(data) = cursor.bytes.get(cursor.at..cursor.at + want) else { return Ok(None) };
        if restarts {
            self.pending -= stream.payload.len();
            stream.payload.clear();
        }
        if self.pending + want > self.limits.pending {
            return Err(ChunkError::TooMuchPending(self.limits.pending));
        }
        stream.payload.extend_from_slice(data);
        stream.header = Some(header);
        self.pending += want;
        let used = cursor.at + want;
        self.buffer.advance(used);
        if stream.payload.len() < header.len {
            return Ok(Some(None));
        }
        self.pending -= stream.payload.len();
        let payload: Bytes = stream.payload.split().freeze();
        let Header { timestamp, kind, message_stream, .. } = header;
        Ok(Some(Some(Message { timestamp, kind, stream: message_stream, payload })))
    }

    fn set_chunk_size(&mut self, payload: &[u8]) -> Result<(), ChunkError> {
        let bytes = payload.first_chunk().ok_or(ChunkError::Control(payload.len()))?;
        let size = u32::from_be_bytes(*bytes);
        if size == 0 || size > MAX_STATED {
            return Err(ChunkError::ChunkSize(size));
        }
        self.chunk_size = size.min(MAX_CHUNK_SIZE) as usize;
        Ok(())
    }

    fn abort(&mut self, payload: &[u8]) -> Result<(), ChunkError> {
        let bytes = payload.first_chunk().ok_or(ChunkError::Control(payload.len()))?;
        let id = u32::from_be_bytes(*bytes);
        if let Some(stream) = self.streams.iter_mut().find(|s| s.id == id) {
            self.pending -= stream.payload.len();
            stream.payload.clear();
        }
        Ok(())
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*bytes)
    }

    /// Format and chunk stream id, in one to three bytes (section 5.3.1.1).
    fn basic_header(&mut self) -> Option<(u8, u32)> {
        let [first] = self.take()?;
        let id = match first & 0x3f {
            0 => 64 + u32::from(self.take::<1>()?[0]),
            1 => 64 + u32::from(u16::from_le_bytes(self.take()?)),
            id => u32::from(id),
        };
        Some((first >> 6, id))
    }

    /// The message header (section 5.3.1.2), completed from the one before it in its chunk stream.
    fn message_header(
        &mut self,
        format: u8,
        previous: Option<Header>,
        is_first: bool,
        id: u32,
    ) -> Result<Option<Header>, ChunkError> {
        if format > 0 && previous.is_none() {
            return Err(ChunkError::NoPrevious(id));
        }
        let mut header = previous.unwrap_or_default();
        let mut field = None;
        if format < 3 {
            let Some([a, b, c]) = self.take() else { return Ok(None) };
            field = Some(u32::from_be_bytes([0, a, b, c]));
        }
        if format < 2 {
            let Some([a, b, c, kind]) = self.take() else { return Ok(None) };
            header.len = u32::from_be_bytes([0, a, b, c]) as usize;
            header.kind = kind;
        }
        if format == 0 {
            let Some(bytes) = self.take() else { return Ok(None) };
            header.message_stream = u32::from_le_bytes(bytes);
        }
        let mut value = field.unwrap_or(header.delta);
        if let Some(field) = field {
            header.is_extended = field == EXTENDED;
        }
        if header.is_extended {
            let Some(long) = self.extended(format, &header) else { return Ok(None) };
            value = long.unwrap_or(value);
        }
        match format {
            0 => {
                header.timestamp = value;
                // A message that follows without a header repeats this distance (section 5.3.1.2.4).
                header.delta = 0;
            }
            1 | 2 => {
                header.delta = value;
                header.timestamp = header.timestamp.wrapping_add(value);
            }
            _ if is_first => header.timestamp = header.timestamp.wrapping_add(header.delta),
            _ => {}
        }
        Ok(Some(header))
    }

    /// The extended timestamp. Chunks of format 3 repeat it with most senders and leave it out with some:
    /// it is there if it is the value that the message has. A distance counts only where it was extended
    /// itself: behind a whole timestamp it is 0, and so are payloads that begin with zeros. `None` if the
    /// bytes are not there yet, `Some(None)` if the sender leaves it out.
    fn extended(&mut self, format: u8, header: &Header) -> Option<Option<u32>> {
        let at = self.at;
        let long = u32::from_be_bytes(self.take()?);
        let is_distance = header.delta >= EXTENDED && long == header.delta;
        if format == 3 && long != header.timestamp && !is_distance {
            self.at = at;
            return Some(None);
        }
        Some(if format == 3 { None } else { Some(long) })
    }
}
