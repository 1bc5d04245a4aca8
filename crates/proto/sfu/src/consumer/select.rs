//! Which packets of a track a subscriber gets.
//!
//! Owns: the choice of an encoding (simulcast), of a spatial layer inside one (SVC) and of temporal layers,
//! and the moments at which it may change: to another encoding at its key frames only, to a higher SVC
//! layer at key frames, to a lower one between pictures, up in time where the codec says so.
//! Knows nothing of how packets are renumbered.

use crate::api::Wish;
use crate::packet::Meta;

/// What is to become of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Not of what the subscriber gets; it never counted.
    Ignore,
    /// Of the encoding the subscriber gets, but a layer it does not: its number is taken out.
    Skip,
    /// Goes on. `end` closes the picture for this subscriber.
    Forward { end: bool },
    /// Goes on, and something new begins with it: numbers and timestamps are joined to what was sent.
    Begin { end: bool },
}

/// How a track's encodings are to be chosen from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Has key frames.
    pub(crate) video: bool,
    /// Layers inside one encoding.
    pub(crate) svc: bool,
}

/// One consumer's choice.
#[derive(Debug)]
pub(crate) struct Select {
    /// What the subscriber asks for, as far as its line carries it.
    wish: Wish,
    shape: Shape,
    /// The encoding that is forwarded, and its epoch.
    current: Option<(u8, u16)>,
    /// The encoding that should be.
    target: Option<u8>,
    layers: Layers,
}

/// Layers inside the current encoding.
#[derive(Debug, Default)]
struct Layers {
    spatial: u8,
    /// Highest spatial layer that was ever there.
    seen: u8,
    temporal: u8,
    /// Timestamp of the picture that is being forwarded: layers change between pictures only.
    picture: Option<u32>,
    /// Of pictures before this timestamp: packets that were overtaken belong to what was begun then.
    before: Option<(u32, u8, u8)>,
}

impl Select {
    pub(crate) fn new(wish: Wish, shape: Shape) -> Self {
        Self { wish, shape, current: None, target: None, layers: Layers::default() }
    }

    /// The encoding that is forwarded.
    pub(crate) fn current(&self) -> Option<u8> {
        self.current.map(|c| c.0)
    }

    /// The layer the subscriber gets, as it counts them: encodings, or layers inside one.
    pub(crate) fn layer(&self) -> Option<u8> {
        if self.shape.svc {
            self.current.map(|_| self.layers.spatial.min(self.layers.seen))
        } else {
            self.current()
        }
    }

    /// The highest spatial layer inside the encoding that was ever there.
    pub(crate) fn highest_seen(&self) -> u8 {
        self.layers.seen
    }

    /// Encodings that are forwarded or waited for, a bit each.
    pub(crate) fn wanted(&self) -> u8 {
        if self.wish.paused {
            return 0;
        }
        let bit = |encoding: u8| 1u8.checked_shl(u32::from(encoding)).unwrap_or(0);
        self.current().map_or(0, bit) | self.target.map_or(0, bit)
    }

    /// The encoding whose key frame is waited for.
    pub(crate) fn waiting_for(&self) -> Option<u8> {
        if !self.shape.video || self.wish.paused {
            return None;
        }
        let svc_up = self.shape.svc && self.current.is_some() && self.layers.spatial < self.wish.max_spatial;
        self.target.filter(|target| self.current() != Some(*target) || svc_up)
    }

    /// Chooses the encoding to go for, out of those that arrive (a bit each) of `count`.
    pub(crate) fn aim(&mut self, arriving: u8, count: u8) {
        let count = count.clamp(1, 8);
        let highest = if self.shape.svc { 0 } else { self.wish.max_spatial.min(count - 1) };
        let arrives = |encoding: &u8| arriving >> encoding & 1 == 1;
        let below = (0..=highest).rev().find(arrives);
        let above = (highest..count).find(arrives);
        self.target = below.or(above).or(self.target).or(Some(highest)).map(|t| t.min(count - 1));
    }

    /// Takes what is known of the track.
    pub(crate) fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// Takes what the subscriber asks for. Pausing forgets the current encoding: nobody can decode on from
    /// the middle.
    pub(crate) fn set_wish(&mut self, wish: Wish) {
        self.wish = wish;
        if wish.paused {
            self.restart();
        }
    }

