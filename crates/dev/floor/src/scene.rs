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
    batch: f64,
    /// What the batches so far were longer than they should have been.
    surplus: f64,
}

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
        Self { plans, open, arrived: Vec::new(), batch: options.batch, surplus: 0.0 }
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

    /// Whether what has arrived is to be sent: frames are complete, or it is enough.
    pub(crate) fn is_due(&self) -> bool {
        let complete = self.open.iter().flatten().all(|open| !open);
        let enough = self.arrived.len() as f64 + self.surplus >= self.batch;
        !self.arrived.is_empty() && (complete || enough)
    }

    pub(crate) fn take(&mut self) -> Vec<Arrived> {
        let arrived = std::mem::take(&mut self.arrived);
        self.surplus = (self.surplus + arrived.len() as f64 - self.batch).clamp(-1.0, 1.0);
        arrived
    }

    /// When something arrives or is due.
    pub(crate) fn wake(&self) -> Instant {
        self.plans.iter().map(|(_, _, plan)| plan.due()).min().unwrap_or_else(Instant::now)
    }
}
