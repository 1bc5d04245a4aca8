//! How many bits a second each layer of an encoding takes.
//!
//! Owns: the count of what arrived, and what it came to in the last second or so.

use std::time::{Duration, Instant};

use crate::packet::Meta;

/// Spatial layers told apart; higher ones count with the last.
pub(crate) const SPATIAL: usize = 4;

/// Rates are measured over this.
const SPAN: Duration = Duration::from_millis(1000);
/// The first time over less: somebody may want to know.
const FIRST_SPAN: Duration = Duration::from_millis(300);

/// Bytes of header of each packet: 12, and the extensions that say the least.
const HEADER: u64 = 24;

/// Of one spatial layer.
#[derive(Debug, Clone, Copy, Default)]
struct Layer {
    /// Of pictures that all others need, and of the others.
    bytes: [u64; 2],
    rates: [u64; 2],
}

/// Bits a second of one encoding's spatial layers, each of the pictures that all others need and of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerRates([[u64; 2]; SPATIAL]);

/// One encoding's.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    layers: [Layer; SPATIAL],
    since: Option<Instant>,
    measured: bool,
}

impl Rates {
    /// Counts a packet.
    pub(crate) fn count(&mut self, meta: &Meta) {
        self.since.get_or_insert(meta.at);
        let spatial = usize::from(meta.frame.spatial).min(SPATIAL - 1);
        let bytes =
            self.layers.get_mut(spatial).and_then(|l| l.bytes.get_mut(usize::from(meta.frame.temporal > 0)));
        if let Some(bytes) = bytes {
            *bytes += u64::from(meta.weight()) + HEADER;
        }
    }

    /// Measures, if it is time to; whether it was.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        let Some(since) = self.since else { return false };
        let elapsed = now.saturating_duration_since(since);
        if elapsed < if self.measured { SPAN } else { FIRST_SPAN } {
            return false;
        }
        let elapsed = elapsed.as_millis().max(1) as u64;
        for layer in &mut self.layers {
            for (bytes, rate) in layer.bytes.iter_mut().zip(&mut layer.rates) {
                let now = std::mem::take(bytes) * 8000 / elapsed;
                *rate = if self.measured { (*rate + now) / 2 } else { now };
            }
        }
        // An encoding that pauses is as large as before when it comes back.
        (self.since, self.measured) = (None, true);
        true
    }

    /// What was measured, for whoever sees a part of it only.
    pub(crate) fn measured(&self) -> LayerRates {
        LayerRates(self.layers.map(|l| l.rates))
    }

    /// Takes what was measured where all of it comes by.
    pub(crate) fn learn(&mut self, measured: LayerRates) {
        for (layer, rates) in self.layers.iter_mut().zip(measured.0) {
            layer.rates = rates;
        }
        (self.since, self.measured) = (None, true);
    }

    /// Bits a second of everything up to a spatial layer, and what of that is left without the pictures that
    /// no others need.
    pub(crate) fn up_to(&self, spatial: usize) -> (u64, u64) {
        let layers = self.layers.iter().take(spatial + 1);
        layers.fold((0, 0), |(all, base), l| (all + l.rates.iter().sum::<u64>(), base + l.rates[0]))
    }

    /// Bits a second of a spatial layer alone.
    pub(crate) fn of(&self, spatial: usize) -> u64 {
        self.layers.get(spatial).map_or(0, |l| l.rates.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_measured_apart() {
        let t0 = Instant::now();
        let mut rates = Rates::default();
        for n in 0..30u64 {
            for spatial in 0..2 {
                let mut meta = Meta::for_test(t0 + Duration::from_millis(n * 10));
                meta.payload.len = 976;
                meta.frame.spatial = spatial;
                meta.frame.temporal = (n % 2) as u8;
                rates.count(&meta);
            }
            rates.look(t0 + Duration::from_millis(n * 10 + 10));
        }
        // 30 packets of 1000 bytes in 300 ms.
        assert_eq!(
            (rates.up_to(0), rates.up_to(1), rates.of(1)),
            ((800_000, 400_000), (1_600_000, 800_000), 800_000)
        );
        // A pause says nothing; and a packet of a far layer is no harm.
        rates.look(t0 + Duration::from_secs(60));
        assert_eq!(rates.of(0), 800_000);
        let mut meta = Meta::for_test(t0);
        meta.frame.spatial = 7;
        rates.count(&meta);
    }
}
