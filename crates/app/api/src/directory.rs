//! Which rooms there are, and the way in.
//!
//! Owns: the names of running rooms, their serials, and whether new ones may open. Knows nothing of what
//! happens inside them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signal::SessionId;
use tokio::sync::{mpsc, oneshot, watch};

use crate::moving::Passage;
use crate::queue;

/// What a room is told.
#[derive(Debug)]
pub(crate) enum ToRoom {
    /// A client wants in; the first message in its queue says whether it is.
    Join { join: Box<signal::Join>, queue: queue::Sender },
    /// A client said something.
    Request { session: SessionId, request: Box<livekit_protocol::SignalRequest> },
    /// A client's connection has ended.
    Closed { session: SessionId },
    /// From the server API. If the room is over, the reply is never sent.
    Admin { command: Box<signal::Admin>, reply: oneshot::Sender<AdminResult> },
    /// Another room tells of a participant who is to be here too.
    Forwarded(Box<signal::Forwarded>),
    /// Somebody comes from another room.
    Moved(Box<Passage>),
    /// What the media engine has told that room of somebody who is here now.
    Media(Box<sfu::Event>),
    /// The process stops.
    Shutdown { reconnect: bool },
}

/// What a room says to a command of the server API.
pub(crate) type AdminResult = Result<signal::AdminReply, signal::AdminError>;

/// A running room as seen from outside.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The middle field of its media ids.
    pub(crate) serial: u32,
    /// The media worker its participants live on.
    pub(crate) worker: u8,
    pub(crate) inbox: mpsc::Sender<ToRoom>,
    /// For metrics; its room keeps it up to date.
    pub(crate) participants: Arc<AtomicUsize>,
    /// The same: what they publish.
    pub(crate) tracks: Arc<AtomicUsize>,
    /// The same: what of it they are sent.
    pub(crate) subscriptions: Arc<AtomicUsize>,
}

impl Entry {
    /// Hands the room a command; the answer comes out of what is returned, unless the room is over.
    pub(crate) async fn put(&self, command: signal::Admin) -> oneshot::Receiver<AdminResult> {
        let (reply, answer) = oneshot::channel();
        let message = ToRoom::Admin { command: Box::new(command), reply };
        // What is not taken is dropped, and the answer with it.
        let _ = self.inbox.send(message).await;
        answer
    }

    /// What the room says to a command; `None` if it is over.
    pub(crate) async fn ask(&self, command: signal::Admin) -> Option<AdminResult> {
        self.put(command).await.await.ok()
    }
}

/// Messages that may wait for a room; whoever has more to say waits.
const INBOX: usize = 256;

/// The rooms of this process.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    rooms: Mutex<Rooms>,
    draining: AtomicBool,
    /// How many rooms run.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Rooms {
    by_name: HashMap<String, Entry>,
    last_serial: u32,
}

/// Why there is no way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// It is not there, and this does not make one.
    Unknown,
    /// The process stops.
    Draining,
}

/// A room's place in the directory, given up when its task ends, however that happens.
#[derive(Debug)]
pub(crate) struct Place {
    directory: Arc<Directory>,
    pub(crate) name: String,
    pub(crate) entry: Entry,
}

impl Directory {
    /// The room called `name`, if it runs.
    pub(crate) fn find(&self, name: &str) -> Result<Entry, NoRoom> {
        if self.is_draining() {
            return Err(NoRoom::Draining);
        }
        self.lock().by_name.get(name).cloned().ok_or(NoRoom::Unknown)
    }

    /// The room called `name`, if it runs, also while the process stops.
    pub(crate) fn running(&self, name: &str) -> Option<Entry> {
        self.lock().by_name.get(name).cloned()
    }

    /// All rooms that run.
    pub(crate) fn list(&self) -> Vec<(String, Entry)> {
        self.lock().by_name.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect()
    }

