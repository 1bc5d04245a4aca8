//! The section `live:`, as it is written and what it comes to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use vhost::{
    App, Callbacks, DEFAULT_DOMAIN, Directory, Domain, Hls, HlsContainer, Origin, Policy, Protocol, Push,
    StreamKey,
};

use super::file::{Span, Text};
use crate::cli::Options;

/// Live streams, where they are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) desk: live::Config,
    /// Ports; none where a listener is off.
    pub(crate) rtmp: Option<u16>,
    pub(crate) rtmps: Option<u16>,
    pub(crate) http: Option<u16>,
    /// The file asks for it, and not only `--dev`.
    pub(crate) is_asked: bool,
}

/// IANA's port for RTMP.
const RTMP_PORT: u16 = 1935;
const HTTP_PORT: u16 = 8080;
/// The application that is there where none is listed.
const DEFAULT_APP: &str = "live";
/// Attempts at an origin after the first, and the time between them.
const MAX_RETRY: u32 = 3;
const INTERVAL: Duration = Duration::from_secs(1);
/// Frames written together later than this are not live.
const MAX_MERGE: Duration = Duration::from_secs(5);

/// The keys that an application has, and that stand directly under `live:` for all of them.
macro_rules! with_app_keys {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Deserialize, Serialize)]
        #[serde(default)]
        pub(super) struct $name {
            $($field: $kind,)*
            publish: Option<String>,
            play: Option<String>,
            max_buffer: Option<usize>,
            max_buffer_bytes: Option<usize>,
            content_latency: Option<Span>,
            stream_idle_time: Option<Span>,
            stream_timeout_time: Option<Span>,
            merge_latency: Option<Span>,
            replace_publisher: Option<bool>,
            on_publish: Option<String>,
            on_play: Option<String>,
            on_close: Option<String>,
            callback_timeout: Option<Span>,
        }

        impl $name {
            /// What is said here over what `app` has.
            fn put_over(&self, app: &mut App) -> anyhow::Result<()> {
                let span = |value: Option<Span>, to: &mut Duration| {
                    if let Some(Span(value)) = value { *to = value }
                };
                span(self.content_latency, &mut app.stream.content_latency);
                span(self.stream_idle_time, &mut app.stream.idle_time);
                span(self.stream_timeout_time, &mut app.stream.timeout_time);
                span(self.merge_latency, &mut app.merge_latency);
                span(self.callback_timeout, &mut app.callbacks.timeout);
                app.stream.max_frames = self.max_buffer.unwrap_or(app.stream.max_frames);
                app.stream.max_bytes = self.max_buffer_bytes.unwrap_or(app.stream.max_bytes);
                app.stream.replace_publisher = self.replace_publisher.unwrap_or(app.stream.replace_publisher);
                app.publish = policy("publish", self.publish.as_deref(), app.publish)?;
                app.play = policy("play", self.play.as_deref(), app.play)?;
                let Callbacks { on_publish, on_play, on_close, .. } = &mut app.callbacks;
                for (key, from, to) in [
                    ("on_publish", &self.on_publish, on_publish),
                    ("on_play", &self.on_play, on_play),
                    ("on_close", &self.on_close, on_close),
                ] {
                    if let Some(url) = from {
                        *to = callback(key, url)?;
                    }
                }
                check(app)
            }
        }
    };
}

with_app_keys! {
    /// `live:`
    struct LiveSection {
        rtmp: Listener,
        rtmps: Listener,
        http: Listener,
        max_streams: Option<usize>,
        max_connections: Option<usize>,
        max_connections_per_address: Option<usize>,
        auto: Option<bool>,
        hls: HlsSection,
        domains: Vec<DomainSection>,
    }
}

