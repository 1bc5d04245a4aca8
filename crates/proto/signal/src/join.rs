//! A join as it is asked for: the query of `/rtc` (v0) or the `join_request` of `/rtc/v1`, and the checks
//! that are answered before a WebSocket is accepted.

use std::collections::BTreeMap;
use std::io::Read;

use auth::Claims;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use livekit_protocol as proto;
use prost::Message as _;

/// An inflated `JoinRequest`, in bytes.
const INFLATED_MAX: u64 = 1 << 20;

/// Capabilities of a client that are read; the others are told of them.
const CAPABILITIES_MAX: usize = 32;

/// Which peer connections a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// v0: one to publish, offered by the client, and one to subscribe, offered by the server.
    #[default]
    Dual,
    /// v1: one for everything, always offered by the client.
    Single,
}

/// What a client asks for when it joins.
#[derive(Debug, Clone, Default)]
pub struct JoinRequest {
    pub mode: Mode,
    pub client: proto::ClientInfo,
    pub auto_subscribe: bool,
    pub auto_subscribe_data: bool,
    pub adaptive_stream: bool,
    pub allow_pause: Option<bool>,
    pub disable_ice_lite: bool,
    /// Joins beside itself to publish only, under `identity#` and this.
    pub publish: Option<String>,
    /// Replaces the token's, if not empty.
    pub metadata: String,
    /// Added to the token's; empty values are ignored.
    pub attributes: BTreeMap<String, String>,
    pub add_tracks: Vec<proto::AddTrackRequest>,
    pub offer: Option<proto::SessionDescription>,
    /// Resume this participant (`PA_…`).
    pub resume: Option<String>,
    pub sync_state: Option<proto::SyncState>,
    /// Nobody speaks or listens behind this session: tracks are announced by the offer alone, and the
    /// transport is the only sign of life (see [`crate::whip`]).
    pub media_only: bool,
}

/// Why a request to join could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    #[error("join_request is not base64")]
    Base64,
    #[error("join_request is not a WrappedJoinRequest")]
    Wrapping,
    #[error("join_request does not inflate, or to too much")]
    Compression,
    #[error("join_request is not a JoinRequest")]
    Body,
    #[error("attributes are not a base64url JSON object of strings")]
    Attributes,
}

/// Why a join is refused before the WebSocket opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("permissions denied")]
    NotPermitted,
    #[error("identity cannot be empty")]
    EmptyIdentity,
    #[error("identity or name is too long")]
    TooLong,
    #[error("metadata or attributes are too large")]
    TooLarge,
    #[error("token does not permit to set metadata or attributes")]
    Metadata,
}

impl Refusal {
    /// The HTTP status that says so.
    pub fn status(self) -> u16 {
        match self {
            Self::NotPermitted | Self::Metadata => 401,
            Self::EmptyIdentity | Self::TooLong | Self::TooLarge => 400,
        }
    }
}

impl JoinRequest {
    /// Reads the query parameters of `/rtc`. Unknown ones are ignored, as are malformed numbers and what is empty.
    /// A `join_request` among them is read as a v1 body.
    pub fn from_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, BadRequest> {
        let mut request = Self { auto_subscribe: true, ..Self::default() };
        let mut reconnect = false;
        let mut sid = None;
        for (key, value) in pairs {
            if value.is_empty() {
                continue;
            }
            let on = value == "1" || value.eq_ignore_ascii_case("true");
            match key {
                "join_request" => return Self::from_wrapped(value),
                "auto_subscribe" => request.auto_subscribe = on,
                "auto_subscribe_data_track" => request.auto_subscribe_data = on,
                "adaptive_stream" => request.adaptive_stream = on,
                "disable_ice_lite" => request.disable_ice_lite = on,
                "subscriber_allow_pause" => request.allow_pause = Some(on),
                "reconnect" => reconnect = on,
                "publish" => request.publish = Some(value.chars().take(64).collect()),
                "sid" => sid = Some(value.to_owned()),
                "attributes" => request.attributes = decode_attributes(value)?,
                _ => fill_client(&mut request.client, key, value),
            }
        }
        request.resume = reconnect.then(|| sid.unwrap_or_default());
        Ok(request)
    }