    /// The room called `name`. If it does not run, `start` is told its place and its inbox, and starts it.
    pub(crate) fn find_or_start(
        self: &Arc<Self>,
        name: &str,
        worker: impl FnOnce() -> u8,
        start: impl FnOnce(Place, mpsc::Receiver<ToRoom>),
    ) -> Result<Entry, NoRoom> {
        let mut rooms = self.lock();
        // Looked at under the lock, so that no room opens behind the back of `drain`.
        if self.is_draining() {
            return Err(NoRoom::Draining);
        }
        // A room whose inbox is closed is over; it only has not found the time to leave.
        if let Some(entry) = rooms.by_name.get(name).filter(|e| !e.inbox.is_closed()) {
            return Ok(entry.clone());
        }
        let in_use = |serial: u32| rooms.by_name.values().any(|e| e.serial == serial);
        let mut serial = rooms.last_serial.wrapping_add(1);
        while in_use(serial) {
            serial = serial.wrapping_add(1);
        }
        let (inbox, messages) = mpsc::channel(INBOX);
        let entry = Entry {
            serial,
            worker: worker(),
            inbox,
            participants: Arc::default(),
            tracks: Arc::default(),
            subscriptions: Arc::default(),
        };
        rooms.last_serial = serial;
        rooms.by_name.insert(name.to_owned(), entry.clone());
        self.count.send_replace(rooms.by_name.len());
        drop(rooms);
        start(Place { directory: Arc::clone(self), name: name.to_owned(), entry: entry.clone() }, messages);
        Ok(entry)
    }

    /// No room opens and nobody joins from now on. Returns the rooms that run.
    pub(crate) fn drain(&self) -> Vec<Entry> {
        let rooms = self.lock();
        self.draining.store(true, Ordering::SeqCst);
        rooms.by_name.values().cloned().collect()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Returns when no room runs.
    pub(crate) async fn empty(&self) {
        // The sender lives as long as `self`.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// How many rooms run, and how many participants are in them.
    pub(crate) fn census(&self) -> (usize, usize) {
        let rooms = self.lock();
        let participants = rooms.by_name.values().map(|e| e.participants.load(Ordering::Relaxed)).sum();
        (rooms.by_name.len(), participants)
    }

    /// How many tracks are published.
    pub(crate) fn tracks(&self) -> usize {
        self.lock().by_name.values().map(|e| e.tracks.load(Ordering::Relaxed)).sum()
    }

    /// How many tracks are sent to subscribers.
    pub(crate) fn subscriptions(&self) -> usize {
        self.lock().by_name.values().map(|e| e.subscriptions.load(Ordering::Relaxed)).sum()
    }

    /// No panic can leave the map half changed.
    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut rooms = self.directory.lock();
        // A successor may have the name already.
        if rooms.by_name.get(&self.name).is_some_and(|e| e.serial == self.entry.serial) {
            rooms.by_name.remove(&self.name);
            self.directory.count.send_replace(rooms.by_name.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Arc<Directory>, name: &str) -> (Entry, Option<(Place, mpsc::Receiver<ToRoom>)>) {
        let mut started = None;
        let entry =
            directory.find_or_start(name, || 0, |place, inbox| started = Some((place, inbox))).unwrap();
        (entry, started)
    }

    #[test]
    fn a_room_is_started_once_and_gone_when_its_place_is() {
        let directory = Arc::new(Directory::default());
        assert_eq!(directory.find("a").unwrap_err(), NoRoom::Unknown);
        let (first, started) = open(&directory, "a");
        let (again, none) = open(&directory, "a");
        assert_eq!(first.serial, again.serial);
        assert!(none.is_none() && directory.find("a").is_ok());
        first.participants.store(3, Ordering::Relaxed);
        assert_eq!(directory.census(), (1, 3));
        drop(started);
        assert_eq!(directory.census(), (0, 0));
    }

    #[test]
    fn a_room_that_is_over_but_still_there_is_replaced_and_does_not_take_its_successor_along() {
        let directory = Arc::new(Directory::default());
        let (first, started) = open(&directory, "a");
        let (place, inbox) = started.unwrap();
        drop(inbox);
        let (second, started) = open(&directory, "a");
        assert_ne!(first.serial, second.serial);
        drop(place);
        assert_eq!(directory.find("a").unwrap().serial, second.serial);
        drop(started);
        assert!(directory.find("a").is_err());
    }

    #[test]
    fn serials_wrap_around_those_in_use() {
        let directory = Arc::new(Directory::default());
        let (first, _kept) = open(&directory, "a");
        directory.lock().last_serial = u32::MAX;
        let (zero, _kept0) = open(&directory, "b");
        let (next, _kept2) = open(&directory, "c");
        assert_eq!((first.serial, zero.serial, next.serial), (1, 0, 2));
    }

    #[test]
    fn nobody_enters_while_the_process_stops() {
        let directory = Arc::new(Directory::default());
        let (_, _kept) = open(&directory, "a");
        assert_eq!(directory.drain().len(), 1);
        assert_eq!(directory.find("a").unwrap_err(), NoRoom::Draining);
        let refused = directory.find_or_start("b", || 0, |_, _| panic!("started"));
        assert_eq!(refused.unwrap_err(), NoRoom::Draining);
    }
}
