//! From the file and the flags to the snapshot: defaults, checks, and who gets what.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use auth::ApiKeys;
use codec::Kind;

use super::file::{self, File, Text};
use super::live::live;
use super::turn::{networks, turn};
use super::{Login, Prometheus, Settings, Shutdown};
use crate::cli::Options;
use crate::tls;

/// LiveKit's ports.
const HTTP_PORT: u16 = 7880;
const DEV_UDP_PORT: u16 = 7882;
const TCP_PORT: u16 = 7881;
const RANGE: (u16, u16) = (50_000, 60_000);
/// How long credentials for a TURN server elsewhere are good, unless the file says otherwise.
const TURN_TTL: Duration = Duration::from_secs(14_400);
/// How long clients have to go, unless the file says otherwise.
const GRACE: Duration = Duration::from_secs(5);

/// Best first. VP8 leads because every browser encodes and decodes it.
const CODECS: [Kind; 9] =
    [Kind::Vp8, Kind::H264, Kind::Vp9, Kind::Av1, Kind::H265, Kind::Opus, Kind::Red, Kind::Pcmu, Kind::Pcma];

pub(super) fn settings(file: File, options: &Options, mut warnings: Vec<String>) -> anyhow::Result<Settings> {
    let mut keys = api_keys(&file, options)?;
    let dev_key = options.dev && keys.is_empty();
    if dev_key {
        keys.insert("devkey", "secret").context("keys")?;
    }
    if keys.is_empty() {
        bail!("there are no API keys: add `keys`, make one with `millrace generate-keys`, or use --dev");
    }
    // The secret of --dev is public anyway.
    warnings.extend(
        keys.short()
            .filter(|_| !options.dev)
            .map(|key| format!("the secret of API key {key:?} is shorter than 32 characters")),
    );
    let bind = bind(&file, options)?;
    let tls = certificate(&file, options, &bind)?;
    Ok(Settings {
        dev: options.dev,
        dev_key,
        port: file.port.unwrap_or(HTTP_PORT),
        turn: turn(&file.turn, options, tls.as_ref())?,
        live: live(file.live.as_ref(), options, &keys, tls.is_some())?,
        tls,
        logs: logs(&file, options)?,
        engine: engine(&file, options)?,
        external_ip: external_ip(&file, options),
        prometheus: prometheus(&file, &bind)?,
        shutdown: shutdown(&file)?,
        api: api::Config {
            webhooks: webhooks(&file, &keys)?,
            agent_load: file.agents.target_load.filter(|load| *load > 0.0).unwrap_or(AGENT_LOAD),
            keys,
            guests: file.app.guests.unwrap_or(options.dev),
            rooms: rooms(&file, options)?,
            limits: limits(&file),
        },
        bind,
        warnings,
    })
}

fn api_keys(file: &File, options: &Options) -> anyhow::Result<ApiKeys> {
    let mut keys = ApiKeys::new();
    let mut add = |key: &str, secret: &str| keys.insert(key, secret).context("keys");
    for (key, Text(secret)) in &file.keys {
        add(key, secret)?;
    }
    let from_file = options.key_file.clone().or_else(|| file.key_file.clone().map(Into::into));
    if let Some(path) = from_file {
        for (key, Text(secret)) in &key_file(&path)? {
            add(key, secret)?;
        }
    }
    for (key, Text(secret)) in &given_keys(options.keys.as_deref().unwrap_or_default())? {
        add(key, secret)?;
    }
    Ok(keys)
}

