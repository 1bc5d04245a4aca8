//! What the multivariant playlist says (RFC 8216 section 4.3.4).

use std::fmt::Write as _;

use media::Ticks;

use crate::{File, Segmenter, Variant};

/// A peak is seldom the highest there will be.
const BANDWIDTH_MARGIN: f64 = 1.1;

/// What players choose a variant by.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub variant: Variant,
    /// Bits a second: of the segment that has the most, and of all.
    pub peak: u64,
    pub average: u64,
    pub codecs: Option<String>,
    pub resolution: Option<(u32, u32)>,
    pub frame_rate: Option<f64>,
}

impl Segmenter {
    /// What is known of this variant; something once there is a segment.
    pub fn facts(&self) -> Facts {
        let seconds = |ticks: Ticks| (ticks.0 as f64 / Ticks::PER_SECOND as f64).max(0.001);
        let list = || self.window.list();
        let peak = list().map(|segment| segment.len() as f64 * 8.0 / seconds(segment.duration));
        let peak = peak.fold(0.0, f64::max) * BANDWIDTH_MARGIN;
        let bits = list().map(|segment| segment.len()).sum::<usize>() as f64 * 8.0;
        let time = list().fold(Ticks(0), |sum, segment| sum + segment.duration);
        let frames: u32 = list().map(|segment| segment.frames).sum();
        let is_video = self.leader().is_some_and(|track| track.is_video());
        Facts {
            variant: self.variant,
            peak: peak.max(1.0) as u64,
            average: (bits / seconds(time)).max(1.0) as u64,
            codecs: self.tracks.codecs(),
            resolution: self.tracks.resolution(),
            frame_rate: is_video.then(|| f64::from(frames) / seconds(time)).filter(|_| frames > 0),
        }
    }
}

/// The multivariant playlist of these variants. `suffix` is put behind every address.
pub fn index(suffix: &str, variants: &[Facts]) -> String {
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:6\n");
    for facts in variants {
        let Facts { peak, average, .. } = facts;
        // Writing to a string cannot fail.
        let _ = write!(out, "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}");
        if let Some(codecs) = &facts.codecs {
            let _ = write!(out, ",CODECS=\"{codecs}\"");
        }
        if let Some((width, height)) = facts.resolution {
            let _ = write!(out, ",RESOLUTION={width}x{height}");
        }
        if let Some(rate) = facts.frame_rate {
            let _ = write!(out, ",FRAME-RATE={rate:.3}");
        }
        let _ = writeln!(out, "\n{}{suffix}", File::Playlist(facts.variant));
    }
    out
}
