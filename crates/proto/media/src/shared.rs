//! A stream that several threads use.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Stream;

/// A stream behind its one lock. A worker takes it once a sweep for all of its players, a publisher once
/// for what it has read from its socket; whether there is anything new is seen without it.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stream: Mutex<Stream>,
    head: Arc<AtomicU64>,
}

impl Shared {
    pub fn new(stream: Stream) -> Self {
        let head = stream.shared_head();
        Self(Arc::new(Inner { stream: Mutex::new(stream), head }))
    }

    pub fn lock(&self) -> MutexGuard<'_, Stream> {
        // A panic elsewhere has left a stream that is at worst a frame short.
        self.0.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index that the next frame will have: a reader that stands here has everything.
    pub fn head(&self) -> u64 {
        self.0.head.load(Ordering::Acquire)
    }

    /// Whether both are the same stream.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
