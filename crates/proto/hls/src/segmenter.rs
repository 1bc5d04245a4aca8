//! From frames to segments and parts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::{Frame, Headers, Ticks, Track};

use crate::packer::Packer;
use crate::wall::WallClock;
use crate::window::Window;
use crate::{Part, Position, Segment, Tracks, Variant};

/// Frames from which the frame rate is learned, which parts are made to fit.
const LEARN: usize = 8;
/// Frames that are held back for that, at most: a second of pictures and sound.
const MAX_HELD: usize = 120;
/// What milliseconds are rounded to, in either direction, over a part.
const ROUNDING: Ticks = Ticks(450);
/// Playlists tell the longest part in milliseconds.
const MILLI: i64 = Ticks::PER_SECOND / 1000;
/// Pictures that have not come for so long, and for so many of their usual distances, have stopped: sound is cut
/// alone until they return.
const STALLED: Ticks = Ticks(2 * Ticks::PER_SECOND);
const STALLED_STEPS: i64 = 3;
/// A segment may be longer than playlists say as long as it is rounded to the same second (RFC 8216 section
/// 4.3.3.1).
const OVERTIME: Ticks = Ticks(Ticks::PER_SECOND * 49 / 100);
/// Bytes of segments that are kept for one playlist: three times the longest segment, twice, at 28 Mbit/s.
const MAX_BYTES: usize = 256 << 20;

/// How a stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// A segment ends before the first key frame past this.
    pub segment: Duration,
    /// A segment ends here, key frame or not; what playlists announce as the longest, for all of their life.
    pub max_segment: Duration,
    /// What a part is to be; it is made a whole number of frames.
    pub part: Duration,
    /// Segments in a playlist, at least.
    pub window: usize,
    /// Whether players are told of parts.
    pub low_latency: bool,
}

impl Config {
    /// `EXT-X-TARGETDURATION`: whole seconds, the same for all of a playlist's life.
    pub(crate) fn target(&self) -> u64 {
        self.max_segment.as_secs() + u64::from(self.max_segment.subsec_nanos() > 0)
    }
}

/// One media playlist of a stream, and the files in it.
#[derive(Debug)]
pub struct Segmenter {
    pub(crate) config: Config,
    pub(crate) variant: Variant,
    pub(crate) tracks: Tracks,
    packer: Option<Packer>,
    /// Whether the stream's tracks are known.
    has_tracks: bool,
    pub(crate) window: Window,
    pub(crate) current: Option<Current>,
    first_sequence: u64,
    next_sequence: u64,
    is_discontinuous: bool,
    /// The initialisation that the present tracks have.
    map: Option<u64>,
    /// The first frames, until it is known how long frames are.
    held: Vec<(i64, Frame)>,
    /// What parts are at most.
    pub(crate) part_target: Option<Ticks>,
    /// The usual distance of two frames of the leading track.
    step: Ticks,
    /// The last of them.
    last: Option<Ticks>,
    wall: WallClock,
}

/// The segment that is being made.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) segment: Segment,
    start: Ticks,
    part_start: Ticks,
    part_is_independent: bool,
}

impl Segmenter {
    /// Its first segment is the `first`th. A stream that is cut anew needs greater numbers than before: files of
    /// the same name are taken for the same, by players and by whatever stands between.
    pub fn new(config: Config, variant: Variant, first: u64) -> Self {
        // Three target durations, in any case (RFC 8216 section 6.2.2).
        let length = Ticks::from_duration(Duration::from_secs(config.target().saturating_mul(3)));
        Self {
            config,
            variant,
            tracks: Tracks::default(),
            packer: None,
            has_tracks: false,
            window: Window::new(config.window, length, MAX_BYTES),
            current: None,
            first_sequence: first,
            next_sequence: first,
            is_discontinuous: false,
            map: None,
            held: Vec::new(),
            part_target: None,
            step: Ticks(0),
            last: None,
            wall: WallClock::default(),
        }
    }

