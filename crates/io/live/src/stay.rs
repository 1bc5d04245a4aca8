//! Stays of publishers and players, which end when they are dropped.
//!
//! Ending one takes the hub's lock, and whoever has that may be waiting for a stream's: never drop a stay
//! while holding the lock of a stream.

use media::{Cursor, Frame, PlayerId, PublicationId, Replaced, Session, Shared, Ticks, Track, Why};
use tokio::sync::watch;
use vhost::{Place, Query};

use crate::Desk;
use crate::forms::Forms;

/// A publisher's stay. Dropping it ends it.
#[derive(Debug)]
pub struct Publishing {
    pub(crate) desk: Desk,
    pub(crate) place: Place,
    pub(crate) id: PublicationId,
    pub(crate) session: Session,
    pub(crate) stream: Shared,
    pub(crate) over: watch::Receiver<Option<Why>>,
    pub(crate) bell: watch::Sender<u64>,
}

impl Publishing {
    pub fn id(&self) -> PublicationId {
        self.id
    }

    /// What is published, which is not what was asked for where a stream key stood for a name.
    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn stream(&self) -> &Shared {
        &self.stream
    }

    /// Announces a track or changes one.
    pub fn set_track(&self, track: Track) -> Result<(), Replaced> {
        self.stream.lock().set_track(self.session, track)
    }

    /// Takes the frames that came together, with one lock and one wake-up.
    pub fn push(&self, frames: impl IntoIterator<Item = Frame>) -> Result<(), Replaced> {
        let now = crate::now();
        let mut stream = self.stream.lock();
        let result = frames.into_iter().try_for_each(|frame| stream.push(self.session, now, frame).map(drop));
        let head = stream.head();
        drop(stream);
        self.bell.send_if_modified(|known| std::mem::replace(known, head) != head);
        result
    }

    /// Why it is over, once it is: the connection is to be closed.
    pub fn over(&self) -> Option<Why> {
        *self.over.borrow()
    }

    /// Waits until it is over.
    pub async fn ended(&mut self) -> Why {
        ended(&mut self.over).await
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.desk.unpublish(self.id);
    }
}

/// A player's stay. Dropping it ends it.
#[derive(Debug)]
pub struct Playing {
    pub(crate) desk: Desk,
    pub(crate) place: Place,
    pub(crate) id: PlayerId,
    pub(crate) query: Query,
    pub(crate) stream: Shared,
    pub(crate) over: watch::Receiver<Option<Why>>,
    pub(crate) bell: watch::Receiver<u64>,
    pub(crate) forms: Forms,
}

impl Playing {
    pub fn id(&self) -> PlayerId {
        self.id
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn stream(&self) -> &Shared {
        &self.stream
    }

    /// A cursor that begins where this player asked to, or where players of the application do.
    pub fn cursor(&self) -> Cursor {
        self.stream.lock().cursor(self.query.latency().map(Ticks::from_duration))
    }

    /// Waits until the stream has a frame beyond `position`; whether it has, or the stay is over.
    pub async fn beyond(&mut self, position: u64) -> bool {
        tokio::select! {
            head = self.bell.wait_for(|head| *head > position) => head.is_ok(),
            _ = ended(&mut self.over) => false,
        }
    }

    /// Why it is over, once it is: the connection is to be closed.
    pub fn over(&self) -> Option<Why> {
        *self.over.borrow()
    }

    /// Waits until it is over.
    pub async fn ended(&mut self) -> Why {
        ended(&mut self.over).await
    }
}

/// A reader that is nobody's stay.
#[derive(Debug)]
pub struct Following {
    pub(crate) stream: Shared,
    pub(crate) bell: watch::Receiver<u64>,
}

impl Following {
    pub fn stream(&self) -> &Shared {
        &self.stream
    }

    /// Waits until the stream has a frame beyond `position`; not any more when it is gone.
    pub async fn beyond(&mut self, position: u64) -> bool {
        self.bell.wait_for(|head| *head > position).await.is_ok()
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.desk.leave(self.id);
    }
}

async fn ended(over: &mut watch::Receiver<Option<Why>>) -> Why {
    match over.wait_for(Option::is_some).await {
        Ok(why) => why.unwrap_or(Why::Ended),
        // The desk is gone.
        Err(_) => Why::Ended,
    }
}
