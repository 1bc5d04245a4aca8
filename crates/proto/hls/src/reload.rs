//! What a player asks of a playlist, and whether it is there yet (rfc8216bis section 6.2.5).

use media::Ticks;

use crate::Segmenter;
use crate::file::number;

/// Segments beyond the last whole one that may be waited for (section 6.2.5.2).
const SEGMENTS_AHEAD: u64 = 2;
/// Seconds' worth of parts that may be waited for, and parts where they last longer (section 6.2.5.2).
const PARTS_AHEAD: i64 = 3;

/// How far a playlist goes: what a player that waits for more waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The segment that is being made.
    pub segment: u64,
    /// Its parts that are there.
    pub parts: usize,
}

/// The directives of a request for a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reload {
    /// `_HLS_msn`: not before this segment is listed.
    pub segment: Option<u64>,
    /// `_HLS_part`: nor before this part of it is.
    pub part: Option<u64>,
    /// `_HLS_skip`: only what is new.
    pub skip: bool,
}

impl Reload {
    /// Reads them from a request's parameters; what is wrong with them, if anything is.
    pub fn parse<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, &'static str> {
        let read = |name, wrong| parameter(name).map(|value| number(value).ok_or(wrong)).transpose();
        let segment = read("_HLS_msn", "_HLS_msn is no number")?;
        let part = read("_HLS_part", "_HLS_part is no number")?;
        if part.is_some() && segment.is_none() {
            return Err("_HLS_part needs _HLS_msn");
        }
        let skip = match parameter("_HLS_skip") {
            None => false,
            Some("YES" | "v2") => true,
            Some(_) => return Err("_HLS_skip is neither YES nor v2"),
        };
        Ok(Self { segment, part, skip })
    }
}

/// Whether what was asked for is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    There,
    /// It will be.
    Later,
    /// So far ahead that nobody who reads the playlist asks for it.
    TooFar,
}

impl Segmenter {
    /// Whether the playlist can be answered as `reload` asks.
    pub fn reach(&self, reload: &Reload) -> Reach {
        let Some(segment) = reload.segment else { return Reach::There };
        let now = self.position();
        let parts = u64::try_from(now.parts).unwrap_or(u64::MAX);
        // The last whole one is that before the one that is being made.
        if segment > now.segment.saturating_add(SEGMENTS_AHEAD - 1) {
            return Reach::TooFar;
        }
        let Some(part) = reload.part.filter(|_| self.config.low_latency) else {
            return if segment < now.segment { Reach::There } else { Reach::Later };
        };
        let is_there = if segment < now.segment {
            // The part after a segment's last is the next one's first.
            let last = self.segment(segment).map_or(0, |segment| segment.parts.len());
            let is_beyond = part >= u64::try_from(last).unwrap_or(u64::MAX);
            !is_beyond || segment + 1 < now.segment || parts > 0
        } else {
            segment == now.segment && part < parts
        };
        let there = if segment == now.segment { parts } else { 0 };
        match is_there {
            true => Reach::There,
            false if segment >= now.segment && part >= there.saturating_add(self.parts_ahead()) => {
                Reach::TooFar
            }
            false => Reach::Later,
        }
    }

    /// The advance part limit.
    fn parts_ahead(&self) -> u64 {
        let target = self.part_target.map_or(Ticks::PER_SECOND, |target| target.0).max(1);
        let parts = if target < Ticks::PER_SECOND {
            (PARTS_AHEAD * Ticks::PER_SECOND + target - 1) / target
        } else {
            PARTS_AHEAD
        };
        u64::try_from(parts).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_or_refused() {
        let parse = |pairs: &'static [(&'static str, &'static str)]| {
            Reload::parse(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value))
        };
        assert_eq!(parse(&[("token", "t")]), Ok(Reload::default()));
        assert_eq!(
            parse(&[("_HLS_msn", "12"), ("_HLS_part", "0"), ("_HLS_skip", "YES")]),
            Ok(Reload { segment: Some(12), part: Some(0), skip: true })
        );
        for wrong in [
            &[("_HLS_part", "1")][..],
            &[("_HLS_msn", "")],
            &[("_HLS_msn", "-1")],
            &[("_HLS_msn", "99999999999999999999")],
            &[("_HLS_msn", "1"), ("_HLS_part", "x")],
            &[("_HLS_skip", "NO")],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