/// A YAML map, which lines of `key: secret` are, also without the space.
fn given_keys(text: &str) -> anyhow::Result<BTreeMap<String, Text>> {
    if let Ok(keys) = serde_saphyr::from_str(text) {
        return Ok(keys);
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let key = |line: &str| {
        let (key, secret) = line.split_once(':')?;
        Some((key.trim().to_owned(), Text(secret.trim().to_owned())))
    };
    lines.map(|line| key(line).context("--keys: write \"key: secret\", one a line (LIVEKIT_KEYS)")).collect()
}

fn key_file(path: &Path) -> anyhow::Result<BTreeMap<String, Text>> {
    let shown = path.display();
    let about = || format!("key_file {shown}");
    let mode = std::fs::metadata(path).with_context(about)?.permissions().mode();
    ensure!(mode & 0o077 == 0, "key_file {shown} can be read by others: chmod 600 {shown}");
    let text = std::fs::read_to_string(path).with_context(about)?;
    serde_saphyr::from_str(&text)
        .map_err(|_| anyhow::anyhow!("key_file {shown} is not a map of keys to secrets"))
}

fn bind(file: &File, options: &Options) -> anyhow::Result<Vec<IpAddr>> {
    if !options.bind.is_empty() {
        return Ok(options.bind.clone());
    }
    let mut bind = Vec::new();
    for text in &file.bind_addresses {
        match text.as_str() {
            // As LiveKit has it: every address of both families.
            "" => bind.push(Ipv6Addr::UNSPECIFIED.into()),
            text => bind.push(
                text.parse().with_context(|| format!("bind_addresses: {text:?} is not an IP address"))?,
            ),
        }
    }
    if bind.is_empty() {
        bind = match options.dev {
            true => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            false => vec![Ipv6Addr::UNSPECIFIED.into()],
        };
    }
    Ok(bind)
}

fn certificate(file: &File, options: &Options, bind: &[IpAddr]) -> anyhow::Result<Option<tls::Source>> {
    match (file.tls.cert_file.as_str(), file.tls.key_file.as_str()) {
        ("", "") if options.https && options.dev => Ok(Some(tls::Source::SelfSigned(bind.to_vec()))),
        ("", "") if options.https => {
            bail!("--https makes a certificate with --dev only: set tls.cert_file and tls.key_file")
        }
        ("", "") => Ok(None),
        ("", _) => bail!("tls.key_file needs tls.cert_file"),
        (_, "") => bail!("tls.cert_file needs tls.key_file"),
        (cert, key) => Ok(Some(tls::Source::Files { cert: cert.into(), key: key.into() })),
    }
}

fn logs(file: &File, options: &Options) -> anyhow::Result<telemetry::Config> {
    let level = match file.logging.level.as_ref().or(file.log_level.as_ref()) {
        Some(name) => name.parse().map_err(anyhow::Error::msg).context("logging.level")?,
        None if options.dev => telemetry::Level::Debug,
        None => telemetry::Level::Info,
    };
    let transport = file.logging.pion_level.as_ref().map(|name| name.parse().map_err(anyhow::Error::msg));
    let transport = transport.transpose().context("logging.pion_level")?;
    let directives = std::env::var("MILLRACE_LOG").ok().filter(|directives| !directives.is_empty());
    Ok(telemetry::Config { level, transport, json: file.logging.json, directives })
}

fn engine(file: &File, options: &Options) -> anyhow::Result<engine::Config> {
    let ranges = |list: &[String], key: &'static str| -> anyhow::Result<Vec<_>> {
        Ok(networks(list, key)?.iter().map(::turn::Cidr::range).collect())
    };
    let interfaces = engine::InterfaceFilter {
        include: file.rtc.interfaces.includes.clone(),
        exclude: file.rtc.interfaces.excludes.clone(),
        include_ips: ranges(&file.rtc.ips.includes, "rtc.ips.includes")?,
        exclude_ips: ranges(&file.rtc.ips.excludes, "rtc.ips.excludes")?,
    };
    let defaults = sfu::Config::default();
    let throttle = &file.rtc.pli_throttle;
    let span = |value: Option<file::Span>, default| value.map_or(default, |span| span.0);
    // 0 is what it is if nothing is written.
    let packets = |size: Option<usize>, default| {
        size.or(file.rtc.packet_buffer_size).filter(|size| *size > 0).unwrap_or(default)
    };
    let router = sfu::Config {
        cache_video_packets: packets(file.rtc.packet_buffer_size_video, defaults.cache_video_packets),
        cache_audio_packets: packets(file.rtc.packet_buffer_size_audio, defaults.cache_audio_packets),
        adapt: file.rtc.congestion_control.enabled.unwrap_or(defaults.adapt),
        key_frame_interval_low: span(throttle.low_quality, defaults.key_frame_interval_low),
        key_frame_interval_mid: span(throttle.mid_quality, defaults.key_frame_interval_mid),
        key_frame_interval_high: span(throttle.high_quality, defaults.key_frame_interval_high),
        audio_active_level: file.audio.active_level.unwrap_or(defaults.audio_active_level),
        audio_interval: file.audio.update_interval.map_or(defaults.audio_interval, Duration::from_millis),
        ..defaults
    };
    Ok(engine::Config {
        router,
        workers: file.media.workers,
        spread_above: file.media.spread_above.unwrap_or(engine::Config::default().spread_above),
        ports: ports(file, options)?,
        tcp: tcp(file)?,
        tcp_only: file.rtc.force_tcp,
        node_ips: options.node_ip.or(file.rtc.node_ip).into_iter().collect(),
        interfaces,
        internal_candidates: file.rtc.advertise_internal_ip && !file.rtc.external_ip_only,
        loopback_candidate: file.rtc.enable_loopback_candidate || options.dev,
        ..engine::Config::default()
    })
}

