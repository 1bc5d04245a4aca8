//! Who publishes what, and what waits to be forwarded.

use std::time::{Duration, Instant};

use client::{Departure, Pacing, Plan, Publish, VideoSourceParams};
use clock::Time;

use crate::Floor;

/// A packet that has arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived {
    /// Who sent it: index of the publisher.
    pub(crate) publisher: usize,
    pub(crate) video: bool,
    pub(crate) departure: Departure,
}

pub(crate) struct Scene {
    plans: Vec<(usize, bool, Plan)>,
    /// Frames begun and not ended, by plan and layer.
    open: Vec<[bool; 3]>,
    arrived: Vec<Arrived>,
    /// Packets that runs are to have, and how many are waited for so that they do.
    run_length: f64,
    wanted: f64,
}

/// How long a packet may wait for others: the tick of the server's egress.
const TICK: Duration = Duration::from_millis(5);
/// By how much more or fewer packets are waited for after a batch.
const STEP: f64 = 1.02;

impl Scene {
    pub(crate) fn new(now: Time, options: &Floor) -> Self {
        let pacing = Pacing { bursts: options.bursts, uplink: options.uplink };
        let video = if options.simulcast {
            VideoSourceParams::simulcast_of(options.bitrate)
        } else {
            VideoSourceParams::single(options.bitrate)
        };
        let mut plans = Vec::new();
        for publisher in 0..options.publishers {
            // Cameras and microphones are not in step.
            let at = now.after(Duration::from_micros(publisher as u64 * 7_919 % 33_333));
            if options.audio {
                plans.push((publisher, false, Plan::new(at, &Publish::Audio, pacing, publisher as u64)));
            }
            if !options.no_video {
                let publish = Publish::Video(video.clone());
                plans.push((publisher, true, Plan::new(at, &publish, pacing, publisher as u64)));
            }
        }
        let open = vec![[false; 3]; plans.len()];
        Self { plans, open, arrived: Vec::new(), run_length: options.batch, wanted: options.batch }
    }

    /// Takes what has arrived by now.
    pub(crate) fn poll(&mut self, now: Time) {
        let Self { plans, open, arrived, .. } = self;
        for ((publisher, video, plan), open) in plans.iter_mut().zip(open) {
            plan.poll(now, |departure| {
                if let Some(open) = open.get_mut(departure.layer) {
                    *open = *video && !departure.marker;
                }
                arrived.push(Arrived { publisher: *publisher, video: *video, departure });
            });
        }
    }

    /// Whether what has arrived is to be sent: it is enough, it has waited for long enough, or frames are complete and
    /// runs have been as long as they should be.
    pub(crate) fn is_due(&self, now: Instant, run_length: f64) -> bool {
        let complete = self.open.iter().flatten().all(|open| !open);
        let enough = self.arrived.len() as f64 >= self.wanted;
        let late = self.late().is_some_and(|late| late <= now);
        !self.arrived.is_empty() && (enough || late || complete && run_length >= self.run_length)
    }

    /// What has arrived, with what is alike side by side.
    pub(crate) fn take(&mut self) -> Vec<Arrived> {
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.sort_by_key(|arrived| (arrived.publisher, arrived.video));
        arrived
    }

    /// Runs have been so long up to now.
    pub(crate) fn adjust(&mut self, run_length: f64) {
        let factor = if run_length < self.run_length { STEP } else { 1.0 / STEP };
        self.wanted = (self.wanted * factor).clamp(1.0, 256.0);
    }

    /// When something arrives or is due.
    pub(crate) fn wake(&self) -> Instant {
        let next = self.plans.iter().map(|(_, _, plan)| plan.due()).chain(self.late()).min();
        next.unwrap_or_else(Instant::now)
    }

    /// When what has come must not wait any longer.
    fn late(&self) -> Option<Instant> {
        self.arrived.first().map(|arrived| arrived.departure.at + TICK)
    }
}
