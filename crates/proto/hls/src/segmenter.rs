//! From frames to segments and parts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use codec::Kind;
use container::ts::{Medium, Muxer, adts_header, annex_b};
use media::{Frame, Headers, Ticks, TrackId};

use crate::{Part, Segment};

/// Frames from which the frame rate is learned, which parts are made to fit.
const LEARN: usize = 8;
/// Frames that are held back for that, at most: a second of pictures and sound.
const MAX_HELD: usize = 120;
/// What milliseconds are rounded to, in either direction, over a part.
const ROUNDING: Ticks = Ticks(450);
/// Segments are kept after they have left the playlist, for those who read late: as many again (RFC 8216
/// section 6.2.2).
const KEPT: usize = 2;

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

/// How far a playlist goes: what a player that waits for more waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The segment that is being made.
    pub segment: u64,
    /// Its parts that are there.
    pub parts: usize,
}

/// See the crate's description.
#[derive(Debug)]
pub struct Segmenter {
    pub(crate) config: Config,
    headers: Option<Arc<Headers>>,
    muxer: Option<Muxer>,
    pub(crate) segments: VecDeque<Arc<Segment>>,
    /// Segments with a discontinuity that have left the playlist.
    pub(crate) lost_discontinuities: u64,
    /// The last of them.
    last_left: Option<u64>,
    pub(crate) current: Option<Current>,
    next_sequence: u64,
    is_discontinuous: bool,
    /// The first frames, until it is known how long frames are.
    pub(crate) held: Vec<(i64, Frame)>,
    /// What parts are at most.
    pub(crate) part_target: Option<Ticks>,
    last: Option<Ticks>,
}

/// The segment that is being made.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) segment: Segment,
    start: Ticks,
    /// The part that is being made.
    part: BytesMut,
    part_start: Ticks,
    part_is_independent: bool,
}

