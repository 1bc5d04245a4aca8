//! What a stream's frames are on the wire, made once and shared by all of its players.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use media::{Beside, Frame, Headers, Stream};

use crate::fan::message;

/// The forms of one stream, beside its ring. Its lock is taken while the stream's is held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forms(Arc<Mutex<FormCache>>);

/// How frames are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rtmp,
    Flv,
    /// Tags in messages of a WebSocket.
    FlvMessages,
}

#[derive(Debug, Default)]
pub(crate) struct FormCache {
    rtmp: rtmp::egress::Messages,
    flv: flv::Tags,
    messages: Beside,
    /// Of each kind.
    runs: [Option<Run>; 3],
}

/// Frames that follow each other, as one player was given them.
#[derive(Debug)]
struct Run {
    range: Range<u64>,
    /// In one buffer, once a second player wants the same.
    bytes: Option<Bytes>,
}

impl FormCache {
    /// A frame as it is sent.
    pub(crate) fn one(&mut self, kind: Kind, stream: &Stream, index: u64) -> Option<Bytes> {
        match kind {
            Kind::Rtmp => self.rtmp.get(stream, index),
            Kind::Flv => self.flv.get(stream, index),
            Kind::FlvMessages => {
                let write =
                    |headers: &Headers, frame: &Frame| Some(message(&flv::egress::tag(headers, frame)?));
                self.messages.get(stream, index, write)
            }
        }
    }

    /// Several frames in one buffer, if another player has just been given the same: copied once, which is
    /// cheaper than a buffer for each frame of each player. Who wants what nobody else does takes frames one
    /// by one, which copies nothing.
    pub(crate) fn run(&mut self, kind: Kind, stream: &Stream, range: Range<u64>) -> Option<Bytes> {
        if range.end.saturating_sub(range.start) < 2 {
            return None;
        }
        let last = self.runs.get_mut(kind as usize)?;
        match last {
            Some(run) if run.range == range && run.bytes.is_some() => return run.bytes.clone(),
            Some(run) if run.range == range => {}
            _ => {
                *last = Some(Run { range, bytes: None });
                return None;
            }
        }
        let forms: Vec<Bytes> = range.filter_map(|index| self.one(kind, stream, index)).collect();
        let mut bytes = BytesMut::with_capacity(forms.iter().map(Bytes::len).sum());
        forms.iter().for_each(|form| bytes.extend_from_slice(form));
        let bytes = Some(bytes.freeze());
        if let Some(Some(run)) = self.runs.get_mut(kind as usize) {
            run.bytes.clone_from(&bytes);
        }
        bytes
    }

    /// The players of a sweep have got theirs.
    pub(crate) fn forget_runs(&mut self) {
        self.runs = Default::default();
    }
}

impl Forms {
    pub(crate) fn lock(&self) -> MutexGuard<'_, FormCache> {
        // A panic elsewhere has left a cache that is at worst a form short.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
