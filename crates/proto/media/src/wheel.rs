//! A hierarchical timing wheel: timers from milliseconds to years, all at the same small cost.
//!
//! Owns: when a timer is due. Knows nothing of what it is for. Six levels of 64 slots; a timer lies in the
//! level where its time first differs from the present, and moves down a level when its slot's time comes
//! (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", scheme 7). It never fires early, and at most
//! one tick late.

use std::time::{Duration, Instant};

/// The grain of a timer: a stream's timeouts are seconds.
const TICK: Duration = Duration::from_millis(10);
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 6;
/// Ticks that the wheel spans, about 21 years; what lies beyond waits in the last slot and is put back.
const SPAN: u64 = 1 << (SLOT_BITS * LEVELS as u32);
/// No neighbour in a slot's list.
const NONE: u32 = u32::MAX;

/// A timer that has been set. Once it has fired or was cancelled, its key means nothing and does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timer {
    index: u32,
    serial: u32,
}

#[derive(Debug)]
struct Entry<T> {
    /// What distinguishes it from earlier timers at the same place.
    serial: u32,
    tick: u64,
    slot: u16,
    previous: u32,
    next: u32,
    /// None while the place is free.
    value: Option<T>,
}

/// Timers with something to remember for each.
#[derive(Debug)]
pub struct Wheel<T> {
    origin: Instant,
    elapsed: u64,
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    heads: [u32; SLOTS * LEVELS],
    /// A bit for every slot that holds something.
    occupied: [u64; LEVELS],
}

