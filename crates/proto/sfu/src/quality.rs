//! How good a peer's line is, out of the reports of both directions.
//!
//! Owns: a score for each interval, and whether it is news. Who is told is signalling's.

use std::time::{Duration, Instant};

use crate::api::Quality;

/// What is judged together, as LiveKit does.
const INTERVAL: Duration = Duration::from_secs(5);
/// What a lost packet in a hundred costs. Five in a hundred are heard and seen, twelve are a nuisance.
const LOSS_WEIGHT: u32 = 5;
/// Round trips up to here disturb no conversation (ITU-T G.114: 150 ms one way).
const ROUND_TRIP_FREE: Duration = Duration::from_millis(300);
/// What a point costs of a longer one.
const ROUND_TRIP_POINT: Duration = Duration::from_millis(10);

/// What a layer costs that is wanted and not there, as in LiveKit: one makes a line good, two or a pause make it poor.
const LAYER: u32 = 35;
/// And no more than this: a line that brings nothing of a picture is not lost.
const LAYERS_MAX: u32 = 70;

/// One peer's reports of the interval that runs.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Layers that were missing at the end of the last interval.
    missing: u8,
    due: Option<Instant>,
    /// Shares lost in 256ths, and in how many reports.
    lost: u32,
    reports: u32,
    told: Option<Quality>,
}

impl Meter {
    /// A report about one stream, of either direction.
    pub(crate) fn hear(&mut self, fraction_lost: u8) {
        self.lost = self.lost.saturating_add(u32::from(fraction_lost));
        self.reports = self.reports.saturating_add(1);
    }

    /// Whether [`Meter::poll`] has something to do.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    /// To be called more often than once an interval; the quality and the score if they are news. `missing` layers
    /// count once they have been for an interval: what has just been asked for may be on its way. An interval without
    /// reports, and with nothing missing, says nothing: nobody sends.
    pub(crate) fn poll(&mut self, now: Instant, round_trip: Duration, missing: u8) -> Option<(Quality, u8)> {
        let due = *self.due.get_or_insert(now + INTERVAL);
        if now < due {
            return None;
        }
        self.due = Some(now + INTERVAL);
        let missing = missing.min(std::mem::replace(&mut self.missing, missing));
        let layers = (u32::from(missing) * LAYER).min(LAYERS_MAX);
        let (lost, reports) = (std::mem::take(&mut self.lost), std::mem::take(&mut self.reports));
        let loss = match (lost * LOSS_WEIGHT * 100).checked_div(reports * 256) {
            None if missing == 0 => return None,
            loss => loss.unwrap_or(0) + layers,
        };
        let over = round_trip.saturating_sub(ROUND_TRIP_FREE).as_millis() / ROUND_TRIP_POINT.as_millis();
        let score = 100u32.saturating_sub(loss).saturating_sub(u32::try_from(over).unwrap_or(u32::MAX)) as u8;
        let quality = match score {
            81.. => Quality::Excellent,
            41.. => Quality::Good,
            _ => Quality::Poor,
        };
        (self.told.replace(quality) != Some(quality)).then_some((quality, score))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(40);

    /// One interval with these reports.
    fn interval(
        meter: &mut Meter,
        start: Instant,
        reports: &[u8],
        round_trip: Duration,
    ) -> Option<(Quality, u8)> {
        assert_eq!(meter.poll(start, round_trip, 0), None);
        reports.iter().for_each(|lost| meter.hear(*lost));
        meter.poll(start + INTERVAL, round_trip, 0)
    }

    #[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn losses_and_long_round_trips_cost() {
        let of = |reports: &[u8], ms| {
            interval(&mut Meter::default(), start(), reports, Duration::from_millis(ms)).unwrap()
        };
        assert_eq!(of(&[0, 0, 0], 40), (Quality::Excellent, 100));
        assert_eq!(of(&[5, 5], 300), (Quality::Excellent, 91));
        assert_eq!(of(&[13, 13], 40), (Quality::Good, 75));
        assert_eq!(of(&[64, 0], 40), (Quality::Poor, 38));
        assert_eq!(of(&[255], 40), (Quality::Poor, 0));
        assert_eq!(of(&[0], 500), (Quality::Good, 80));
        assert_eq!(of(&[0], 60_000), (Quality::Poor, 0));
    }

    #[test]
    fn layers_that_stay_away_cost() {
        let mut meter = Meter::default();
        let start = start();
        assert_eq!(meter.poll(start, SHORT, 0), None);
        let mut at = start;
        let mut next = |reports: &[u8], missing| {
            at += INTERVAL;
            reports.iter().for_each(|lost| meter.hear(*lost));
            meter.poll(at, SHORT, missing)
        };
        // One that has just been asked for.
        assert_eq!(next(&[0], 1), Some((Quality::Excellent, 100)));
        assert_eq!(next(&[0], 0), None);
        assert_eq!(next(&[0], 2), None);
        assert_eq!(next(&[0], 1), Some((Quality::Good, 65)));
        assert_eq!(next(&[0], 2), None);
        assert_eq!(next(&[13], 2), Some((Quality::Poor, 5)));
        // Nothing comes of a picture that is paused, not even reports.
        assert_eq!(next(&[], u8::MAX), None);
        assert_eq!(next(&[0], 0), Some((Quality::Excellent, 100)));
    }

    #[test]
    fn only_news_is_told_and_silence_is_none() {
        let (mut meter, start) = (Meter::default(), start());
        assert_eq!(interval(&mut meter, start, &[], SHORT), None);
        let mut at = start + INTERVAL;
        for (reports, news) in [
            (&[0u8][..], Some((Quality::Excellent, 100))),
            (&[2], None),
            (&[], None),
            (&[100, 100], Some((Quality::Poor, 0))),
            (&[], None),
            (&[0, 0], Some((Quality::Excellent, 100))),
        ] {
            assert_eq!(interval(&mut meter, at, reports, SHORT), news, "{reports:?}");
            at += INTERVAL;
        }
    }
}
