//! Synthetic media: frames with the sizes and headers of real ones.

use std::time::{Duration, Instant};

use clock::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rtp::Rid;

use crate::content::{self, STAMP_LEN, Stamp};
use crate::payload::{Coding, Picture};

/// A key frame is this many times a delta frame.
const KEY_FRAME_FACTOR: f64 = 5.0;
/// Every so often at least: what a publisher in a room of some size is asked for anyway, by those who join or have
/// lost something. A measurement over a multiple of it has as many key frames as any other.
const KEY_FRAME_INTERVAL: Duration = Duration::from_secs(4);
/// RTP clock of video, Hz.
const VIDEO_CLOCK: u64 = 90_000;
/// One simulcast layer, or the only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name; `None` without simulcast.
    pub rid: Option<Rid>,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Bits a second, on average.
    pub bitrate: u64,
}

/// What a camera would be set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSourceParams {
    pub coding: Coding,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// Frames a second.
    pub fps: u32,
    /// A key frame at least this often.
    pub key_frame_interval: Duration,
    /// 1, 2 or 3 temporal layers.
    pub temporal_layers: u8,
}

impl VideoSourceParams {
    /// One layer of 640x360 at 30 frames a second.
    pub fn single(bitrate: u64) -> Self {
        let layer = Layer { rid: None, width: 640, height: 360, bitrate };
        Self {
            coding: Coding::Vp8,
            layers: vec![layer],
            fps: 30,
            key_frame_interval: KEY_FRAME_INTERVAL,
            temporal_layers: 1,
        }
    }

    /// Three layers `q`, `h`, `f` of 720p that share a bitrate as libwebrtc shares it.
    pub fn simulcast_of(bitrate: u64) -> Self {
        let layer = |(rid, width, height, percent)| Layer {
            rid: Rid::new(rid),
            width,
            height,
            bitrate: bitrate * percent / 100,
        };
        let shares = [("q", 320, 180, 7), ("h", 640, 360, 19), ("f", 1280, 720, 74)];
        Self { layers: shares.map(layer).to_vec(), ..Self::single(bitrate) }
    }

    /// Three layers `q`, `h`, `f` as livekit-client sends 720p: 160, 450 and 1700 kbit/s.
    pub fn simulcast() -> Self {
        let layer = |rid, width, height, bitrate| Layer { rid: Rid::new(rid), width, height, bitrate };
        Self {
            layers: vec![
                layer("q", 320, 180, 160_000),
                layer("h", 640, 360, 450_000),
                layer("f", 1280, 720, 1_700_000),
            ],
            temporal_layers: 3,
            ..Self::single(0)
        }
    }
}

/// An encoded frame, cut into RTP payloads.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    /// Index of the layer.
    pub(crate) layer: usize,
    /// RTP time, from 0.
    pub(crate) timestamp: u32,
    /// The last one ends the frame.
    pub(crate) payloads: Vec<Vec<u8>>,
    #[cfg_attr(not(test), allow(dead_code, reason = "tests look at it"))]
    pub(crate) key: bool,
}

/// A camera with its encoders: the frames of all layers, at even intervals.
#[derive(Debug)]
pub(crate) struct VideoSource {
    params: VideoSourceParams,
    encoders: Vec<Encoder>,
    started: Instant,
    ticks: u64,
}

impl VideoSource {
    /// The first frame is due at once.
    pub(crate) fn new(now: Time, params: VideoSourceParams, seed: u64) -> Self {
        let encoder = |i| Encoder::new(seed.wrapping_add(i as u64));
        let encoders = (0..params.layers.len()).map(encoder).collect();
        Self { params, encoders, started: now.mono, ticks: 0 }
    }

    pub(crate) fn coding(&self) -> Coding {
        self.params.coding
    }

    /// When the next frames are due.
    pub(crate) fn due(&self) -> Instant {
        self.started + Duration::from_micros(1_000_000 * self.ticks / u64::from(self.params.fps.max(1)))
    }

    /// The next frame of this layer will be a key frame.
    pub(crate) fn request_key_frame(&mut self, layer: usize) {
        if let Some(e) = self.encoders.get_mut(layer) {
            e.key_wanted = true;
        }
    }

    /// Encodes one picture in all layers if it is due. A source that is read late skips pictures.
    pub(crate) fn poll(&mut self, now: Time) -> Vec<Encoded> {
        if now.mono < self.due() {
            return Vec::new();
        }
        let fps = u64::from(self.params.fps.max(1));
        let elapsed = now.since(self.started).as_micros() as u64 * fps / 1_000_000;
        self.ticks = self.ticks.max(elapsed);
        let timestamp = (self.ticks * VIDEO_CLOCK / fps) as u32;
        self.ticks += 1;
        let params = &self.params;
        let each = self.encoders.iter_mut().zip(&params.layers).enumerate();
        each.map(|(i, (e, layer))| e.encode(now, i, layer, params, timestamp)).collect()
    }
}

#[derive(Debug)]
struct Encoder {
    rng: SmallRng,
    frames: u32,
    /// Frames since the last key frame: the place in the temporal pattern.
    since_key: u32,
    last_key: Option<Instant>,
    key_wanted: bool,
    picture_id: u16,
    tl0: u8,
    key_index: u8,
    /// Bytes sent above the average, to be saved on later frames.
    debt: f64,
}

