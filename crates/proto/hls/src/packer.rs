//! Frames as bytes of a segment.

use bytes::{Bytes, BytesMut};
use codec::config::{Format, format, samples};
use codec::{Kind, mp3, vp9};
use container::fmp4::{self, Run, Sample, Unfit, VIDEO_SCALE};
use container::ts::{Medium, Muxer, adts_header, annex_b};
use media::{Frame, Shape, Ticks, Track};

use crate::sound::SoundClock;
use crate::{Container, Tracks};

/// What is taken for the rate of MP3 that has not been heard yet.
const USUAL_RATE: u32 = 44_100;

/// Writes the parts of one run of segments, for which decoders are told once what comes.
#[derive(Debug)]
pub(crate) enum Packer {
    Ts(TsPacker),
    Fmp4(Box<Fmp4Packer>),
}

impl Packer {
    /// None where something has no place in the container. The packets of a transport stream are counted on from those
    /// `before`: there are players that take the end of a count for a loss, whatever the playlist says.
    pub(crate) fn new(container: Container, tracks: &Tracks, before: Option<&Self>) -> Option<Self> {
        if !tracks.fit(container) {
            return None;
        }
        let codec = |track: &Option<Track>| track.as_ref().map(|track| track.codec);
        match container {
            Container::Ts => {
                let mut muxer = Muxer::new(codec(&tracks.video), codec(&tracks.audio))?;
                if let Some(Self::Ts(before)) = before {
                    muxer = muxer.following(&before.muxer);
                }
                Some(Self::Ts(TsPacker { muxer, part: BytesMut::new() }))
            }
            Container::Fmp4 => Some(Self::Fmp4(Box::default())),
        }
    }

    /// A part begins, which can be read without those before it.
    pub(crate) fn begin_part(&mut self) {
        if let Self::Ts(ts) = self {
            ts.muxer.tables(&mut ts.part);
        }
    }

    /// Takes a frame of one of the tracks.
    pub(crate) fn push(&mut self, track: &Track, frame: &Frame) {
        match self {
            Self::Ts(ts) => ts.push(track, frame),
            Self::Fmp4(fmp4) => fmp4.push(track, frame),
        }
    }

    /// The bytes of the part that ends at `end`.
    pub(crate) fn end_part(&mut self, end: Ticks) -> Bytes {
        match self {
            Self::Ts(ts) => ts.part.split().freeze(),
            Self::Fmp4(fmp4) => fmp4.end_part(end),
        }
    }

    /// What decoders need before the part that is about to end, where the container has such a thing; to be asked
    /// for when there are frames, which may say what the tracks do not.
    pub(crate) fn init(&self, tracks: &Tracks) -> Option<Result<Bytes, Unfit>> {
        match self {
            Self::Ts(_) => None,
            Self::Fmp4(fmp4) => Some(fmp4.init(tracks)),
        }
    }
}

fn medium(track: &Track) -> Medium {
    if track.is_video() { Medium::Video } else { Medium::Audio }
}

#[derive(Debug)]
pub(crate) struct TsPacker {
    muxer: Muxer,
    part: BytesMut,
}

impl TsPacker {
    fn push(&mut self, track: &Track, frame: &Frame) {
        let Some(data) = elementary(track, frame) else { return };
        let times = (frame.dts.0, frame.pts.0);
        self.muxer.frame(medium(track), frame.key, times.0, times.1, &data, &mut self.part);
    }
}

