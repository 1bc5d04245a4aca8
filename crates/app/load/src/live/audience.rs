//! A thread with many players.
//!
//! It looks at its sockets at most every [`TICK`], so that a server on the same machine is not charged for
//! waking it, and takes the time at which bytes came from the kernel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use net::Poller;

use super::KNOCKING;
use super::address::Address;
use super::figures::{Tally, Way};
use super::player::Player;

/// Longest time between two looks at the sockets.
const TICK: Duration = Duration::from_millis(10);
/// Longest turn of reading: others have something to say, too.
const LONGEST: Duration = Duration::from_millis(50);
/// Read at once: a tick of a fast stream, with its key frame.
const BUFFER: usize = 256 << 10;

/// A player to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) way: Way,
    pub(crate) stream: usize,
    /// After the beginning.
    pub(crate) after: Duration,
}

/// A thread, and what its players have come to.
#[derive(Debug)]
pub(crate) struct Audience {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Audience {
    pub(crate) fn start(places: Vec<Place>, address: &Address) -> anyhow::Result<Self> {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let room = Room {
            poller: Poller::new().context("epoll")?,
            places,
            address: address.clone(),
            players: Vec::new(),
            buffer: vec![0; BUFFER],
        };
        let (shared, halt) = (tally.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("audience".into());
        let thread = thread.spawn(move || room.run(&shared, &halt)).context("cannot start a thread")?;
        Ok(Self { tally, stop, thread })
    }

    pub(crate) fn look(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Latencies count from here.
    pub(crate) fn begin(&self) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).begin();
    }

    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that panicked has said so.
        let _ = self.thread.join();
    }
}

struct Room {
    poller: Poller,
    places: Vec<Place>,
    address: Address,
    players: Vec<Option<Player>>,
    buffer: Vec<u8>,
}

impl Room {
    fn run(mut self, shared: &Mutex<Tally>, stop: &AtomicBool) {
        let began = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let turn = Instant::now();
            {
                let mut tally = shared.lock().unwrap_or_else(PoisonError::into_inner);
                // 1. Whoever is due.
                self.admit(began, &mut tally);
                // 2. What has come.
                self.receive(&mut tally);
                // 3. What is to be said.
                for index in 0..self.players.len() {
                    let Some(Some(player)) = self.players.get_mut(index) else { continue };
                    if let Err(why) = player.flush(turn) {
                        self.lose(index, why, &mut tally);
                    }
                }
            }
            std::thread::sleep(TICK.saturating_sub(turn.elapsed()));
        }
    }

    /// Connects for a tick at most: connecting waits for the server.
    fn admit(&mut self, began: Instant, tally: &mut Tally) {
        if self.players.len() == self.places.len() {
            return;
        }
        let until = Instant::now() + TICK;
        let mut knocking = self.players.iter().flatten().filter(|player| !player.has_joined()).count();
        while knocking < KNOCKING
            && let Some(place) = self.places.get(self.players.len()).copied()
            && began.elapsed() >= place.after
            && Instant::now() < until
        {
            knocking += 1;
            let index = self.players.len() as u64;
            let player = Player::connect(place.way, place.stream, &self.address).and_then(|player| {
                self.poller.add(&player.socket, index).context("epoll")?;
                Ok(player)
            });
            let player = player.map_err(|error| tally.fail(format!("{error:#}"))).ok();
            self.players.push(player);
        }
    }

    fn receive(&mut self, tally: &mut Tally) {
        let until = Instant::now() + LONGEST;
        while Instant::now() < until {
            // Level-triggered: what is not emptied is told again.
            let Ok(ready) = self.poller.wait(Some(Duration::ZERO)) else { return };
            let tokens: Vec<u64> = ready.iter().map(|ready| ready.token).collect();
            if tokens.is_empty() {
                return;
            }
            for token in tokens {
                let index = token as usize;
                let Some(Some(player)) = self.players.get_mut(index) else { continue };
                if let Err(why) = player.receive(&mut self.buffer, tally.of_mut(player.way)) {
                    self.lose(index, why, tally);
                }
            }
        }
    }

    fn lose(&mut self, index: usize, why: String, tally: &mut Tally) {
        let Some(player) = self.players.get_mut(index).and_then(Option::take) else { return };
        player.left(tally.of_mut(player.way));
        tally.fail(why);
    }
}