    /// Begins anew, at a key frame.
    pub(crate) fn restart(&mut self) {
        self.current = None;
        self.layers = Layers::default();
    }

    /// Decides on a packet of `encoding`. Packets come in order of arrival.
    pub(crate) fn choose(&mut self, encoding: u8, meta: &Meta) -> Choice {
        if self.wish.paused {
            return Choice::Ignore;
        }
        if meta.payload.is_empty() {
            // Padding that the publisher's stream counts.
            return if self.current == Some((encoding, meta.epoch)) { Choice::Skip } else { Choice::Ignore };
        }
        let here = (encoding, meta.epoch);
        if !self.shape.video {
            let begins = self.current != Some(here);
            self.current = Some(here);
            return if begins {
                Choice::Begin { end: meta.marker }
            } else {
                Choice::Forward { end: meta.marker }
            };
        }
        self.layers.seen = self.layers.seen.max(meta.frame.spatial);
        if self.current == Some(here) {
            return self.choose_layer(meta);
        }
        // An epoch that ended under the current encoding has nothing more to say.
        let wanted = self.target == Some(encoding) || self.current() == Some(encoding);
        if !(wanted && meta.frame.key) {
            return Choice::Ignore;
        }
        self.current = Some(here);
        self.layers.before = None;
        self.begin_picture(meta, true);
        self.layers.before = None;
        Choice::Begin { end: self.ends_picture(meta, self.layers.spatial) }
    }

    fn choose_layer(&mut self, meta: &Meta) -> Choice {
        let at = meta.timestamp;
        let is_old = self.layers.picture.is_some_and(|picture| (at.wrapping_sub(picture) as i32) < 0);
        if meta.frame.start && self.layers.picture != Some(at) && (meta.frame.key || !is_old) {
            self.begin_picture(meta, meta.frame.key);
        } else if meta.frame.start && !is_old {
            self.climb_in_time(meta);
        }
        let (spatial, temporal) = self.layers.at(at);
        if meta.frame.spatial > spatial || meta.frame.temporal > temporal {
            return Choice::Skip;
        }
        Choice::Forward { end: self.ends_picture(meta, spatial) }
    }

    fn begin_picture(&mut self, meta: &Meta, key: bool) {
        self.layers.picture = Some(meta.timestamp);
        let spatial = if self.shape.svc { self.wish.max_spatial } else { u8::MAX };
        if key {
            self.layers.set(meta.timestamp, spatial, self.wish.max_temporal);
        } else {
            let spatial = self.layers.spatial.min(spatial);
            self.layers.set(meta.timestamp, spatial, self.layers.temporal.min(self.wish.max_temporal));
            self.climb_in_time(meta);
        }
    }

    fn climb_in_time(&mut self, meta: &Meta) {
        let (frame, have) = (&meta.frame, self.layers.temporal);
        let reach = match frame.temporal.checked_sub(have) {
            // One at a time: a picture that needs none but the lowest says nothing of the layer between.
            Some(1) if frame.switch_up => frame.temporal,
            Some(0) | None => frame.reach,
            Some(_) => have,
        };
        let temporal = reach.min(self.wish.max_temporal);
        if temporal > have {
            self.layers.set(meta.timestamp, self.layers.spatial, temporal);
        }
    }

    fn ends_picture(&self, meta: &Meta, spatial: u8) -> bool {
        meta.marker || (self.shape.svc && meta.frame.end && meta.frame.spatial == spatial)
    }
}

impl Layers {
    /// From this picture on.
    fn set(&mut self, timestamp: u32, spatial: u8, temporal: u8) {
        if (spatial, temporal) != (self.spatial, self.temporal) {
            self.before = Some((timestamp, self.spatial, self.temporal));
            (self.spatial, self.temporal) = (spatial, temporal);
        }
    }

    /// Highest spatial and temporal layer of a picture.
    fn at(&self, timestamp: u32) -> (u8, u8) {
        match self.before {
            Some((from, spatial, temporal)) if (timestamp.wrapping_sub(from) as i32) < 0 => {
                (spatial, temporal)
            }
            _ => (self.spatial, self.temporal),
        }
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
