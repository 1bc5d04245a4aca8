//! What players have come to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::content::Stamp;
use crate::delays::Delays;

/// How a player plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Rtmp,
    Flv,
    WsFlv,
    Hls,
    LlHls,
}

impl Way {
    pub(crate) const ALL: [Self; 5] = [Self::Rtmp, Self::Flv, Self::WsFlv, Self::Hls, Self::LlHls];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Flv => "flv",
            Self::WsFlv => "ws_flv",
            Self::Hls => "hls",
            Self::LlHls => "ll_hls",
        }
    }
}

/// Of all players of one way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Let in, and still there.
    pub(crate) joined: usize,
    /// Have had a frame, and are still there.
    pub(crate) playing: usize,
    pub(crate) joins: Delays,
    pub(crate) firsts: Delays,
    pub(crate) bytes: u64,
    pub(crate) pictures: u64,
    pub(crate) sounds: u64,
    pub(crate) gaps: u64,
    pub(crate) missing: u64,
    pub(crate) latency: Delays,
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.joined += other.joined;
        self.playing += other.playing;
        self.joins.merge(&other.joins);
        self.firsts.merge(&other.firsts);
        self.bytes += other.bytes;
        self.pictures += other.pictures;
        self.sounds += other.sounds;
        self.gaps += other.gaps;
        self.missing += other.missing;
        self.latency.merge(&other.latency);
    }
}

/// Of a thread, or of all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    ways: [Figures; Way::ALL.len()],
    /// Why somebody did not get in or fell out, each reason with its count.
    pub(crate) failures: HashMap<String, usize>,
}

impl Tally {
    pub(crate) fn of(&self, way: Way) -> &Figures {
        let [rtmp, flv, ws, hls, ll_hls] = &self.ways;
        match way {
            Way::Rtmp => rtmp,
            Way::Flv => flv,
            Way::WsFlv => ws,
            Way::Hls => hls,
            Way::LlHls => ll_hls,
        }
    }

    pub(crate) fn of_mut(&mut self, way: Way) -> &mut Figures {
        let [rtmp, flv, ws, hls, ll_hls] = &mut self.ways;
        match way {
            Way::Rtmp => rtmp,
            Way::Flv => flv,
            Way::WsFlv => ws,
            Way::Hls => hls,
            Way::LlHls => ll_hls,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for way in Way::ALL {
            self.of_mut(way).add(other.of(way));
        }
        for (why, count) in &other.failures {
            *self.failures.entry(why.clone()).or_default() += count;
        }
    }

    /// All ways together.
    pub(crate) fn sum(&self) -> Figures {
        let mut sum = Figures::default();
        self.ways.iter().for_each(|figures| sum.add(figures));
        sum
    }

    pub(crate) fn fail(&mut self, why: String) {
        *self.failures.entry(why).or_default() += 1;
    }

    /// Latencies count from here.
    pub(crate) fn begin(&mut self) {
        self.ways.iter_mut().for_each(|figures| figures.latency = Delays::default());
    }
}

/// A step in the timestamps of a stream without stamps that is more than any picture lasts.
const JUMP: u32 = 1000;

/// A stream that has shown no picture for so long is sound alone.
const SOUND_ALONE: Duration = Duration::from_secs(5);

/// One player's.
#[derive(Debug)]
pub(crate) struct Meter {
    began: Instant,
    has_joined: bool,
    is_playing: bool,
    number: Option<u32>,
    timestamp: Option<u32>,
}

impl Meter {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, has_joined: false, is_playing: false, number: None, timestamp: None }
    }

    pub(crate) fn has_joined(&self) -> bool {
        self.has_joined
    }

    pub(crate) fn joined(&mut self, figures: &mut Figures) {
        if !std::mem::replace(&mut self.has_joined, true) {
            figures.joined += 1;
            figures.joins.record(self.began.elapsed());
        }
    }

    fn frame(&mut self, figures: &mut Figures) {
        if !std::mem::replace(&mut self.is_playing, true) {
            figures.playing += 1;
            figures.firsts.record(self.began.elapsed());
        }
    }

    /// A picture that came at `at`, since 1970, with the container's time where there is one.
    pub(crate) fn picture(
        &mut self,
        at: Duration,
        stamp: Option<Stamp>,
        timestamp: Option<u32>,
        figures: &mut Figures,
    ) {
        figures.pictures += 1;
        if let Some(stamp) = stamp {
            // What waited for a new player in the server is not late; neither is a clock that was set.
            if self.is_playing {
                figures.latency.record(at.saturating_sub(stamp.at));
            }
            let last = self.number.replace(stamp.number);
            let skipped = last.map_or(0, |last| i64::from(stamp.number) - i64::from(last) - 1);
            figures.gaps += u64::from(skipped > 0);
            figures.missing += u64::try_from(skipped).unwrap_or(0);
        } else if let Some(timestamp) = timestamp {
            let last = self.timestamp.replace(timestamp);
            let step = last.map_or(0, |last| timestamp.wrapping_sub(last));
            figures.gaps += u64::from((JUMP..u32::MAX / 2).contains(&step));
        }
        self.frame(figures);
    }

    pub(crate) fn sound(&mut self, figures: &mut Figures) {
        figures.sounds += 1;
        // Some servers send sound at once and pictures from the next key frame on.
        if self.is_playing || self.began.elapsed() >= SOUND_ALONE {
            self.frame(figures);
        }
    }

    /// It is there no longer.
    pub(crate) fn left(&self, figures: &mut Figures) {
        figures.joined -= usize::from(self.has_joined);
        figures.playing -= usize::from(self.is_playing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_counted_and_a_new_beginning_is_no_gap() {
        let (mut meter, mut figures) = (Meter::new(Instant::now()), Figures::default());
        let second = Duration::from_secs(1);
        for number in [5, 6, 9, 10, 0, 1] {
            meter.picture(second * 2, Some(Stamp { at: second, number }), None, &mut figures);
        }
        assert_eq!((figures.pictures, figures.gaps, figures.missing, figures.playing), (6, 1, 2, 1));
        assert_eq!(figures.latency.max_ms(), 1000.0);
        for timestamp in [u32::MAX - 10, 30, 70, 2000, 1900] {
            meter.picture(second, None, Some(timestamp), &mut figures);
        }
        assert_eq!((figures.pictures, figures.gaps), (11, 2));
        meter.joined(&mut figures);
        meter.left(&mut figures);
        assert_eq!((figures.joined, figures.playing), (0, 0));
    }
}
