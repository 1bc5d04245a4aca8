//! Asking a publisher for packets that did not come (generic NACK, RFC 4585 section 6.2.1).
//!
//! Owns: what is missing, when it is asked for and how often. A line that is full loses packets, and repeats fill
//! it further: so requests wait as long as answers really take, which with a queue in between is longer than any
//! report says, and all of them together are a share of what arrives by itself.

use std::time::{Duration, Instant};

/// Numbers asked for at once at most; behind more than this only a key frame helps.
const MAX_MISSING: usize = 512;

/// A larger gap is a jump, not loss.
const MAX_GAP: u64 = 1024;

/// Time in which a packet may still come by itself, overtaken on its way.
const REORDER: Duration = Duration::from_millis(5);

/// How often a packet is asked for, as in libwebrtc and mediasoup.
const MAX_ASKED: u8 = 10;

/// Time after which a packet is of no use to anybody.
const MAX_AGE: Duration = Duration::from_millis(1000);

/// A packet is not asked for more often than this: libwebrtc looks every 20 ms.
const MIN_PATIENCE: Duration = Duration::from_millis(20);
/// No answer is waited for longer than this before it is asked for again.
const MAX_PATIENCE: Duration = Duration::from_millis(500);

/// Requests that a packet which came by itself pays for, in percent. A line that loses a fifth, repeats too, needs
/// a quarter as many repeats as packets; one that loses more needs a lower rate, not more repeats.
const SHARE: u32 = 50;
/// Requests that may be saved up: a line that was silent for a moment is asked for all that it kept back.
const SAVED: u32 = 200;
/// What there is no allowance for is looked at again after this.
const LATER: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
struct Missing {
    seq: u64,
    since: Instant,
    next: Instant,
    asked: u8,
    /// When it was last asked for.
    last: Option<Instant>,
}

/// How long an answer takes, smoothed as RFC 6298 does for TCP. By Karn's algorithm (section 3 there) only the
/// answer to a single request is measured, and as long as answers come to something that was asked for more than
/// once, each of them makes the wait longer: they may have been on their way already.
#[derive(Debug, Default)]
struct Answers {
    usual: Option<Duration>,
    varies: Duration,
    /// In force until the next clear answer, in eighths: 8 is none.
    backoff: u32,
}

/// Most that patience is stretched by, in eighths.
const MAX_BACKOFF: u32 = 64;

impl Answers {
    fn take(&mut self, now: Instant, missing: &Missing) {
        let Some(asked) = missing.last else { return };
        if missing.asked > 1 {
            self.backoff = (self.backoff.max(8) * 5 / 4).min(MAX_BACKOFF);
            return;
        }
        let sample = now.saturating_duration_since(asked);
        (self.usual, self.varies) = match self.usual {
            None => (Some(sample), sample / 2),
            Some(usual) => (Some((usual * 7 + sample) / 8), (self.varies * 3 + usual.abs_diff(sample)) / 4),
        };
        self.backoff = 8;
    }

    /// Time to wait for an answer; `round_trip` is what reports say.
    fn patience(&self, round_trip: Duration) -> Duration {
        let usual = self.usual.map_or(round_trip, |usual| usual + self.varies * 2) + REORDER;
        (usual * self.backoff.max(8) / 8).clamp(MIN_PATIENCE, MAX_PATIENCE)
    }
}

/// One stream's missing packets.
#[derive(Debug)]
pub(crate) struct Nack {
    highest: Option<u64>,
    /// Ascending.
    missing: Vec<Missing>,
    answers: Answers,
    /// Requests that may be made, in hundredths.
    allowance: u32,
    /// Something was given up, and no key frame has come since.
    broken: bool,
    /// What is missing before the next packet was dropped here.
    dropped: bool,
}

/// What a packet says about the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Nothing that cannot be asked for.
    Repairable,
    /// Too much is missing: a key frame is needed.
    Lost,
}

impl Default for Nack {
    fn default() -> Self {
        Self {
            highest: None,
            missing: Vec::new(),
            answers: Answers::default(),
            allowance: SAVED * 100,
            broken: false,
            dropped: false,
        }
    }
}

impl Nack {
    /// Takes a packet in; `answer` if nothing but a request can have brought it.
    pub(crate) fn packet(&mut self, now: Instant, seq: u64, answer: bool) -> Gap {
        if !answer {
            self.allowance = (self.allowance + SHARE).min(SAVED * 100);
        }
        let Some(highest) = self.highest else {
            self.highest = Some(seq);
            return Gap::Repairable;
        };
        if seq <= highest {
            if let Ok(at) = self.missing.binary_search_by_key(&seq, |m| m.seq) {
                let missing = self.missing.remove(at);
                if answer {
                    self.answers.take(now, &missing);
                }
            }
            return Gap::Repairable;
        }
        self.highest = Some(seq);
        let gap = seq - highest - 1;
        let dropped = std::mem::take(&mut self.dropped);
        if dropped || gap > MAX_GAP || self.missing.len() as u64 + gap > MAX_MISSING as u64 {
            self.missing.clear();
            self.broken = true;
            return Gap::Lost;
        }
        let next = now + REORDER;
        let missing = |seq| Missing { seq, since: now, next, asked: 0, last: None };
        self.missing.extend((highest + 1..seq).map(missing));
        Gap::Repairable
    }

    /// A packet came that is not wanted now. To ask for it again would bring back what there is no time for.
    pub(crate) fn drop_one(&mut self) {
        self.missing.clear();
        self.dropped = true;
    }

    /// A key frame begins here. Pictures before it that were broken anyway are not asked for any more.
    pub(crate) fn key_frame(&mut self, seq: u64) {
        if std::mem::take(&mut self.broken) {
            self.missing.retain(|m| m.seq >= seq);
        }
    }

    /// What to ask for now, ascending, appended to `out`. [`Gap::Lost`] if something was given up: pictures
    /// that need it can only be had anew.
    pub(crate) fn poll(&mut self, now: Instant, round_trip: Duration, out: &mut Vec<u16>) -> Gap {
        let before = self.missing.len();
        self.missing.retain(|m| {
            let exhausted = m.asked >= MAX_ASKED && m.next <= now;
            !exhausted && now.saturating_duration_since(m.since) < MAX_AGE
        });
        let gap = if self.missing.len() < before { Gap::Lost } else { Gap::Repairable };
        self.broken |= gap == Gap::Lost;
        let patience = self.patience(round_trip);
        for m in self.missing.iter_mut().filter(|m| m.next <= now) {
            let Some(rest) = self.allowance.checked_sub(100) else {
                m.next = now + LATER;
                continue;
            };
            self.allowance = rest;
            m.asked += 1;
            m.last = Some(now);
            // No longer each time: on a line that loses a tenth each way one answer in five does not come,
            // and the pictures behind it stand still until it does.
            m.next = now + patience;
            out.push(m.seq as u16);
        }
        gap
    }

    /// Time in which an answer comes; `round_trip` is what reports say.
    pub(crate) fn patience(&self, round_trip: Duration) -> Duration {
        self.answers.patience(round_trip)
    }

    /// When [`Nack::poll`] has something to say.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.missing.iter().map(|m| m.next).min()
    }
}

#[cfg(test)]
#[path = "nack_tests.rs"]
mod tests;
