//! What the room knows, as LiveKit's messages say it.

use clock::Time;
use livekit_protocol as proto;
use prost::Message as _;
use room::{
    LeaveReason, Participant, ParticipantSid, Permission, Quality, Room, State, Track, TrackCodec, TrackKind,
};

use crate::Config;
use proto::signal_response::Message;

/// The protocol that we speak.
pub(crate) const PROTOCOL: i32 = 18;
/// From this protocol on, of both sides, a client with one connection expects data channels with agreed ids.
pub(crate) const AGREED_CHANNELS_PROTOCOL: i32 = 18;
/// From this client protocol on `leave` carries an action.
pub(crate) const LEAVE_ACTION_PROTOCOL: i32 = 13;

/// A message as it is sent.
pub(crate) fn response(message: Message) -> Box<proto::SignalResponse> {
    Box::new(proto::SignalResponse { message: Some(message) })
}

pub(crate) fn room_info(room: &Room, config: &Config) -> proto::Room {
    let seconds = |d: std::time::Duration| u32::try_from(d.as_secs()).unwrap_or(u32::MAX);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    proto::Room {
        sid: room.sid().0.clone(),
        name: config.room.clone(),
        empty_timeout: seconds(room.config().empty_timeout),
        departure_timeout: seconds(room.config().departure_timeout),
        max_participants: room.config().max_participants,
        creation_time: i64::try_from(room.created_at().as_secs()).unwrap_or(i64::MAX),
        creation_time_ms: i64::try_from(room.created_at().as_millis()).unwrap_or(i64::MAX),
        enabled_codecs: enabled_codecs(config),
        metadata: room.metadata().to_owned(),
        num_participants: count(room.visible_count()),
        num_publishers: count(room.publisher_count()),
        active_recording: room.recorded(),
        ..proto::Room::default()
    }
}

/// Video first: clients take the first as the default.
pub(crate) fn enabled_codecs(config: &Config) -> Vec<proto::Codec> {
    let (audio, video): (Vec<_>, Vec<_>) = config.codecs.iter().partition(|c| c.is_audio());
    let entries = |kind: codec::Kind| {
        let lines = config.profiles.iter().filter(move |(of, _)| *of == kind).map(|(_, line)| line.clone());
        let mut entries: Vec<_> =
            lines.map(|fmtp_line| proto::Codec { mime: kind.mime(), fmtp_line }).collect();
        if entries.is_empty() {
            entries.push(proto::Codec { mime: kind.mime(), fmtp_line: String::new() });
        }
        entries
    };
    video.into_iter().chain(audio).flat_map(entries).collect()
}

/// What LiveKit clients and workers are told about this server.
pub fn server_info(server: &crate::Server) -> proto::ServerInfo {
    proto::ServerInfo {
        edition: proto::server_info::Edition::Standard.into(),
        version: server.version.clone(),
        protocol: PROTOCOL,
        region: server.region.clone(),
        node_id: server.node_id.clone(),
        debug_info: String::new(),
        agent_protocol: 1,
    }
}

/// With credentials of its own for `participant` where they are derived from a secret.
pub(crate) fn ice_servers(config: &Config, now: Time, participant: &ParticipantSid) -> Vec<proto::IceServer> {
    let entry = |s: &crate::IceServer| {
        let (username, credential) = match &s.issuer {
            Some(issuer) => {
                let expires = (now.unix + issuer.ttl).as_secs();
                let issued = turn::issue_for_secret(&issuer.secret, &participant.0, expires);
                (issued.username, issued.credential)
            }
            None => (s.username.clone(), s.credential.clone()),
        };
        proto::IceServer { urls: s.urls.clone(), username, credential }
    };
    config.ice_servers.iter().map(entry).collect()
}

pub(crate) fn participant_info(
    room: &Room,
    config: &Config,
    participant: &Participant,
) -> proto::ParticipantInfo {
    let who = &participant.who;
    proto::ParticipantInfo {
        sid: participant.sid.0.clone(),
        identity: who.identity.clone(),
        state: state(participant.state).into(),
        tracks: room.live_tracks(participant).map(track_info).collect(),
        metadata: who.profile.metadata.clone(),
        joined_at: i64::try_from(participant.joined_at.as_secs()).unwrap_or(i64::MAX),
        joined_at_ms: i64::try_from(participant.joined_at.as_millis()).unwrap_or(i64::MAX),
        name: who.profile.name.clone(),
        version: participant.version,
        permission: Some(permission(&who.permission)),
        region: config.server.region.clone(),
        is_publisher: participant.is_publisher,
        kind: kind(who.kind).into(),
        attributes: who.profile.attributes.clone().into_iter().collect(),
        kind_details: who.kind_details.iter().filter_map(|d| kind_detail(d)).collect(),
        data_tracks: room.data_tracks_of(&participant.sid).map(data_track_info).collect(),
        client_protocol: who.client.protocol,
        capabilities: who.client.capabilities.clone(),
        ..proto::ParticipantInfo::default()
    }
}

