//! An announced track, from the client's words to the room's.

use codec::Kind;
use livekit_protocol as proto;
use room::{Layer, Opaque, Quality, TrackCodec, TrackDraft, TrackKind};

use crate::messages;
use crate::negotiation::Wish;

/// Codecs and layers listed in one request.
const LISTED_MAX: usize = 8;

/// Bytes of an id of the client's, and of a name that others are told.
pub(crate) const ID_MAX: usize = 256;
/// Bytes of a codec's name.
const CODEC_MAX: usize = 64;

/// Whether a request's words are as long as words are. All of them are told everybody, with each change of the
/// participant.
pub(crate) fn is_modest(add: &proto::AddTrackRequest) -> bool {
    let modest = |codec: &proto::SimulcastCodec| codec.cid.len() <= ID_MAX && codec.codec.len() <= CODEC_MAX;
    add.cid.len() <= ID_MAX
        && add.stream.len() <= ID_MAX
        && add.simulcast_codecs.len() <= LISTED_MAX
        && add.simulcast_codecs.iter().all(modest)
}

/// The client's ids of a track: one of its own, and one for each codec that it lists.
pub(crate) fn cids(add: &proto::AddTrackRequest) -> Vec<String> {
    let listed = add.simulcast_codecs.iter().map(|c| c.cid.clone());
    std::iter::once(add.cid.clone()).chain(listed).filter(|c| !c.is_empty()).collect()
}

#[allow(deprecated)] // Old clients say `stereo` and `disable_dtx`.
pub(crate) fn wish(add: &proto::AddTrackRequest, draft: &TrackDraft) -> Wish {
    let first = draft.codecs.first();
    let has = |feature: proto::AudioTrackFeature| add.audio_features.contains(&feature.into());
    Wish {
        preferred: first.and_then(|c| Kind::from_name(&c.mime)),
        svc: first.is_some_and(is_svc),
        rids: first.map_or_else(Vec::new, |c| {
            c.layers.iter().map(|l| l.rid.clone()).filter(|r| !r.is_empty()).collect()
        }),
        stereo: add.stereo || has(proto::AudioTrackFeature::TfStereo),
        no_dtx: add.disable_dtx || has(proto::AudioTrackFeature::TfNoDtx),
        // What is encrypted end to end is one frame a packet to those who open it, and nobody on the way
        // could take a block out of it.
        redundant: draft.kind == TrackKind::Audio
            && !add.disable_red
            && add.encryption() == proto::encryption::Type::None,
        backup: false,
    }
}

/// Several spatial layers in one stream. Clients that do not say mean it with the codecs that can.
fn is_svc(codec: &TrackCodec) -> bool {
    use proto::video_layer::Mode;
    match Mode::try_from(codec.layer_mode) {
        Ok(Mode::MultipleSpatialLayersPerStream) => true,
        Ok(Mode::Unused) => matches!(Kind::from_name(&codec.mime), Some(Kind::Vp9 | Kind::Av1)),
        _ => false,
    }
}

fn layers_of(layers: &[proto::VideoLayer]) -> Vec<Layer> {
    let entry = |l: &proto::VideoLayer| Layer {
        quality: match l.quality() {
            proto::VideoQuality::Low | proto::VideoQuality::Off => Quality::Low,
            proto::VideoQuality::Medium => Quality::Medium,
            proto::VideoQuality::High => Quality::High,
        },
        width: l.width,
        height: l.height,
        bitrate: l.bitrate,
        rid: l.rid.strip_prefix('~').unwrap_or(&l.rid).chars().take(16).collect(),
        spatial: l.spatial_layer,
    };
    let mut layers: Vec<_> = layers.iter().take(LISTED_MAX).map(entry).collect();
    layers.sort_by_key(|l| l.quality);
    layers
}

pub(crate) fn track_codec(
    codec: &proto::SimulcastCodec,
    kind: TrackKind,
    common: &[proto::VideoLayer],
) -> TrackCodec {
    let family = if kind == TrackKind::Audio { "audio" } else { "video" };
    let name = codec.codec.rsplit('/').next().unwrap_or_default();
    let mime = match Kind::from_name(name) {
        Some(kind) => kind.mime(),
        None => format!("{family}/{name}"),
    };
    TrackCodec {
        mime,
        cid: codec.cid.clone(),
        layers: layers_of(if codec.layers.is_empty() { common } else { &codec.layers }),
        layer_mode: codec.video_layer_mode,
        ..TrackCodec::default()
    }
}

#[allow(deprecated)] // Old clients say `stereo` and `disable_dtx`.
pub(crate) fn draft(add: &proto::AddTrackRequest, kind: TrackKind, enabled: &[Kind]) -> TrackDraft {
    let is_kind = |k: &&Kind| k.is_audio() == (kind == TrackKind::Audio);
    let default = enabled.iter().find(is_kind).copied();
    let mut codecs: Vec<TrackCodec> = add
        .simulcast_codecs
        .iter()
        // A codec that is switched off is replaced by the first that is not; the client learns which.
        .filter(|c| Kind::from_name(&c.codec).is_some_and(|k| enabled.contains(&k) && is_kind(&&k)))
        .map(|c| track_codec(c, kind, &add.layers))
        .collect();
    if codecs.is_empty() {
        codecs.push(TrackCodec {
            mime: default.map(Kind::mime).unwrap_or_default(),
            layers: layers_of(&add.layers),
            cid: add.cid.clone(),
            ..TrackCodec::default()
        });
    }
    if let Some(first) = codecs.first_mut().filter(|c| c.cid.is_empty()) {
        first.cid.clone_from(&add.cid);
    }
    let mut audio_features: Vec<i32> = add.audio_features.iter().copied().take(16).collect();
    for (set, feature) in [
        (add.stereo, proto::AudioTrackFeature::TfStereo),
        (add.disable_dtx, proto::AudioTrackFeature::TfNoDtx),
    ] {
        if set && !audio_features.contains(&feature.into()) {
            audio_features.push(feature.into());
        }
    }
    let source = messages::source_from(add.source());
    TrackDraft {
        cid: add.cid.clone(),
        kind,
        source,
        name: add.name.clone(),
        muted: add.muted,
        width: add.width,
        height: add.height,
        codecs,
        stream: if add.stream.is_empty() { stream_of(source).to_owned() } else { add.stream.clone() },
        opaque: Opaque {
            encryption: add.encryption,
            disable_red: add.disable_red,
            backup_policy: add.backup_codec_policy,
            audio_features,
            trailer_features: add.packet_trailer_features.iter().copied().take(16).collect(),
        },
    }
}

/// Which tracks belong together, where the client does not say.
fn stream_of(source: auth::Source) -> &'static str {
    match source {
        auth::Source::Camera | auth::Source::Microphone => "camera",
        auth::Source::ScreenShare | auth::Source::ScreenShareAudio => "screen",
        auth::Source::Unknown => "unknown",
    }
}
