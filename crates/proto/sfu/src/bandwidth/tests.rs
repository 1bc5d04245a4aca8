//! Lines in virtual time: a sender of three layers that does what it is told, and a receiver that reports.

use std::time::{Duration, Instant};

use clock::Time;
use netem::Link;

use super::allocate::{Ladder, Outcome, Step, Terms, allocate};
use super::{Budget, Fate};

const LAYERS: [u64; 3] = [150_000, 500_000, 1_700_000];
const PACKET: usize = 1100;
const SECOND: Duration = Duration::from_secs(1);

struct Departure {
    at: Instant,
    size: u16,
    arrived: Option<i64>,
}

struct World {
    now: Time,
    line: Link<usize>,
    budget: Budget,
    sent: Vec<Departure>,
    reported: usize,
    layer: usize,
    /// Layer changes: when, and to which.
    changes: Vec<(Duration, usize)>,
    begun: Instant,
    owed: f64,
    ticks: u64,
    received: u64,
}

impl World {
    #[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
    fn new(config: netem::Config, seed: u64) -> Self {
        let now = Time { mono: Instant::now(), unix: Duration::from_secs(1_790_000_000) };
        Self {
            now,
            line: Link::new(config, seed),
            budget: Budget::new(),
            sent: Vec::new(),
            reported: 0,
            layer: 2,
            changes: Vec::new(),
            begun: now.mono,
            owed: 0.0,
            ticks: 0,
            received: 0,
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now.after(span);
        while self.now.mono < end.mono {
            self.now = self.now.after(Duration::from_millis(1));
            self.ticks += 1;
            if self.ticks.is_multiple_of(33) {
                self.frame();
            }
            while let Some(n) = self.line.receive(self.now) {
                let ticks = (self.now.since(self.begun).as_micros() / 250) as i64;
                self.received += u64::from(self.sent[n].size);
                self.sent[n].arrived.get_or_insert(ticks);
            }
            if self.ticks.is_multiple_of(100) {
                self.feedback();
            }
            if self.ticks.is_multiple_of(500) {
                self.budget.tick(self.now.mono);
                self.allocate(true);
            }
        }
    }

    /// A frame at once, every tenth second a large one.
    fn frame(&mut self) {
        let factor = if (self.ticks / 33).is_multiple_of(300) { 5.0 } else { 1.0 };
        self.owed += LAYERS[self.layer] as f64 * 0.033 / 8.0 * factor;
        while self.owed > 0.0 {
            let size = self.owed.min(PACKET as f64).max(100.0) as usize;
            self.owed -= size as f64;
            self.line.send(self.now, size, self.sent.len());
            self.sent.push(Departure { at: self.now.mono, size: size as u16, arrived: None });
            self.budget.spend(size);
        }
    }

    /// Of all up to the newest that has come, as a receiver tells it, half a round trip later.
    fn feedback(&mut self) {
        let Some(last) = self.sent.iter().rposition(|d| d.arrived.is_some()) else { return };
        let mut less = false;
        while self.reported <= last {
            let Departure { at, size, arrived } = self.sent[self.reported];
            less |= self.budget.take(self.now.mono, Fate { departed: at, size, arrived });
            self.reported += 1;
        }
        if less {
            self.allocate(false);
        }
    }

    fn allocate(&mut self, lenient: bool) {
        let Some(budget) = self.budget.for_media() else { return self.set(2) };
        let step = |n: usize| Step { spatial: n as u8, temporal: 7, rate: LAYERS[n] };
        let mut ladder = [Ladder::new(0, 0, Some(step(self.layer)))];
        (0..LAYERS.len()).for_each(|n| ladder[0].push(step(n)));
        let outcome = allocate(&mut ladder, Terms { budget, may_pause: false, lenient });
        self.budget.allocated(self.now.mono, outcome);
        self.set(usize::from(ladder[0].granted().unwrap().spatial));
    }

    fn set(&mut self, layer: usize) {
        if layer != self.layer {
            self.changes.push((self.now.since(self.begun), layer));
            self.layer = layer;
        }
    }

    fn changes_since(&self, from: Duration) -> usize {
        self.changes.iter().filter(|(at, _)| *at >= from).count()
    }

    /// For how long a layer above this was sent.
    fn time_above(&self, layer: usize, from: Duration) -> Duration {
        let end = self.now.since(self.begun);
        let mut spent = Duration::ZERO;
        let mut at = (Duration::ZERO, 2);
        for change in self.changes.iter().copied().chain([(end, 0)]) {
            if at.1 > layer {
                spent += change.0.saturating_sub(at.0.max(from));
            }
            at = change;
        }
        spent
    }
}

fn line(rate: u64) -> netem::Config {
    netem::Config {
        rate: Some(rate),
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(10),
        ..netem::Config::default()
    }
}

const SEEDS: u64 = 8;

#[test]
fn a_line_that_carries_everything_is_never_limited() {
    for seed in 0..SEEDS {
        let mut world = World::new(line(4_000_000), seed);
        world.run(60 * SECOND);
        assert_eq!(
            (world.changes.len(), world.budget.limit()),
            (0, None),
            "seed {seed}: {:?}",
            world.changes
        );
    }
}

#[test]
fn a_line_gets_the_layer_that_it_carries_and_trials_of_the_next_become_rare() {
    for (rate, fits) in [(1_500_000, 1), (300_000, 0)] {
        for seed in 0..SEEDS {
            let mut world = World::new(line(rate), seed);
            world.run(5 * SECOND);
            assert_eq!(world.layer, fits, "{rate}, seed {seed}: {:?}", world.changes);
            world.run(300 * SECOND);
            let from = 60 * SECOND;
            assert!(world.changes_since(from) <= 12, "{rate}, seed {seed}: {:?}", world.changes);
            let above = world.time_above(fits, from);
            assert!(above < 10 * SECOND, "{rate}, seed {seed}: {above:?} {:?}", world.changes);
            assert_eq!(world.layer, fits);
        }
    }
}

#[test]
fn a_line_that_changes_is_followed_down_at_once_and_up_after_a_while() {
    for seed in 0..SEEDS {
        let mut world = World::new(line(4_000_000), seed);
        world.run(20 * SECOND);
        assert_eq!(world.layer, 2);
        world.line.set_config(line(700_000));
        world.run(3 * SECOND);
        assert_eq!(world.layer, 1, "seed {seed}: {:?}", world.changes);
        world.run(20 * SECOND);
        world.line.set_config(line(300_000));
        world.run(3 * SECOND);
        assert_eq!(world.layer, 0, "seed {seed}: {:?}", world.changes);
        world.run(20 * SECOND);
        world.line.set_config(line(4_000_000));
        world.run(90 * SECOND);
        assert_eq!(world.layer, 2, "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn loss_without_congestion_costs_no_layer_for_long() {
    for (loss, rate) in [(0.05, None), (0.1, None), (0.1, Some(4_000_000)), (0.25, None)] {
        for seed in 0..SEEDS {
            let config = netem::Config { loss, rate, ..line(1) };
            let mut world = World::new(config, seed);
            world.run(20 * SECOND);
            world.run(60 * SECOND);
            assert_eq!(world.layer, 2, "{loss}, seed {seed}: {:?}", world.changes);
            assert_eq!(world.changes_since(20 * SECOND), 0, "{loss}, seed {seed}: {:?}", world.changes);
        }
    }
}

#[test]
fn a_line_that_drops_what_it_does_not_carry_without_queueing_is_found_out() {
    for seed in 0..SEEDS {
        let config = netem::Config { queue: Duration::from_millis(15), ..line(900_000) };
        let mut world = World::new(config, seed);
        world.run(10 * SECOND);
        assert!(world.layer <= 1, "seed {seed}: {:?}", world.changes);
        world.run(120 * SECOND);
        assert!(world.layer <= 1, "seed {seed}: {:?}", world.changes);
        assert!(world.time_above(1, 20 * SECOND) < 20 * SECOND, "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn a_path_that_becomes_longer_is_not_a_full_one() {
    for seed in 0..SEEDS {
        let mut world = World::new(line(4_000_000), seed);
        world.run(20 * SECOND);
        world.line.set_config(netem::Config { delay: Duration::from_millis(150), ..line(4_000_000) });
        world.run(30 * SECOND);
        assert_eq!(world.layer, 2, "seed {seed}: {:?}", world.changes);
        assert!(world.changes.len() <= 4, "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn a_receivers_own_estimate_is_taken_where_there_is_no_feedback() {
    let mut world = World::new(line(4_000_000), 1);
    let at = |world: &World, ms| world.now.after(Duration::from_millis(ms)).mono;
    world.budget.tick(at(&world, 0));
    world.budget.spend(250_000);
    world.budget.tick(at(&world, 1000));
    assert!(!world.budget.remb(at(&world, 1000), 3_000_000));
    assert_eq!(world.budget.limit(), None);
    assert!(world.budget.remb(at(&world, 1100), 600_000));
    assert!(world.budget.limit().unwrap().abs_diff(600_000) < 10);
    // With feedback, what a REMB says is not asked for.
    let fate = Fate { departed: at(&world, 1200), size: 100, arrived: Some(1) };
    world.budget.take(at(&world, 1300), fate);
    assert!(!world.budget.remb(at(&world, 2500), 100_000));
}

#[test]
fn repairs_of_a_full_line_are_bounded() {
    let mut world = World::new(line(4_000_000), 1);
    let t0 = world.now.mono;
    assert!((0..1000).all(|_| world.budget.may_repair(t0, 1000)), "nothing is known of the line");
    world.budget.force(Some(800_000));
    let sent =
        (0..10_000u64).filter(|n| world.budget.may_repair(t0 + Duration::from_millis(*n), 1000)).count();
    // Nothing else is sent: all of 100 kB a second for 10 s, and what the bucket held.
    assert!((950..=1060).contains(&sent), "{sent}");
}

#[test]
fn a_limit_set_by_hand_holds_and_ends() {
    let mut world = World::new(line(4_000_000), 1);
    world.run(5 * SECOND);
    world.budget.force(Some(600_000));
    world.run(20 * SECOND);
    assert_eq!((world.layer, world.changes.len()), (1, 1));
    world.budget.force(None);
    world.run(SECOND);
    assert_eq!(world.layer, 2);
}

#[test]
fn feedback_that_is_nonsense_breaks_nothing() {
    let mut world = World::new(line(1_000_000), 1);
    let t0 = world.now.mono;
    for n in 0..5000u64 {
        let arrived = match n % 5 {
            0 => None,
            1 => Some(i64::MAX),
            2 => Some(i64::MIN),
            3 => Some(-(n as i64) * 1_000_000_007),
            _ => Some(n as i64 * 77_777_777_777),
        };
        let departed = t0 + Duration::from_millis((n * 7919) % 10_000);
        world.budget.take(t0 + Duration::from_millis(n * 10), Fate { departed, size: u16::MAX, arrived });
        world.budget.tick(t0 + Duration::from_millis(n * 10));
        let outcome = Outcome { granted: n * 1000, next: Some(u64::MAX / 1000), raised: n.is_multiple_of(2) };
        world.budget.allocated(t0, outcome);
    }
    assert!(world.budget.limit().is_none_or(|l| l >= super::LEAST));
}

#[test]
fn a_layer_whose_rate_goes_up_and_down_does_not_put_off_the_trial_of_the_next() {
    let mut world = World::new(line(1_000_000), 1);
    world.budget.tick(world.now.mono);
    world.budget.spend(25_000);
    let at = |ms: u64| world.now.mono + Duration::from_millis(ms);
    world.budget.tick(at(500));
    assert!(world.budget.remb(at(500), 100_000));
    let cut = world.budget.limit().unwrap();
    let tried = (1..60).find(|n: &u64| {
        let now = at(500 + n * 500);
        let granted = if n.is_multiple_of(2) { 80_000 } else { 95_000 };
        world.budget.allocated(now, Outcome { granted, next: Some(cut * 2), raised: false });
        world.budget.tick(now);
        world.budget.limit().unwrap() > cut
    });
    assert_eq!(tried, Some(10), "after five seconds");
}