    /// The tracks of what follows.
    pub fn set_headers(&mut self, headers: &Arc<Headers>) {
        let tracks = Tracks::of(headers, self.variant.rendition);
        if self.has_tracks && self.tracks.goes_on(&tracks) {
            // A picture's size that has become known changes nothing for decoders.
            self.tracks = tracks;
            return;
        }
        self.end_run();
        self.packer = Packer::new(self.variant.container, &tracks, self.packer.as_ref());
        self.tracks = tracks;
        self.has_tracks = true;
    }

    /// Frames were left out before those that follow.
    pub fn gap(&mut self) {
        self.end_run();
        self.packer = Packer::new(self.variant.container, &self.tracks, self.packer.as_ref());
    }

    /// What was does not go on.
    fn end_run(&mut self) {
        if let Some(last) = self.last.take() {
            self.finish_segment(last + self.step);
        }
        self.is_discontinuous = self.next_sequence > self.first_sequence;
        self.held.clear();
        self.map = None;
    }

    /// Whether the stream's tracks are known and something among them has no place in the container.
    pub fn is_refused(&self) -> bool {
        self.has_tracks && self.packer.is_none()
    }

    /// The next frame, which came at `unix` milliseconds since 1970.
    pub fn push(&mut self, unix: i64, frame: &Frame) {
        if self.packer.is_none() {
            return;
        }
        if self.part_target.is_some() {
            return self.place(unix, frame);
        }
        self.held.push((unix, frame.clone()));
        let Some(leading) = self.tracks.leader().map(|track| track.id) else { return };
        let times = self.held.iter().filter(|(_, frame)| frame.track == leading).map(|(_, frame)| frame.dts);
        let times: Vec<Ticks> = times.collect();
        let steps = times.windows(2).filter_map(|pair| pair.first().zip(pair.last()));
        let mut steps: Vec<i64> = steps.map(|(a, b)| (*b - *a).0).filter(|step| *step > 0).collect();
        if steps.len() < LEARN && self.held.len() < MAX_HELD {
            return;
        }
        steps.sort_unstable();
        let part = Ticks::from_duration(self.config.part).0;
        let step = steps.get(steps.len() / 2).copied().unwrap_or(part).max(1);
        let frames = ((part + step / 2) / step).max(1);
        self.step = Ticks(step);
        self.part_target = Some(Ticks((frames * step + ROUNDING.0 + MILLI - 1) / MILLI * MILLI));
        for (unix, frame) in std::mem::take(&mut self.held) {
            self.place(unix, &frame);
        }
    }

    fn place(&mut self, unix: i64, frame: &Frame) {
        let Some(track) = self.tracks.get(frame.track) else { return };
        let (is_video, has_video) = (track.is_video(), self.tracks.video.is_some());
        let leads = is_video || !has_video;
        self.wall.see(unix, frame.dts);
        let patience = STALLED.max(Ticks(self.step.0.saturating_mul(STALLED_STEPS)));
        if leads || self.last.is_some_and(|last| frame.dts - last > patience) {
            self.lead(frame, leads);
        }
        let Some(current) = &mut self.current else { return };
        current.segment.frames += u32::from(leads);
        let (Some(track), Some(packer)) = (self.tracks.get(frame.track), &mut self.packer) else { return };
        packer.push(track, frame);
    }

    /// Cuts before a frame, if it is time. `leads`: it is of the track that is cut by, and not sound that goes on
    /// while pictures have stopped.
    fn lead(&mut self, frame: &Frame, leads: bool) {
        let at = frame.dts;
        let step = self.last.map_or(Ticks(0), |last| at - last);
        let max = Ticks::from_duration(self.config.max_segment);
        if let Some(current) = &self.current {
            let length = at - current.start;
            let is_due = frame.key && length >= Ticks::from_duration(self.config.segment);
            // One more frame would make it longer than playlists say.
            let is_over = length + if leads { step } else { Ticks(0) } > max;
            if length > max + OVERTIME {
                // A gap so long that no segment may span it.
                self.end_run();
                self.packer = Packer::new(self.variant.container, &self.tracks, self.packer.as_ref());
            } else if is_due || is_over {
                self.finish_segment(at);
            } else if self.part_target.is_some_and(|target| {
                let next = if leads { step } else { Ticks(0) };
                at + next - current.part_start > target
            }) {
                self.finish_part(at, frame.key && leads);
                if let Some(packer) = &mut self.packer {
                    packer.begin_part();
                }
            }
        }
        if leads {
            self.last = Some(at);
        }
        // What is first begins where decoding can.
        let has_begun = self.next_sequence > self.first_sequence && !self.is_discontinuous;
        let can_begin = leads && (frame.key || has_begun);
        if self.current.is_none() && (can_begin || (!leads && has_begun)) {
            self.begin(frame);
        }
    }

