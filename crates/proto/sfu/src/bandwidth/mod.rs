//! How much may be sent to a peer.
//!
//! Owns: one number for each peer, or none while nothing says that its line is full; when it falls (a standing
//! queue or unusual loss in transport-wide feedback, a REMB below what is sent) and how it rises again. Packets
//! are neither paced nor made up to probe with: after a quiet time the next layer is tried, and taken back where
//! the line does not carry it; each failure doubles the time to the next trial. Knows nothing of tracks: what
//! is done with the number stands in [`allocate`].

pub(crate) mod allocate;
mod line;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use allocate::Outcome;
pub(crate) use line::Fate;
use line::{Line, Reading, Sign};

/// Of what a full line delivers, what is sent until its queue has gone.
const BACK_OFF: f64 = 0.85;
/// bit/s below which nothing is limited: one voice and the least picture.
const LEAST: u64 = 60_000;
/// Time in which what was taken back has not yet shown: key frames of lower layers have to come first.
const SETTLING: Duration = Duration::from_millis(1000);
/// Quiet time before a layer is tried.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same after many failures.
const MOST_PATIENCE: Duration = Duration::from_secs(120);
/// Time after which a trial has succeeded: a key frame, and a few seconds of what follows it.
const TRIAL: Duration = Duration::from_secs(4);
/// Share by which the estimate grows each second while the line is quiet.
const GROWTH: f64 = 0.05;
/// A cut that has not helped by then was made for the wrong reason.
const VERDICT: Duration = Duration::from_secs(3);
/// Packets without which loss is not judged.
const LEAST_PACKETS: u32 = 60;
/// Share of an estimate that repairs get in any case.
const REPAIRS: u64 = 4;
/// Time without transport-wide feedback after which a REMB is listened to.
const UNREPORTED: Duration = Duration::from_secs(2);

/// One peer's.
#[derive(Debug)]
pub(crate) struct Budget {
    line: Option<Box<Line>>,
    reported: Option<Instant>,
    /// Bits a second, once something has shown where the end is.
    estimate: Option<u64>,
    /// Said by hand, for tests of applications.
    forced: Option<u64>,
    /// No cut before then.
    settled_at: Option<Instant>,
    /// When it was last cut or raised by a trial.
    changed: Option<Instant>,
    cut: Option<Cut>,
    trial: Option<Trial>,
    ceiling: Option<Ceiling>,
    /// Of the last allocation: granted, and what one more step would take.
    granted: u64,
    next: Option<u64>,
    spent: Spent,
}

/// A cut of which it is not known yet whether it helps.
#[derive(Debug, Clone, Copy)]
struct Cut {
    at: Instant,
    before: Option<u64>,
    reading: Reading,
    /// Of the packets since it has settled.
    lost: u32,
    packets: u32,
}

/// More than before, for the time being.
#[derive(Debug, Clone, Copy)]
struct Trial {
    rate: u64,
    until: Instant,
}

/// What the line has not carried.
#[derive(Debug, Clone, Copy)]
struct Ceiling {
    rate: u64,
    patience: Duration,
}

