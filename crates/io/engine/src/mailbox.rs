//! The way in: commands from the control plane to one worker.
//!
//! Owns: the queue, its bounds and the wake-up. Senders share a lock that the worker takes once a batch, and
//! only if something waits: no media packet meets it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sfu::Command;

use crate::bell::Bell;
use crate::config::Egress;
use crate::error::SendError;
use crate::events::Sink;
use crate::streams::Arrival;

/// Bytes of data payloads that may wait.
const DATA_BYTES: usize = 16 << 20;

/// What a worker is told.
pub(crate) enum Mail {
    Command(Command),
    /// Where events of this room's peers and tracks go from now on.
    Register {
        room: u32,
        sink: Sink,
    },
    Unregister {
        room: u32,
    },
    /// Events of this peer or track go to this room from now on, whichever its id names.
    Adopt {
        id: u64,
        room: u32,
    },
    Egress(Egress),
    /// A client over TCP.
    Stream(Box<Arrival>),
}

/// Mail that was not taken, and why.
pub(crate) struct Returned {
    pub(crate) error: SendError,
    pub(crate) mail: Mail,
}

/// One worker's mailbox.
pub(crate) struct Mailbox {
    worker: u8,
    /// Data is refused here; commands, which cannot be made up for later, at twice as many.
    capacity: usize,
    queue: Mutex<Queue>,
    /// Length of the queue, to be looked at without the lock.
    len: AtomicUsize,
    closed: AtomicBool,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Queue {
    mail: VecDeque<Mail>,
    bytes: usize,
}

impl Mailbox {
    pub(crate) fn new(worker: u8, capacity: usize, bell: Arc<Bell>) -> Self {
        Self {
            worker,
            capacity: capacity.max(1),
            queue: Mutex::default(),
            len: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            bell,
        }
    }

    /// Queues `mail` and wakes the worker if it sleeps; what is not taken comes back.
    pub(crate) fn post(&self, mail: Mail) -> Result<(), Box<Returned>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Box::new(Returned { error: SendError::Stopped(self.worker), mail }));
        }
        let data = data_len(&mail);
        let mut queue = self.lock();
        let full = match data {
            Some(bytes) => queue.mail.len() >= self.capacity || queue.bytes + bytes > DATA_BYTES,
            None => queue.mail.len() >= self.capacity.saturating_mul(2),
        };
        if full {
            return Err(Box::new(Returned { error: SendError::Full(self.worker), mail }));
        }
        queue.bytes += data.unwrap_or(0);
        queue.mail.push_back(mail);
        self.len.store(queue.mail.len(), Ordering::Release);
        drop(queue);
        self.bell.ring();
        Ok(())
    }

    /// Whether anything waits; what the worker asks each turn.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    /// Moves everything that waits behind what is in `into`.
    pub(crate) fn take(&self, into: &mut VecDeque<Mail>) {
        if self.is_empty() {
            return;
        }
        let mut queue = self.lock();
        queue.bytes = 0;
        if into.is_empty() {
            std::mem::swap(&mut queue.mail, into);
        } else {
            into.append(&mut queue.mail);
        }
        self.len.store(0, Ordering::Release);
    }

    /// The worker ends, or is to end: nothing more is taken.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.bell.ring();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A sender that panicked leaves the queue as it was between two operations: still good.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn data_len(mail: &Mail) -> Option<usize> {
    match mail {
        Mail::Command(Command::SendData { payload, .. }) => Some(payload.len()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sfu::PeerId;

    use super::*;

    fn data(len: usize) -> Mail {
        Mail::Command(Command::SendData { peers: vec![], label: "x", payload: Bytes::from(vec![0; len]) })
    }

    fn post(mailbox: &Mailbox, mail: Mail) -> Result<(), SendError> {
        mailbox.post(mail).map_err(|returned| returned.error)
    }

    fn close() -> Mail {
        Mail::Command(Command::ClosePeer { peer: PeerId(1) })
    }

    #[test]
    fn data_is_refused_first_and_commands_only_at_twice_as_many() {
        // Given: room for two, and two waiting.
        let mailbox = Mailbox::new(3, 2, Arc::new(Bell::new().unwrap()));
        assert_eq!(post(&mailbox, data(1)), Ok(()));
        assert_eq!(post(&mailbox, data(1)), Ok(()));

        // Then: data is refused, a command is not, until there are four.
        assert_eq!(post(&mailbox, data(1)), Err(SendError::Full(3)));
        assert_eq!(post(&mailbox, close()), Ok(()));
        assert_eq!(post(&mailbox, close()), Ok(()));
        assert_eq!(post(&mailbox, close()), Err(SendError::Full(3)));

        // When: the worker has taken them.
        let mut taken = VecDeque::new();
        mailbox.take(&mut taken);
        assert_eq!(taken.len(), 4);
        assert!(mailbox.is_empty());

        // Then: there is room again, and what is taken next comes behind.
        assert_eq!(post(&mailbox, data(7)), Ok(()));
        mailbox.take(&mut taken);
        assert!(
            matches!(taken.back(), Some(Mail::Command(Command::SendData { payload, .. })) if payload.len() == 7)
        );
    }

    #[test]
    fn data_is_bounded_by_bytes_too() {
        let mailbox = Mailbox::new(0, 1000, Arc::new(Bell::new().unwrap()));
        assert_eq!(post(&mailbox, data(DATA_BYTES)), Ok(()));
        assert_eq!(post(&mailbox, data(1)), Err(SendError::Full(0)));
        assert_eq!(post(&mailbox, close()), Ok(()));
    }

    #[test]
    fn a_closed_mailbox_says_so() {
        let mailbox = Mailbox::new(9, 10, Arc::new(Bell::new().unwrap()));
        mailbox.close();
        assert_eq!(post(&mailbox, close()), Err(SendError::Stopped(9)));
    }
}
