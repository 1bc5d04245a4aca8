//! Where a worker's events go.
//!
//! Owns: the sinks of the rooms that have peers here, and the data that their readers were too slow for. Once
//! something waits for a reader, the worker leaves the data of that room's peers with them, so that senders see
//! their windows close: what waits here is no more than what the worker had read until then. Nothing reliable is
//! lost on the way, and other rooms notice nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sfu::{Event, PeerId};

use crate::bell::Bell;
use crate::events::{Refused, Sink};
use crate::stats::WorkerStats;

/// One worker's rooms.
pub(crate) struct Rooms {
    sinks: HashMap<u32, Sink>,
    /// Whose room is another than the one in their id.
    adopted: HashMap<u64, u32>,
    /// Data that waits, by room; no room is here without any.
    held: HashMap<u32, VecDeque<Event>>,
    bell: Arc<Bell>,
}

impl Rooms {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self { sinks: HashMap::new(), adopted: HashMap::new(), held: HashMap::new(), bell }
    }

    pub(crate) fn register(&mut self, room: u32, sink: Sink) {
        self.sinks.insert(room, sink);
    }

    /// Events of this peer or track go to `room` from now on.
    pub(crate) fn adopt(&mut self, id: u64, room: u32) {
        self.adopted.insert(id, room);
    }

    /// This peer or track is no more.
    pub(crate) fn forget(&mut self, id: u64) {
        self.adopted.remove(&id);
    }

    pub(crate) fn unregister(&mut self, room: u32) {
        self.sinks.remove(&room);
        self.held.remove(&room);
        self.adopted.retain(|_, by| *by != room);
    }

    /// Whether data of the peer's room waits, so that the peer is to keep its own.
    pub(crate) fn holds(&self, peer: PeerId) -> bool {
        self.held.contains_key(&self.of(peer.0))
    }

    /// The room of a peer or a track.
    pub(crate) fn of(&self, id: u64) -> u32 {
        self.adopted.get(&id).copied().unwrap_or_else(|| named_in(id))
    }

    /// Gives `event` to its room. Returns the room if its data has to wait from now on.
    #[must_use]
    pub(crate) fn deliver(&mut self, event: Event, stats: &mut WorkerStats) -> Option<u32> {
        let room = self.of(id_of(&event));
        let is_data = matches!(event, Event::Data { .. });
        if is_data && let Some(held) = self.held.get_mut(&room) {
            held.push_back(event);
            return None;
        }
        let Some(sink) = self.sinks.get(&room) else {
            stats.events_orphaned += 1;
            return None;
        };
        match sink.push(event, &self.bell) {
            Ok(()) => stats.events += 1,
            Err(Refused::Full(event)) if is_data => {
                stats.data_held += 1;
                self.held.entry(room).or_default().push_back(event);
                return Some(room);
            }
            Err(Refused::Full(_)) => stats.events_overflow += 1,
            Err(Refused::Gone) => {
                stats.events_orphaned += 1;
                self.unregister(room);
            }
        }
        None
    }

    /// Offers again what readers were too slow for; costs nothing when nobody was. Returns the rooms whose
    /// data waits no longer.
    #[must_use]
    pub(crate) fn retry(&mut self, stats: &mut WorkerStats) -> Vec<u32> {
        let mut rooms: Vec<u32> = self.held.keys().copied().collect();
        rooms.retain(|room| self.retry_room(*room, stats));
        rooms
    }

    /// Forgets rooms whose reader has gone.
    pub(crate) fn sweep(&mut self) {
        let gone: Vec<u32> =
            self.sinks.iter().filter(|(_, sink)| sink.is_orphaned()).map(|(room, _)| *room).collect();
        for room in gone {
            self.unregister(room);
        }
    }

    /// True if nothing waits for the room any more.
    fn retry_room(&mut self, room: u32, stats: &mut WorkerStats) -> bool {
        while let (Some(sink), Some(held)) = (self.sinks.get(&room), self.held.get_mut(&room)) {
            let Some(event) = held.pop_front() else { break };
            match sink.push(event, &self.bell) {
                Ok(()) => stats.events += 1,
                Err(Refused::Full(event)) => {
                    held.push_front(event);
                    return false;
                }
                Err(Refused::Gone) => {
                    stats.events_orphaned += 1;
                    self.unregister(room);
                }
            }
        }
        self.held.remove(&room);
        true
    }
}

/// The room serial in an id: eight bits of worker, 32 of room, 24 of counter.
fn named_in(id: u64) -> u32 {
    (id >> 24) as u32
}