/// What has been sent since the last look.
#[derive(Debug, Default)]
struct Spent {
    since: Option<Instant>,
    bytes: u64,
    repaired: u64,
    /// Bits a second at the last look, repairs among them.
    rate: u64,
    /// Of repairs, smoothed.
    repairs: u64,
    /// Bytes that may be repaired at once.
    allowance: u64,
    refilled: Option<Instant>,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            line: None,
            reported: None,
            estimate: None,
            forced: None,
            settled_at: None,
            changed: None,
            cut: None,
            trial: None,
            ceiling: None,
            granted: 0,
            next: None,
            spent: Spent::default(),
        }
    }

    /// Bits a second for all that goes to the peer; `None` while nothing limits it.
    pub(crate) fn limit(&self) -> Option<u64> {
        [self.estimate, self.forced].into_iter().flatten().min()
    }

    /// Bits a second that are left for media: repairs are sent from the same.
    pub(crate) fn for_media(&self) -> Option<u64> {
        self.limit().map(|limit| limit.saturating_sub(self.spent.repairs.min(limit / 2)))
    }

    /// Nothing above this is sent, whatever the line says; `None` ends that.
    pub(crate) fn force(&mut self, limit: Option<u64>) {
        self.forced = limit;
    }

    /// Takes the fate of a packet, in the order of leaving. True if there is less from now on.
    pub(crate) fn take(&mut self, now: Instant, fate: Fate) -> bool {
        self.reported = Some(now);
        let line = self.line.get_or_insert_with(|| Box::new(Line::new(fate.departed)));
        let Some(reading) = line.take(fate) else { return false };
        self.read(now, reading)
    }

    /// Takes the peer's own estimate, where it says nothing better. True if there is less from now on.
    pub(crate) fn remb(&mut self, now: Instant, bitrate: u64) -> bool {
        let unreported = self.reported.is_none_or(|at| now.saturating_duration_since(at) > UNREPORTED);
        if !unreported {
            return false;
        }
        // A receiver's estimate is no more than half as much again as what it gets: only less is news.
        let sign = if bitrate < self.spent.rate * 19 / 20 { Sign::Queue } else { Sign::Clear };
        let delivered = (bitrate as f64 / BACK_OFF) as u64;
        self.read(now, Reading { sign, delivered, queue: 0, loss: 0.0, lost: 0, packets: LEAST_PACKETS })
    }

    fn read(&mut self, now: Instant, reading: Reading) -> bool {
        self.judge_cut(now, reading);
        if reading.sign == Sign::Clear {
            self.grow(reading);
            return false;
        }
        if self.settled_at.is_some_and(|at| now < at) {
            return false;
        }
        let before = self.estimate;
        let cut = ((reading.delivered as f64 * BACK_OFF) as u64).max(LEAST);
        self.estimate = Some(before.map_or(cut, |before| before.min(cut)));
        let failed = self.trial.take().map(|trial| trial.rate);
        let known = self.ceiling.map(|c| c.patience);
        self.ceiling = Some(match failed {
            Some(rate) => {
                Ceiling { rate, patience: known.map_or(PATIENCE * 2, |p| (p * 2).min(MOST_PATIENCE)) }
            }
            None => Ceiling { rate: self.granted.max(cut), patience: known.unwrap_or(PATIENCE) },
        });
        self.changed = Some(now);
        self.settled_at = Some(now + SETTLING);
        // One at a time: the first cut is what the others are judged by.
        self.cut.get_or_insert(Cut { at: now, before, reading, lost: 0, packets: 0 });
        true
    }

    /// Looks whether a cut has helped. What does not change with what is sent is not congestion: this line
    /// loses so much, or has become longer.
    fn judge_cut(&mut self, now: Instant, reading: Reading) {
        let Some(cut) = &mut self.cut else { return };
        let since = now.saturating_duration_since(cut.at);
        if since >= SETTLING {
            cut.lost += reading.lost;
            cut.packets += reading.packets;
        }
        if since < VERDICT || cut.packets < LEAST_PACKETS {
            return;
        }
        let loss = f64::from(cut.lost) / f64::from(cut.packets);
        let Some(cut) = self.cut.take() else { return };
        let Some(line) = &mut self.line else { return };
        let wrong = match cut.reading.sign {
            // By chance it was more than usual, or there would have been no cut.
            Sign::Loss => loss > cut.reading.loss / 3.0,
            Sign::Queue => reading.queue > cut.reading.queue / 2,
            Sign::Clear => false,
        };
        if !wrong {
            return;
        }
        match cut.reading.sign {
            Sign::Loss => line.learn_loss(loss),
            _ => line.learn_delay(),
        }
        self.estimate = cut.before;
        self.ceiling = None;
    }

    fn grow(&mut self, reading: Reading) {
        let Some(estimate) = self.estimate else { return };
        // Four readings a second.
        let grown = (estimate as f64 * (1.0 + GROWTH / 4.0)) as u64;
        let most = (reading.delivered + reading.delivered / 2).max(estimate);
        let below = self.ceiling.map_or(u64::MAX, |c| (c.rate / 10 * 9).max(estimate));
        self.estimate = Some(grown.min(most).min(below));
    }

    /// Notes what the last allocation came to.
    pub(crate) fn allocated(&mut self, now: Instant, Outcome { granted, next, raised }: Outcome) {
        // More than before is a trial, however it came about.
        if raised && self.estimate.is_some() {
            let rate = self.trial.map_or(granted, |t| t.rate.max(granted));
            self.trial = Some(Trial { rate, until: now + TRIAL });
            self.changed = Some(now);
        }
        (self.granted, self.next) = (granted, next);
    }

    /// Time goes by: a trial ends, or begins. To be followed by an allocation.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.spent.look(now);
        if let Some(trial) = self.trial.filter(|trial| now >= trial.until) {
            self.trial = None;
            if self.ceiling.is_some_and(|c| c.rate <= trial.rate) {
                self.ceiling = None;
            }
        }
        let (Some(estimate), Some(next)) = (self.estimate, self.next) else { return };
        let needed = (next + self.spent.repairs) * 21 / 20;
        let quiet = self.changed.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let barred = self.ceiling.filter(|c| next >= c.rate / 10 * 9);
        let patience = barred.map_or(PATIENCE, |c| c.patience);
        let forbidden = self.forced.is_some_and(|forced| forced < needed);
        if self.trial.is_none() && !forbidden && needed > estimate && quiet >= patience {
            self.estimate = Some(needed);
        }
    }

    /// Counts what has been sent.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.spent.bytes += bytes as u64;
    }

    /// Whether a repair of this size may go: where the line is known to be full, repairs must not fill it
    /// more, or what they repair gets lost behind them. It is counted as a repair if so, and yet to be spent.
    pub(crate) fn may_repair(&mut self, now: Instant, bytes: usize) -> bool {
        let bytes = bytes as u64;
        if let Some(limit) = self.limit() {
            let media = self.spent.rate.saturating_sub(self.spent.repairs);
            let rate = limit.saturating_sub(media).max(limit / REPAIRS);
            if !self.spent.draw(now, rate, bytes) {
                return false;
            }
        }
        self.spent.repaired += bytes;
        true
    }
}

impl Spent {
    /// Measures, twice a second or so.
    fn look(&mut self, now: Instant) {
        let elapsed = self.since.map(|since| now.saturating_duration_since(since).as_millis() as u64);
        match elapsed {
            Some(elapsed) if elapsed >= 400 => {
                let rate = |bytes: u64| bytes * 8000 / elapsed;
                self.rate = rate(self.bytes);
                self.repairs = (self.repairs * 3 + rate(self.repaired)) / 4;
            }
            Some(_) => return,
            None => {}
        }
        (self.since, self.bytes, self.repaired) = (Some(now), 0, 0);
    }

    /// A bucket that fills at `rate` bits a second and holds a quarter of a second.
    fn draw(&mut self, now: Instant, rate: u64, bytes: u64) -> bool {
        let full = rate / 32;
        let elapsed = self.refilled.map_or(Duration::from_secs(1), |at| now.saturating_duration_since(at));
        let filled = rate.saturating_mul(elapsed.as_micros().min(1_000_000) as u64) / 8_000_000;
        if filled > 0 {
            self.allowance = (self.allowance + filled).min(full);
            self.refilled = Some(now);
        }
        let enough = self.allowance >= bytes;
        if enough {
            self.allowance -= bytes;
        }
        enough
    }
}
