//! What a media playlist says (RFC 8216 section 4.3, rfc8216bis section 4.4).

use std::fmt::Write as _;

use media::Ticks;

use crate::date::date;
use crate::segment::{Part, Segment};
use crate::{Container, File, Segmenter, Variant};

/// A player of parts stays this many of them behind the live edge; at least three are asked for (rfc8216bis
/// section 4.4.3.8).
const HOLD_BACK: f64 = 3.0;
/// Target durations behind the live edge at which a delta update may leave out; at least six (ibid.).
const SKIP_TARGETS: u64 = 6;

/// What of a playlist is not the stream's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Page<'a> {
    /// Put behind every address: parameters, with a token for example.
    pub suffix: &'a str,
    /// Leave out what the player has.
    pub skip: bool,
    /// The other renditions, each with the last segment and part that its playlist has.
    pub reports: &'a [(Variant, u64, Option<usize>)],
}

impl Segmenter {
    /// The playlist as it is now.
    pub fn playlist(&self, page: &Page<'_>) -> String {
        let parts = self.part_target.filter(|_| self.config.low_latency).map(seconds);
        let skipped = if page.skip && self.config.low_latency { self.skippable() } else { 0 };
        let version = match (skipped, self.variant.container) {
            (1.., _) => 9,
            (_, Container::Fmp4) => 6,
            _ if parts.is_some() => 6,
            _ => 3,
        };
        let target = self.config.target();
        let mut out = String::with_capacity(4096);
        // Writing to a string cannot fail.
        let _ = write!(out, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n");
        if let Some(part) = parts {
            let (hold_back, skip_until) = (part * HOLD_BACK, target * SKIP_TARGETS);
            let _ = writeln!(
                out,
                "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back:.3},\
                 CAN-SKIP-UNTIL={skip_until}\n#EXT-X-PART-INF:PART-TARGET={part:.3}"
            );
        }
        let first = self.window.list().next();
        let sequence = first.map_or(self.position().segment, |segment| segment.sequence);
        let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{sequence}");
        if self.window.lost_discontinuities > 0 {
            let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.window.lost_discontinuities);
        }
        let current = self.current.as_ref().map(|current| &current.segment);
        if self.window.list().map(|segment| &**segment).chain(current).all(|segment| segment.is_independent) {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        if skipped > 0 {
            let _ = writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
        }
        self.put_segments(page, skipped, &mut out);
        for (variant, segment, part) in page.reports.iter().filter(|_| parts.is_some()) {
            let uri = File::Playlist(*variant);
            let _ = write!(out, "#EXT-X-RENDITION-REPORT:URI=\"{uri}{}\",LAST-MSN={segment}", page.suffix);
            let _ = match part {
                Some(part) => writeln!(out, ",LAST-PART={part}"),
                None => writeln!(out),
            };
        }
        out
    }

    fn put_segments(&self, page: &Page<'_>, skipped: usize, out: &mut String) {
        let mut map = None;
        for (at, segment) in self.window.list().enumerate() {
            let has_other_map = map.replace(segment.map) != Some(segment.map);
            if at < skipped {
                continue;
            }
            self.put_head(segment, has_other_map, page, out);
            self.put_parts(segment, page, out);
            let file = File::Segment(self.variant, segment.sequence);
            let duration = seconds(segment.duration);
            let _ = writeln!(out, "#EXTINF:{duration:.5},\n{file}{}", page.suffix);
        }
        let current = self.current.as_ref().map(|current| &current.segment);
        if let Some(segment) = current.filter(|segment| segment.lists_parts) {
            // What it needs is known with its first part.
            if !segment.parts.is_empty() {
                self.put_head(segment, map != Some(segment.map), page, out);
            }
            self.put_parts(segment, page, out);
            let file = File::Part(self.variant, segment.sequence, segment.parts.len());
            let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{file}{}\"", page.suffix);
        }
    }

    fn put_head(&self, segment: &Segment, has_other_map: bool, page: &Page<'_>, out: &mut String) {
        if segment.is_discontinuous {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if let Some(id) = segment.map.filter(|_| has_other_map) {
            let file = File::Init(self.variant, id);
            let _ = writeln!(out, "#EXT-X-MAP:URI=\"{file}{}\"", page.suffix);
        }
        let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", date(segment.date));
    }

    fn put_parts(&self, segment: &Segment, page: &Page<'_>, out: &mut String) {
        if !segment.lists_parts {
            return;
        }
        for (index, Part { duration, is_independent, .. }) in segment.parts.iter().enumerate() {
            let independent = if *is_independent { ",INDEPENDENT=YES" } else { "" };
            let (file, suffix) = (File::Part(self.variant, segment.sequence, index), page.suffix);
            let duration = seconds(*duration);
            let _ = writeln!(out, "#EXT-X-PART:DURATION={duration:.5},URI=\"{file}{suffix}\"{independent}");
        }
    }

    /// How many of the listed segments a player has that asks for what is new.
    fn skippable(&self) -> usize {
        let boundary =
            Ticks::from_duration(std::time::Duration::from_secs(self.config.target() * SKIP_TARGETS));
        let current = self.current.as_ref().map(|current| &current.segment.parts);
        let growing = current.into_iter().flatten().fold(Ticks(0), |sum, part| sum + part.duration);
        let mut behind = self.window.list().fold(growing, |sum, segment| sum + segment.duration);
        let is_old = |segment: &&std::sync::Arc<Segment>| {
            behind = behind - segment.duration;
            behind > boundary
        };
        self.window.list().take_while(is_old).count()
    }

    /// The last segment that the playlist has, and its last part if it has parts: what playlists of other
    /// renditions report.
    pub fn last(&self) -> Option<(u64, Option<usize>)> {
        let current = self.current.as_ref().map(|current| &current.segment);
        let current = current.filter(|segment| segment.lists_parts && !segment.parts.is_empty());
        let last = current.or_else(|| self.window.list().next_back().map(|segment| &**segment))?;
        Some((last.sequence, last.parts.len().checked_sub(1).filter(|_| last.lists_parts)))
    }
}

fn seconds(ticks: Ticks) -> f64 {
    ticks.0 as f64 / Ticks::PER_SECOND as f64
}