/// An address that is written down needs no finding out.
fn external_ip(file: &File, options: &Options) -> Option<Vec<String>> {
    let is_known = options.node_ip.or(file.rtc.node_ip).is_some();
    (file.rtc.use_external_ip && !is_known).then(|| file.rtc.stun_servers.clone())
}

/// The port that LiveKit has is a wish unless it is written down: a second server on a machine does without.
fn tcp(file: &File) -> anyhow::Result<Option<engine::TcpPort>> {
    let port = file.rtc.tcp_port.unwrap_or(TCP_PORT);
    ensure!(port != 0 || !file.rtc.force_tcp, "rtc.force_tcp needs rtc.tcp_port");
    let required = file.rtc.tcp_port.is_some() || file.rtc.force_tcp;
    Ok((port != 0).then_some(engine::TcpPort { port, required }))
}

fn ports(file: &File, options: &Options) -> anyhow::Result<engine::Ports> {
    let named = options.udp_port.clone().or_else(|| file.rtc.udp_port.clone().map(|text| text.0));
    let port = |text: &str| {
        text.trim().parse::<u16>().with_context(|| format!("rtc.udp_port: {text:?} is not a port"))
    };
    let range = |first: u16, last: u16, key: &str| {
        ensure!(first <= last && first > 0, "{key}: {first} to {last} is not a range of ports");
        Ok(engine::Ports::Range { first, last })
    };
    match named.as_deref().map(str::trim) {
        None | Some("" | "0") => {}
        Some(text) => {
            return match text.split_once('-') {
                Some((first, last)) => range(port(first)?, port(last)?, "rtc.udp_port"),
                None => Ok(engine::Ports::Shared(port(text)?)),
            };
        }
    }
    match (file.rtc.port_range_start, file.rtc.port_range_end) {
        (None | Some(0), None | Some(0)) if options.dev => Ok(engine::Ports::Shared(DEV_UDP_PORT)),
        (start, end) => {
            let or = |value: Option<u16>, default| value.filter(|v| *v != 0).unwrap_or(default);
            range(or(start, RANGE.0), or(end, RANGE.1), "rtc.port_range_start, rtc.port_range_end")
        }
    }
}

fn prometheus(file: &File, bind: &[IpAddr]) -> anyhow::Result<Option<Prometheus>> {
    let section = &file.prometheus;
    let port = match (section.port.filter(|p| *p != 0), file.prometheus_port.filter(|p| *p != 0)) {
        (Some(port), _) | (None, Some(port)) => port,
        (None, None) => return Ok(None),
    };
    let login = match (section.username.as_str(), section.password.as_str()) {
        ("", "") => None,
        ("", _) | (_, "") => bail!("prometheus.username and prometheus.password go together"),
        (username, password) => Some(Login { username: username.into(), password: password.into() }),
    };
    let address = bind.first().copied().unwrap_or(Ipv4Addr::LOCALHOST.into());
    Ok(Some(Prometheus { address, port, login }))
}

fn shutdown(file: &File) -> anyhow::Result<Shutdown> {
    let reconnect = match file.shutdown.action.as_deref() {
        None | Some("leave") => false,
        Some("reconnect") => true,
        Some(other) => bail!("shutdown.action: {other:?} is neither leave nor reconnect"),
    };
    let wait = file.shutdown.wait.map_or(Duration::ZERO, |span| span.0);
    Ok(Shutdown { reconnect, wait, grace: file.shutdown.grace.map_or(GRACE, |span| span.0) })
}

/// Bytes of a room's name.
const ROOM_NAME: usize = 256;

/// As LiveKit has it, 0 is no limit: what a message may be large is then the limit.
fn bound(value: Option<usize>, default: usize) -> usize {
    match value {
        Some(0) => usize::MAX,
        Some(value) => value,
        None => default,
    }
}