fn state(state: State) -> proto::participant_info::State {
    match state {
        State::Joining => proto::participant_info::State::Joining,
        State::Joined => proto::participant_info::State::Joined,
        State::Active => proto::participant_info::State::Active,
        State::Disconnected => proto::participant_info::State::Disconnected,
    }
}

fn kind(kind: auth::Kind) -> proto::participant_info::Kind {
    use proto::participant_info::Kind;
    match kind {
        auth::Kind::Standard => Kind::Standard,
        auth::Kind::Ingress => Kind::Ingress,
        auth::Kind::Egress => Kind::Egress,
        auth::Kind::Sip => Kind::Sip,
        auth::Kind::Agent => Kind::Agent,
        auth::Kind::Connector => Kind::Connector,
        auth::Kind::Bridge => Kind::Bridge,
    }
}

fn kind_detail(name: &str) -> Option<i32> {
    proto::participant_info::KindDetail::from_str_name(&name.to_ascii_uppercase()).map(i32::from)
}

#[allow(deprecated)] // Old clients read `recorder` and `agent`.
pub(crate) fn permission(permission: &Permission) -> proto::ParticipantPermission {
    proto::ParticipantPermission {
        can_subscribe: permission.can_subscribe,
        can_publish: permission.can_publish,
        can_publish_data: permission.can_publish_data,
        can_publish_sources: permission.sources.iter().map(|s| source(*s).into()).collect(),
        hidden: permission.hidden,
        recorder: permission.recorder,
        can_update_metadata: permission.can_update_metadata,
        agent: permission.agent,
        can_subscribe_metrics: permission.can_subscribe_metrics,
        can_manage_agent_session: permission.can_manage_agent_session,
    }
}

#[allow(deprecated)] // As above.
pub(crate) fn permission_from(permission: &proto::ParticipantPermission) -> Permission {
    Permission {
        can_subscribe: permission.can_subscribe,
        can_publish: permission.can_publish,
        can_publish_data: permission.can_publish_data,
        sources: permission.can_publish_sources().map(source_from).collect(),
        hidden: permission.hidden,
        recorder: permission.recorder,
        can_update_metadata: permission.can_update_metadata,
        agent: permission.agent,
        can_subscribe_metrics: permission.can_subscribe_metrics,
        can_manage_agent_session: permission.can_manage_agent_session,
    }
}

pub(crate) fn source(source: auth::Source) -> proto::TrackSource {
    match source {
        auth::Source::Unknown => proto::TrackSource::Unknown,
        auth::Source::Camera => proto::TrackSource::Camera,
        auth::Source::Microphone => proto::TrackSource::Microphone,
        auth::Source::ScreenShare => proto::TrackSource::ScreenShare,
        auth::Source::ScreenShareAudio => proto::TrackSource::ScreenShareAudio,
    }
}

pub(crate) fn source_from(source: proto::TrackSource) -> auth::Source {
    match source {
        proto::TrackSource::Unknown => auth::Source::Unknown,
        proto::TrackSource::Camera => auth::Source::Camera,
        proto::TrackSource::Microphone => auth::Source::Microphone,
        proto::TrackSource::ScreenShare => auth::Source::ScreenShare,
        proto::TrackSource::ScreenShareAudio => auth::Source::ScreenShareAudio,
    }
}

/// What the publisher said of its contents is kept as it came.
pub(crate) fn data_track_info(track: &room::DataTrack) -> proto::DataTrackInfo {
    proto::DataTrackInfo {
        pub_handle: track.draft.handle.into(),
        sid: track.sid.0.clone(),
        name: track.draft.name.clone(),
        ..proto::DataTrackInfo::decode(&*track.draft.opaque).unwrap_or_default()
    }
}

#[allow(deprecated)] // Old clients read `simulcast`, `layers`, `stereo` and `disable_dtx`.
pub(crate) fn track_info(track: &Track) -> proto::TrackInfo {
    let draft = &track.draft;
    let first = draft.codecs.first();
    let has = |feature: proto::AudioTrackFeature| draft.opaque.audio_features.contains(&feature.into());
    proto::TrackInfo {
        sid: track.sid.0.clone(),
        r#type: match draft.kind {
            TrackKind::Audio => proto::TrackType::Audio.into(),
            TrackKind::Video => proto::TrackType::Video.into(),
        },
        name: draft.name.clone(),
        muted: draft.muted,
        width: draft.width,
        height: draft.height,
        simulcast: track.layers().len() > 1,
        source: source(draft.source).into(),
        layers: first.map(layers).unwrap_or_default(),
        mime_type: first.map(|c| c.mime.clone()).unwrap_or_default(),
        mid: first.map(|c| c.mid.clone()).unwrap_or_default(),
        codecs: draft.codecs.iter().map(codec_info).collect(),
        stereo: has(proto::AudioTrackFeature::TfStereo),
        disable_dtx: has(proto::AudioTrackFeature::TfNoDtx),
        disable_red: draft.opaque.disable_red,
        encryption: draft.opaque.encryption,
        stream: draft.stream.clone(),
        version: Some(proto::TimedVersion { unix_micro: track.created_micros, ticks: 0 }),
        audio_features: draft.opaque.audio_features.clone(),
        backup_codec_policy: draft.opaque.backup_policy,
        packet_trailer_features: draft.opaque.trailer_features.clone(),
    }
}