/// Whom or what an event is about.
pub fn id_of(event: &Event) -> u64 {
    match event {
        Event::Connected { peer }
        | Event::Disconnected { peer }
        | Event::Failed { peer, .. }
        | Event::ChannelOpen { peer, .. }
        | Event::Data { peer, .. }
        | Event::Quality { peer, .. } => peer.0,
        Event::EncodingStarted { producer, .. } | Event::AudioLevel { producer, .. } => producer.0,
        Event::LayerChanged { consumer, .. } | Event::StreamPaused { consumer, .. } => consumer.0,
    }
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

    fn bytes(events: impl Iterator<Item = Event>) -> Vec<u8> {
        let byte = |event| if let Event::Data { payload, .. } = event { Some(payload[0]) } else { None };
        events.filter_map(byte).collect()
    }

    #[test]
    fn events_find_their_room_or_are_counted() {
        let (mut rooms, mut stats) = rooms();
        let (sink, reader) = events(Limits::default(), || {});
        rooms.register(u32::MAX, sink);
        for room in [u32::MAX, 7] {
            assert_eq!(rooms.deliver(Event::Connected { peer: peer(room) }, &mut stats), None);
        }
        assert_eq!(reader.pop(), Some(Event::Connected { peer: peer(u32::MAX) }));
        assert_eq!((stats.events, stats.events_orphaned), (1, 1));
    }

    #[test]
    fn who_has_moved_is_heard_in_the_other_room_until_that_ends() {
        let (mut rooms, mut stats) = rooms();
        let (first, old) = events(Limits::default(), || {});
        let (second, new) = events(Limits::default(), || {});
        rooms.register(7, first);
        rooms.register(8, second);
        let connected = || Event::Connected { peer: peer(7) };
        rooms.adopt(peer(7).0, 8);
        assert_eq!(rooms.deliver(connected(), &mut stats), None);
        assert_eq!((old.pop(), new.pop()), (None, Some(connected())));
        rooms.unregister(7);
        assert_eq!(rooms.deliver(connected(), &mut stats), None);
        assert_eq!(new.pop(), Some(connected()));
        rooms.unregister(8);
        assert_eq!(rooms.deliver(connected(), &mut stats), None);
        assert_eq!((rooms.adopted.len(), stats.events_orphaned), (0, 1));
        rooms.adopt(peer(7).0, 8);
        rooms.forget(peer(7).0);
        assert!(rooms.adopted.is_empty());
    }

    #[test]
    fn data_for_a_slow_reader_waits_and_comes_in_order() {
        let (mut rooms, mut stats) = rooms();
        let (sink, reader) = events(Limits { events: 4, bytes: 1000 }, || {});
        rooms.register(1, sink);
        // Then: it is said once that the room's peers are to keep their data.
        let slow: Vec<_> = (0..10).filter_map(|byte| rooms.deliver(data(1, byte), &mut stats)).collect();
        assert_eq!(slow, [1]);
        assert!(rooms.holds(peer(1)) && !rooms.holds(peer(2)));
        // Changes of state are not held up; levels are of the moment.
        let failed = Event::Failed { peer: peer(1), reason: sfu::FailReason::Closed };
        let level = Event::AudioLevel { producer: sfu::ProducerId(peer(1).0), loudest: 1, active_percent: 1 };
        assert_eq!([failed, level].map(|event| rooms.deliver(event, &mut stats)), [None, None]);
        assert_eq!((stats.events, stats.data_held, stats.events_overflow), (5, 1, 1));

        let mut got = Vec::new();
        let mut caught_up = Vec::new();
        for _ in 0..10 {
            got.extend(bytes(std::iter::from_fn(|| reader.pop())));
            caught_up.extend(rooms.retry(&mut stats));
        }
        assert_eq!(got, (0..10).collect::<Vec<_>>());
        assert_eq!(caught_up, [1]);
        assert!(!rooms.holds(peer(1)));
    }

    #[test]
    fn a_room_that_does_not_read_holds_up_no_other() {
        let (mut rooms, mut stats) = rooms();
        let (sink, _deaf) = events(Limits { events: 1, bytes: 1000 }, || {});
        rooms.register(1, sink);
        let (sink, reader) = events(Limits::default(), || {});
        rooms.register(2, sink);
        for n in 0..100 {
            let _ = rooms.deliver(data(1, n), &mut stats);
            assert_eq!(rooms.deliver(data(2, n), &mut stats), None);
            assert!(rooms.retry(&mut stats).is_empty());
        }
        assert_eq!(bytes(std::iter::from_fn(|| reader.pop())), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_waits_for_a_reader_that_has_gone() {
        let (mut rooms, mut stats) = rooms();
        let (sink, reader) = events(Limits { events: 1, bytes: 1000 }, || {});
        rooms.register(1, sink);
        let slow: Vec<_> = (0..3).filter_map(|byte| rooms.deliver(data(1, byte), &mut stats)).collect();
        assert_eq!(slow, [1]);
        drop(reader);
        assert_eq!(rooms.retry(&mut stats), [1]);
        assert!(rooms.held.is_empty() && rooms.sinks.is_empty());
    }
}
