//! A seeded link in virtual time: loss, delay, reordering, rate.
//!
//! Owns: what happens to a datagram between two ends. Knows nothing of what is in it. One direction is a
//! [`Link`]; a path is two of them, each with a seed of its own. The same seed and the same calls give the
//! same deliveries.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use clock::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Bytes that IPv4 and UDP add to a datagram on a link with a rate.
const IP_UDP_OVERHEAD: usize = 28;

/// What a link does to datagrams.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Share lost at random, 0 to 1.
    pub loss: f64,
    /// Share delivered twice, 0 to 1.
    pub duplicate: f64,
    /// One-way delay of each.
    pub delay: Duration,
    /// Up to this much more, evenly spread.
    pub jitter: Duration,
    /// Whether jitter lets a later datagram overtake.
    pub reorder: bool,
    /// Bits a second, with IP and UDP headers; `None` is unlimited.
    pub rate: Option<u64>,
    /// Longest wait for the link to be free; what would wait longer is lost. Only with a rate.
    pub queue: Duration,
}

impl Default for Config {
    /// A perfect link.
    fn default() -> Self {
        Self {
            loss: 0.0,
            duplicate: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: false,
            rate: None,
            queue: Duration::from_millis(300),
        }
    }
}

/// What a link has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams given to the link.
    pub sent: u64,
    /// Lost at random.
    pub lost: u64,
    /// Lost because the queue was full.
    pub overflowed: u64,
    /// Handed out at the far end, duplicates too.
    pub delivered: u64,
}

/// One direction.
#[derive(Debug)]
pub struct Link<D> {
    config: Config,
    rng: SmallRng,
    /// When the last datagram has left the sending end.
    free_at: Option<Instant>,
    /// When the last datagram will arrive.
    last_arrival: Option<Instant>,
    in_flight: BinaryHeap<Arrival<D>>,
    serial: u64,
    counters: Counters,
}

#[derive(Debug)]
struct Arrival<D> {
    at: Instant,
    serial: u64,
    datagram: D,
}

impl<D> Arrival<D> {
    /// The earliest is the greatest, because the heap pops the greatest.
    fn rank(&self) -> (std::cmp::Reverse<Instant>, std::cmp::Reverse<u64>) {
        (std::cmp::Reverse(self.at), std::cmp::Reverse(self.serial))
    }
}

impl<D> PartialEq for Arrival<D> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl<D> Eq for Arrival<D> {}

impl<D> PartialOrd for Arrival<D> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<D> Ord for Arrival<D> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<D: Clone> Link<D> {
    /// An empty link.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            rng: SmallRng::seed_from_u64(seed),
            free_at: None,
            last_arrival: None,
            in_flight: BinaryHeap::new(),
            serial: 0,
            counters: Counters::default(),
        }
    }

    /// Changes what happens to datagrams sent from now on.
    pub fn set_config(&mut self, config: Config) {
        self.config = config;
    }

    /// What happens to datagrams sent from now on follows from this seed, whatever was sent before.
    pub fn set_seed(&mut self, seed: u64) {
        self.rng = SmallRng::seed_from_u64(seed);
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Puts a datagram of `size` bytes on the link.
    pub fn send(&mut self, now: Time, size: usize, datagram: D) {
        self.counters.sent += 1;
        // The same draws for every datagram: a change of the rate does not change who is lost.
        let lost = self.rng.random_bool(self.config.loss.clamp(0.0, 1.0));
        let twice = self.rng.random_bool(self.config.duplicate.clamp(0.0, 1.0));
        let extra = self.config.jitter.mul_f64(self.rng.random::<f64>());
        let Some(left) = self.leaves_at(now.mono, size) else {
            self.counters.overflowed += 1;
            return;
        };
        if lost {
            self.counters.lost += 1;
            return;
        }
        let mut at = left + self.config.delay + extra;
        if !self.config.reorder {
            at = at.max(self.last_arrival.unwrap_or(at));
            self.last_arrival = Some(at);
        }
        if twice {
            self.push(at, datagram.clone());
        }
        self.push(at, datagram);
    }

    /// When the datagram's last bit has left, or `None` if the queue is full.
    fn leaves_at(&mut self, now: Instant, size: usize) -> Option<Instant> {
        let Some(rate) = self.config.rate else { return Some(now) };
        let free = self.free_at.map_or(now, |f| f.max(now));
        if free - now > self.config.queue {
            return None;
        }
        let bits = (size + IP_UDP_OVERHEAD) as f64 * 8.0;
        let left = free + Duration::from_secs_f64(bits / rate.max(1) as f64);
        self.free_at = Some(left);
        Some(left)
    }

    fn push(&mut self, at: Instant, datagram: D) {
        self.serial += 1;
        self.in_flight.push(Arrival { at, serial: self.serial, datagram });
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.in_flight.peek().map(|a| a.at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Time) -> Option<D> {
        if self.in_flight.peek()?.at > now.mono {
            return None;
        }
        self.counters.delivered += 1;
        self.in_flight.pop().map(|a| a.datagram)
    }
}

#[cfg(test)]
mod tests;
