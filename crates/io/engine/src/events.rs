//! The way out: a room's events, from workers to whoever drives the room.
//!
//! Owns: a queue bounded by count and bytes, its waker, and back pressure. A worker never waits on it: what
//! does not fit is handed back, and the worker stops taking data from the peers concerned until the
//! reader has caught up. Knows nothing of rooms or of the reader's runtime.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sfu::Event;

use crate::bell::Bell;

/// How much may wait in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events. Data and audio levels are refused from here on, changes of state at four times as many.
    pub events: usize,
    /// Bytes of data payloads.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 4096, bytes: 8 << 20 }
    }
}

/// Changes of state are few and must not be lost for the sake of data: they have this many times the room.
const STATE_RESERVE: usize = 4;

type WakeReader = Box<dyn Fn() + Send + Sync>;

struct Shared {
    queue: Mutex<Queue>,
    limits: Limits,
    wake_reader: WakeReader,
    reader_gone: AtomicBool,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    bytes: usize,
    /// Workers that were refused and want to hear of room.
    refused: Vec<Arc<Bell>>,
}

/// Makes a queue. `wake_reader` is called from worker threads whenever the queue stops being empty; it must
/// not block.
pub fn events(limits: Limits, wake_reader: impl Fn() + Send + Sync + 'static) -> (Sink, Events) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        limits,
        wake_reader: Box::new(wake_reader),
        reader_gone: AtomicBool::new(false),
    });
    (Sink(Arc::clone(&shared)), Events(shared))
}

/// The writing end, for [`crate::Handle::register_room`].
#[derive(Clone)]
pub struct Sink(Arc<Shared>);

/// The reading end; dropping it makes workers forget the sink.
pub struct Events(Arc<Shared>);

/// Why an event was not taken; it comes back.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    /// The reader is behind; the bell given with the event rings when there is room.
    Full(Event),
    /// Nobody reads any more.
    Gone,
}

impl Sink {
    /// Whether nobody reads any more.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.0.reader_gone.load(Ordering::Acquire)
    }

    /// Queues `event`, or hands it back.
    pub(crate) fn push(&self, event: Event, bell: &Arc<Bell>) -> Result<(), Refused> {
        if self.is_orphaned() {
            return Err(Refused::Gone);
        }
        let limits = self.0.limits;
        let size = payload_len(&event);
        let mut queue = self.0.lock();
        let len = queue.events.len();
        let fits = match event {
            // An empty queue takes a message of any size, or one above the limit would wait for ever.
            Event::Data { .. } => {
                len < limits.events && (queue.bytes == 0 || queue.bytes + size <= limits.bytes)
            }
            Event::AudioLevel { .. } => len < limits.events,
            _ => len < limits.events.saturating_mul(STATE_RESERVE),
        };
        if !fits {
            if !queue.refused.iter().any(|known| Arc::ptr_eq(known, bell)) {
                queue.refused.push(Arc::clone(bell));
            }
            return Err(Refused::Full(event));
        }
        queue.bytes += size;
        queue.events.push_back(event);
        drop(queue);
        if len == 0 {
            (self.0.wake_reader)();
        }
        Ok(())
    }
}

impl Events {
    /// Takes the oldest event.
    pub fn pop(&self) -> Option<Event> {
        let mut queue = self.0.lock();
        let event = queue.events.pop_front()?;
        queue.bytes = queue.bytes.saturating_sub(payload_len(&event));
        let caught_up =
            queue.events.len() <= self.0.limits.events / 2 && queue.bytes <= self.0.limits.bytes / 2;
        let bells = if caught_up { std::mem::take(&mut queue.refused) } else { Vec::new() };
        drop(queue);
        for bell in bells {
            bell.ring();
        }
        Some(event)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.0.reader_gone.store(true, Ordering::Release);
        let bells = std::mem::take(&mut self.0.lock().refused);
        for bell in bells {
            bell.ring();
        }
    }
}

impl Shared {
    /// A reader that panicked leaves the queue as it was between two operations: still good.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that an event holds on to.
pub(crate) fn payload_len(event: &Event) -> usize {
    match event {
        Event::Data { payload, .. } => payload.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use bytes::Bytes;
    use sfu::PeerId;

    use super::*;

    fn data(len: usize) -> Event {
        Event::Data { peer: PeerId(1), label: "x".into(), payload: Bytes::from(vec![0; len]) }
    }

    fn new(events_: usize, bytes: usize) -> (Sink, Events, Arc<AtomicUsize>, Arc<Bell>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let wake = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let (sink, reader) = events(Limits { events: events_, bytes }, wake);
        (sink, reader, woken, Arc::new(Bell::new().unwrap()))
    }

    #[test]
    fn the_reader_is_woken_once_a_batch() {
        let (sink, reader, woken, bell) = new(10, 100);
        for _ in 0..3 {
            sink.push(data(1), &bell).unwrap();
        }
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        while reader.pop().is_some() {}
        sink.push(data(1), &bell).unwrap();
        assert_eq!(woken.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn bytes_are_bounded_but_one_message_of_any_size_passes() {
        let (sink, reader, _, bell) = new(10, 100);
        sink.push(data(5000), &bell).unwrap();
        assert_eq!(sink.push(data(1), &bell), Err(Refused::Full(data(1))));
        reader.pop().unwrap();
        sink.push(data(100), &bell).unwrap();
        assert_eq!(sink.push(data(1), &bell), Err(Refused::Full(data(1))));
    }

    #[test]
    fn changes_of_state_have_a_reserve_that_ends_too() {
        let (sink, _reader, _, bell) = new(2, 100);
        let state = Event::Connected { peer: PeerId(1) };
        for _ in 0..2 * STATE_RESERVE {
            sink.push(state.clone(), &bell).unwrap();
        }
        assert_eq!(sink.push(state.clone(), &bell), Err(Refused::Full(state)));
    }

    #[test]
    fn a_refused_worker_is_woken_when_the_reader_has_caught_up() {
        let (sink, reader, _, bell) = new(4, 100);
        let mut poller = net::Poller::new().unwrap();
        poller.add(bell.event(), 0).unwrap();
        for _ in 0..4 {
            sink.push(data(1), &bell).unwrap();
        }
        sink.push(data(1), &bell).unwrap_err();
        bell.lie_down();
        reader.pop().unwrap();
        assert!(poller.wait(Some(std::time::Duration::ZERO)).unwrap().is_empty(), "half has to be gone");
        reader.pop().unwrap();
        assert_eq!(poller.wait(None).unwrap().len(), 1);
    }

    #[test]
    fn a_reader_that_goes_wakes_and_ends_the_sink() {
        let (sink, reader, _, bell) = new(1, 100);
        sink.push(data(1), &bell).unwrap();
        sink.push(data(1), &bell).unwrap_err();
        drop(reader);
        assert!(sink.is_orphaned());
        assert_eq!(sink.push(data(1), &bell), Err(Refused::Gone));
    }
}
