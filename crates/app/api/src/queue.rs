//! What waits for one client to read it: bounded by number and by bytes; and which room has put it there.
//!
//! A room never waits for a client. One that does not read fills its queue, is dropped for it, and the
//! others do not notice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::directory::ToRoom;

/// The room's end. Dropping it lets the client read what is queued, and ends the connection after that.
#[derive(Debug)]
pub(crate) struct Sender {
    messages: mpsc::Sender<Bytes>,
    shared: Arc<Shared>,
}

/// The connection's end.
#[derive(Debug)]
pub(crate) struct Receiver {
    messages: mpsc::Receiver<Bytes>,
    shared: Arc<Shared>,
}

/// Resolves when the connection is to end without waiting for its client.
#[derive(Debug, Clone)]
pub(crate) struct Abort(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queued: AtomicUsize,
    most_bytes: usize,
    abort: Notify,
    room: Mutex<mpsc::Sender<ToRoom>>,
}

/// The client is too far behind, or has gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// A queue of at most `messages` messages with together `bytes` bytes, for a client of `room`.
pub(crate) fn queue(room: mpsc::Sender<ToRoom>, messages: usize, bytes: usize) -> (Sender, Receiver) {
    let (tx, rx) = mpsc::channel(messages.max(1));
    let (queued, abort, room) = (AtomicUsize::new(0), Notify::new(), Mutex::new(room));
    let shared = Arc::new(Shared { queued, most_bytes: bytes, abort, room });
    (Sender { messages: tx, shared: Arc::clone(&shared) }, Receiver { messages: rx, shared })
}

impl Sender {
    /// Queues a message. After an overflow nothing more is worth queueing: messages would be missing.
    pub(crate) fn push(&self, message: Bytes) -> Result<(), Overflow> {
        let size = message.len();
        let queued = self.shared.queued.fetch_add(size, Ordering::Relaxed);
        // One message above the limit still goes to a client that has read everything else.
        if queued > 0 && queued + size > self.shared.most_bytes {
            return Err(Overflow);
        }
        self.messages.try_send(message).map_err(|_| Overflow)
    }

    /// Ends the connection at once.
    pub(crate) fn abort(&self) {
        self.shared.abort.notify_one();
    }

    /// The client belongs to `room` from now on, and says to it what it says.
    pub(crate) fn redirect(&self, room: mpsc::Sender<ToRoom>) {
        *self.shared.room.lock().unwrap_or_else(PoisonError::into_inner) = room;
    }
}

impl Receiver {
    /// The next message; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let message = self.messages.recv().await?;
        self.shared.queued.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }

    pub(crate) fn abort(&self) -> Abort {
        Abort(Arc::clone(&self.shared))
    }

    /// The room that the client belongs to now.
    pub(crate) fn room(&self) -> mpsc::Sender<ToRoom> {
        self.shared.room.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Abort {
    pub(crate) async fn requested(&self) {
        self.0.abort.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: usize) -> Bytes {
        Bytes::from(vec![0; n])
    }

    fn queue(messages: usize, bytes: usize) -> (Sender, Receiver) {
        super::queue(mpsc::channel(1).0, messages, bytes)
    }

    #[tokio::test]
    async fn a_client_that_has_moved_speaks_to_its_new_room() {
        let ((first, mut heard_first), (second, mut heard_second)) = (mpsc::channel(1), mpsc::channel(1));
        let (tx, rx) = super::queue(first, 1, 1);
        let say = |reconnect| rx.room().try_send(ToRoom::Shutdown { reconnect }).unwrap();
        say(false);
        tx.redirect(second);
        say(true);
        assert!(matches!(heard_first.try_recv(), Ok(ToRoom::Shutdown { reconnect: false })));
        assert!(matches!(heard_second.try_recv(), Ok(ToRoom::Shutdown { reconnect: true })));
    }

    #[tokio::test]
    async fn bytes_are_counted_until_they_are_read() {
        let (tx, mut rx) = queue(10, 100);
        assert_eq!(tx.push(bytes(60)), Ok(()));
        assert_eq!(tx.push(bytes(40)), Ok(()));
        assert_eq!(rx.next().await.map(|b| b.len()), Some(60));
        assert_eq!(tx.push(bytes(60)), Ok(()));
        assert_eq!(tx.push(bytes(1)), Err(Overflow));
    }

    #[tokio::test]
    async fn the_number_of_messages_is_bounded_too() {
        let (tx, _rx) = queue(2, 100);
        assert_eq!(tx.push(bytes(1)), Ok(()));
        assert_eq!(tx.push(bytes(0)), Ok(()));
        assert_eq!(tx.push(bytes(0)), Err(Overflow));
    }

    #[tokio::test]
    async fn a_message_above_the_limit_reaches_a_client_that_keeps_up() {
        let (tx, mut rx) = queue(10, 100);
        assert_eq!(tx.push(bytes(1000)), Ok(()));
        assert_eq!(rx.next().await.map(|b| b.len()), Some(1000));
        drop(rx);
        assert_eq!(tx.push(bytes(1)), Err(Overflow), "gone");
    }

    #[tokio::test]
    async fn what_is_queued_is_read_after_the_room_has_let_go() {
        let (tx, mut rx) = queue(10, 100);
        let abort = rx.abort();
        tx.push(bytes(5)).unwrap();
        tx.abort();
        drop(tx);
        assert!(rx.next().await.is_some() && rx.next().await.is_none());
        abort.requested().await;
    }
}
