//! Participants on the way from one room's task to another's.
//!
//! Owns: that nobody gets lost between the two, and that what still comes to the first room reaches the second.

use std::collections::VecDeque;

use room::ParticipantSid;
use signal::{Migrant, SessionId};
use tokio::sync::mpsc;

use crate::directory::ToRoom;
use crate::queue;

/// How many who have gone a room remembers: what still comes from one of them comes at once.
const GONE: usize = 64;

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

/// Hands a message to a room without waiting for it.
pub(crate) fn pass_on(to: &mpsc::Sender<ToRoom>, message: ToRoom) {
    if let Err(mpsc::error::TrySendError::Full(message)) = to.try_send(message) {
        let to = to.clone();
        tokio::spawn(async move { to.send(message).await });
    }
}
