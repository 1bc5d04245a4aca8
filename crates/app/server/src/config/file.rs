//! The YAML file as it is written. What a key is for stands in `config.example.yaml`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct File {
    pub(super) port: Option<u16>,
    pub(super) bind_addresses: Vec<String>,
    pub(super) keys: BTreeMap<String, Text>,
    pub(super) key_file: Option<String>,
    pub(super) region: Option<String>,
    pub(super) log_level: Option<String>,
    pub(super) logging: Logging,
    pub(super) prometheus_port: Option<u16>,
    pub(super) prometheus: PrometheusSection,
    pub(super) rtc: Rtc,
    pub(super) media: Media,
    pub(super) room: Room,
    pub(super) audio: Audio,
    pub(super) video: Video,
    pub(super) limit: Limit,
    pub(super) enable_data_tracks: Option<bool>,
    pub(super) enable_participant_data_blob: Option<bool>,
    pub(super) webhook: Webhook,
    pub(super) agents: Agents,
    pub(super) tls: Tls,
    pub(super) app: App,
    pub(super) turn: super::turn::TurnSection,
    pub(super) live: Option<super::live::LiveSection>,
    pub(super) shutdown: ShutdownSection,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Logging {
    pub(super) level: Option<String>,
    pub(super) pion_level: Option<String>,
    pub(super) json: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct PrometheusSection {
    pub(super) port: Option<u16>,
    pub(super) username: String,
    pub(super) password: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Rtc {
    pub(super) udp_port: Option<Text>,
    pub(super) tcp_port: Option<u16>,
    pub(super) force_tcp: bool,
    pub(super) port_range_start: Option<u16>,
    pub(super) port_range_end: Option<u16>,
    pub(super) node_ip: Option<IpAddr>,
    pub(super) use_external_ip: bool,
    pub(super) advertise_internal_ip: bool,
    pub(super) external_ip_only: bool,
    pub(super) stun_servers: Vec<String>,
    pub(super) turn_servers: Vec<TurnServer>,
    pub(super) use_ice_lite: Option<bool>,
    pub(super) enable_loopback_candidate: bool,
    pub(super) interfaces: Choice,
    pub(super) ips: Choice,
    /// The older name of the next two.
    pub(super) packet_buffer_size: Option<usize>,
    pub(super) packet_buffer_size_video: Option<usize>,
    pub(super) packet_buffer_size_audio: Option<usize>,
    pub(super) congestion_control: CongestionControl,
    pub(super) pli_throttle: PliThrottle,
}

/// Least times between two key frame requests, for the lowest layer, the middle one and the highest.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct PliThrottle {
    pub(super) low_quality: Option<Span>,
    pub(super) mid_quality: Option<Span>,
    pub(super) high_quality: Option<Span>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct CongestionControl {
    pub(super) enabled: Option<bool>,
    pub(super) allow_pause: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Choice {
    pub(super) includes: Vec<String>,
    pub(super) excludes: Vec<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct TurnServer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) protocol: String,
    pub(super) username: String,
    pub(super) credential: String,
    pub(super) secret: String,
    pub(super) secret_file: String,
    pub(super) ttl: Option<Span>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Media {
    pub(super) workers: usize,
    pub(super) spread_above: Option<u8>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Room {
    pub(super) auto_create: Option<bool>,
    pub(super) empty_timeout: Option<Span>,
    pub(super) departure_timeout: Option<Span>,
    pub(super) max_participants: u32,
    pub(super) enabled_codecs: Vec<Codec>,
    pub(super) enable_remote_unmute: bool,
    pub(super) enable_full_room_in_webhooks: bool,
    /// The older places of three keys of `limit`.
    pub(super) max_metadata_size: Option<usize>,
    pub(super) max_room_name_length: Option<usize>,
    pub(super) max_participant_identity_length: Option<usize>,
    pub(super) room_configurations: BTreeMap<String, RoomConfiguration>,
    pub(super) playout_delay: PlayoutDelay,
    pub(super) sync_streams: bool,
    pub(super) update_batch_target_size: Option<usize>,
}

/// Milliseconds.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct PlayoutDelay {
    pub(super) enabled: bool,
    pub(super) min: u32,
    pub(super) max: u32,
}

/// LiveKit's message of this name, as far as rooms here have such settings.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct RoomConfiguration {
    pub(super) empty_timeout: u32,
    pub(super) departure_timeout: u32,
    pub(super) max_participants: u32,
    pub(super) metadata: String,
    pub(super) agents: Vec<Agent>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Agent {
    pub(super) agent_name: String,
    pub(super) metadata: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Agents {
    pub(super) target_load: Option<f32>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Webhook {
    pub(super) api_key: String,
    pub(super) urls: Vec<String>,
    pub(super) filter_params: WebhookFilter,
    pub(super) url_notifier: UrlNotifier,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct WebhookFilter {
    pub(super) include_events: Vec<String>,
    pub(super) exclude_events: Vec<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct UrlNotifier {
    pub(super) num_workers: Option<usize>,
    pub(super) queue_size: Option<usize>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Codec {
    pub(super) mime: String,
    pub(super) fmtp_line: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Audio {
    pub(super) active_level: Option<u8>,
    pub(super) min_percentile: Option<u8>,
    /// Milliseconds.
    pub(super) update_interval: Option<u64>,
    pub(super) smooth_intervals: Option<u32>,
    pub(super) active_red_encoding: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Video {
    pub(super) dynacast_pause_delay: Option<Span>,
    pub(super) codec_regression_threshold: Option<usize>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Limit {
    /// Below 0 is no limit, here and for the next three.
    pub(super) num_tracks: i64,
    pub(super) bytes_per_sec: Float,
    pub(super) subscription_limit_video: i64,
    pub(super) subscription_limit_audio: i64,
    pub(super) max_data_blobs_size: Option<usize>,
    pub(super) data_packets_per_sec: Option<u32>,
    pub(super) max_metadata_size: Option<usize>,
    pub(super) max_attributes_size: Option<usize>,
    pub(super) max_room_name_length: Option<usize>,
    pub(super) max_participant_identity_length: Option<usize>,
    pub(super) max_participant_name_length: Option<usize>,
    pub(super) signal_message_size_limit: Option<usize>,
    pub(super) max_api_request_body_size: Option<usize>,
    pub(super) agent_signal_message_size_limit: Option<usize>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Tls {
    pub(super) cert_file: String,
    pub(super) key_file: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct App {
    pub(super) guests: Option<bool>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct ShutdownSection {
    pub(super) action: Option<String>,
    pub(super) wait: Option<Span>,
    pub(super) grace: Option<Span>,
}

/// A text that looks like a number to YAML is still a text: a secret `12345`, a port.
#[derive(Default, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl std::fmt::Debug for Text {
    /// It may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Text(..)")
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Asked for a string, the parser hands over a number as it is written: digits of a secret count.
        String::deserialize(from).map(Text)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

/// A number that may have `_` between its digits, as LiveKit's sample writes it.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Float(pub(super) f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(from)?;
        let wrong = || de::Error::custom(format!("{text:?} is not a number"));
        text.replace('_', "").parse().map(Float).map_err(|_| wrong())
    }
}

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.to_string())
    }
}

/// A time: a number of seconds, or a text such as `90s`, `1m30s`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(from)?;
        parse_duration(&text).map(Span).map_err(de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{}ms", self.0.as_millis()))
    }
}

/// Reads `300`, `90s`, `1m30s`, `500ms` or `6h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time: write seconds, or for example 500ms, 90s, 1m30s, 6h");
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}
