//! A stream: what one publisher after another sends, kept for whoever reads.
//!
//! Owns: the tracks, the ring with its headers, the clock, and the rules for where readers begin and when
//! they jump. Knows nothing of who may publish, or how long a stream lives: that is the hub's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clock::Time;
use codec::Kind;

use crate::cursor::{Cursor, Step};
use crate::headers::{Headers, History};
use crate::rate::Rate;
use crate::ring::Ring;
use crate::stats::{Counters, Drop, Stats, TrackStats};
use crate::timeline::{Moment, Timeline};
use crate::{Config, Frame, Ticks, Track};

/// Tracks that a stream may have: enough for every rendition of multitrack RTMP.
const MAX_TRACKS: usize = 16;
/// Bytes of a decoder configuration; parameter sets are hundreds.
const MAX_CONFIG: usize = 64 << 10;
/// Changes of headers within one ring. A publisher that changes them with each frame shortens the ring.
const MAX_CHANGES: usize = 64;
/// How far a picture is shown after it is decoded, at most: 16 reordered pictures at 1.6 a second.
const MAX_REORDER: Ticks = Ticks(10 * Ticks::PER_SECOND);
/// A track of an earlier publisher that the present one has not announced by then is gone.
const SETTLE: Ticks = Ticks(2 * Ticks::PER_SECOND);
/// Pictures that have not come for so long have stopped: sound goes on alone. The slowest slide show is faster.
const PICTURES_GONE: Ticks = Ticks(30 * Ticks::PER_SECOND);
/// Readers are not told to jump for less than this, however short the content latency is.
const LEAST_LAG: Ticks = Ticks(Ticks::PER_SECOND);

/// One stay of a publisher. What an earlier one still sends is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session(u64);

/// The session is over: another publisher has taken the stream, or it was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another publisher has the stream, or it was ended")]
pub struct Replaced;

/// See the module's description.
#[derive(Debug)]
pub struct Stream {
    config: Config,
    ring: Ring,
    history: History,
    timeline: Timeline,
    tracks: Vec<Lane>,
    /// The tracks have changed since the last frame.
    has_changed: bool,
    session: u64,
    is_published: bool,
    /// When the present publisher's tracks are all there, on the stream's clock.
    settles: Option<Ticks>,
    newest: Ticks,
    heard: Option<Instant>,
    head: Arc<AtomicU64>,
    counters: Counters,
}

/// A track while it is published.
#[derive(Debug)]
struct Lane {
    track: Track,
    /// The present publisher has announced it.
    is_announced: bool,
    /// Nothing of it can be decoded before its next key frame.
    awaits_key: bool,
    /// Its frames come.
    flows: bool,
    last: Ticks,
    rate: Rate,
    frames: u64,
}

impl Lane {
    fn new(track: Track) -> Self {
        let awaits_key = track.is_video();
        Self {
            track,
            is_announced: true,
            awaits_key,
            flows: false,
            last: Ticks(0),
            rate: Rate::default(),
            frames: 0,
        }
    }
}

