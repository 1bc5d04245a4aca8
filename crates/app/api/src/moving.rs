//! Participants on the way from one room's task to another's.
//!
//! Owns: that nobody gets lost between the two, and that what still comes to the first room reaches the second, in order
//! and within bounds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use room::ParticipantSid;
use signal::{Migrant, SessionId};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::directory::ToRoom;
use crate::queue;

/// How many who have gone a room remembers: what still comes from one of them comes at once.
const GONE: usize = 64;

/// Messages that wait for one room which does not keep up, besides those in its inbox.
const WAITING: usize = 4096;

/// A session and the way to its socket; somebody may be without one.
type Socket = Option<(SessionId, queue::Sender)>;

/// Somebody who has left one room and has not come to the other. If they never do, their connections end.
#[derive(Debug)]
pub(crate) struct Passage {
    engine: engine::Handle,
    session: Option<SessionId>,
    migrant: Option<Box<Migrant>>,
    queue: Option<queue::Sender>,
}

impl Passage {
    pub(crate) fn new(
        engine: engine::Handle,
        session: Option<SessionId>,
        migrant: Box<Migrant>,
        queue: Option<queue::Sender>,
    ) -> Self {
        Self { engine, session, migrant: Some(migrant), queue }
    }

    /// Arrives in the room with this serial, which hears of their media from now on. `None`: a media worker is too far
    /// behind to be told so.
    pub(crate) fn arrive(mut self, serial: u32) -> Option<(Box<Migrant>, Socket)> {
        let ids: Vec<u64> = self.migrant.as_ref()?.media_ids().collect();
        self.engine.adopt(serial, ids).ok()?;
        Some((self.migrant.take()?, self.session.zip(self.queue.take())))
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        for peer in self.migrant.iter().flat_map(|migrant| migrant.peers()) {
            // A worker that does not take this has more to lose than a transport, which ends by itself.
            let _ = self.engine.send(sfu::Command::ClosePeer { peer });
        }
    }
}

/// Who has gone, and to where.
#[derive(Debug, Default)]
pub(crate) struct Gone(VecDeque<Departed>);

#[derive(Debug)]
struct Departed {
    participant: ParticipantSid,
    session: Option<SessionId>,
    media: Vec<u64>,
    to: mpsc::Sender<ToRoom>,
}

impl Gone {
    pub(crate) fn note(&mut self, session: Option<SessionId>, migrant: &Migrant, to: mpsc::Sender<ToRoom>) {
        if self.0.len() >= GONE {
            self.0.pop_front();
        }
        let (participant, media) = (migrant.sid().clone(), migrant.media_ids().collect());
        self.0.push_back(Departed { participant, session, media, to });
    }

    /// The room of a participant who was here. A client that has not heard of its move still asks for them here.
    pub(crate) fn participant(&self, sid: &str) -> Option<&mpsc::Sender<ToRoom>> {
        self.0.iter().rfind(|gone| gone.participant.as_str() == sid).map(|gone| &gone.to)
    }

    /// The room of a session that was here.
    pub(crate) fn session(&self, session: SessionId) -> Option<&mpsc::Sender<ToRoom>> {
        self.0.iter().rfind(|gone| gone.session == Some(session)).map(|gone| &gone.to)
    }

    /// The room of a peer or a track that was here.
    pub(crate) fn media(&self, id: u64) -> Option<&mpsc::Sender<ToRoom>> {
        self.0.iter().rfind(|gone| gone.media.contains(&id)).map(|gone| &gone.to)
    }

    /// Somebody has come who was here before.
    pub(crate) fn forget(&mut self, migrant: &Migrant) {
        let ids: Vec<u64> = migrant.media_ids().collect();
        self.0.retain(|gone| !gone.media.iter().any(|id| ids.contains(id)));
    }
}

/// The ways from one room to others, none of which it waits for. What goes to one room stays in order.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    full: Vec<Way>,
    dropped: u64,
}

/// To a room whose inbox has been full.
#[derive(Debug)]
struct Way {
    to: mpsc::Sender<ToRoom>,
    waiting: mpsc::Sender<ToRoom>,
    under_way: Arc<AtomicUsize>,
}

impl Ways {
    /// Hands a message to a room. It is dropped where that is too far behind.
    pub(crate) fn pass_on(&mut self, to: &mpsc::Sender<ToRoom>, message: ToRoom) {
        self.full.retain(|way| !way.to.is_closed());
        let way = self.full.iter().find(|way| way.to.same_channel(to));
        let message = if way.is_some_and(Way::is_busy) {
            message
        } else {
            match to.try_send(message) {
                Err(TrySendError::Full(message)) => message,
                // A room that is over has nobody to tell.
                Ok(()) | Err(TrySendError::Closed(_)) => return,
            }
        };
        let sent = match way {
            Some(way) => way.send(message),
            None => {
                self.full.push(Way::begin(to));
                self.full.last().is_some_and(|way| way.send(message))
            }
        };
        self.dropped += u64::from(!sent);
    }

    /// How many have been dropped since this was last asked.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

impl Way {
    /// Begins a task that waits for the room, until the one it comes from is over or that one is.
    fn begin(to: &mpsc::Sender<ToRoom>) -> Self {
        let (waiting, mut messages) = mpsc::channel(WAITING);
        let under_way = Arc::new(AtomicUsize::new(0));
        let (inbox, count) = (to.clone(), Arc::clone(&under_way));
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let over = inbox.send(message).await.is_err();
                count.fetch_sub(1, Ordering::Release);
                if over {
                    break;
                }
            }
        });
        Self { to: to.clone(), waiting, under_way }
    }

    /// Something waits, which others must not overtake.
    fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }

    fn send(&self, message: ToRoom) -> bool {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let sent = self.waiting.try_send(message).is_ok();
        if !sent {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(message: &ToRoom) -> u64 {
        match message {
            ToRoom::Closed { session } => session.0,
            other => panic!("{other:?}"),
        }
    }

    fn message(n: u64) -> ToRoom {
        ToRoom::Closed { session: SessionId(n) }
    }

    #[tokio::test]
    async fn what_a_full_room_is_told_waits_in_order_and_within_bounds() {
        let (to, mut inbox) = mpsc::channel(2);
        let mut ways = Ways::default();
        // The task has no turn meanwhile: all but what is in the inbox waits.
        let taken = 2 + WAITING;
        (0..taken + 3).for_each(|n| ways.pass_on(&to, message(n as u64)));
        assert_eq!((ways.take_dropped(), ways.take_dropped()), (3, 0));
        for n in 0..2 + WAITING / 2 {
            assert_eq!(number(&inbox.recv().await.unwrap()), n as u64);
        }
        // Then: there is room again, behind what waits.
        ways.pass_on(&to, message(taken as u64));
        for n in 2 + WAITING / 2..=taken {
            assert_eq!(number(&inbox.recv().await.unwrap()), n as u64);
        }
        while ways.full.iter().any(Way::is_busy) {
            tokio::task::yield_now().await;
        }
        ways.pass_on(&to, message(7));
        assert_eq!(number(&inbox.try_recv().unwrap()), 7, "straight away");
    }

    #[tokio::test]
    async fn a_room_that_is_over_is_forgotten() {
        let (to, inbox) = mpsc::channel(1);
        let mut ways = Ways::default();
        ways.pass_on(&to, message(1));
        ways.pass_on(&to, message(2));
        assert_eq!(ways.full.len(), 1);
        drop(inbox);
        ways.pass_on(&to, message(3));
        assert!(ways.full.is_empty() && ways.dropped == 0);
    }
}
