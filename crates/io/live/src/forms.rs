//! What a stream's frames are on the wire, made once and shared by all of its players.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut as _, Bytes, BytesMut};
use media::{Beside, Frame, Headers, Stream};

/// The forms of one stream, beside its ring. Its lock is taken while the stream's is held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forms(Arc<Mutex<FormCache>>);

#[derive(Debug, Default)]
pub(crate) struct FormCache {
    pub(crate) rtmp: rtmp::egress::Messages,
    pub(crate) flv: flv::Tags,
    /// Tags in messages of a WebSocket.
    messages: Beside,
}

impl FormCache {
    /// The tag of a frame as a message of a WebSocket.
    pub(crate) fn message(&mut self, stream: &Stream, index: u64) -> Option<Bytes> {
        let write = |headers: &Headers, frame: &Frame| Some(message(&flv::egress::tag(headers, frame)?));
        self.messages.get(stream, index, write)
    }
}

/// A binary message of a WebSocket, in one frame and without a mask (RFC 6455 section 5.2).
pub(crate) fn message(payload: &[u8]) -> Bytes {
    const FIN_BINARY: u8 = 0x82;
    let mut out = BytesMut::with_capacity(payload.len() + 10);
    out.put_u8(FIN_BINARY);
    match payload.len() {
        len @ 0..126 => out.put_u8(len as u8),
        len @ 126..0x1_0000 => {
            out.put_u8(126);
            out.put_u16(len as u16);
        }
        len => {
            out.put_u8(127);
            out.put_u64(len as u64);
        }
    }
    out.put_slice(payload);
    out.freeze()
}

impl Forms {
    pub(crate) fn lock(&self) -> MutexGuard<'_, FormCache> {
        // A panic elsewhere has left a cache that is at worst a form short.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