/// A frame as it lies in a transport stream.
fn elementary(track: &Track, frame: &Frame) -> Option<Bytes> {
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

/// Gathers the samples of a part.
#[derive(Debug, Default)]
pub(crate) struct Fmp4Packer {
    fragments: u32,
    clock: SoundClock,
    /// Samples of sound in a second: the unit of its times.
    rate: Option<u32>,
    /// The first picture of all, which tells what its track does not.
    first: Option<Bytes>,
    pictures: Vec<Frame>,
    sounds: Vec<(i64, Sample)>,
}

impl Fmp4Packer {
    fn push(&mut self, track: &Track, frame: &Frame) {
        if track.is_video() {
            self.first.get_or_insert_with(|| frame.payload.clone());
            self.pictures.push(frame.clone());
            return;
        }
        let rate = *self.rate.get_or_insert_with(|| rate(track, Some(&frame.payload)));
        // A block that is no block of its codec would stop every player.
        let Some(place) = self.clock.place(track, frame, rate) else { return };
        let data = frame.payload.clone();
        let sample = Sample { duration: place.samples, offset: 0, key: true, data };
        if let Some((start, before)) = self.sounds.last_mut() {
            before.duration = u32::try_from(place.start - *start).unwrap_or(before.duration);
        }
        self.sounds.push((place.start, sample));
    }

    fn end_part(&mut self, end: Ticks) -> Bytes {
        let pictures = std::mem::take(&mut self.pictures);
        let sounds = std::mem::take(&mut self.sounds);
        let after = pictures.iter().skip(1).map(|frame| frame.dts).chain([end]);
        let video: Vec<Sample> =
            pictures.iter().zip(after).map(|(frame, next)| sample(frame, next)).collect();
        let video_start = pictures.first().map_or(0, |frame| units(frame.dts));
        let audio_start = sounds.first().map_or(0, |(start, _)| u64::try_from(*start).unwrap_or(0));
        let audio: Vec<Sample> = sounds.into_iter().map(|(_, sample)| sample).collect();
        self.fragments = self.fragments.wrapping_add(1);
        let runs = [
            Run { medium: Medium::Video, start: video_start, samples: &video },
            Run { medium: Medium::Audio, start: audio_start, samples: &audio },
        ];
        fmp4::fragment(self.fragments, &runs)
    }

    fn init(&self, tracks: &Tracks) -> Result<Bytes, Unfit> {
        let video = tracks.video.as_ref().map(|track| {
            let (width, height) = tracks.resolution().or_else(|| self.size(track)).unwrap_or_default();
            fmp4::Video { codec: track.codec, config: &track.config, width, height }
        });
        let audio = tracks.audio.as_ref().map(|track| fmp4::Audio {
            codec: track.codec,
            config: &track.config,
            rate: self.rate.unwrap_or_else(|| rate(track, None)),
            channels: channels(track, self.sounds.first().map(|(_, sample)| &sample.data)),
        });
        fmp4::init(video, audio)
    }

    /// VP9 says its size in its key frames only.
    fn size(&self, track: &Track) -> Option<(u32, u32)> {
        self.first.as_ref().filter(|_| track.codec == Kind::Vp9).and_then(|frame| vp9::size(frame).ok())
    }
}

fn sample(frame: &Frame, next: Ticks) -> Sample {
    let distance = |ticks: Ticks| u32::try_from(ticks.0).unwrap_or(0);
    Sample {
        duration: distance(next - frame.dts),
        offset: distance(frame.pts - frame.dts),
        key: frame.key,
        data: frame.payload.clone(),
    }
}

/// A time in a video track's units, of which there are none below zero.
fn units(time: Ticks) -> u64 {
    u64::try_from(time.scaled_to(VIDEO_SCALE)).unwrap_or(0)
}

/// Samples in a second: as the configuration or a first block says it.
fn rate(track: &Track, block: Option<&Bytes>) -> u32 {
    let block = block.map(|block| &block[..]).unwrap_or_default();
    if let Ok((_, rate)) = samples(track.codec, &track.config, block) {
        return rate;
    }
    match (track.codec, track.shape) {
        (Kind::Opus, _) => codec::opus::CLOCK_RATE,
        (_, Shape::Audio(sound)) if sound.rate > 0 => sound.rate,
        _ => USUAL_RATE,
    }
}

fn channels(track: &Track, block: Option<&Bytes>) -> u8 {
    if let Ok(Format::Audio { channels, .. }) = format(track.codec, &track.config) {
        return channels;
    }
    if let Some(Ok(header)) =
        block.filter(|_| track.codec == Kind::Mp3).map(|block| mp3::Header::parse(block))
    {
        return header.channels;
    }
    match track.shape {
        Shape::Audio(sound) if sound.channels > 0 => sound.channels,
        _ => 2,
    }
}