    /// Reads the `join_request` parameter of `/rtc/v1`: base64 (either alphabet, padded or not) of a
    /// `WrappedJoinRequest`.
    pub fn from_wrapped(text: &str) -> Result<Self, BadRequest> {
        let bytes = decode_base64(text).ok_or(BadRequest::Base64)?;
        let wrapped = proto::WrappedJoinRequest::decode(&*bytes).map_err(|_| BadRequest::Wrapping)?;
        let body = match wrapped.compression() {
            proto::wrapped_join_request::Compression::None => wrapped.join_request,
            proto::wrapped_join_request::Compression::Gzip => inflate(&wrapped.join_request)?,
        };
        if body.len() as u64 > INFLATED_MAX {
            return Err(BadRequest::Compression);
        }
        let body = proto::JoinRequest::decode(&*body).map_err(|_| BadRequest::Body)?;
        let settings = body.connection_settings.unwrap_or_default();
        let mut client = body.client_info.unwrap_or_default();
        client.capabilities.truncate(CAPABILITIES_MAX);
        Ok(Self {
            mode: Mode::Single,
            client,
            auto_subscribe: settings.auto_subscribe,
            auto_subscribe_data: settings.auto_subscribe_data_track.unwrap_or(false),
            adaptive_stream: settings.adaptive_stream,
            allow_pause: settings.subscriber_allow_pause,
            disable_ice_lite: settings.disable_ice_lite,
            publish: None,
            metadata: body.metadata,
            attributes: body.participant_attributes.into_iter().filter(|(_, v)| !v.is_empty()).collect(),
            add_tracks: body.add_track_requests,
            offer: body.publisher_offer,
            resume: body.reconnect.then_some(body.participant_sid),
            sync_state: body.sync_state,
            media_only: false,
        })
    }
}

/// What can be said before the WebSocket opens: does the token allow this join at all? The same for
/// `validate`. That `video.room` names a legal room is for the caller to check.
pub fn check(claims: &Claims, request: &JoinRequest, rules: &room::Config) -> Result<(), Refusal> {
    let Some(video) = claims.video.as_ref().filter(|v| v.room_join) else {
        return Err(Refusal::NotPermitted);
    };
    if claims.identity.is_empty() {
        return Err(Refusal::EmptyIdentity);
    }
    if request.publish.is_some() && !video.may_publish() {
        return Err(Refusal::NotPermitted);
    }
    if claims.identity.len() > rules.max_identity || claims.name.len() > rules.max_name {
        return Err(Refusal::TooLong);
    }
    let changes = !request.metadata.is_empty() || !request.attributes.is_empty();
    if changes && !video.may_update_own_metadata() {
        return Err(Refusal::Metadata);
    }
    let attributes =
        |map: &BTreeMap<String, String>| map.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
    let metadata = claims.metadata.len().max(request.metadata.len());
    if metadata > rules.max_metadata
        || attributes(&claims.attributes) + attributes(&request.attributes) > rules.max_attributes
    {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

fn fill_client(client: &mut proto::ClientInfo, key: &str, value: &str) {
    let text = || value.chars().take(256).collect::<String>();
    match key {
        "protocol" => client.protocol = value.parse().unwrap_or(0),
        "client_protocol" => client.client_protocol = value.parse().unwrap_or(0),
        "sdk" => client.set_sdk(sdk_from_name(value)),
        "version" => client.version = text(),
        "os" => client.os = text(),
        "os_version" => client.os_version = text(),
        "device_model" => client.device_model = text(),
        "browser" => client.browser = text(),
        "browser_version" => client.browser_version = text(),
        "network" => client.network = text(),
        "capabilities" => {
            client.capabilities = value
                .split(',')
                .filter_map(|name| proto::client_info::Capability::from_str_name(name.trim()))
                .take(CAPABILITIES_MAX)
                .map(i32::from)
                .collect();
        }
        _ => {}
    }
}

fn sdk_from_name(name: &str) -> proto::client_info::Sdk {
    use proto::client_info::Sdk;
    match name.to_ascii_lowercase().as_str() {
        // The enum's own spelling has underscores, the query does not.
        "reactnative" => Sdk::ReactNative,
        "unityweb" => Sdk::UnityWeb,
        other => Sdk::from_str_name(&other.to_ascii_uppercase()).unwrap_or(Sdk::Unknown),
    }
}

fn decode_attributes(text: &str) -> Result<BTreeMap<String, String>, BadRequest> {
    let bytes = decode_base64(text).ok_or(BadRequest::Attributes)?;
    let mut map: BTreeMap<String, String> =
        serde_json::from_slice(&bytes).map_err(|_| BadRequest::Attributes)?;
    map.retain(|_, v| !v.is_empty());
    Ok(map)
}

/// Either alphabet, with or without padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let url_safe: String = text
        .chars()
        .map(|c| match c {
            '+' | ' ' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    GeneralPurpose::new(&alphabet::URL_SAFE, config).decode(url_safe).ok()
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, BadRequest> {
    let mut out = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(bytes).take(INFLATED_MAX + 1);
    reader.read_to_end(&mut out).map_err(|_| BadRequest::Compression)?;
    Ok(out)
}
