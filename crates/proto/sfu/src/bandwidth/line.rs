//! What transport-wide feedback tells of a line: how long its queue stands, what it loses, what it delivers.
//!
//! Owns: a judgement for each quarter of a second of packets. The queue is the least delay of that time above
//! the least of the last half minute: packets leave in bursts, a frame at a time, and only a queue that none of
//! them found empty is one that grows. Knows nothing of tracks, nor of what is done about it.

use std::time::{Duration, Instant};

use rtp::rtcp::TICK;

/// Packets are judged together by when they left, this long.
const WINDOW: Duration = Duration::from_millis(250);
/// Fewer arrivals than this say nothing: the window stays open.
const LEAST_ARRIVALS: u32 = 5;
/// Half of the time over which the least delay is looked for. A clock that drifts by 100 ppm moves 3 ms in it.
const BASELINE: Duration = Duration::from_secs(15);
/// A queue that stands this long is one in µs, if it does not get shorter.
const STANDING: i64 = 40_000;
/// And this long it is, in µs, without a second look.
const LONG: i64 = 100_000;
/// In µs; a queue that is shorter by less has not become shorter.
const NOISE: i64 = 5_000;
/// Share lost from which loss may be congestion, as in libwebrtc. The fewer packets, the more by chance alone.
const LOSSY: f64 = 0.1;
/// Windows over which loss and rates are summed.
const RECENT: usize = 4;

/// What happened to one packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fate {
    pub(crate) departed: Instant,
    pub(crate) size: u16,
    /// In [`TICK`]s on the receiver's clock; `None` is lost.
    pub(crate) arrived: Option<i64>,
}

/// Why a line is taken to be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// None: it carries what it is given.
    Clear,
    /// A queue stands, and does not get shorter.
    Queue,
    /// More is lost than this line usually loses.
    Loss,
}

/// A judgement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub(crate) sign: Sign,
    /// Bits a second that came out at the far end lately.
    pub(crate) delivered: u64,
    /// In µs.
    pub(crate) queue: i64,
    /// Share lost lately.
    pub(crate) loss: f64,
    /// Of the packets that this reading is about: lost, and all.
    pub(crate) lost: u32,
    pub(crate) packets: u32,
}

/// One line.
#[derive(Debug)]
pub(crate) struct Line {
    epoch: Instant,
    window: Option<Window>,
    /// Arrivals counted on past the wrap of feedback's reference time (24 bits of 64 ms).
    ticks: Option<i64>,
    baseline: Baseline,
    queue: i64,
    streak: u8,
    /// Share that this line loses whatever is sent.
    usual: f64,
    recent: [Sum; RECENT],
    at: usize,
    /// Of the packet that came last, in µs.
    last_arrival: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    least: i64,
    latest: i64,
    sum: Sum,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    bytes: u64,
    arrived: u32,
    lost: u32,
    /// µs in which these came.
    span: i64,
}

/// The least delay of the last 15 to 30 s.
#[derive(Debug, Default)]
struct Baseline {
    since: Option<Instant>,
    current: Option<i64>,
    before: Option<i64>,
}