    fn begin(&mut self, frame: &Frame) {
        if let Some(packer) = &mut self.packer {
            packer.begin_part();
        }
        let segment = Segment {
            sequence: self.next_sequence,
            duration: Ticks(0),
            is_discontinuous: std::mem::take(&mut self.is_discontinuous),
            is_independent: frame.key,
            date: self.wall.date(frame.dts),
            map: None,
            frames: 0,
            parts: Vec::new(),
            lists_parts: self.config.low_latency,
        };
        self.next_sequence += 1;
        self.current = Some(Current {
            segment,
            start: frame.dts,
            part_start: frame.dts,
            part_is_independent: frame.key,
        });
    }

    /// Ends the part that is being made, at `at`, before a frame that is a key frame or not.
    fn finish_part(&mut self, at: Ticks, next_is_key: bool) {
        self.initialise();
        let (Some(current), Some(packer)) = (&mut self.current, &mut self.packer) else { return };
        current.segment.parts.push(Part {
            duration: at - current.part_start,
            is_independent: current.part_is_independent,
            bytes: packer.end_part(at),
        });
        current.segment.map = self.map;
        (current.part_start, current.part_is_independent) = (at, next_is_key);
    }

    /// Makes the initialisation of the present tracks, if they need one and have none. Tracks that cannot be
    /// described are refused.
    fn initialise(&mut self) {
        let (Some(current), Some(packer), None) = (&self.current, &self.packer, self.map) else { return };
        match packer.init(&self.tracks) {
            None => {}
            Some(Ok(init)) => {
                self.map = Some(current.segment.sequence);
                self.window.add_map(current.segment.sequence, init);
            }
            Some(Err(_)) => (self.packer, self.current) = (None, None),
        }
    }

    fn finish_segment(&mut self, at: Ticks) {
        self.finish_part(at, false);
        let Some(Current { mut segment, start, .. }) = self.current.take() else { return };
        segment.duration = at - start;
        self.window.push(segment);
    }

    /// How far it has come; grows with every part and segment.
    pub fn position(&self) -> Position {
        match &self.current {
            Some(Current { segment, .. }) if segment.lists_parts => {
                Position { segment: segment.sequence, parts: segment.parts.len() }
            }
            Some(Current { segment, .. }) => Position { segment: segment.sequence, parts: 0 },
            None => Position { segment: self.next_sequence, parts: 0 },
        }
    }

    /// Whether there is a whole segment: a player that knows no parts gives up where there is none.
    pub fn has_begun(&self) -> bool {
        !self.window.is_empty()
    }

    /// A whole segment, listed or lately listed.
    pub fn segment(&self, sequence: u64) -> Option<Arc<Segment>> {
        self.window.get(sequence).cloned()
    }

    /// A part, of a whole segment or of the one that is being made.
    pub fn part(&self, sequence: u64, part: usize) -> Option<Bytes> {
        let of = |segment: &Segment| segment.parts.get(part).map(|part| part.bytes.clone());
        match &self.current {
            Some(current) if current.segment.sequence == sequence => of(&current.segment),
            _ => of(self.window.get(sequence)?),
        }
    }

    /// The initialisation that segments name.
    pub fn init(&self, id: u64) -> Option<Bytes> {
        self.window.map(id)
    }

    /// The track that is cut by.
    pub(crate) fn leader(&self) -> Option<&Track> {
        self.tracks.leader()
    }
}