impl<T> Wheel<T> {
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            elapsed: 0,
            entries: Vec::new(),
            free: Vec::new(),
            heads: [NONE; SLOTS * LEVELS],
            occupied: [0; LEVELS],
        }
    }

    /// Sets a timer; one that is due already fires at the next tick.
    pub fn set(&mut self, at: Instant, value: T) -> Timer {
        let after = at.saturating_duration_since(self.origin).as_nanos();
        let tick = u64::try_from(after.div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX).max(self.elapsed + 1);
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { serial: 0, tick, slot: 0, previous: NONE, next: NONE, value: None });
            (self.entries.len() - 1) as u32
        });
        let entry = &mut self.entries[index as usize];
        entry.tick = tick;
        entry.value = Some(value);
        let serial = entry.serial;
        self.link(index);
        Timer { index, serial }
    }

    /// Takes a timer back, if it has not fired.
    pub fn cancel(&mut self, timer: Timer) -> Option<T> {
        let entry = self.entries.get(timer.index as usize)?;
        if entry.serial != timer.serial || entry.value.is_none() {
            return None;
        }
        self.unlink(timer.index);
        self.release(timer.index)
    }

    /// The earliest moment at which [`Self::turn`] has something to do. It may find that to be only the
    /// moving of far timers to a finer level.
    pub fn due(&self) -> Option<Instant> {
        let (_, tick) = self.upcoming()?;
        let nanos = tick.saturating_mul(TICK.as_nanos() as u64);
        self.origin.checked_add(Duration::from_nanos(nanos))
    }

    /// Moves on to `now` and hands out what has become due, in order of time.
    pub fn turn(&mut self, now: Instant, fired: &mut Vec<T>) {
        let target = (now.saturating_duration_since(self.origin).as_nanos() / TICK.as_nanos()) as u64;
        while let Some((slot, tick)) = self.upcoming() {
            if tick > target {
                break;
            }
            self.elapsed = tick;
            self.empty(slot, fired);
        }
        self.elapsed = self.elapsed.max(target);
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slot whose time comes first, and that time. A lower level always comes before a higher one.
    fn upcoming(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|bits| *bits != 0)?;
        let shift = SLOT_BITS * level as u32;
        let here = (self.elapsed >> shift) as usize % SLOTS;
        let ahead = self.occupied[level].rotate_right(here as u32).trailing_zeros() as usize;
        let round = (self.elapsed >> shift) & !(SLOTS as u64 - 1);
        let slot = (here + ahead) % SLOTS;
        let wrapped = if slot < here { SLOTS as u64 } else { 0 };
        Some((level * SLOTS + slot, (round + wrapped + slot as u64) << shift))
    }

    fn empty(&mut self, slot: usize, fired: &mut Vec<T>) {
        let mut index = std::mem::replace(&mut self.heads[slot], NONE);
        self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        while index != NONE {
            let entry = &self.entries[index as usize];
            let next = entry.next;
            if entry.tick <= self.elapsed {
                fired.extend(self.release(index));
            } else {
                self.link(index);
            }
            index = next;
        }
    }

    fn link(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick.min(self.elapsed + SPAN - 1);
        let differs = (tick ^ self.elapsed) | (SLOTS as u64 - 1);
        let level = ((63 - differs.leading_zeros()) / SLOT_BITS).min(LEVELS as u32 - 1);
        let place = (tick >> (SLOT_BITS * level)) as usize % SLOTS;
        let slot = level as usize * SLOTS + place;
        let next = std::mem::replace(&mut self.heads[slot], index);
        self.occupied[level as usize] |= 1 << place;
        let entry = &mut self.entries[index as usize];
        (entry.slot, entry.previous, entry.next) = (slot as u16, NONE, next);
        if next != NONE {
            self.entries[next as usize].previous = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let Entry { slot, previous, next, .. } = self.entries[index as usize];
        let slot = usize::from(slot);
        if previous == NONE {
            self.heads[slot] = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if self.heads[slot] == NONE {
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        }
    }

    fn release(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        entry.serial = entry.serial.wrapping_add(1);
        self.free.push(index);
        entry.value.take()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test has to begin somewhere
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Turns the wheel every `step` until the timer fires; how long that took.
    fn fires_after(delay: Duration, step: Duration) -> Duration {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        wheel.turn(start + Duration::from_millis(12_345), &mut Vec::new());
        let begin = start + Duration::from_millis(12_345);
        wheel.set(begin + delay, ());
        let mut fired = Vec::new();
        let mut now = begin;
        while fired.is_empty() {
            now += step;
            wheel.turn(now, &mut fired);
            assert!(now - begin < delay * 2, "a timer of {delay:?} did not fire");
        }
        now - begin
    }

    #[test]
    fn minutes_hours_and_days_fire_on_time_and_never_early() {
        for delay in [seconds(90), seconds(3600), seconds(2 * 86_400)] {
            let step = Duration::from_millis(50);
            let took = fires_after(delay, step);
            assert!(took >= delay, "{delay:?} fired after {took:?}");
            assert!(took <= delay + TICK + step, "{delay:?} fired after {took:?}");
        }
    }

    #[test]
    fn one_turn_over_the_whole_time_finds_them_all_in_order() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for delay in [172_800, 0, 90, 3600, 1, 59, 61] {
            wheel.set(start + seconds(delay), delay);
        }
        let mut fired = Vec::new();
        wheel.turn(start + seconds(200_000), &mut fired);
        assert_eq!(fired, [0, 1, 59, 61, 90, 3600, 172_800]);
        assert!(wheel.is_empty());
        assert_eq!(wheel.due(), None);
    }

    #[test]
    fn a_cancelled_timer_is_silent_and_its_key_is_dead() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let first = wheel.set(start + seconds(5), 1);
        assert_eq!(wheel.cancel(first), Some(1));
        let second = wheel.set(start + seconds(5), 2);
        assert_eq!(wheel.cancel(first), None, "the same place, another timer");
        let mut fired = Vec::new();
        wheel.turn(start + seconds(6), &mut fired);
        assert_eq!(fired, [2]);
        assert_eq!(wheel.cancel(second), None);
    }

    #[test]
    fn following_due_is_enough_and_wakes_seldom() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        wheel.set(start + seconds(172_800), ());
        let mut fired = Vec::new();
        let mut wakes = 0;
        let mut last = start;
        while let Some(due) = wheel.due() {
            assert!(due > last, "waking again at the same moment");
            last = due;
            wheel.turn(due, &mut fired);
            wakes += 1;
        }
        assert_eq!(fired.len(), 1);
        assert!(last >= start + seconds(172_800) && last <= start + seconds(172_801));
        assert!(wakes <= LEVELS, "{wakes} wakes");
    }

    #[test]
    fn agrees_with_a_sorted_list() {
        let start = Instant::now();
        for seed in 0..200 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut wheel = Wheel::new(start);
            let mut list: Vec<(Instant, u32, Timer)> = Vec::new();
            let mut now = start;
            for id in 0..300 {
                let far = 10u64.pow(rng.random_range(0..9));
                let at = now + Duration::from_millis(rng.random_range(0..=far));
                list.push((at, id, wheel.set(at, id)));
                if rng.random_bool(0.3) && !list.is_empty() {
                    let (_, id, timer) = list.swap_remove(rng.random_range(0..list.len()));
                    assert_eq!(wheel.cancel(timer), Some(id), "seed {seed}");
                }
                if rng.random_bool(0.5) {
                    let far = 10u64.pow(rng.random_range(1..8));
                    now += Duration::from_millis(rng.random_range(0..far));
                    let mut fired = Vec::new();
                    wheel.turn(now, &mut fired);
                    for id in fired {
                        let place = list.iter().position(|(_, other, _)| *other == id).unwrap();
                        assert!(list.swap_remove(place).0 <= now, "seed {seed}: {id} is early");
                    }
                    for (at, id, _) in &list {
                        // One set while already due waits for the next tick.
                        assert!(*at + TICK + TICK > now, "seed {seed}: {id} is late");
                    }
                }
            }
            assert_eq!(wheel.len(), list.len(), "seed {seed}");
        }
    }
}