impl Encoder {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let picture_id = rng.random::<u16>() & 0x7fff;
        Self {
            picture_id,
            tl0: rng.random(),
            key_index: 0,
            rng,
            frames: 0,
            since_key: 0,
            last_key: None,
            key_wanted: true,
            debt: 0.0,
        }
    }

    fn encode(
        &mut self,
        now: Time,
        index: usize,
        layer: &Layer,
        params: &VideoSourceParams,
        timestamp: u32,
    ) -> Encoded {
        let key = self.key_wanted || self.last_key.is_none_or(|k| now.since(k) >= params.key_frame_interval);
        if key {
            self.key_wanted = false;
            self.last_key = Some(now.mono);
            self.since_key = 0;
            self.key_index = (self.key_index + 1) & 0x1f;
        }
        let temporal = temporal_layer(self.since_key, params.temporal_layers);
        if temporal == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        let coding = params.coding;
        let picture = Picture {
            key,
            size: (layer.width, layer.height),
            number: self.picture_id,
            tl0: self.tl0,
            key_index: self.key_index,
            temporal,
            // The pattern refers to the base layer only from each upper layer's first frame.
            layer_sync: temporal > 0 && self.since_key < 3,
            non_reference: params.temporal_layers > 1 && temporal + 1 == params.temporal_layers,
        };
        let header = coding.header_len(key);
        let size = self.size(key, layer.bitrate, params.fps).max(header + STAMP_LEN);
        let mut frame = vec![0; size];
        coding.write_header(&mut frame, &picture);
        let captured = Duration::from_micros(now.unix.as_micros() as u64);
        if let Some(body) = frame.get_mut(header..) {
            content::fill(body, &Stamp { number: self.frames, layer: index as u8, captured });
        }
        self.frames = self.frames.wrapping_add(1);
        self.since_key += 1;
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        Encoded { layer: index, timestamp, payloads: coding.packetise(&frame, &picture), key }
    }

    /// Bytes of the next frame: around the average, key frames larger, paid back by what follows.
    fn size(&mut self, key: bool, bitrate: u64, fps: u32) -> usize {
        let mean = bitrate as f64 / 8.0 / f64::from(fps.max(1));
        let spread = self.rng.random_range(0.7..1.3);
        let wanted = if key { mean * KEY_FRAME_FACTOR } else { mean * spread - self.debt * 0.1 };
        let size = wanted.max(mean * 0.3).max(1.0);
        self.debt += size - mean;
        size as usize
    }
}

/// Temporal layer of the `n`th frame from a key frame on: 0 1 0 1, or 0 2 1 2.
fn temporal_layer(n: u32, layers: u8) -> u8 {
    match (layers, n % 4) {
        (0 | 1, _) => 0,
        (2, n) => (n % 2) as u8,
        (_, 0) => 0,
        (_, 2) => 1,
        _ => 2,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use codec::vp8;

    use super::*;
    use crate::payload::MAX_PAYLOAD;

    fn start() -> Time {
        Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) }
    }

    fn run(params: VideoSourceParams, seconds: u32) -> Vec<Encoded> {
        let t = start();
        let mut source = VideoSource::new(t, params, 1);
        let mut all = Vec::new();
        loop {
            let due = source.due() - t.mono;
            if due >= Duration::from_secs(seconds.into()) {
                return all;
            }
            all.extend(source.poll(t.after(due)));
        }
    }

    #[test]
    fn bitrate_and_frame_rate_are_as_asked() {
        let frames = run(VideoSourceParams::single(1_000_000), 20);
        assert_eq!(frames.len(), 600);
        let bytes: usize = frames.iter().flat_map(|f| &f.payloads).map(Vec::len).sum();
        assert!((1_900_000..2_700_000).contains(&bytes), "{bytes} bytes in 20 s");
        assert_eq!(frames.iter().filter(|f| f.key).count(), 5);
        assert_eq!(frames[1].timestamp, 3000);
    }

    #[test]
    fn frames_are_valid_vp8_and_whole() {
        for f in run(VideoSourceParams::simulcast(), 2) {
            let mut whole = Vec::new();
            for (i, p) in f.payloads.iter().enumerate() {
                let d = vp8::Descriptor::parse(p).unwrap();
                assert_eq!(d.starts_frame(), i == 0);
                assert_eq!(d.key_frame, f.key && i == 0);
                whole.extend_from_slice(&p[usize::from(d.len)..]);
                assert!(p.len() <= MAX_PAYLOAD);
            }
            let sizes: Vec<_> = f.payloads.iter().map(Vec::len).collect();
            assert!(sizes.is_sorted() && sizes[sizes.len() - 1] - sizes[0] <= 1, "{sizes:?}");
            let header = Coding::Vp8.header_len(f.key);
            assert_eq!(usize::from(content::check(&whole[header..]).unwrap().layer), f.layer);
        }
    }

    #[test]
    fn a_key_frame_comes_when_asked() {
        let t = start();
        let mut source = VideoSource::new(t, VideoSourceParams::simulcast(), 1);
        assert!(source.poll(t).iter().all(|f| f.key));
        source.request_key_frame(1);
        source.request_key_frame(9);
        let next: Vec<_> = source.poll(t.after(Duration::from_millis(40))).iter().map(|f| f.key).collect();
        assert_eq!(next, [false, true, false]);
    }

    #[test]
    fn a_source_read_late_skips_and_does_not_catch_up() {
        let t = start();
        let mut source = VideoSource::new(t, VideoSourceParams::single(100_000), 1);
        source.poll(t);
        let late = t.after(Duration::from_secs(5));
        assert_eq!(source.poll(late)[0].timestamp, 450_000);
        assert!(source.poll(late).is_empty());
    }
}