impl Stream {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            ring: Ring::default(),
            history: History::default(),
            timeline: Timeline::default(),
            tracks: Vec::new(),
            has_changed: false,
            session: 0,
            is_published: false,
            settles: None,
            newest: Ticks(0),
            heard: None,
            head: Arc::new(AtomicU64::new(0)),
            counters: Counters::default(),
        }
    }

    /// Other settings, from now on.
    pub fn apply(&mut self, config: Config) {
        self.config = config;
    }

    /// A publisher takes the stream, from whoever had it. Its clock goes on where the stream stands, and its
    /// tracks are those of the publisher before until it says otherwise, so that readers notice only a key
    /// frame.
    pub fn begin(&mut self, now: Time) -> Session {
        self.session += 1;
        self.is_published = true;
        self.heard = Some(now.mono);
        self.settles = None;
        self.timeline.restart();
        for lane in &mut self.tracks {
            lane.is_announced = false;
            lane.awaits_key = lane.track.is_video();
        }
        Session(self.session)
    }

    /// The publisher has left. Readers stay where they are.
    pub fn end(&mut self, session: Session) -> Result<(), Replaced> {
        self.check(session)?;
        self.is_published = false;
        Ok(())
    }

    /// Announces a track, or changes one, from the next frame on.
    pub fn set_track(&mut self, session: Session, track: Track) -> Result<(), Replaced> {
        self.check(session)?;
        if track.config.len() > MAX_CONFIG {
            self.counters.drop(Drop::Config);
            return Ok(());
        }
        if let Some(lane) = self.tracks.iter_mut().find(|lane| lane.track.id == track.id) {
            lane.is_announced = true;
            if lane.track != track {
                let is_new = lane.track.codec != track.codec || lane.track.config != track.config;
                lane.awaits_key |= is_new && track.is_video();
                lane.track = track;
                self.has_changed = true;
            }
        } else if self.tracks.len() < MAX_TRACKS {
            self.tracks.push(Lane::new(track));
            self.has_changed = true;
        } else {
            self.counters.drop(Drop::Tracks);
        }
        Ok(())
    }

    /// Takes a frame with its publisher's times, which are corrected; its index, or none if it was dropped
    /// and counted.
    pub fn push(&mut self, session: Session, now: Time, mut frame: Frame) -> Result<Option<u64>, Replaced> {
        self.check(session)?;
        self.heard = Some(now.mono);
        let Some(lane) = self.tracks.iter_mut().find(|l| l.track.id == frame.track && l.is_announced) else {
            self.counters.drop(Drop::NoTrack);
            return Ok(None);
        };
        let is_video = lane.track.is_video();
        if lane.track.config.is_empty() && needs_config(lane.track.codec) {
            self.counters.drop(Drop::NoConfig);
            return Ok(None);
        }
        frame.key |= !is_video;
        let reorder = (frame.pts - frame.dts).clamp(Ticks(0), MAX_REORDER);
        // Also for frames that go no further: the clock is learned from them all.
        let moment = Moment { dts: frame.dts, reorder, is_key: frame.key };
        frame.dts = self.timeline.place(frame.track, is_video, moment);
        frame.pts = frame.dts + reorder;
        if lane.awaits_key && !frame.key {
            self.counters.drop(Drop::BeforeKey);
            return Ok(None);
        }
        (lane.awaits_key, lane.flows, lane.last) = (false, true, frame.dts);
        lane.frames += 1;
        lane.rate.add(now.mono, frame.payload.len());
        self.settle(frame.dts);
        if !is_video {
            self.look_for_pictures(frame.dts);
        }
        Ok(Some(self.append(frame, is_video)))
    }

    fn append(&mut self, frame: Frame, is_video: bool) -> u64 {
        if std::mem::take(&mut self.has_changed) {
            let tracks = self.tracks.iter().map(|lane| lane.track.clone()).collect();
            self.history.change(self.ring.head(), tracks);
        }
        let begins_group = self.begins_group(&frame, is_video);
        if begins_group && is_video {
            if !self.counters.has_pictures {
                // Sound that came first is no place to begin once there are pictures.
                self.ring.forget_keys();
            }
            let before = self.ring.newest_key().and_then(|key| self.ring.get(key)).map(|key| key.dts);
            self.counters.group(before.map(|before| frame.dts - before), self.ring.head());
        }
        self.newest = self.newest.max(frame.dts);
        self.counters.add(&frame);
        let index = self.ring.push(frame, begins_group);
        self.ring.trim(self.config.max_frames, self.config.max_bytes);
        if let Some(from) = self.history.excess(MAX_CHANGES) {
            self.ring.drop_before(from);
        }
        self.history.trim(self.ring.base());
        self.head.store(self.ring.head(), Ordering::Release);
        index
    }

    /// A key frame of the first track of pictures; without pictures, every frame of the first sound.
    fn begins_group(&self, frame: &Frame, is_video: bool) -> bool {
        let first = |video| {
            let of_kind = self.tracks.iter().filter(|lane| lane.track.is_video() == video && lane.flows);
            of_kind.map(|lane| lane.track.id).min()
        };
        let leading = first(true).or_else(|| first(false));
        frame.key && leading == Some(frame.track) && (is_video || first(true).is_none())
    }

    /// What an earlier publisher had, and this one has not announced in time, is gone.
    fn settle(&mut self, now: Ticks) {
        let settles = *self.settles.get_or_insert(now + SETTLE);
        if now < settles || self.tracks.iter().all(|lane| lane.is_announced) {
            return;
        }
        for lane in self.tracks.iter().filter(|lane| !lane.is_announced) {
            self.timeline.forget(lane.track.id);
        }
        self.tracks.retain(|lane| lane.is_announced);
        self.counters.has_pictures &= self.tracks.iter().any(|lane| lane.track.is_video());
        self.has_changed = true;
    }

    /// Where pictures have stopped, players begin with sound, and pictures with a key frame when they return.
    fn look_for_pictures(&mut self, now: Ticks) {
        for lane in self.tracks.iter_mut().filter(|lane| lane.track.is_video() && lane.flows) {
            if now - lane.last > PICTURES_GONE {
                (lane.flows, lane.awaits_key) = (false, true);
            }
        }
        self.counters.has_pictures &= self.tracks.iter().any(|lane| lane.track.is_video() && lane.flows);
    }

    fn check(&self, session: Session) -> Result<(), Replaced> {
        if self.is_published && session.0 == self.session { Ok(()) } else { Err(Replaced) }
    }
}

