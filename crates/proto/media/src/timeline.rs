//! One clock out of whatever a publisher sends.
//!
//! Owns: the correction at ingest, so that everything behind it sees times that never go back within a
//! track and tracks that keep their distance. A backward step, or a forward one over [`JUMP`] that no other
//! track has made, is a discontinuity: the track goes on by its usual step and the offset so found is everybody's. Smaller gaps
//! are real and stay. Video is the reference where there is any: sound that alone goes astray is brought
//! back to it and moves nothing else.
//!
//! Where one run of pictures ends and another begins, the first may have been cut while some were still to be
//! shown: the second begins late enough for no two to share a moment.

use crate::{Ticks, TrackId};

/// A forward step of more than this is a discontinuity; a shorter one is a loss.
const JUMP: Ticks = Ticks(3 * Ticks::PER_SECOND);
/// Sound that is behind by less than this waits for its time to come, at half its pace.
const LATE: Ticks = Ticks(Ticks::PER_SECOND);
/// Steps that are remembered to find the usual one: enough that one loss and one burst do not matter.
const STEPS: usize = 8;
/// Before a step is known: 25 pictures a second, 1024 samples at 48 kHz.
const VIDEO_STEP: Ticks = Ticks(3600);
const AUDIO_STEP: Ticks = Ticks(1920);

/// A frame's times, as its publisher has them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) dts: Ticks,
    /// How much later it is shown.
    pub(crate) reorder: Ticks,
    /// What follows it in decoding order is shown after it.
    pub(crate) is_key: bool,
}

/// A stream's clock.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// From the publisher's clock to the stream's.
    offset: Ticks,
    /// The offset before the last discontinuity, for frames that were on their way, until the stream's
    /// clock passes the second.
    previous: Option<(Ticks, Ticks)>,
    lines: Vec<Line>,
    /// The latest time given.
    end: Option<Ticks>,
    /// A publisher is here and has sent a frame.
    running: bool,
    discontinuities: u64,
}

/// What is known of one track's times.
#[derive(Debug)]
struct Line {
    track: TrackId,
    is_video: bool,
    /// What this track needs beyond the common offset, because its clock alone is astray.
    extra: Ticks,
    /// The last time given, whoever published it.
    last: Option<Ticks>,
    /// The latest moment at which one of its pictures is shown.
    shown: Option<Ticks>,
    /// This publisher has sent it.
    is_here: bool,
    /// It has been seen on the present offset.
    has_switched: bool,
    steps: [Ticks; STEPS],
    learned: usize,
}

impl Timeline {
    /// Another publisher: its clock begins where the stream stands.
    pub(crate) fn restart(&mut self) {
        self.running = false;
        self.previous = None;
        for line in &mut self.lines {
            line.is_here = false;
            line.has_switched = true;
            line.extra = Ticks(0);
        }
    }

    pub(crate) fn forget(&mut self, track: TrackId) {
        self.lines.retain(|line| line.track != track);
    }

    pub(crate) fn discontinuities(&self) -> u64 {
        self.discontinuities
    }

    /// The stream's time for decoding a frame.
    pub(crate) fn place(&mut self, track: TrackId, is_video: bool, moment: Moment) -> Ticks {
        let at = self.line(track, is_video);
        let is_reference = self.reference().is_none_or(|reference| {
            reference == at || {
                // The first picture takes over from sound.
                is_video && !self.lines[reference].is_video
            }
        });
        let out = if !self.running {
            self.begin(at, moment)
        } else if !self.lines[at].is_here {
            self.join(at, moment, is_reference)
        } else {
            self.follow(at, moment, is_reference)
        };
        let line = &mut self.lines[at];
        line.accept(out, out + moment.reorder);
        self.running = true;
        self.end = Some(self.end.map_or(out, |end| end.max(out)));
        out
    }

    fn line(&mut self, track: TrackId, is_video: bool) -> usize {
        if let Some(at) = self.lines.iter().position(|line| line.track == track) {
            return at;
        }
        self.lines.push(Line {
            track,
            is_video,
            extra: Ticks(0),
            last: None,
            shown: None,
            is_here: false,
            has_switched: true,
            steps: [Ticks(0); STEPS],
            learned: 0,
        });
        self.lines.len() - 1
    }

    /// The first video that is here, else the first sound.
    fn reference(&self) -> Option<usize> {
        let find = |is_video| self.lines.iter().position(|l| l.is_here && l.is_video == is_video);
        find(true).or_else(|| find(false))
    }

    /// The first frame of a publisher.
    fn begin(&mut self, at: usize, moment: Moment) -> Ticks {
        let line = &self.lines[at];
        let out = self.end.map_or(Ticks(0), |end| end + line.step()).max(line.room(moment));
        self.offset = out - moment.dts;
        out
    }

