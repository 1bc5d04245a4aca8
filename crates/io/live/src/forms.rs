//! What a stream's frames are on the wire, made once and shared by all of its players.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use media::{Beside, Frame, Headers, Stream};

use crate::fan::message;

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

impl Forms {
    pub(crate) fn lock(&self) -> MutexGuard<'_, FormCache> {
        // A panic elsewhere has left a cache that is at worst a form short.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
