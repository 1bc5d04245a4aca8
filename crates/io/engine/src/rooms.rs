//! Where a worker's events go.
//!
//! Owns: the sinks of the rooms that have peers here, and the data that their readers were too slow for. A
//! slow reader's data waits here up to a bound; beyond it the worker stops asking its router for events,
//! which then stops reading data channels, so that senders see their windows close. Nothing reliable is
//! lost on the way.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sfu::Event;

use crate::bell::Bell;
use crate::events::{Refused, Sink, payload_len};
use crate::stats::WorkerStats;

/// Data messages that may wait for slow readers, over all rooms of a worker.
const HELD_EVENTS: usize = 4096;
/// Their bytes.
const HELD_BYTES: usize = 8 << 20;

/// One worker's rooms.
pub(crate) struct Rooms {
    sinks: HashMap<u32, Sink>,
    held: HashMap<u32, VecDeque<Event>>,
    held_events: usize,
    held_bytes: usize,
    bell: Arc<Bell>,
}

impl Rooms {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self { sinks: HashMap::new(), held: HashMap::new(), held_events: 0, held_bytes: 0, bell }
    }

    pub(crate) fn register(&mut self, room: u32, sink: Sink) {
        self.sinks.insert(room, sink);
    }

    pub(crate) fn unregister(&mut self, room: u32) {
        self.sinks.remove(&room);
        if let Some(held) = self.held.remove(&room) {
            self.held_events -= held.len();
            self.held_bytes -= held.iter().map(payload_len).sum::<usize>();
        }
    }

    /// Whether to ask the router for more events.
    pub(crate) fn ready(&self) -> bool {
        self.held_events < HELD_EVENTS && self.held_bytes < HELD_BYTES
    }

    /// Gives `event` to its room.
    pub(crate) fn deliver(&mut self, event: Event, stats: &mut WorkerStats) {
        let room = room_of(&event);
        let is_data = matches!(event, Event::Data { .. });
        if is_data && self.held.contains_key(&room) {
            self.hold(room, event);
            return;
        }
        let Some(sink) = self.sinks.get(&room) else {
            stats.events_orphaned += 1;
            return;
        };
        match sink.push(event, &self.bell) {
            Ok(()) => stats.events += 1,
            Err(Refused::Full(event)) if is_data => {
                stats.data_held += 1;
                self.hold(room, event);
            }
            Err(Refused::Full(_)) => stats.events_overflow += 1,
            Err(Refused::Gone) => {
                stats.events_orphaned += 1;
                self.unregister(room);
            }
        }
    }

    /// Offers again what readers were too slow for; costs nothing when nobody was. True if any of it went,
    /// so that more may be taken from the router.
    pub(crate) fn retry(&mut self, stats: &mut WorkerStats) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let before = self.held_events;
        let rooms: Vec<u32> = self.held.keys().copied().collect();
        for room in rooms {
            self.retry_room(room, stats);
        }
        self.held_events < before
    }

    /// Forgets rooms whose reader has gone.
    pub(crate) fn sweep(&mut self) {
        let gone: Vec<u32> =
            self.sinks.iter().filter(|(_, sink)| sink.is_orphaned()).map(|(room, _)| *room).collect();
        for room in gone {
            self.unregister(room);
        }
    }

    fn hold(&mut self, room: u32, event: Event) {
        self.held_events += 1;
        self.held_bytes += payload_len(&event);
        self.held.entry(room).or_default().push_back(event);
    }

    fn retry_room(&mut self, room: u32, stats: &mut WorkerStats) {
        let (Some(sink), Some(held)) = (self.sinks.get(&room), self.held.get_mut(&room)) else {
            self.unregister(room);
            return;
        };
        while let Some(event) = held.pop_front() {
            let len = payload_len(&event);
            match sink.push(event, &self.bell) {
                Ok(()) => {
                    stats.events += 1;
                    self.held_events -= 1;
                    self.held_bytes -= len;
                }
                Err(Refused::Full(event)) => {
                    held.push_front(event);
                    return;
                }
                Err(Refused::Gone) => {
                    stats.events_orphaned += 1;
                    self.held_events -= 1;
                    self.held_bytes -= len;
                    self.unregister(room);
                    return;
                }
            }
        }
        self.held.remove(&room);
    }
}

