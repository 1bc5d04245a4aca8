//! How good a peer's line is, out of the reports of both directions.
//!
//! Owns: a score for each interval, and whether it is news. Who is told is signalling's.

use std::time::{Duration, Instant};

use rtp::Ssrc;
use rtp::rtcp::ReportBlock;

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

/// Streams that are judged each for itself.
const STREAMS: usize = 32;
/// Packets below which a stream is judged together with others like it, and as if there were so many: of a voice that
/// pauses, one packet is a tenth.
const FEW: u64 = 50;
/// A first report is taken for so many packets, and no other for more than the second.
const FIRST: u32 = 50;
const MOST: u32 = 10_000;

/// What is said of one stream in an interval.
#[derive(Debug)]
struct Stream {
    ssrc: Ssrc,
    highest: u32,
    packets: u64,
    /// In 256ths of a packet.
    lost: u64,
}

/// One peer's reports of the interval that runs.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Layers that were missing at the end of the last interval.
    missing: u8,
    due: Option<Instant>,
    streams: Vec<Stream>,
    told: Option<Quality>,
}

impl Meter {
    /// A report about one stream, of either direction.
    pub(crate) fn hear(&mut self, block: &ReportBlock) {
        let (ssrc, highest) = (block.ssrc, block.highest_seq);
        if !self.streams.iter().any(|s| s.ssrc == ssrc) && self.streams.len() < STREAMS {
            let before = highest.wrapping_sub(FIRST);
            self.streams.push(Stream { ssrc, highest: before, packets: 0, lost: 0 });
        }
        let Some(stream) = self.streams.iter_mut().find(|s| s.ssrc == ssrc) else { return };
        let packets = highest.wrapping_sub(stream.highest).clamp(1, MOST);
        stream.highest = highest;
        stream.packets += u64::from(packets);
        stream.lost += u64::from(packets) * u64::from(block.fraction_lost);
    }

    /// What the losses of the worst stream cost, or nothing if no report has come: a good picture is no comfort to who
    /// hears half of what is said. Ends the interval.
    fn loss(&mut self) -> Option<u32> {
        let cost = |lost: u64, packets: u64| (lost * u64::from(LOSS_WEIGHT) * 100).checked_div(packets * 256);
        let few = self.streams.iter().filter(|s| s.packets < FEW);
        let (lost, packets) = few.fold((0, 0), |(lost, packets), s| (lost + s.lost, packets + s.packets));
        let few_cost = if packets == 0 { None } else { cost(lost, packets.max(FEW)) };
        let many = self.streams.iter().filter(|s| s.packets >= FEW);
        let worst = many.filter_map(|s| cost(s.lost, s.packets)).chain(few_cost).max();
        self.streams.retain_mut(|s| {
            s.lost = 0;
            std::mem::take(&mut s.packets) > 0
        });
        worst.map(|cost| cost as u32)
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
        let loss = match self.loss() {
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

    /// Reports about a stream, so many packets apart.
    fn hear(meter: &mut Meter, ssrc: u32, packets: u32, reports: &[u8]) {
        let before = meter.streams.iter().find(|s| s.ssrc == Ssrc(ssrc)).map_or(0, |s| s.highest);
        for (n, fraction_lost) in reports.iter().enumerate() {
            let highest_seq = before + (n as u32 + 1) * packets;
            meter.hear(&ReportBlock {
                ssrc: Ssrc(ssrc),
                fraction_lost: *fraction_lost,
                highest_seq,
                ..Default::default()
            });
        }
    }

    #[test]
    fn the_worst_stream_counts_and_a_few_packets_do_not_make_one() {
        let (mut meter, mut at) = (Meter::default(), start());
        meter.poll(at, SHORT, 0);
        let mut next = |streams: &[(u32, u32, &[u8])]| {
            at += INTERVAL;
            streams.iter().for_each(|(ssrc, packets, reports)| hear(&mut meter, *ssrc, *packets, reports));
            meter.poll(at, SHORT, 0).map(|(_, score)| score)
        };
        assert_eq!(next(&[(1, 50, &[0; 5]), (2, 200, &[13; 5])]), Some(75));
        // Two streams of ten packets, one of them lost.
        assert_eq!(next(&[(1, 50, &[0; 5]), (2, 2, &[0, 0, 0, 0, 0]), (3, 2, &[0; 5])]), Some(100));
        assert_eq!(
            next(&[(1, 50, &[0; 5]), (2, 2, &[128, 0, 0, 0, 0]), (3, 20, &[0; 5])]),
            None,
            "two in sixty"
        );
        // Who says more than there are streams is heard as far as that.
        for ssrc in 10..1000 {
            hear(&mut meter, ssrc, 50, &[255]);
        }
        assert!(meter.streams.len() <= STREAMS);
    }

    /// One interval with these reports.
    fn interval(
        meter: &mut Meter,
        start: Instant,
        reports: &[u8],
        round_trip: Duration,
    ) -> Option<(Quality, u8)> {
        assert_eq!(meter.poll(start, round_trip, 0), None);
        hear(meter, 1, 50, reports);
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
            hear(&mut meter, 1, 50, reports);
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