fn rooms(file: &File, options: &Options) -> anyhow::Result<api::Rooms> {
    let defaults = room::Config::default();
    let limit = &file.limit;
    let span = |value: Option<file::Span>, default| value.map_or(default, |span| span.0);
    let rules = room::Config {
        max_participants: file.room.max_participants,
        empty_timeout: span(file.room.empty_timeout, defaults.empty_timeout),
        departure_timeout: span(file.room.departure_timeout, defaults.departure_timeout),
        demand_delay: span(file.video.dynacast_pause_delay, defaults.demand_delay),
        remote_unmute: file.room.enable_remote_unmute,
        playout_delay: Some(&file.room.playout_delay)
            .filter(|d| d.enabled)
            .map(|d| room::PlayoutDelay::of_millis(d.min, d.max)),
        sync_streams: file.room.sync_streams,
        max_videos: count(limit.subscription_limit_video),
        max_audios: count(limit.subscription_limit_audio),
        max_metadata: bound(limit.max_metadata_size.or(file.room.max_metadata_size), defaults.max_metadata),
        max_attributes: bound(limit.max_attributes_size, defaults.max_attributes),
        max_identity: bound(
            limit.max_participant_identity_length.or(file.room.max_participant_identity_length),
            defaults.max_identity,
        ),
        max_name: bound(limit.max_participant_name_length, defaults.max_name),
        ..defaults
    };
    let defaults = signal::Limits::default();
    let signalling = signal::Limits {
        active_level: file.audio.active_level.unwrap_or(defaults.active_level),
        active_percent: file.audio.min_percentile.unwrap_or(defaults.active_percent),
        allow_pause: file.rtc.congestion_control.allow_pause,
        redundant_audio: file.audio.active_red_encoding,
        regression_below: file.video.codec_regression_threshold.unwrap_or(defaults.regression_below),
        speaker_interval: file.audio.update_interval.map_or(defaults.speaker_interval, Duration::from_millis),
        smooth_intervals: file.audio.smooth_intervals.unwrap_or(defaults.smooth_intervals),
        data: data_rate(limit.data_packets_per_sec, defaults.data),
        data_tracks: file.enable_data_tracks.unwrap_or(defaults.data_tracks),
        blobs: file.enable_participant_data_blob.unwrap_or(defaults.blobs),
        blobs_size: bound(limit.max_data_blobs_size, defaults.blobs_size),
        update_batch: file.room.update_batch_target_size.unwrap_or(defaults.update_batch),
        ..defaults
    };
    ensure!(signalling.active_percent <= 100, "audio.min_percentile: more than 100 percent");
    ensure!(
        signalling.speaker_interval >= Duration::from_millis(50),
        "audio.update_interval: at least 50 (ms)"
    );
    Ok(api::Rooms {
        auto_create: file.room.auto_create.unwrap_or(true),
        max_name: bound(limit.max_room_name_length.or(file.room.max_room_name_length), ROOM_NAME),
        rules,
        presets: presets(file),
        codecs: codecs(file)?,
        profiles: profiles(file),
        ice_servers: ice_servers(file)?,
        server: signal::Server {
            region: options.region.clone().or_else(|| file.region.clone()).unwrap_or_default(),
            ..signal::Server::default()
        },
        ice_lite: file.rtc.use_ice_lite.unwrap_or(true),
        signalling,
    })
}

/// Four seconds' worth may come at once. 0 is no limit.
fn data_rate(per_second: Option<u32>, default: signal::Rate) -> signal::Rate {
    match per_second {
        None => default,
        Some(0) => signal::Rate { burst: u32::MAX, per_second: u32::MAX },
        Some(per_second) => signal::Rate { burst: per_second.saturating_mul(4), per_second },
    }
}

fn codecs(file: &File) -> anyhow::Result<Vec<Kind>> {
    let mut codecs = Vec::new();
    for codec in &file.room.enabled_codecs {
        // Retransmission goes with each video codec and is no codec of its own.
        if codec.mime.to_ascii_lowercase().ends_with("/rtx") {
            continue;
        }
        let kind = Kind::from_name(&codec.mime).filter(|kind| CODECS.contains(kind));
        let kind = kind.with_context(|| format!("room.enabled_codecs: {:?} is not carried", codec.mime))?;
        // Once for each set of format parameters.
        if !codecs.contains(&kind) {
            codecs.push(kind);
        }
    }
    Ok(if codecs.is_empty() { CODECS.to_vec() } else { codecs })
}

/// Format parameters of codecs that have some.
fn profiles(file: &File) -> Vec<(Kind, String)> {
    let all = file.room.enabled_codecs.iter();
    let lines =
        all.filter_map(|codec| Some((Kind::from_name(&codec.mime)?, codec.fmtp_line.trim().to_owned())));
    lines.filter(|(_, line)| !line.is_empty()).collect()
}

