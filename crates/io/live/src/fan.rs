//! Fan-out: the players of one stream, written in sweeps.
//!
//! Owns: the sockets of players over TCP. When the stream has something new, the sweep takes the stream's lock
//! once, finds for every player what it has not had, and then writes to each socket without waiting: one
//! vectored write of bytes that all players share. No player has a task, a lock or a wake-up of its own; a
//! socket that takes no more is tried again with the next sweep, and its player jumps ahead when it is too far
//! behind.

mod line;
mod seat;
#[cfg(test)]
mod tests;
mod websocket;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use media::{Name, Shared};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::forms::Forms;

pub(crate) use seat::{Form, Seat};
pub(crate) use websocket::message;

/// Without anything new: how soon departures are noticed and full sockets tried again.
const TICK: Duration = Duration::from_millis(250);

/// How long what players say may wait: to ask each of them with every frame costs more than what they say.
const HEAR: Duration = Duration::from_millis(100);

/// Players that one sweep writes before the next one is begun: to wake a second thread for each frame costs as much
/// as several writes, and so many take some five milliseconds, which at 72 frames a second is a third of a core.
const SEATS: usize = 1024;

/// The way to the sweeps of one stream: as many as there are players for, at most one for each core.
#[derive(Debug)]
struct Fan {
    source: Source,
    sweeps: Vec<Sweep>,
    limit: usize,
}

/// The way to one sweep.
#[derive(Debug)]
struct Sweep {
    inbox: mpsc::UnboundedSender<Seat>,
    /// Players that it has, with those on their way to it.
    seats: Arc<AtomicUsize>,
}

/// What a sweep is told of its stream.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) stream: Shared,
    pub(crate) forms: Forms,
    pub(crate) bell: watch::Receiver<u64>,
}

impl Fan {
    fn new(source: Source) -> Self {
        let limit = std::thread::available_parallelism().map_or(1, usize::from);
        Self { source, sweeps: Vec::new(), limit }
    }

    /// Gives a player to a sweep; back if there is none to take it.
    fn take(&mut self, seat: Seat) -> Option<Seat> {
        let at = choose(self.sweeps.iter().map(Sweep::len), self.limit);
        if at == self.sweeps.len() {
            self.sweeps.push(Sweep::start(self.source.clone()));
        }
        match self.sweeps.get(at) {
            Some(sweep) => sweep.take(seat),
            None => Some(seat),
        }
    }
}

/// Which sweep takes the next player, of sweeps with so many: that with the fewest, or one more if each has enough.
fn choose(lens: impl ExactSizeIterator<Item = usize>, limit: usize) -> usize {
    let count = lens.len();
    let fewest = lens.enumerate().min_by_key(|(_, len)| *len);
    match fewest {
        Some((at, len)) if len < SEATS || count >= limit => at,
        _ => count,
    }
}

impl Sweep {
    fn start(source: Source) -> Self {
        let (sender, inbox) = mpsc::unbounded_channel();
        let seats = Arc::new(AtomicUsize::new(0));
        // A sweep asks many sockets in one turn, and each is to be asked: no budget a task.
        tokio::spawn(tokio::task::unconstrained(sweep(source, inbox, seats.clone())));
        Self { inbox: sender, seats }
    }

    fn len(&self) -> usize {
        self.seats.load(Ordering::Relaxed)
    }

    fn take(&self, seat: Seat) -> Option<Seat> {
        self.seats.fetch_add(1, Ordering::Relaxed);
        self.inbox.send(seat).err().map(|refused| refused.0)
    }
}

/// The fans of all streams.
#[derive(Debug, Default)]
pub(crate) struct Fans(HashMap<Name, Fan>);

impl Fans {
    /// Gives a player to its stream's sweeps. One that comes back is to be dropped, but not under the hub's
    /// lock, which it takes.
    #[must_use]
    pub(crate) fn take(&mut self, seat: Seat) -> Option<Seat> {
        if seat.is_over() {
            return Some(seat);
        }
        let source = seat.source();
        let fan = self.0.entry(seat.name().clone()).or_insert_with(|| Fan::new(source.clone()));
        if !fan.source.stream.is(&source.stream) {
            // Of a stream of the same name that is gone.
            *fan = Fan::new(source);
        }
        fan.take(seat)
    }

    /// The stream is gone: its sweeps end with their last player.
    pub(crate) fn remove(&mut self, name: &Name) {
        self.0.remove(name);
    }
}

#[cfg(test)]
impl Fans {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// One sweep's life: until nobody can come any more and everybody has left.
async fn sweep(source: Source, mut inbox: mpsc::UnboundedReceiver<Seat>, count: Arc<AtomicUsize>) {
    let Source { stream, forms, mut bell } = source;
    let mut seats: Vec<Seat> = Vec::new();
    let mut is_open = true;
    let mut last = Instant::now();
    let mut heard = last;
    let mut merge = Duration::ZERO;
    let mut is_hungry = false;
    loop {
        if seats.is_empty() {
            // Frames that nobody gets wake nobody.
            match inbox.recv().await {
                Some(seat) => seats.push(seat),
                None => return,
            }
        } else if is_hungry {
            // Others have their turn in between.
            tokio::task::yield_now().await;
        } else {
            tokio::select! {
                seat = inbox.recv(), if is_open => match seat {
                    Some(seat) => seats.push(seat),
                    None => is_open = false,
                },
                changed = bell.changed() => match changed {
                    Ok(()) if merge.is_zero() => {}
                    Ok(()) => tokio::time::sleep_until(last + merge).await,
                    // The stream is gone; its players are on their way out.
                    Err(_) => tokio::time::sleep(TICK).await,
                },
                () = tokio::time::sleep(TICK) => {}
            }
        }
        while let Ok(seat) = inbox.try_recv() {
            seats.push(seat);
        }
        let now = Instant::now();
        last = now;
        bell.mark_unchanged();
        if now.duration_since(heard) >= HEAR {
            heard = now;
            seats.iter_mut().for_each(|seat| seat.listen(now));
        }
        gather(&stream, &forms, &mut seats, now);
        let before = seats.len();
        (merge, is_hungry) = (Duration::MAX, false);
        // All in one pass: what writes to sockets drives the seats out of the caches. Dropping a seat takes the hub's
        // lock; the stream's is not held here.
        seats.retain_mut(|seat| {
            seat.write(now);
            merge = merge.min(seat.merge_latency);
            is_hungry |= seat.is_hungry();
            !seat.is_done()
        });
        count.fetch_sub(before - seats.len(), Ordering::Relaxed);
    }
}

/// Finds for every player what it has not had, with one lock for all.
fn gather(stream: &Shared, forms: &Forms, seats: &mut [Seat], now: Instant) {
    let mut stream = stream.lock();
    let mut forms = forms.lock();
    for seat in seats {
        seat.gather(&mut stream, &mut forms, now);
    }
    forms.forget_runs();
}