    /// The first frame of a track whose publisher already sends another.
    fn join(&mut self, at: usize, moment: Moment, is_reference: bool) -> Ticks {
        let dts = moment.dts;
        let end = self.end.unwrap_or_default();
        let line = &mut self.lines[at];
        let apart = dts + self.offset - end;
        if !apart.is_within(JUMP) {
            // Two clocks that have nothing to do with each other: they meet here.
            line.extra = Ticks(0) - apart;
        }
        let out = (dts + self.offset + line.extra).max(Ticks(0));
        if line.last.is_none_or(|last| out > last) && out > line.room(moment) - line.step() {
            return out;
        }
        let moved = line.last.map_or(out, |last| last + line.step()).max(line.room(moment));
        if is_reference {
            // No clock has jumped, so no other track is to be looked for on the old offset.
            self.offset = self.offset + (moved - out);
        }
        moved
    }

    fn follow(&mut self, at: usize, moment: Moment, is_reference: bool) -> Ticks {
        let dts = moment.dts;
        let line = &self.lines[at];
        let Some(last) = line.last else { return dts + self.offset };
        let step = line.step();
        // Where other tracks have gone on meanwhile, a long silence of this one is real.
        let end = self.end.unwrap_or(last);
        let fits = |out: Ticks| out >= last && (out - last <= JUMP || (out - end).is_within(JUMP));
        let misses_by = |out: Ticks| (out - last - step).0.unsigned_abs();
        let present = dts + self.offset + line.extra;
        let best = |out: &Ticks| (!fits(*out), misses_by(*out));
        let previous = self.previous.filter(|(_, until)| self.end.is_some_and(|end| end <= *until));
        // One frame with a wrong time, or one that was on its way when the clock jumped.
        if let Some((offset, _)) = previous.filter(|_| is_reference || !line.has_switched) {
            let out = dts + offset + line.extra;
            let fresh = dts + self.offset;
            if fits(out) && best(&out) < best(&present) && (is_reference || best(&out) < best(&fresh)) {
                if is_reference {
                    self.offset = offset;
                    self.previous = None;
                }
                return out;
            }
        }
        // The jump that this track made alone turns out to have been everybody's.
        if !line.has_switched && !is_reference {
            let out = dts + self.offset;
            if fits(out) && best(&out) <= best(&present) {
                let line = &mut self.lines[at];
                (line.extra, line.has_switched) = (Ticks(0), true);
                return out;
            }
        }
        if fits(present) {
            self.lines[at].has_switched = true;
            return present;
        }
        if !is_reference && present < last && last - present <= LATE {
            return last + Ticks(step.0 / 2);
        }
        self.discontinuities += 1;
        let line = &self.lines[at];
        // In the middle of a group its pictures have places among those before.
        let out = if moment.is_key { (last + step).max(line.room(moment)) } else { last + step };
        if is_reference {
            self.change_offset(out - dts - line.extra);
            self.lines[at].has_switched = true;
        } else {
            let line = &mut self.lines[at];
            line.extra = out - dts - self.offset;
        }
        out
    }

    fn change_offset(&mut self, offset: Ticks) {
        self.previous = Some((self.offset, self.end.unwrap_or_default() + JUMP));
        self.offset = offset;
        for line in &mut self.lines {
            line.has_switched = false;
        }
    }
}

impl Ticks {
    /// Whether this distance is no longer than `bound`, in either direction.
    fn is_within(self, bound: Ticks) -> bool {
        self.0.unsigned_abs() <= bound.0.unsigned_abs()
    }
}

impl Line {
    /// When the first frame of another run can be decoded, so that it and what follows are shown a step after
    /// everything before, or later.
    fn room(&self, moment: Moment) -> Ticks {
        // What follows a picture that is no key frame may be shown as soon as that is decoded.
        let ahead = if moment.is_key { moment.reorder } else { Ticks(0) };
        let none = Ticks(i64::MIN);
        self.shown.filter(|_| self.is_video).map_or(none, |shown| shown + self.step() - ahead)
    }

    fn accept(&mut self, out: Ticks, shown: Ticks) {
        if let Some(last) = self.last.filter(|_| self.is_here) {
            let step = out - last;
            if step > Ticks(0) {
                self.steps[self.learned % STEPS] = step;
                self.learned += 1;
            }
        }
        self.last = Some(out);
        self.shown = self.shown.max(Some(shown));
        self.is_here = true;
    }

    /// The usual step: the middle one of the last few.
    fn step(&self) -> Ticks {
        let known = self.learned.min(STEPS);
        if known == 0 {
            return if self.is_video { VIDEO_STEP } else { AUDIO_STEP };
        }
        let mut steps = self.steps;
        let steps = &mut steps[..known];
        steps.sort_unstable();
        steps[known / 2]
    }
}

#[cfg(test)]
mod tests;
