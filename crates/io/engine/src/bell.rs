//! Waking a worker at most once a batch.
//!
//! Owns: the eventfd and the flag that says whether anybody needs to write to it. A worker that is awake
//! looks at its queues anyway, so ringing costs a system call only when it sleeps.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use net::EventFd;

/// A worker's wake-up.
#[derive(Debug)]
pub(crate) struct Bell {
    event: EventFd,
    asleep: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { event: EventFd::new()?, asleep: AtomicBool::new(false) })
    }

    /// What a poller waits for.
    pub(crate) fn event(&self) -> &EventFd {
        &self.event
    }

    /// Called after something was put into one of the worker's queues.
    pub(crate) fn ring(&self) {
        // Against `lie_down`: either this thread sees the flag, or the worker sees what was queued.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::SeqCst) {
            self.event.notify();
        }
    }

    /// Called by the worker before it looks at its queues for the last time and sleeps.
    pub(crate) fn lie_down(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Called by the worker when it is awake.
    pub(crate) fn get_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}
