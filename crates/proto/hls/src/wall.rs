//! The wall clock at the stream's times, for `EXT-X-PROGRAM-DATE-TIME`.
//!
//! Frames come late where a publisher or its line has stalled, and never early: of the distances between the two
//! clocks the least that was seen in a while is the truest, and what comes late for a moment moves no date. Where a
//! stream is later than it was for good, because its publisher has paused, dates jump ahead once that has been so for a
//! while. Where they are ahead of the wall clock they are brought back little by little: dates that step back confuse
//! players.

use media::Ticks;

/// So much of the stream is looked back on, and twice as much at most: a stall that is no longer is over by then, and all
/// that it held up has come.
const MEMORY: Ticks = Ticks(10 * Ticks::PER_SECOND);
/// Dates are brought back by a fiftieth of the time that passes: a second in 50 s, 60 ms from one segment of 3 s to the
/// next.
const SLEW: i64 = 50;

/// See the module's description. Distances are milliseconds from the stream's clock to 1970's.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    seen: Option<Seen>,
    /// What was told last: the stream's time, and its distance.
    told: Option<(Ticks, i64)>,
}

/// The least distances of late, and of the time before.
#[derive(Debug, Clone, Copy)]
struct Seen {
    since: Ticks,
    newer: i64,
    older: i64,
}

impl WallClock {
    /// A frame of the stream's time `at` came at `unix`, milliseconds since 1970.
    pub(crate) fn see(&mut self, unix: i64, at: Ticks) {
        let distance = unix.saturating_sub(at.millis());
        let seen = self.seen.get_or_insert(Seen { since: at, newer: distance, older: distance });
        if at - seen.since < MEMORY {
            seen.newer = seen.newer.min(distance);
        } else {
            *seen = Seen { since: at, newer: distance, older: seen.newer };
        }
    }

    /// The date of the stream's time `at`, in milliseconds since 1970; to be asked for in order of time.
    pub(crate) fn date(&mut self, at: Ticks) -> i64 {
        let least = self.seen.map_or(0, |seen| seen.newer.min(seen.older));
        let distance = match self.told {
            Some((before, told)) => least.max(told.saturating_sub((at - before).millis() / SLEW)),
            None => least,
        };
        self.told = Some((at, distance));
        at.millis().saturating_add(distance)
    }
}
