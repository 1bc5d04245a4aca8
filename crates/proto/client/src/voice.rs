//! A microphone with an Opus encoder: a frame every 20 ms, or, where it stops for pauses (DTX), one every
//! 400 ms while nobody speaks.

use std::time::{Duration, Instant};

use clock::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::content::{self, STAMP_LEN, Stamp};

/// Duration of an Opus frame, and its samples at 48 kHz.
const FRAME: Duration = Duration::from_millis(20);
const SAMPLES: u64 = 960;
/// Table of contents of what browsers send: CELT fullband, 20 ms, one frame, stereo (RFC 6716 section 3.1).
const TOC: u8 = 0xfc;
/// Frames from one packet of a pause to the next: libopus sends one every 400 ms.
const PAUSE_STEP: u64 = 20;
/// Frames that a stretch of speech and a pause last: half a second to 4 s, as in conversation.
const STRETCH: std::ops::Range<u64> = 25..200;
/// -dBov while speaking, and in a pause.
const LOUD: u8 = 30;
const QUIET: u8 = 127;

/// A frame of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sound {
    /// RTP time, from 0.
    pub(crate) timestamp: u32,
    /// First after a pause, RFC 3551 section 4.1.
    pub(crate) marker: bool,
    /// Loudness, -dBov.
    pub(crate) level: u8,
    pub(crate) payload: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct AudioSource {
    rng: SmallRng,
    started: Instant,
    /// Frames until the next one.
    ticks: u64,
    pauses: bool,
    speaking: bool,
    /// When this stretch of speech or pause ends, in frames.
    until: u64,
}

impl AudioSource {
    /// The first frame is due at once. With `pauses` nothing is sent for most of the time that nobody speaks.
    pub(crate) fn new(now: Time, seed: u64, pauses: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let until = if pauses { rng.random_range(STRETCH) } else { u64::MAX };
        Self { rng, started: now.mono, ticks: 0, pauses, speaking: true, until }
    }

    /// When the next frame is due.
    pub(crate) fn due(&self) -> Instant {
        self.started + FRAME * u32::try_from(self.ticks).unwrap_or(u32::MAX)
    }

    /// The next frame if it is due. A source that is read late skips frames.
    pub(crate) fn poll(&mut self, now: Time) -> Option<Sound> {
        if now.mono < self.due() {
            return None;
        }
        let elapsed = (now.since(self.started).as_millis() / FRAME.as_millis()) as u64;
        self.ticks = self.ticks.max(elapsed);
        let mut marker = false;
        if self.ticks >= self.until {
            self.speaking = !self.speaking;
            marker = self.speaking;
            self.until = self.ticks + self.rng.random_range(STRETCH);
        }
        // 32 kbit/s is 80 bytes a frame. What a pause sends is as short as the stamp allows.
        let len = if self.speaking { self.rng.random_range(70..90) } else { 1 + STAMP_LEN };
        let mut payload = vec![0; len];
        let captured = Duration::from_micros(now.unix.as_micros() as u64);
        if let Some((toc, body)) = payload.split_first_mut() {
            *toc = TOC;
            content::fill(body, &Stamp { number: self.ticks as u32, layer: 0, captured });
        }
        let timestamp = (self.ticks * SAMPLES) as u32;
        let pausing = self.pauses && !self.speaking;
        self.ticks = if pausing { (self.ticks + PAUSE_STEP).min(self.until) } else { self.ticks + 1 };
        Some(Sound { timestamp, marker, level: if pausing { QUIET } else { LOUD }, payload })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    fn minute(pauses: bool) -> Vec<Sound> {
        let start = Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
        let mut source = AudioSource::new(start, 1, pauses);
        let mut all = Vec::new();
        loop {
            let due = source.due() - start.mono;
            if due >= Duration::from_secs(60) {
                return all;
            }
            all.extend(source.poll(start.after(due)));
        }
    }

    #[test]
    fn without_pauses_there_are_fifty_frames_a_second() {
        let all = minute(false);
        assert_eq!(all.len(), 3000);
        assert!(all.iter().all(|sound| sound.level == LOUD && !sound.marker));
        assert!(all.windows(2).all(|pair| pair[1].timestamp - pair[0].timestamp == 960));
    }

    #[test]
    fn a_pause_sends_little_and_its_end_is_marked() {
        let all = minute(true);
        assert!((900..2200).contains(&all.len()), "{}", all.len());
        let quiet = all.iter().filter(|sound| sound.level == QUIET).count();
        let marked = all.iter().filter(|sound| sound.marker).count();
        assert!(quiet > marked && marked > 5, "{quiet} {marked}");
        for pair in all.windows(2) {
            let step = pair[1].timestamp - pair[0].timestamp;
            assert!(step == 960 || pair[0].level == QUIET && step <= 400 * 48, "{step}");
            // The first frame of speech after a pause is marked, and no other.
            assert_eq!(pair[1].marker, pair[0].level == QUIET && pair[1].level == LOUD);
        }
        assert!(all.iter().all(|sound| content::check(&sound.payload[1..]).is_some()));
    }

    #[test]
    fn a_source_read_late_skips_and_does_not_catch_up() {
        let start = Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
        let late = start.after(Duration::from_secs(5));
        let mut audio = AudioSource::new(start, 1, false);
        assert_eq!(audio.poll(late).unwrap().timestamp, 240_000);
        assert!(audio.poll(late).is_none());
    }
}