/// Reading.
impl Stream {
    /// A reader that begins within `latency` of the live edge: at the oldest key frame younger than that,
    /// else at the newest. Without a latency of its own it gets the stream's.
    pub fn cursor(&self, latency: Option<Ticks>) -> Cursor {
        let latency = latency.unwrap_or_else(|| Ticks::from_duration(self.config.content_latency));
        // What a publisher that has left sent last is over.
        let start = self.start(latency).filter(|_| self.is_published);
        Cursor {
            next: start.unwrap_or(self.ring.head()),
            latency,
            version: 0,
            awaits_key: start.is_none(),
            skipped: 0,
        }
    }

    /// What comes next for a reader, at most `limit` frames; it stands behind them afterwards.
    pub fn next(&mut self, cursor: &mut Cursor, limit: usize) -> Step {
        self.next_within(cursor, limit, usize::MAX)
    }

    /// As [`Self::next`], at most `bytes` of payload, or one frame that is larger.
    pub fn next_within(&mut self, cursor: &mut Cursor, limit: usize, bytes: usize) -> Step {
        let before = cursor.next;
        self.catch_up(cursor);
        if cursor.awaits_key {
            let Some(key) = self.ring.key_from(cursor.next.max(self.ring.base())) else {
                return Step { range: cursor.next..cursor.next, ..Step::default() };
            };
            (cursor.next, cursor.awaits_key) = (key, false);
        }
        // Whoever has only just come has missed nothing.
        let skipped = if cursor.version == 0 { 0 } else { cursor.next - before };
        cursor.skipped += skipped;
        self.counters.skipped += skipped;
        let head = self.ring.head();
        let from = cursor.next;
        if from >= head {
            return Step { headers: None, range: from..from, skipped };
        }
        let Some((headers, others_from)) = self.history.at(from) else {
            return Step { headers: None, range: from..from, skipped };
        };
        let to = head.min(others_from.unwrap_or(head)).min(from.saturating_add(limit as u64));
        let to = self.within(from, to, bytes);
        let is_new = headers.version != cursor.version;
        cursor.version = headers.version;
        cursor.next = to;
        Step { headers: is_new.then(|| headers.clone()), range: from..to, skipped }
    }