impl Segmenter {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            headers: None,
            muxer: None,
            segments: VecDeque::new(),
            lost_discontinuities: 0,
            last_left: None,
            current: None,
            next_sequence: 0,
            is_discontinuous: false,
            held: Vec::new(),
            part_target: None,
            last: None,
        }
    }

    /// The tracks of what follows.
    pub fn set_headers(&mut self, headers: Arc<Headers>) {
        let before = self.headers.replace(headers.clone());
        let codec = |track: Option<&media::Track>| track.map(|track| track.codec);
        let codecs = |headers: &Headers| (codec(headers.video()), codec(headers.audio()));
        let is_same = before.as_ref().is_some_and(|before| codecs(before) == codecs(&headers));
        let begins_anew = before.as_ref().is_some_and(|before| before.generation != headers.generation);
        if is_same && !begins_anew {
            return;
        }
        if let Some(at) = self.last.filter(|_| before.is_some()) {
            self.finish_segment(at);
        }
        self.is_discontinuous |= before.is_some();
        self.held.clear();
        let (video, audio) = codecs(&headers);
        self.muxer = Muxer::new(video, audio);
    }

    /// Whether the stream's codecs are known and none of them has a place in segments.
    pub fn is_refused(&self) -> bool {
        self.headers.is_some() && self.muxer.is_none()
    }

    /// The next frame, which came at `unix` milliseconds since 1970.
    pub fn push(&mut self, unix: i64, frame: &Frame) {
        if self.part_target.is_some() {
            return self.place(unix, frame);
        }
        let Some((leading, _)) = self.leading() else { return };
        self.held.push((unix, frame.clone()));
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
        self.part_target = Some(Ticks(frames * step) + ROUNDING);
        for (unix, frame) in std::mem::take(&mut self.held) {
            self.place(unix, &frame);
        }
    }

    /// The track that segments are cut by: pictures, or sound where there are none; and whether it is
    /// pictures.
    fn leading(&self) -> Option<(TrackId, bool)> {
        let (headers, muxer) = (self.headers.as_ref()?, self.muxer.as_ref()?);
        let video = headers.video().filter(|_| muxer.has(Medium::Video)).map(|track| (track.id, true));
        video.or_else(|| headers.audio().map(|track| (track.id, false)))
    }

    fn place(&mut self, unix: i64, frame: &Frame) {
        let Some(headers) = self.headers.clone() else { return };
        let Some((leading, is_video)) = self.leading() else { return };
        let medium = if frame.track == leading {
            self.lead(unix, frame, is_video);
            if is_video { Medium::Video } else { Medium::Audio }
        } else if headers.audio().is_some_and(|track| track.id == frame.track) {
            Medium::Audio
        } else {
            return;
        };
        let Some(data) = elementary(&headers, frame) else { return };
        let (Some(current), Some(muxer)) = (&mut self.current, &mut self.muxer) else { return };
        if muxer.has(medium) {
            muxer.frame(medium, frame.key, frame.dts.0, frame.pts.0, &data, &mut current.part);
        }
    }

    /// Cuts before a frame, if it is time.
    fn lead(&mut self, unix: i64, frame: &Frame, is_video: bool) {
        let at = frame.dts;
        if let Some(current) = &self.current {
            let length = at - current.start;
            let is_due = frame.key && length >= Ticks::from_duration(self.config.segment);
            // One more frame would make it longer than playlists say.
            let step = self.last.map_or(Ticks(0), |last| at - last);
            let is_over = length + step > Ticks::from_duration(self.config.max_segment);
            if is_due || is_over {
                self.finish_segment(at);
            } else if self.part_target.is_some_and(|target| at + step - current.part_start > target) {
                self.finish_part(at, frame.key);
            }
        }
        self.last = Some(at);
        // The first one of all begins where decoding can.
        if self.current.is_none() && (frame.key || !is_video || self.next_sequence > 0) {
            self.begin(unix, frame);
        }
    }

    fn begin(&mut self, unix: i64, frame: &Frame) {
        let mut part = BytesMut::new();
        if let Some(muxer) = &mut self.muxer {
            muxer.tables(&mut part);
        }
        let segment = Segment {
            sequence: self.next_sequence,
            duration: Ticks(0),
            is_discontinuous: std::mem::take(&mut self.is_discontinuous),
            is_independent: frame.key,
            date: unix,
            parts: Vec::new(),
            lists_parts: self.config.low_latency,
        };
        self.next_sequence += 1;
        self.current = Some(Current {
            segment,
            start: frame.dts,
            part,
            part_start: frame.dts,
            part_is_independent: frame.key,
        });
    }

    /// Ends the part that is being made, at `at`, before a frame that is a key frame or not.
    fn finish_part(&mut self, at: Ticks, next_is_key: bool) {
        let (Some(current), Some(muxer)) = (&mut self.current, &mut self.muxer) else { return };
        let bytes = current.part.split().freeze();
        current.segment.parts.push(Part {
            duration: at - current.part_start,
            is_independent: current.part_is_independent,
            bytes,
        });
        (current.part_start, current.part_is_independent) = (at, next_is_key);
        // Each part can be read alone.
        muxer.tables(&mut current.part);
    }

    fn finish_segment(&mut self, at: Ticks) {
        self.finish_part(at, false);
        let Some(Current { mut segment, start, .. }) = self.current.take() else { return };
        segment.duration = at - start;
        self.segments.push_back(Arc::new(segment));
        let listed = self.listed();
        while self.segments.len() > listed * KEPT {
            self.segments.pop_front();
        }
        let first = self.segments.len().saturating_sub(listed);
        for segment in self.segments.iter().take(first).filter(|segment| segment.is_discontinuous) {
            if self.last_left.is_none_or(|last| segment.sequence > last) {
                self.lost_discontinuities += 1;
                self.last_left = Some(segment.sequence);
            }
        }
    }

    /// How many of the newest segments a playlist lists: those of the window, and three times the longest
    /// segment in any case (RFC 8216 section 6.2.2).
    pub(crate) fn listed(&self) -> usize {
        let least = Ticks::from_duration(self.config.max_segment.saturating_mul(3));
        let mut length = Ticks(0);
        let mut count = 0;
        for segment in self.segments.iter().rev() {
            if count >= self.config.window && length >= least {
                break;
            }
            length = length + segment.duration;
            count += 1;
        }
        count
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
        !self.segments.is_empty()
    }

    /// A whole segment, listed or lately listed.
    pub fn segment(&self, sequence: u64) -> Option<Arc<Segment>> {
        let first = self.segments.front()?.sequence;
        self.segments.get(usize::try_from(sequence.checked_sub(first)?).ok()?).cloned()
    }

    /// A part, of a whole segment or of the one that is being made.
    pub fn part(&self, sequence: u64, part: usize) -> Option<Bytes> {
        let of = |segment: &Segment| segment.parts.get(part).map(|part| part.bytes.clone());
        match &self.current {
            Some(current) if current.segment.sequence == sequence => of(&current.segment),
            _ => of(&*self.segment(sequence)?),
        }
    }
}

/// A frame as it lies in a transport stream.
fn elementary(headers: &Headers, frame: &Frame) -> Option<Bytes> {
    let track = headers.track(frame.track)?;
    match track.codec {
        Kind::H264 | Kind::H265 => {
            let mut out = BytesMut::with_capacity(frame.payload.len() + 256);
            annex_b(track.codec, &track.config, frame.key, &frame.payload, &mut out);
            Some(out.freeze())
        }
        Kind::Aac => {
            let header = adts_header(&track.config, frame.payload.len())?;
            let mut out = BytesMut::with_capacity(header.len() + frame.payload.len());
            out.extend_from_slice(&header);
            out.extend_from_slice(&frame.payload);
            Some(out.freeze())
        }
        Kind::Mp3 => Some(frame.payload.clone()),
        _ => None,
    }
}
