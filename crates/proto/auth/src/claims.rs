//! What a token says about its bearer.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A verified token's content.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims {
    /// The API key that signed it (`iss`).
    pub api_key: String,
    /// Participant identity: `sub`, in older tokens `jti`. May be empty, as in tokens for server APIs.
    pub identity: String,
    /// Display name.
    pub name: String,
    /// Initial metadata.
    pub metadata: String,
    /// Initial attributes.
    pub attributes: BTreeMap<String, String>,
    /// What sort of participant this is.
    pub kind: Kind,
    /// Further detail of `kind`, lower-case names.
    pub kind_details: Vec<String>,
    /// What it may do; `None` if the token has no `video` object.
    pub video: Option<VideoGrant>,
    /// What it may do with telephones; `None` if the token has no `sip` object.
    pub sip: Option<SipGrant>,
    /// What it may do with live streams; `None` if the token has no `live` object.
    pub live: Option<LiveGrant>,
    /// `RoomConfiguration` in protojson, for the join that creates the room.
    pub room_config: Option<serde_json::Value>,
    /// Name of a configuration in `room.room_configurations`.
    pub room_preset: String,
    /// Standard base64 of a body's SHA-256, in webhook tokens.
    pub sha256: String,
    /// `exp`, in seconds since 1970. Set by verification; issuing computes its own.
    pub expires_at: i64,
    /// `nbf`, in seconds since 1970; 0 where it is not said. Set by verification; issuing computes its own.
    pub not_before: i64,
}

/// The `video` object: what its bearer may do in rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoGrant {
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub room_create: bool,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub room_list: bool,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub room_record: bool,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub room_admin: bool,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub room_join: bool,
    /// The room that `room_join` and `room_admin` are about.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub room: String,
    /// Where `room_admin` may move or forward participants to.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub destination_room: String,
    /// Absent means yes: ask [`VideoGrant::may_publish`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// Absent means yes: ask [`VideoGrant::may_subscribe`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// Absent means as `can_publish`: ask [`VideoGrant::may_publish_data`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Empty means any: ask [`VideoGrant::may_publish_source`].
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub can_publish_sources: Vec<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe_metrics: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_manage_agent_session: Option<bool>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub ingress_admin: bool,
    /// Not shown to the others.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub hidden: bool,
    /// Makes a recording; the others see that one runs.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub recorder: bool,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub agent: bool,
}

impl VideoGrant {
    /// A grant to join `room` and do there what participants usually do.
    pub fn to_join(room: impl Into<String>) -> Self {
        Self { room_join: true, room: room.into(), ..Self::default() }
    }

    /// May publish tracks.
    pub fn may_publish(&self) -> bool {
        self.can_publish.unwrap_or(true)
    }

    /// May receive others' tracks.
    pub fn may_subscribe(&self) -> bool {
        self.can_subscribe.unwrap_or(true)
    }

    /// May send data packets.
    pub fn may_publish_data(&self) -> bool {
        self.can_publish_data.unwrap_or_else(|| self.may_publish())
    }

    /// May publish a track of this source.
    pub fn may_publish_source(&self, source: Source) -> bool {
        self.may_publish()
            && (self.can_publish_sources.is_empty() || self.can_publish_sources.contains(&source))
    }

    /// May change its own name, metadata and attributes.
    pub fn may_update_own_metadata(&self) -> bool {
        self.can_update_own_metadata.unwrap_or(false)
    }
}

/// The `sip` object: what its bearer may do with telephones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SipGrant {
    /// May look after trunks and rules.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub admin: bool,
    /// May make calls.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub call: bool,
}

/// The `live` object: what its bearer may do with live streams. Not one of LiveKit's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiveGrant {
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub publish: bool,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub play: bool,
    /// May list streams and send their publishers and players away.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub admin: bool,
    /// The streams that `publish` and `play` are about: `domain/app/stream`, without the default domain
    /// `app/stream`, with `*` for any.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub stream: String,
}

/// Where a track comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Not said, or a name this version does not know: it still restricts the list that it stands in.
    Unknown,
    Camera,
    Microphone,
    ScreenShare,
    ScreenShareAudio,
}

impl Source {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Unknown, "unknown"),
        (Self::Camera, "camera"),
        (Self::Microphone, "microphone"),
        (Self::ScreenShare, "screen_share"),
        (Self::ScreenShareAudio, "screen_share_audio"),
    ];

    /// Its name in a token.
    pub fn as_str(self) -> &'static str {
        name_of(&Self::NAMES, self)
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Ok(find_name(&Self::NAMES, &name).unwrap_or(Self::Unknown))
    }
}

/// What sort of participant a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    #[default]
    Standard,
    Ingress,
    Egress,
    Sip,
    Agent,
    Connector,
    Bridge,
}

impl Kind {
    const NAMES: [(Self, &'static str); 7] = [
        (Self::Standard, "standard"),
        (Self::Ingress, "ingress"),
        (Self::Egress, "egress"),
        (Self::Sip, "sip"),
        (Self::Agent, "agent"),
        (Self::Connector, "connector"),
        (Self::Bridge, "bridge"),
    ];

    /// Its name in a token.
    pub fn as_str(self) -> &'static str {
        name_of(&Self::NAMES, self)
    }

    /// Reads a token's `kind`. Older tokens have none and say it through their grants.
    pub(crate) fn from_claims(name: &str, video: Option<&VideoGrant>) -> Self {
        match find_name(&Self::NAMES, name) {
            Some(kind) if kind != Self::Standard => kind,
            _ if video.is_some_and(|v| v.agent) => Self::Agent,
            _ if video.is_some_and(|v| v.recorder) => Self::Egress,
            _ => Self::Standard,
        }
    }
}

fn name_of<T: Copy + PartialEq>(names: &[(T, &'static str)], value: T) -> &'static str {
    names.iter().find(|(v, _)| *v == value).map_or("", |(_, name)| name)
}

fn find_name<T: Copy>(names: &[(T, &'static str)], wanted: &str) -> Option<T> {
    names.iter().find(|(_, name)| name.eq_ignore_ascii_case(wanted)).map(|(v, _)| *v)
}

/// An explicit `null` is the same as an absent field, as it is to the Go programs that make tokens.
pub(crate) fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
