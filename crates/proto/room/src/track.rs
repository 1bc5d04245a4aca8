//! A published track.

use std::collections::BTreeSet;

use auth::Source;
use serde::{Deserialize, Serialize};

use crate::{ParticipantSid, TrackSid};

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrackKind {
    Audio,
    Video,
}

/// How good a picture is; simulcast layers are named by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Quality {
    Low,
    Medium,
    High,
}

/// One layer that the publisher announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub quality: Quality,
    pub width: u32,
    pub height: u32,
    /// Bits per second.
    pub bitrate: u32,
    /// Its RTP stream id, if it has one.
    pub rid: String,
    pub spatial: i32,
}

/// A codec in which the publisher means to send the track.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackCodec {
    /// As `video/VP8`.
    pub mime: String,
    /// As the publisher asked for it, where it then offered another: it goes on calling it so.
    pub asked: String,
    /// The publisher's m-section, once negotiated.
    pub mid: String,
    /// The publisher's id for the track in this codec.
    pub cid: String,
    /// The id in its SDP, where that differs.
    pub sdp_cid: String,
    pub layers: Vec<Layer>,
    /// How layers lie in streams; passed on unread.
    pub layer_mode: i32,
}

/// What is passed from the publisher to the others without being read here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opaque {
    pub encryption: i32,
    pub disable_red: bool,
    pub backup_policy: i32,
    pub audio_features: Vec<i32>,
    pub trailer_features: Vec<i32>,
}

/// What a publisher says about a track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackDraft {
    /// The publisher's own id for it.
    pub cid: String,
    pub kind: TrackKind,
    pub source: Source,
    pub name: String,
    pub muted: bool,
    /// Pixels; zero for audio.
    pub width: u32,
    pub height: u32,
    /// The first is the preferred one.
    pub codecs: Vec<TrackCodec>,
    /// Groups tracks that belong together.
    pub stream: String,
    pub opaque: Opaque,
}

/// A track that has been announced; once `live`, others know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    pub sid: TrackSid,
    pub publisher: ParticipantSid,
    pub draft: TrackDraft,
    /// Negotiated: its media may come.
    pub live: bool,
    /// Wall clock of its announcement, microseconds since 1970.
    pub created_micros: i64,
    pub(crate) subscribers: BTreeSet<ParticipantSid>,
    /// The publisher knows that someone listens.
    pub(crate) first_told: bool,
    pub(crate) demand: crate::demand::Demand,
}

impl Track {
    /// Who receives it.
    pub fn subscribers(&self) -> impl Iterator<Item = &ParticipantSid> {
        self.subscribers.iter()
    }

    /// The best quality that the publisher was told to be wanted.
    pub fn demanded(&self) -> Option<Quality> {
        self.demand.told
    }

    /// The layers of the preferred codec, lowest first.
    pub fn layers(&self) -> &[Layer] {
        self.draft.codecs.first().map_or(&[], |c| &c.layers)
    }

    /// The quality that serves `settings`: the smallest layer that is large enough, else the quality
    /// asked for. `None` if nothing is wanted.
    pub fn quality_for(&self, settings: &Settings) -> Option<Quality> {
        if settings.disabled {
            return None;
        }
        let layers = self.layers();
        if settings.width == 0 || settings.height == 0 || layers.iter().all(|l| l.width == 0) {
            return Some(settings.quality);
        }
        // The longer and the shorter side are compared: a phone may have turned.
        let (long, short) = sides(settings.width, settings.height);
        let fits = layers.iter().filter(|l| l.width > 0).find(|l| {
            let (l_long, l_short) = sides(l.width, l.height);
            l_long >= long && l_short >= short
        });
        Some(fits.or(layers.last()).map_or(settings.quality, |l| l.quality))
    }

    /// The index of the layer that serves `settings`, 0 the lowest.
    pub fn spatial_for(&self, settings: &Settings) -> u8 {
        let Some(quality) = self.quality_for(settings) else { return 0 };
        let layers = self.layers();
        if layers.is_empty() {
            return quality as u8;
        }
        layers.iter().rposition(|l| l.quality <= quality).unwrap_or(0).min(7) as u8
    }
}

fn sides(width: u32, height: u32) -> (u32, u32) {
    (width.max(height), width.min(height))
}

/// What a subscriber wants of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Keep the subscription, send nothing.
    pub disabled: bool,
    pub quality: Quality,
    /// Pixels it is shown at; 0 is unknown.
    pub width: u32,
    pub height: u32,
    /// Frames per second; 0 is all.
    pub fps: u32,
    /// 1 is the most important, 0 is unsaid.
    pub priority: u32,
}

impl Settings {
    /// What holds until the subscriber speaks.
    pub fn initial(quality: Quality) -> Self {
        Self { disabled: false, quality, width: 0, height: 0, fps: 0, priority: 0 }
    }
}
