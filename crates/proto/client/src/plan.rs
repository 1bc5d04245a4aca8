//! What a publisher would send and when, without sending it: for a measure that repeats the same batches.

use std::collections::VecDeque;
use std::time::Instant;

use clock::Time;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::content::TRAILER_LEN;
use crate::outgoing::{Publish, Source};
use crate::pacer::{Pacer, Pacing};
use crate::source::VideoSource;
use crate::voice::AudioSource;

/// A packet as it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// Index of its encoding, lowest first.
    pub layer: usize,
    /// Bytes of payload; those of one frame are made equal, as a server that pads makes them.
    pub len: usize,
    /// Ends its frame.
    pub marker: bool,
    /// When it leaves.
    pub at: Instant,
}

/// One track's departures.
pub struct Plan {
    source: Source,
    pacer: Pacer,
    waiting: VecDeque<Departure>,
}

impl Plan {
    /// The first frame is made at once.
    pub fn new(now: Time, what: &Publish, pacing: Pacing, seed: u64) -> Self {
        let (source, bitrate) = match what {
            Publish::Audio | Publish::Voice => {
                (Source::Audio(AudioSource::new(now, seed, *what == Publish::Voice)), 0)
            }
            Publish::Video(params) => (
                Source::Video(VideoSource::new(now, params.clone(), seed)),
                params.layers.iter().map(|layer| layer.bitrate).sum(),
            ),
        };
        let pacer = Pacer::new(pacing, bitrate, SmallRng::seed_from_u64(seed));
        Self { source, pacer, waiting: VecDeque::new() }
    }

    /// When something is made or leaves.
    pub fn due(&self) -> Instant {
        let made = self.source.due();
        self.waiting.front().map_or(made, |next| made.min(next.at))
    }

    /// What has left by now, in order.
    pub fn poll(&mut self, now: Time, mut each: impl FnMut(Departure)) {
        // Whoever looks late finds what was made in time.
        let made = self.source.due().min(now.mono);
        match &mut self.source {
            Source::Audio(audio) => {
                if let Some(sound) = audio.poll(now) {
                    let len = sound.payload.len() + TRAILER_LEN;
                    self.waiting.push_back(Departure { layer: 0, len, marker: false, at: made });
                }
            }
            Source::Video(video) => {
                for frame in video.poll(now).into_iter().rev() {
                    let len = frame.payloads.iter().map(Vec::len).max().unwrap_or_default() + TRAILER_LEN;
                    let last = frame.payloads.len().saturating_sub(1);
                    for n in 0..frame.payloads.len() {
                        let at = self.pacer.leaves(made, len);
                        self.waiting.push_back(Departure { layer: frame.layer, len, marker: n == last, at });
                    }
                }
            }
        }
        while self.waiting.front().is_some_and(|next| next.at <= now.mono) {
            if let Some(departure) = self.waiting.pop_front() {
                each(departure);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::source::VideoSourceParams;

    #[test]
    fn a_second_has_the_frames_and_bytes_of_a_second() {
        let start = Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
        let publish = Publish::Video(VideoSourceParams::single(2_000_000));
        let mut plan = Plan::new(start, &publish, Pacing { bursts: true, uplink: None }, 1);
        let (mut frames, mut bytes) = (0, 0);
        loop {
            let due = plan.due().saturating_duration_since(start.mono);
            if due >= Duration::from_secs(10) {
                break;
            }
            plan.poll(start.after(due), |departure| {
                frames += usize::from(departure.marker);
                bytes += departure.len;
            });
        }
        assert!((298..=300).contains(&frames), "{frames}");
        assert!((2_400_000..2_800_000).contains(&bytes), "{bytes}");
    }
}
