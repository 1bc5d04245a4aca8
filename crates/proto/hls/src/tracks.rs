//! Which tracks a run of segments carries.

use codec::Kind;
use codec::config::{Format, format, name};
use container::ts::adts_header;
use media::{Headers, Shape, Track, TrackId};

use crate::Container;

/// One track of pictures, one of sound, or either.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracks {
    pub video: Option<Track>,
    pub audio: Option<Track>,
}

impl Tracks {
    /// The `rendition`th track of pictures with the first of sound. A rendition that is not there is none.
    pub fn of(headers: &Headers, rendition: u8) -> Self {
        let videos = || headers.tracks.iter().filter(|track| track.is_video());
        let video = videos().nth(usize::from(rendition)).cloned();
        let is_there = video.is_some() || rendition == 0;
        Self { video, audio: headers.audio().filter(|_| is_there).cloned() }
    }

    /// How many renditions there are: as many as tracks of pictures, and one of sound alone.
    pub fn renditions(headers: &Headers) -> u8 {
        let videos = headers.tracks.iter().filter(|track| track.is_video()).count();
        u8::try_from(videos).unwrap_or(u8::MAX).max(1)
    }

    /// Whether there is something, and all of it has a place in `container`: what has none is never left out.
    pub fn fit(&self, container: Container) -> bool {
        let is_fmp4 = container == Container::Fmp4;
        let fits = |track: &Track| match track.codec {
            Kind::H264 | Kind::H265 | Kind::Mp3 => true,
            // ADTS has no number for some of its kinds.
            Kind::Aac => is_fmp4 || track.config.is_empty() || adts_header(&track.config, 1).is_some(),
            Kind::Av1 | Kind::Vp9 | Kind::Opus => is_fmp4,
            _ => false,
        };
        self.iter().next().is_some() && self.iter().all(fits)
    }

    /// The container that every player takes where all of it has a place there, else the other.
    pub fn container(&self) -> Container {
        if self.fit(Container::Ts) { Container::Ts } else { Container::Fmp4 }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Track> {
        self.video.iter().chain(&self.audio)
    }

    /// Whether decoders can go on from one to the other.
    pub(crate) fn goes_on(&self, next: &Self) -> bool {
        let same = |a: &Option<Track>, b: &Option<Track>| match (a, b) {
            (Some(a), Some(b)) => (a.id, a.codec, &a.config) == (b.id, b.codec, &b.config),
            (None, None) => true,
            _ => false,
        };
        same(&self.video, &next.video) && same(&self.audio, &next.audio)
    }

    /// The track that segments are cut by: pictures, or sound where there are none.
    pub(crate) fn leader(&self) -> Option<&Track> {
        self.video.as_ref().or(self.audio.as_ref())
    }

    pub(crate) fn get(&self, id: TrackId) -> Option<&Track> {
        self.iter().find(|track| track.id == id)
    }

    /// The value of `CODECS`; none if one of them cannot be said, since all of them must be.
    pub(crate) fn codecs(&self) -> Option<String> {
        let names: Option<Vec<String>> = self.iter().map(|track| name(track.codec, &track.config)).collect();
        names.filter(|names| !names.is_empty()).map(|names| names.join(","))
    }

    /// Width and height of the pictures, where they are known.
    pub(crate) fn resolution(&self) -> Option<(u32, u32)> {
        let video = self.video.as_ref()?;
        match (video.shape, format(video.codec, &video.config)) {
            (Shape::Video(picture), _) if picture.width > 0 && picture.height > 0 => {
                Some((picture.width, picture.height))
            }
            (_, Ok(Format::Video { width, height })) => Some((width, height)),
            _ => None,
        }
    }
}