    /// How far from `from` towards `to` there are no more than `bytes` of payload.
    fn within(&self, from: u64, to: u64, mut bytes: usize) -> u64 {
        if bytes == usize::MAX {
            return to;
        }
        for index in from..to {
            let len = self.ring.get(index).map_or(0, |frame| frame.payload.len());
            match bytes.checked_sub(len) {
                Some(left) => bytes = left,
                None => return index.max(from + 1),
            }
        }
        to
    }

    /// A reader that is behind the ring, or further behind than twice the content latency, goes to a key
    /// frame that is strictly newer than where it stands, if there is one.
    fn catch_up(&self, cursor: &mut Cursor) {
        let is_behind_ring = cursor.next < self.ring.base();
        if !is_behind_ring {
            let Some(frame) = self.ring.get(cursor.next) else { return };
            let bound = Ticks::from_duration(self.config.content_latency.saturating_mul(2)).max(LEAST_LAG);
            if self.newest - frame.dts <= bound {
                return;
            }
        }
        match self.start(cursor.latency) {
            Some(key) if key > cursor.next => cursor.next = key,
            None if is_behind_ring => cursor.awaits_key = true,
            _ => {}
        }
    }

    fn start(&self, latency: Ticks) -> Option<u64> {
        self.ring.oldest_key_since(self.newest - latency).or_else(|| self.ring.newest_key())
    }

    /// A frame that is still in the ring.
    pub fn frame(&self, index: u64) -> Option<&Frame> {
        self.ring.get(index)
    }

    /// The frames of a step, each with its index.
    pub fn frames(&self, range: std::ops::Range<u64>) -> impl Iterator<Item = (u64, &Frame)> {
        range.filter_map(|index| Some((index, self.ring.get(index)?)))
    }

    /// The index of the oldest frame; what is kept beside the ring for older ones can go.
    pub fn base(&self) -> u64 {
        self.ring.base()
    }

    /// The index that the next frame will have.
    pub fn head(&self) -> u64 {
        self.ring.head()
    }

    /// A copy of [`Self::head`] that is read without the stream's lock.
    pub(crate) fn shared_head(&self) -> Arc<AtomicU64> {
        self.head.clone()
    }

    /// The headers of the newest frame.
    pub fn headers(&self) -> Option<&Arc<Headers>> {
        self.history.latest()
    }

    /// The headers of the frame at `index`.
    pub fn headers_at(&self, index: u64) -> Option<&Arc<Headers>> {
        self.history.at(index).map(|(headers, _)| headers)
    }

    /// Whether the frame at `index` is one that most readers are at: no further from the live edge than where
    /// new ones begin.
    pub fn is_near(&self, index: u64) -> bool {
        let bound = Ticks::from_duration(self.config.content_latency).max(LEAST_LAG);
        self.frame(index).is_some_and(|frame| self.newest - frame.dts <= bound)
    }

    /// The stream's clock at the newest frame.
    pub fn newest(&self) -> Ticks {
        self.newest
    }

    pub fn is_published(&self) -> bool {
        self.is_published
    }

    /// When the publisher was last heard.
    pub fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Gives up the frames, because nobody will read them; the clock and the headers stay.
    pub fn clear(&mut self) {
        self.ring.drop_before(self.ring.head());
        self.history.trim(self.ring.base());
    }

    pub fn stats(&self, now: Time) -> Stats {
        let tracks = self.tracks.iter().map(|lane| {
            let (fps, bitrate) = lane.rate.read(now.mono);
            TrackStats { track: lane.track.clone(), frames: lane.frames, fps, bitrate }
        });
        Stats {
            is_published: self.is_published,
            tracks: tracks.collect(),
            discontinuities: self.timeline.discontinuities(),
            ring_frames: self.ring.len(),
            ring_bytes: self.ring.bytes(),
            ..self.counters.stats()
        }
    }
}

/// Whether nothing can be decoded without a configuration record.
fn needs_config(codec: Kind) -> bool {
    matches!(codec, Kind::H264 | Kind::H265 | Kind::Aac)
}

#[cfg(test)]
impl Stream {
    fn history_len(&self) -> usize {
        self.history.len()
    }
}

#[cfg(test)]
mod tests;
