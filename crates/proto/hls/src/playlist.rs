//! What a playlist says (RFC 8216 section 4.3, rfc8216bis section 4.4).

use std::fmt::Write as _;

use media::Ticks;

use crate::segment::{Part, Segment};
use crate::segmenter::Segmenter;

/// A player of parts stays this many of them behind the live edge; at least three are asked for (rfc8216bis
/// section 4.4.3.8).
const HOLD_BACK: f64 = 3.0;

impl Segmenter {
    /// The playlist as it is now. `suffix` is put behind every address: parameters, with a token for example.
    pub fn playlist(&self, suffix: &str) -> String {
        let listed = self.listed();
        let first = self.segments.len().saturating_sub(listed);
        let target = self.config.max_segment.as_secs_f64().ceil();
        let parts = self.part_target.filter(|_| self.config.low_latency).map(seconds);
        let mut out = String::with_capacity(4096);
        // Writing to a string cannot fail.
        let _ = write!(out, "#EXTM3U\n#EXT-X-VERSION:{}\n", if parts.is_some() { 9 } else { 3 });
        let _ = writeln!(out, "#EXT-X-TARGETDURATION:{target}");
        if let Some(part) = parts {
            let hold_back = part * HOLD_BACK;
            let _ = writeln!(
                out,
                "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back:.3}\n\
                 #EXT-X-PART-INF:PART-TARGET={part:.3}"
            );
        }
        let sequence = self.segments.get(first).map_or(self.position().segment, |segment| segment.sequence);
        let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{sequence}");
        if self.lost_discontinuities > 0 {
            let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.lost_discontinuities);
        }
        for segment in self.segments.iter().skip(first) {
            head(segment, &mut out);
            list_parts(segment, suffix, &mut out);
            let _ =
                writeln!(out, "#EXTINF:{:.5},\n{}.ts{suffix}", seconds(segment.duration), segment.sequence);
        }
        if let Some(current) = self.current.as_ref().filter(|current| current.segment.lists_parts) {
            let segment = &current.segment;
            head(segment, &mut out);
            list_parts(segment, suffix, &mut out);
            let (sequence, next) = (segment.sequence, segment.parts.len());
            let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{sequence}.{next}.ts{suffix}\"");
        }
        out
    }
}

fn head(segment: &Segment, out: &mut String) {
    if segment.is_discontinuous {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", date(segment.date));
}

fn list_parts(segment: &Segment, suffix: &str, out: &mut String) {
    if !segment.lists_parts {
        return;
    }
    for (index, Part { duration, is_independent, .. }) in segment.parts.iter().enumerate() {
        let independent = if *is_independent { ",INDEPENDENT=YES" } else { "" };
        let (sequence, duration) = (segment.sequence, seconds(*duration));
        let _ = writeln!(
            out,
            "#EXT-X-PART:DURATION={duration:.5},URI=\"{sequence}.{index}.ts{suffix}\"{independent}"
        );
    }
}

fn seconds(ticks: Ticks) -> f64 {
    ticks.0 as f64 / Ticks::PER_SECOND as f64
}

/// Milliseconds since 1970 as ISO 8601 has them. Days to a date: Howard Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`.
fn date(millis: i64) -> String {
    let days = millis.div_euclid(86_400_000);
    let of_day = millis.rem_euclid(86_400_000);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, millis) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(date(951_782_400_001), "2000-02-29T00:00:00.001Z");
        assert_eq!(date(1_700_000_000_000), "2023-11-14T22:13:20.000Z");
        assert_eq!(date(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
    }
}
