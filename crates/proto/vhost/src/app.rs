//! What can be set for an application.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Settings of an application; all of its streams have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub stream: media::Config,
    /// How long frames are gathered before they are written to players over TCP.
    pub merge_latency: Duration,
    pub protocols: Protocols,
    pub publish: Policy,
    pub play: Policy,
    /// A secret for each stream that may be published with one.
    pub stream_keys: BTreeMap<String, StreamKey>,
    pub callbacks: Callbacks,
    /// Where a stream is fetched from when a player comes and nobody publishes, in order.
    pub pull: Vec<Origin>,
    /// Where every stream is forwarded.
    pub push: Vec<Push>,
    pub hls: Hls,
}

impl Default for App {
    fn default() -> Self {
        Self {
            stream: media::Config::default(),
            merge_latency: Duration::ZERO,
            protocols: Protocols::default(),
            publish: Policy::Token,
            play: Policy::Open,
            stream_keys: BTreeMap::new(),
            callbacks: Callbacks::default(),
            pull: Vec::new(),
            push: Vec::new(),
            hls: Hls::default(),
        }
    }
}

/// Who may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Whoever has a token that says so, or to publish, the stream's key.
    Token,
    /// Anybody.
    Open,
}

/// A way in or out that an application can switch off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    Rtmp,
    Flv,
    Hls,
    LlHls,
    Webrtc,
    Srt,
    Rtsp,
}

impl Protocol {
    pub const ALL: [Self; 7] =
        [Self::Rtmp, Self::Flv, Self::Hls, Self::LlHls, Self::Webrtc, Self::Srt, Self::Rtsp];

    /// Its key in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Flv => "flv",
            Self::Hls => "hls",
            Self::LlHls => "ll_hls",
            Self::Webrtc => "webrtc",
            Self::Srt => "srt",
            Self::Rtsp => "rtsp",
        }
    }
}

/// Which protocols are on; all of them unless switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols([bool; Protocol::ALL.len()]);

impl Default for Protocols {
    fn default() -> Self {
        Self([true; Protocol::ALL.len()])
    }
}

impl Protocols {
    pub fn is_on(self, protocol: Protocol) -> bool {
        self.0[protocol as usize]
    }

    pub fn switch(&mut self, protocol: Protocol, on: bool) {
        self.0[protocol as usize] = on;
    }
}

/// A secret that publishes one stream. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(String);

impl StreamKey {
    /// None if it is empty, which everybody knows.
    pub fn new(key: impl Into<String>) -> Option<Self> {
        let key = key.into();
        (!key.is_empty()).then_some(Self(key))
    }

    /// Compares in a time that depends on nothing but the length of what is offered.
    pub fn is(&self, offered: &str) -> bool {
        let (key, offered) = (self.0.as_bytes(), offered.as_bytes());
        let differs = offered.iter().zip(key.iter().cycle()).fold(0, |acc, (a, b)| acc | (a ^ b));
        key.len() == offered.len() && std::hint::black_box(differs) == 0
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(..)")
    }
}

/// URLs that are asked or told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callbacks {
    /// Asked before a publisher begins; 2xx allows.
    pub on_publish: Option<String>,
    /// Asked before a player begins; 2xx allows.
    pub on_play: Option<String>,
    /// Told when either has ended.
    pub on_close: Option<String>,
    /// What takes longer has refused.
    pub timeout: Duration,
}

impl Default for Callbacks {
    fn default() -> Self {
        Self { on_publish: None, on_play: None, on_close: None, timeout: Duration::from_secs(3) }
    }
}

/// Where a stream can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// [`Protocol::Rtmp`] or [`Protocol::Flv`].
    pub protocol: Protocol,
    /// The application's address there; see [`Origin::address`].
    pub url: String,
    /// Between two attempts.
    pub interval: Duration,
    /// Attempts after the first that fail before it is given up.
    pub max_retry: u32,
}

impl Origin {
    /// The address of `stream`: where `{stream}` stands in the URL, else behind its path, for HTTP with
    /// `.flv`.
    pub fn address(&self, stream: &str) -> String {
        let suffix = if self.protocol == Protocol::Flv { ".flv" } else { "" };
        address(&self.url, stream, suffix)
    }
}

/// Where streams are forwarded, over RTMP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The application's address there; see [`Push::address`].
    pub url: String,
}

impl Push {
    /// The address of `stream`: where `{stream}` stands in the URL, else behind its path.
    pub fn address(&self, stream: &str) -> String {
        address(&self.url, stream, "")
    }
}

fn address(url: &str, stream: &str, suffix: &str) -> String {
    if url.contains("{stream}") {
        return url.replace("{stream}", stream);
    }
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let path = path.trim_end_matches('/');
    match query {
        Some(query) => format!("{path}/{stream}{suffix}?{query}"),
        None => format!("{path}/{stream}{suffix}"),
    }
}

/// Playlists and their segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hls {
    /// A segment is cut at the first key frame past this.
    pub segment: Duration,
    /// A longer group is cut here; what playlists announce as their longest segment.
    pub max_segment: Duration,
    /// The target of a part.
    pub part: Duration,
    /// Segments in a playlist.
    pub window: usize,
    /// Where `index.m3u8` leads.
    pub container: HlsContainer,
}

/// What the segments are that `index.m3u8` leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HlsContainer {
    /// MPEG-TS where all of a stream's codecs have a place in it, else fragmented MP4.
    #[default]
    Auto,
    Ts,
    Fmp4,
}

impl HlsContainer {
    /// Reads its value in the configuration.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "ts" => Some(Self::Ts),
            "fmp4" => Some(Self::Fmp4),
            _ => None,
        }
    }
}

impl Default for Hls {
    fn default() -> Self {
        Self {
            segment: Duration::from_secs(3),
            max_segment: Duration::from_secs(6),
            part: Duration::from_millis(200),
            window: 5,
            container: HlsContainer::Auto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relays_address_is_the_applications_with_the_stream() {
        let at = |protocol, url: &str| {
            Origin { protocol, url: url.into(), interval: Duration::ZERO, max_retry: 0 }.address("demo")
        };
        assert_eq!(at(Protocol::Rtmp, "rtmp://o/live"), "rtmp://o/live/demo");
        assert_eq!(at(Protocol::Rtmp, "rtmp://o/live/?token=t"), "rtmp://o/live/demo?token=t");
        assert_eq!(at(Protocol::Flv, "http://o:8080/live"), "http://o:8080/live/demo.flv");
        assert_eq!(at(Protocol::Flv, "http://o/{stream}/x.flv?a=b"), "http://o/demo/x.flv?a=b");
        assert_eq!(Push { url: "rtmp://o/live".into() }.address("a"), "rtmp://o/live/a");
    }

    #[test]
    fn a_switch_switches_one_protocol() {
        let mut protocols = Protocols::default();
        assert!(Protocol::ALL.iter().all(|protocol| protocols.is_on(*protocol)));
        protocols.switch(Protocol::Flv, false);
        let off: Vec<_> = Protocol::ALL.into_iter().filter(|protocol| !protocols.is_on(*protocol)).collect();
        assert_eq!(off, [Protocol::Flv]);
    }

    #[test]
    fn a_stream_key_is_itself_only() {
        let key = StreamKey::new("secret").unwrap();
        assert!(key.is("secret"));
        for other in ["", "secre", "secretsecret", "Secret"] {
            assert!(!key.is(other), "{other}");
        }
        assert!(StreamKey::new("").is_none());
        assert!(!format!("{key:?}").contains("secret"));
    }
}