with_app_keys! {
    /// `live.domains[].apps[]`
    struct AppSection {
        name: String,
        rtmp: Option<bool>,
        flv: Option<bool>,
        hls: Option<bool>,
        ll_hls: Option<bool>,
        webrtc: Option<bool>,
        srt: Option<bool>,
        rtsp: Option<bool>,
        stream_keys: BTreeMap<String, Text>,
        pull: Vec<PullSection>,
        push: Vec<PushSection>,
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Listener {
    port: Option<u16>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct HlsSection {
    segment: Option<Span>,
    max_segment: Option<Span>,
    part: Option<Span>,
    window: Option<usize>,
    container: Option<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct DomainSection {
    name: String,
    auto: Option<bool>,
    apps: Vec<AppSection>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct PullSection {
    protocol: Option<String>,
    url: String,
    interval: Option<Span>,
    max_retry: Option<u32>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct PushSection {
    url: String,
}

/// None where nothing asks for live streams; `--dev` always does.
pub(super) fn live(
    section: Option<&LiveSection>,
    options: &Options,
    keys: &auth::ApiKeys,
    has_tls: bool,
) -> anyhow::Result<Option<Live>> {
    let nothing = LiveSection::default();
    let is_asked = section.is_some();
    let section = match section {
        Some(section) => section,
        None if options.dev => &nothing,
        None => return Ok(None),
    };
    let mut app = App::default();
    if options.dev {
        app.publish = Policy::Open;
    }
    hls(&section.hls, &mut app.hls).context("live.hls")?;
    section.put_over(&mut app).context("live")?;
    let auto = section.auto.unwrap_or(options.dev);
    let domains = domains(section, &app, auto).context("live.domains")?;
    let port =
        |listener: &Listener, default: Option<u16>| listener.port.or(default).filter(|port| *port != 0);
    let rtmps = port(&section.rtmps, None);
    ensure!(rtmps.is_none() || has_tls, "live.rtmps.port needs tls.cert_file and tls.key_file");
    let defaults = live::Config::default();
    let desk = live::Config {
        directory: Directory::new(domains),
        keys: keys.clone(),
        max_streams: section.max_streams.unwrap_or(defaults.max_streams),
        limits: live::Limits {
            connections: section.max_connections.unwrap_or(defaults.limits.connections),
            per_address: section.max_connections_per_address.unwrap_or(defaults.limits.per_address),
        },
    };
    for (key, bound) in [
        ("max_streams", desk.max_streams),
        ("max_connections", desk.limits.connections),
        ("max_connections_per_address", desk.limits.per_address),
    ] {
        ensure!(bound > 0, "live.{key}: at least 1");
    }
    Ok(Some(Live {
        desk,
        rtmp: port(&section.rtmp, Some(RTMP_PORT)),
        rtmps,
        http: port(&section.http, Some(HTTP_PORT)),
        is_asked,
    }))
}

fn domains(section: &LiveSection, defaults: &App, auto: bool) -> anyhow::Result<Vec<Domain>> {
    let one = [DomainSection::default()];
    let listed = if section.domains.is_empty() { &one[..] } else { &section.domains };
    let mut domains: Vec<Domain> = Vec::new();
    for listed in listed {
        let name = match listed.name.as_str() {
            "" if section.domains.len() < 2 => DEFAULT_DOMAIN,
            "" => bail!("one of several has no name"),
            name => name,
        };
        is_name(name)?;
        ensure!(!domains.iter().any(|d| d.name.eq_ignore_ascii_case(name)), "{name:?} is listed twice");
        let domain = domain(name, listed, defaults, listed.auto.unwrap_or(auto));
        domains.push(domain.with_context(|| name.to_owned())?);
    }
    Ok(domains)
}

fn domain(name: &str, section: &DomainSection, defaults: &App, auto: bool) -> anyhow::Result<Domain> {
    let mut apps = BTreeMap::new();
    for section in &section.apps {
        is_name(&section.name)?;
        let app = app(section, defaults).with_context(|| format!("apps: {}", section.name))?;
        let twice = apps.insert(section.name.clone(), Arc::new(app)).is_some();
        ensure!(!twice, "apps: {:?} is listed twice", section.name);
    }
    let defaults = Arc::new(defaults.clone());
    if apps.is_empty() {
        apps.insert(DEFAULT_APP.to_owned(), defaults.clone());
    }
    Ok(Domain { name: name.to_owned(), apps, auto: auto.then_some(defaults) })
}

fn app(section: &AppSection, defaults: &App) -> anyhow::Result<App> {
    let mut app = defaults.clone();
    section.put_over(&mut app)?;
    for (protocol, on) in [
        (Protocol::Rtmp, section.rtmp),
        (Protocol::Flv, section.flv),
        (Protocol::Hls, section.hls),
        (Protocol::LlHls, section.ll_hls),
        (Protocol::Webrtc, section.webrtc),
        (Protocol::Srt, section.srt),
        (Protocol::Rtsp, section.rtsp),
    ] {
        app.protocols.switch(protocol, on.unwrap_or(true));
    }
    for (stream, Text(key)) in &section.stream_keys {
        is_name(stream)?;
        let key = StreamKey::new(key.clone())
            .with_context(|| format!("stream_keys: that of {stream:?} is empty"))?;
        app.stream_keys.insert(stream.clone(), key);
    }
    app.pull = section.pull.iter().map(origin).collect::<anyhow::Result<_>>().context("pull")?;
    for Push { url } in section.push.iter().map(|push| Push { url: push.url.clone() }) {
        ensure!(is_rtmp(&url), "push.url: {:?} is not an rtmp URL", shown(&url));
        app.push.push(Push { url });
    }
    Ok(app)
}

fn origin(section: &PullSection) -> anyhow::Result<Origin> {
    let url = &section.url;
    let protocol = match section.protocol.as_deref() {
        Some("rtmp") => Protocol::Rtmp,
        Some("flv") => Protocol::Flv,
        Some(other) => bail!("protocol {other:?} is neither rtmp nor flv"),
        None if is_rtmp(url) => Protocol::Rtmp,
        None => Protocol::Flv,
    };
    let fits = if protocol == Protocol::Rtmp { is_rtmp(url) } else { is_http(url) };
    ensure!(fits, "url: {:?} is not an address for {}", shown(url), protocol.name());
    let interval = section.interval.map_or(INTERVAL, |span| span.0);
    ensure!(interval >= Duration::from_millis(100), "interval: at least 100ms");
    Ok(Origin { protocol, url: url.clone(), interval, max_retry: section.max_retry.unwrap_or(MAX_RETRY) })
}

fn hls(section: &HlsSection, hls: &mut Hls) -> anyhow::Result<()> {
    let or = |value: Option<Span>, default| value.map_or(default, |span| span.0);
    *hls = Hls {
        segment: or(section.segment, hls.segment),
        // Whoever asks for longer segments alone gets them.
        max_segment: or(section.max_segment, hls.max_segment.max(or(section.segment, hls.segment))),
        part: or(section.part, hls.part),
        window: section.window.unwrap_or(hls.window),
        container: match section.container.as_deref() {
            None => hls.container,
            Some(name) => HlsContainer::from_name(name)
                .with_context(|| format!("container: {name:?} is none of auto, ts, fmp4"))?,
        },
    };
    ensure!(hls.part >= Duration::from_millis(50), "part: at least 50ms");
    ensure!(hls.part < hls.segment, "part: shorter than a segment");
    ensure!(hls.segment <= hls.max_segment, "segment: not longer than max_segment");
    ensure!(hls.max_segment <= Duration::from_secs(60), "max_segment: at most 60s");
    ensure!((3..=100).contains(&hls.window), "window: from 3 to 100 segments");
    Ok(())
}

fn check(app: &App) -> anyhow::Result<()> {
    ensure!(app.stream.max_frames >= 10, "max_buffer: at least 10 frames");
    ensure!(app.stream.max_bytes >= 1 << 20, "max_buffer_bytes: at least 1048576");
    ensure!(app.merge_latency <= MAX_MERGE, "merge_latency: at most 5s");
    ensure!(app.stream.timeout_time >= Duration::from_secs(1), "stream_timeout_time: at least 1s");
    ensure!(!app.callbacks.timeout.is_zero(), "callback_timeout: more than nothing");
    Ok(())
}

fn policy(key: &str, text: Option<&str>, default: Policy) -> anyhow::Result<Policy> {
    match text {
        None => Ok(default),
        Some("token") => Ok(Policy::Token),
        Some("open") => Ok(Policy::Open),
        Some(other) => bail!("{key}: {other:?} is neither token nor open"),
    }
}

/// An empty URL switches off what `live:` says for all.
fn callback(key: &str, url: &str) -> anyhow::Result<Option<String>> {
    ensure!(url.is_empty() || is_http(url), "{key}: {:?} is not an http URL", shown(url));
    Ok(Some(url.to_owned()).filter(|url| !url.is_empty()))
}

fn is_name(name: &str) -> anyhow::Result<()> {
    ensure!(media::Name::new(name, "a", "b").is_some(), "{name:?} cannot be part of an address");
    Ok(())
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

fn is_rtmp(url: &str) -> bool {
    url.starts_with("rtmp://") || url.starts_with("rtmps://")
}

/// Without its parameters, which may hold a token.
fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