/// The room serial in the id an event is about: eight bits of worker, 32 of room, 24 of counter.
fn room_of(event: &Event) -> u32 {
    let id = match event {
        Event::Connected { peer }
        | Event::Disconnected { peer }
        | Event::Failed { peer, .. }
        | Event::ChannelOpen { peer, .. }
        | Event::Data { peer, .. }
        | Event::Quality { peer, .. } => peer.0,
        Event::EncodingStarted { producer, .. } | Event::AudioLevel { producer, .. } => producer.0,
        Event::LayerChanged { consumer, .. } | Event::StreamPaused { consumer, .. } => consumer.0,
    };
    (id >> 24) as u32
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sfu::{PeerId, id_on};

    use super::*;
    use crate::events::{Limits, events};

    fn peer(room: u32) -> PeerId {
        PeerId(id_on(3, u64::from(room) << 24 | 5))
    }

    fn data(room: u32, byte: u8) -> Event {
        Event::Data { peer: peer(room), label: "x".into(), payload: Bytes::from(vec![byte; 10]) }
    }

    fn rooms() -> (Rooms, WorkerStats) {
        (Rooms::new(Arc::new(Bell::new().unwrap())), WorkerStats::default())
    }

    #[test]
    fn events_find_their_room_or_are_counted() {
        let (mut rooms, mut stats) = rooms();
        let (sink, reader) = events(Limits::default(), || {});
        rooms.register(u32::MAX, sink);
        rooms.deliver(Event::Connected { peer: peer(u32::MAX) }, &mut stats);
        rooms.deliver(Event::Connected { peer: peer(7) }, &mut stats);
        assert_eq!(reader.pop(), Some(Event::Connected { peer: peer(u32::MAX) }));
        assert_eq!((stats.events, stats.events_orphaned), (1, 1));
    }

    #[test]
    fn data_for_a_slow_reader_waits_and_comes_in_order() {
        let (mut rooms, mut stats) = rooms();
        let (sink, reader) = events(Limits { events: 4, bytes: 1000 }, || {});
        rooms.register(1, sink);
        for byte in 0..10 {
            rooms.deliver(data(1, byte), &mut stats);
        }
        // Another room and changes of state are not held up; levels are of the moment.
        rooms.deliver(Event::Failed { peer: peer(1), reason: sfu::FailReason::Closed }, &mut stats);
        rooms.deliver(
            Event::AudioLevel { producer: sfu::ProducerId(peer(1).0), loudest: 1, active_percent: 1 },
            &mut stats,
        );
        assert_eq!((stats.events, stats.data_held, stats.events_overflow), (5, 1, 1));

        let mut got = Vec::new();
        for _ in 0..10 {
            got.extend(std::iter::from_fn(|| reader.pop()));
            rooms.retry(&mut stats);
        }
        let bytes: Vec<u8> = got
            .iter()
            .filter_map(|event| if let Event::Data { payload, .. } = event { Some(payload[0]) } else { None })
            .collect();
        assert_eq!(bytes, (0..10).collect::<Vec<_>>());
        assert!(rooms.held.is_empty() && (rooms.held_events, rooms.held_bytes) == (0, 0));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let (mut rooms, mut stats) = rooms();
        let (sink, reader) = events(Limits { events: 1, bytes: 1000 }, || {});
        rooms.register(1, sink);
        let mut count = 0;
        while rooms.ready() {
            rooms.deliver(data(1, 0), &mut stats);
            count += 1;
        }
        assert_eq!(count, HELD_EVENTS + 1);

        // When: the reader goes away, Then: nothing waits any more.
        drop(reader);
        rooms.retry(&mut stats);
        assert!(rooms.ready() && rooms.held.is_empty() && rooms.sinks.is_empty());
        assert_eq!((rooms.held_events, rooms.held_bytes), (0, 0));
    }
}