impl Line {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            window: None,
            ticks: None,
            baseline: Baseline::default(),
            queue: 0,
            streak: 0,
            usual: 0.0,
            recent: [Sum::default(); RECENT],
            at: 0,
            last_arrival: None,
        }
    }

    /// Takes one packet's fate, in the order of leaving. A reading where its window closes.
    pub(crate) fn take(&mut self, fate: Fate) -> Option<Reading> {
        let reading = self.close(fate.departed);
        let arrival = fate.arrived.map(|ticks| self.unwrap(ticks).saturating_mul(TICK.as_micros() as i64));
        let window = self.window.get_or_insert(Window {
            since: fate.departed,
            least: i64::MAX,
            latest: i64::MIN,
            sum: Sum::default(),
        });
        let Some(arrival) = arrival else {
            window.sum.lost += 1;
            return reading;
        };
        let departed = fate.departed.saturating_duration_since(self.epoch).as_micros() as i64;
        window.least = window.least.min(arrival.saturating_sub(departed));
        window.latest = window.latest.max(arrival);
        window.sum.arrived += 1;
        window.sum.bytes += u64::from(fate.size);
        reading
    }

    /// What was lost stays lost, whatever is sent: it is no sign of congestion from now on.
    pub(crate) fn learn_loss(&mut self, usual: f64) {
        self.usual = usual;
    }

    /// The delay of now is that of an empty queue: the path has become longer.
    pub(crate) fn learn_delay(&mut self) {
        self.baseline = Baseline::default();
        (self.queue, self.streak) = (0, 0);
    }

    fn close(&mut self, now: Instant) -> Option<Reading> {
        let window = self.window?;
        if now.saturating_duration_since(window.since) < WINDOW || window.sum.arrived < LEAST_ARRIVALS {
            return None;
        }
        self.window = None;
        let lost = window.sum.lost;
        let baseline = self.baseline.take(window.since, window.least);
        let queue = window.least.saturating_sub(baseline);
        let shorter = queue < self.queue - NOISE;
        self.streak = match queue {
            _ if queue <= STANDING => 0,
            _ if shorter => self.streak,
            _ => self.streak.saturating_add(if queue > LONG { 2 } else { 1 }),
        };
        self.queue = queue;
        let begun = self.last_arrival.replace(window.latest);
        let span = begun.map_or(0, |begun| window.latest.saturating_sub(begun).max(0));
        if let Some(slot) = self.recent.get_mut(self.at % RECENT) {
            *slot = Sum { span, ..window.sum };
        }
        self.at = self.at.wrapping_add(1);
        let (loss, packets) = self.loss();
        let chance = f64::from(packets.max(1)).sqrt().recip();
        let lossy = loss > LOSSY + chance + self.usual * 1.5;
        if !lossy {
            // Over some ten seconds.
            self.usual += (loss - self.usual) / 40.0;
        }
        let sign = match () {
            () if self.streak >= 2 && !shorter => Sign::Queue,
            () if lossy => Sign::Loss,
            () => Sign::Clear,
        };
        Some(Reading {
            sign,
            delivered: self.delivered(),
            queue,
            loss,
            lost,
            packets: lost + window.sum.arrived,
        })
    }

    fn loss(&self) -> (f64, u32) {
        let lost: u32 = self.recent.iter().map(|s| s.lost).sum();
        let packets = lost + self.recent.iter().map(|s| s.arrived).sum::<u32>();
        (f64::from(lost) / f64::from(packets.max(1)), packets)
    }

    /// Of the last two windows: a line that is full delivers what it carries.
    fn delivered(&self) -> u64 {
        let last = [1, 2].map(|back| self.recent.get(self.at.wrapping_sub(back) % RECENT));
        let timed = last.into_iter().flatten().filter(|s| s.span > 0);
        let sum = |(bytes, span): (u64, u64), s: &Sum| (bytes + s.bytes, span.saturating_add(s.span as u64));
        let (bytes, span) = timed.fold((0, 0), sum);
        (bytes * 8_000_000).checked_div(span).unwrap_or(0)
    }

    fn unwrap(&mut self, ticks: i64) -> i64 {
        let last = self.ticks.unwrap_or(i64::from(ticks as u32));
        // 24 bits of 256 ticks each: the low 32 bits are all there is.
        let unwrapped = last.saturating_add(i64::from((ticks as u32).wrapping_sub(last as u32) as i32));
        self.ticks = Some(unwrapped);
        unwrapped
    }
}

impl Baseline {
    fn take(&mut self, now: Instant, delay: i64) -> i64 {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) > BASELINE) {
            self.since = Some(now);
            self.before = self.current.take();
        }
        let current = self.current.map_or(delay, |c| c.min(delay));
        self.current = Some(current);
        self.before.map_or(current, |before| before.min(current))
    }
}