fn ice_servers(file: &File) -> anyhow::Result<Vec<signal::IceServer>> {
    let mut servers = Vec::new();
    if !file.rtc.stun_servers.is_empty() {
        let urls = file.rtc.stun_servers.iter().map(|server| format!("stun:{server}")).collect();
        servers.push(signal::IceServer { urls, ..signal::IceServer::default() });
    }
    for turn in &file.rtc.turn_servers {
        ensure!(!turn.host.is_empty(), "rtc.turn_servers: an entry has no host");
        let port = if turn.port == 0 { 3478 } else { turn.port };
        let url = match turn.protocol.as_str() {
            "" | "udp" => format!("turn:{}:{port}?transport=udp", turn.host),
            "tcp" => format!("turn:{}:{port}?transport=tcp", turn.host),
            "tls" => format!("turns:{}:{port}?transport=tcp", turn.host),
            other => bail!("rtc.turn_servers: protocol {other:?} is not udp, tcp or tls"),
        };
        servers.push(signal::IceServer {
            urls: vec![url],
            username: turn.username.clone(),
            credential: turn.credential.clone(),
            issuer: issuer(turn)?,
        });
    }
    Ok(servers)
}

/// Where a TURN server takes credentials derived from a secret, each client gets its own.
fn issuer(turn: &file::TurnServer) -> anyhow::Result<Option<signal::Issuer>> {
    let secret = match (turn.secret.as_str(), turn.secret_file.as_str()) {
        ("", "") => return Ok(None),
        (secret, "") => secret.to_owned(),
        ("", path) => std::fs::read_to_string(path)
            .with_context(|| format!("rtc.turn_servers: secret_file {path}"))?
            .trim()
            .to_owned(),
        _ => bail!("rtc.turn_servers: secret or secret_file, not both"),
    };
    ensure!(!secret.is_empty(), "rtc.turn_servers: the secret is empty");
    let ttl = turn.ttl.map_or(TURN_TTL, |span| span.0);
    ensure!(!ttl.is_zero(), "rtc.turn_servers: ttl is zero");
    Ok(Some(signal::Issuer { secret, ttl }))
}

/// As LiveKit has it, 0 and less is no limit.
fn count(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

fn limits(file: &File) -> api::Limits {
    let defaults = api::Limits::default();
    api::Limits {
        tracks: count(file.limit.num_tracks),
        // A part of a byte is still a limit; a number below 0 becomes none.
        bytes_per_second: file.limit.bytes_per_sec.0.ceil() as u64,
        message: file.limit.signal_message_size_limit.unwrap_or(defaults.message),
        agent_message: file.limit.agent_signal_message_size_limit.unwrap_or(defaults.agent_message),
        api_body: file.limit.max_api_request_body_size.unwrap_or(defaults.api_body),
        ..defaults
    }
}

fn presets(file: &File) -> BTreeMap<String, api::Preset> {
    let preset = |(name, settings): (&String, &file::RoomConfiguration)| {
        let agents = settings.agents.iter().map(|agent| api::PresetAgent {
            agent_name: agent.agent_name.clone(),
            metadata: agent.metadata.clone(),
            ..api::PresetAgent::default()
        });
        let preset = api::Preset {
            name: name.clone(),
            empty_timeout: settings.empty_timeout,
            departure_timeout: settings.departure_timeout,
            max_participants: settings.max_participants,
            metadata: settings.metadata.clone(),
            agents: agents.collect(),
            ..api::Preset::default()
        };
        (name.clone(), preset)
    };
    file.room.room_configurations.iter().map(preset).collect()
}

/// Agent workers above this load get no jobs, as in LiveKit.
const AGENT_LOAD: f32 = 0.7;
/// Deliveries at once for each URL, as in LiveKit.
const WEBHOOK_WORKERS: usize = 10;
/// Events that may wait for each URL: more than LiveKit's hundred, which one large room's start would fill.
const WEBHOOK_QUEUE: usize = 1000;

fn webhooks(file: &File, keys: &ApiKeys) -> anyhow::Result<Option<api::Webhooks>> {
    let section = &file.webhook;
    if section.urls.is_empty() {
        return Ok(None);
    }
    for url in &section.urls {
        // The rest of it may be a secret.
        let is_http = url.starts_with("http://") || url.starts_with("https://");
        ensure!(is_http, "webhook.urls: an entry is not an http or https URL");
    }
    ensure!(!section.api_key.is_empty(), "webhook.api_key: the key that signs is missing");
    let secret = keys.get(&section.api_key);
    let secret = secret.with_context(|| format!("webhook.api_key: {:?} is not in keys", section.api_key))?;
    Ok(Some(api::Webhooks {
        api_key: section.api_key.clone(),
        secret: secret.clone(),
        urls: section.urls.clone(),
        include: section.filter_params.include_events.clone(),
        exclude: section.filter_params.exclude_events.clone(),
        full_room: file.room.enable_full_room_in_webhooks,
        lanes: section.url_notifier.num_workers.unwrap_or(WEBHOOK_WORKERS).clamp(1, 1000),
        queued: section.url_notifier.queue_size.unwrap_or(WEBHOOK_QUEUE).clamp(1, 1_000_000),
    }))
}