fn codec_info(codec: &TrackCodec) -> proto::SimulcastCodecInfo {
    proto::SimulcastCodecInfo {
        mime_type: codec.mime.clone(),
        mid: codec.mid.clone(),
        cid: codec.cid.clone(),
        layers: layers(codec),
        video_layer_mode: codec.layer_mode,
        sdp_cid: codec.sdp_cid.clone(),
    }
}

fn layers(codec: &TrackCodec) -> Vec<proto::VideoLayer> {
    let entry = |l: &room::Layer| proto::VideoLayer {
        quality: quality(l.quality).into(),
        width: l.width,
        height: l.height,
        bitrate: l.bitrate,
        ssrc: 0,
        spatial_layer: l.spatial,
        rid: l.rid.clone(),
        repair_ssrc: 0,
    };
    codec.layers.iter().map(entry).collect()
}

pub(crate) fn quality(quality: Quality) -> proto::VideoQuality {
    match quality {
        Quality::Low => proto::VideoQuality::Low,
        Quality::Medium => proto::VideoQuality::Medium,
        Quality::High => proto::VideoQuality::High,
    }
}

fn reason(reason: LeaveReason) -> proto::DisconnectReason {
    use proto::DisconnectReason as Reason;
    match reason {
        LeaveReason::ClientInitiated => Reason::ClientInitiated,
        LeaveReason::DuplicateIdentity => Reason::DuplicateIdentity,
        LeaveReason::ServerShutdown => Reason::ServerShutdown,
        LeaveReason::ParticipantRemoved => Reason::ParticipantRemoved,
        LeaveReason::RoomDeleted => Reason::RoomDeleted,
        LeaveReason::RoomClosed => Reason::RoomClosed,
        LeaveReason::StateMismatch => Reason::StateMismatch,
        LeaveReason::JoinFailure => Reason::JoinFailure,
        LeaveReason::SignalClose => Reason::SignalClose,
        LeaveReason::ConnectionTimeout => Reason::ConnectionTimeout,
    }
}

/// Why a room is over, as webhooks are told.
pub(crate) fn room_end_reason(why: LeaveReason) -> proto::RoomEndReason {
    match why {
        LeaveReason::RoomDeleted => proto::RoomEndReason::RoomEndApiDelete,
        LeaveReason::RoomClosed => proto::RoomEndReason::RoomEndIdleTimeout,
        LeaveReason::ServerShutdown => proto::RoomEndReason::RoomEndServerShutdown,
        _ => proto::RoomEndReason::RoomEndUnknown,
    }
}

/// The `update` that tells of someone's end.
pub(crate) fn goodbye(
    room: &Room,
    config: &Config,
    participant: &Participant,
    why: LeaveReason,
) -> proto::ParticipantInfo {
    let mut info = participant_info(room, config, participant);
    info.tracks.clear();
    info.set_disconnect_reason(reason(why));
    info
}

/// The `leave` for a client that speaks `protocol`.
pub(crate) fn leave(why: LeaveReason, action: proto::leave_request::Action, protocol: i32) -> Message {
    use proto::leave_request::Action;
    let mut leave = proto::LeaveRequest::default();
    leave.set_reason(reason(why));
    if protocol >= LEAVE_ACTION_PROTOCOL {
        leave.set_action(action);
    } else {
        leave.can_reconnect = action != Action::Disconnect;
    }
    Message::Leave(leave)
}

/// What a client does about a reason.
pub(crate) fn action_for(why: LeaveReason) -> proto::leave_request::Action {
    use proto::leave_request::Action;
    match why {
        LeaveReason::StateMismatch | LeaveReason::ConnectionTimeout => Action::Reconnect,
        _ => Action::Disconnect,
    }
}

/// The qualities of a track's codecs that somebody wants: of the first, and of the second.
#[allow(deprecated)] // Old clients read `subscribed_qualities`.
pub(crate) fn demand(track: &Track, first: Option<Quality>, second: Option<Quality>) -> Message {
    let qualities = |wanted: Option<Quality>| {
        [Quality::Low, Quality::Medium, Quality::High]
            .map(|q| proto::SubscribedQuality { quality: quality(q).into(), enabled: Some(q) <= wanted })
            .to_vec()
    };
    let codecs = track.draft.codecs.iter().enumerate().map(|(at, codec)| {
        let name = if codec.asked.is_empty() { &codec.mime } else { &codec.asked };
        let short = name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let wanted = [first, second].get(at).copied().flatten();
        proto::SubscribedCodec { codec: short, qualities: qualities(wanted) }
    });
    Message::SubscribedQualityUpdate(proto::SubscribedQualityUpdate {
        track_sid: track.sid.0.clone(),
        subscribed_qualities: qualities(first),
        subscribed_codecs: codecs.collect(),
    })
}
