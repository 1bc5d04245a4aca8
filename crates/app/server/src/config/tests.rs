use super::*;

fn load(text: &str) -> anyhow::Result<Settings> {
    Settings::from_text(text, &Options::default())
}

fn error(text: &str) -> String {
    format!("{:#}", load(text).expect_err("must be refused"))
}

const KEYS: &str = "keys:\n  k: 0123456789012345678901234567890123\n";

#[test]
fn the_example_is_valid_and_shows_every_key() {
    let example = include_str!("../../../../../config.example.yaml");
    let options = Options { dev: true, ..Options::default() };
    let settings = Settings::from_text(example, &options).unwrap();
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    // Every key stands in it, as itself or behind a comment sign.
    for (key, _) in keys::KEYS {
        let name = key.rsplit('.').next().unwrap_or(key);
        assert!(example.contains(&format!("{name}:")), "config.example.yaml does not show {key}");
    }
}

#[test]
fn every_example_line_is_valid_when_its_comment_sign_is_taken_away() {
    let example = include_str!("../../../../../config.example.yaml");
    let uncommented: String = example
        .lines()
        .filter(|line| (!line.starts_with("# ") || line.starts_with("#  ")) && *line != "#")
        .map(|line| format!("{}\n", line.replacen("#", "", 1)))
        .collect();
    let findings = strict::inspect(&uncommented).unwrap();
    assert_eq!(findings.unknown, [], "{uncommented}");
}

#[test]
fn dev_needs_no_file() {
    let settings = Settings::from_text("", &Options { dev: true, ..Options::default() }).unwrap();
    assert!(settings.dev_key && settings.api.keys.get("devkey").is_some() && settings.api.guests);
    assert_eq!(settings.engine.ports, engine::Ports::Shared(7882));
    assert_eq!(settings.engine.tcp, Some(engine::TcpPort { port: 7881, required: false }));
    assert!(settings.bind.iter().all(|ip| ip.is_loopback()));
}

#[test]
fn without_dev_there_are_no_keys_no_guests_and_a_range_of_ports() {
    assert!(error("port: 7880\n").contains("no API keys"));
    let settings = load(KEYS).unwrap();
    assert!(!settings.api.guests && settings.warnings.is_empty());
    assert_eq!(settings.engine.ports, engine::Ports::Range { first: 50_000, last: 60_000 });
}

#[test]
fn turn_is_off_until_it_is_enabled_and_then_complete() {
    let turn = |section: &str| load(&format!("{KEYS}turn: {section}\n")).map(|s| s.turn);
    assert!(turn("{}").unwrap().is_none() && turn("{udp_port: 3478}").unwrap().is_none());
    let plain = turn("{enabled: true}").unwrap().unwrap();
    assert_eq!((plain.udp_port, plain.tcp_port, plain.tls_port), (3478, 0, 0));
    assert_eq!((plain.relay_ports, plain.per_user, plain.issuer.ttl.as_secs()), (30_000..=40_000, 12, 300));
    assert_eq!(plain.issuer.secret, "", "made at start");
    let shared = turn("{enabled: true, secret: 0123456789012345}").unwrap().unwrap();
    assert_eq!(shared.issuer.secret, "0123456789012345");
    assert!(!format!("{shared:?}").contains("0123"));
    let outside =
        turn("{enabled: true, domain: t.example, tls_port: 5349, external_tls: true}").unwrap().unwrap();
    assert_eq!((outside.udp_port, outside.tls_port, outside.certificate.is_none()), (0, 5349, true));
    for (section, part) in [
        ("{enabled: true, tls_port: 5349}", "turn.domain"),
        ("{enabled: true, tls_port: 5349, domain: d}", "turn.cert_file"),
        ("{enabled: true, cert_file: c}", "go together"),
        ("{enabled: true, relay_range_start: 9, relay_range_end: 8}", "relay_range"),
        ("{enabled: true, ttl_seconds: 100000}", "ttl_seconds"),
        ("{enabled: true, secret: short}", "turn.secret"),
        ("{enabled: true, secret_file: /nowhere}", "turn.secret_file"),
        ("{enabled: true, secret: 0123456789012345, secret_file: a}", "not both"),
        ("{enabled: true, deny_peer_cidrs: [10.0.0.0/99]}", "deny_peer_cidrs"),
    ] {
        let error = error(&format!("{KEYS}turn: {section}\n"));
        assert!(error.contains(part), "{section} gave {error}");
    }
}

#[test]
fn addresses_are_chosen_by_network() {
    let rtc = |ips: &str| format!("{KEYS}rtc: {{ips: {ips}}}\n");
    let chosen = load(&rtc("{includes: [10.1.2.3/8], excludes: [\"::1\"]}")).unwrap().engine.interfaces;
    let range = |first: &str, last: &str| first.parse().unwrap()..=last.parse().unwrap();
    assert_eq!(chosen.include_ips, [range("10.0.0.0", "10.255.255.255")]);
    assert_eq!(chosen.exclude_ips, [range("::1", "::1")]);
    assert!(error(&rtc("{includes: [10.0.0.0/33]}")).contains("rtc.ips.includes"));
}

#[test]
fn a_turn_server_elsewhere_may_have_a_secret() {
    let servers = |entry: &str| {
        load(&format!("{KEYS}rtc: {{turn_servers: [{entry}]}}\n")).map(|s| s.api.rooms.ice_servers)
    };
    let issuer = servers("{host: t, secret: s3cret, ttl: 1h}").unwrap().remove(0).issuer.unwrap();
    assert_eq!((issuer.secret.as_str(), issuer.ttl), ("s3cret", Duration::from_secs(3600)));
    assert!(servers("{host: t, secret: a, secret_file: b}").is_err());
}

#[test]
fn media_over_tcp_is_a_wish_unless_it_is_written_and_may_be_all_there_is() {
    let tcp = |rtc: &str| load(&format!("{KEYS}rtc: {rtc}\n")).map(|s| (s.engine.tcp, s.engine.tcp_only));
    let at = |port, required| Some(engine::TcpPort { port, required });
    assert_eq!(tcp("{}").unwrap(), (at(7881, false), false));
    assert_eq!(tcp("{tcp_port: 443}").unwrap(), (at(443, true), false));
    assert_eq!(tcp("{tcp_port: 0}").unwrap(), (None, false));
    assert_eq!(tcp("{force_tcp: true}").unwrap(), (at(7881, true), true));
    assert!(error(&format!("{KEYS}rtc: {{tcp_port: 0, force_tcp: true}}\n")).contains("rtc.force_tcp"));
}

#[test]
fn keys_are_given_as_livekits_server_takes_them() {
    let keys = |text: &str| {
        let options = Options { keys: Some(text.into()), ..Options::default() };
        Settings::from_text("", &options).map(|settings| {
            let keys = &settings.api.keys;
            keys.names()
                .map(|name| format!("{name} {}", keys.get(name).unwrap().is_short()))
                .collect::<Vec<_>>()
        })
    };
    let long = "0123456789012345678901234567890123";
    for text in [
        format!("a: {long}\nb: short"),
        format!("a:{long}\n\n b:short\n"),
        format!("{{a: {long}, b: short}}"),
        format!("a: \"{long}\"\nb: 'short'"),
    ] {
        assert_eq!(keys(&text).unwrap(), ["a false", "b true"], "{text}");
    }
    assert!(format!("{:#}", keys("secret").unwrap_err()).contains("LIVEKIT_KEYS"));
}

#[test]
fn flags_win_over_the_file() {
    let options = Options {
        udp_port: Some("4000-4003".into()),
        bind: vec!["10.0.0.1".parse().unwrap()],
        keys: Some("a: b\nc: d".into()),
        node_ip: Some("203.0.113.7".parse().unwrap()),
        ..Options::default()
    };
    let settings =
        Settings::from_text("rtc: {udp_port: 1, node_ip: 192.0.2.1}\nbind_addresses: ['::1']\n", &options)
            .unwrap();
    assert_eq!(settings.engine.ports, engine::Ports::Range { first: 4000, last: 4003 });
    assert_eq!(settings.engine.node_ips, options.node_ip.into_iter().collect::<Vec<_>>());
    assert_eq!(settings.bind, options.bind);
    assert_eq!(settings.api.keys.names().collect::<Vec<_>>(), ["a", "c"]);
    assert!(!settings.dev_key);
    assert_eq!(settings.warnings.len(), 2, "short secrets are said: {:?}", settings.warnings);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, part) in [
        ("prot: 1\n", "did you mean \"port\""),
        ("port: 70000\n", "port: invalid u16 at line 1"),
        ("bind_addresses: [nowhere]\n", "\"nowhere\" is not an IP address"),
        ("rtc: {udp_port: 9-1}\n", "9 to 1 is not a range"),
        ("rtc: {udp_port: x}\n", "\"x\" is not a port"),
        ("shutdown: {action: explode}\n", "neither leave nor reconnect"),
        ("shutdown: {grace: soon}\n", "not a time"),
        ("tls: {cert_file: a}\n", "needs tls.key_file"),
        ("room: {enabled_codecs: [{mime: video/theora}]}\n", "video/theora"),
        ("logging: {level: loud}\n", "\"loud\""),
        ("prometheus: {port: 1, username: x}\n", "go together"),
        ("rtc: {turn_servers: [{host: h, protocol: quic}]}\n", "\"quic\""),
        ("a: [", "YAML"),
    ] {
        let message = error(&format!("{text}{KEYS}"));
        assert!(message.contains(part), "{text:?} gave {message:?}");
    }
}

#[test]
fn keys_without_effect_are_said_and_a_lenient_start_says_unknown_ones() {
    let settings = load(&format!("redis: {{address: x}}\n{KEYS}")).unwrap();
    assert_eq!(settings.warnings, ["redis is accepted and does nothing yet"]);
    let options = Options { disable_strict_config: true, ..Options::default() };
    let settings = Settings::from_text(&format!("prot: 1\n{KEYS}"), &options).unwrap();
    assert!(settings.warnings[0].contains("prot"));
}

#[test]
fn ice_servers_codecs_and_times_reach_who_uses_them() {
    let text = "rtc:\n  stun_servers: ['s:3478']\n  turn_servers:\n  - {host: t, port: 443, protocol: tls, username: u, credential: c}\n\
        room: {empty_timeout: 60, departure_timeout: 1m, enabled_codecs: [{mime: audio/opus}, {mime: video/rtx}, {mime: video/VP9}]}\n";
    let rooms = load(&format!("{text}{KEYS}")).unwrap().api.rooms;
    assert_eq!(rooms.ice_servers[0].urls, ["stun:s:3478"]);
    assert_eq!(rooms.ice_servers[1].urls, ["turns:t:443?transport=tcp"]);
    assert_eq!(rooms.codecs, [codec::Kind::Opus, codec::Kind::Vp9]);
    assert_eq!(rooms.profiles, []);
    let lines =
        "room: {enabled_codecs: [{mime: video/H264, fmtp_line: a=1}, {mime: video/h264, fmtp_line: a=2}]}\n";
    let limited = load(&format!("{lines}{KEYS}")).unwrap().api.rooms;
    assert_eq!(limited.codecs, [codec::Kind::H264]);
    assert_eq!(
        limited.profiles,
        [(codec::Kind::H264, "a=1".to_owned()), (codec::Kind::H264, "a=2".to_owned())]
    );
    assert_eq!(
        (rooms.rules.empty_timeout, rooms.rules.departure_timeout),
        (Duration::from_secs(60), Duration::from_secs(60))
    );
}

#[test]
fn secrets_are_not_printed() {
    let settings = load(KEYS).unwrap();
    assert!(!format!("{settings:?}").contains("0123456789"));
}

#[test]
fn webhooks_are_signed_by_a_key_that_is_there() {
    let hooks = "webhook:\n  api_key: k\n  urls: [\"https://a/b\"]\n  filter_params:\n    exclude_events: [room_started]\n";
    let settings = load(&format!("{KEYS}{hooks}")).unwrap();
    let webhooks = settings.api.webhooks.unwrap();
    assert_eq!((webhooks.urls.len(), webhooks.lanes, webhooks.queued), (1, 10, 1000));
    assert_eq!(webhooks.exclude, ["room_started"]);
    assert!(load(KEYS).unwrap().api.webhooks.is_none());
    assert!(
        error(&format!("{KEYS}webhook:\n  api_key: other\n  urls: [\"https://a\"]\n"))
            .contains("not in keys")
    );
    assert!(error(&format!("{KEYS}webhook:\n  urls: [\"https://a\"]\n")).contains("api_key"));
    let refused = error(&format!("{KEYS}webhook:\n  api_key: k\n  urls: [\"ftp://user:hidden@a\"]\n"));
    assert!(refused.contains("webhook.urls") && !refused.contains("hidden"), "{refused}");
}

#[test]
fn presets_are_read() {
    let text = "room:\n  room_configurations:\n    small:\n      max_participants: 2\n      agents:\n        - agent_name: helper\n";
    let settings = load(&format!("{KEYS}{text}")).unwrap();
    let preset = &settings.api.rooms.presets["small"];
    assert_eq!((preset.max_participants, preset.agents[0].agent_name.as_str()), (2, "helper"));
}

/// LiveKit's own commented example, with the comment signs taken away. The binary runs it in a test of its own.
#[test]
fn the_keys_of_livekits_example_are_taken_and_those_without_effect_named() {
    let sample = include_str!("../../tests/process/livekit-sample.yaml");
    let options = sample.lines().filter(|line| !line.starts_with("# ") || line.starts_with("#  "));
    let text: String = options.map(|line| format!("{}\n", line.replacen('#', "", 1))).collect();
    let settings = load(&text).unwrap();
    let rooms = &settings.api.rooms;
    assert_eq!((rooms.rules.max_metadata, rooms.rules.remote_unmute), (usize::MAX, true));
    assert!(!rooms.auto_create && settings.api.webhooks.is_some());
    for key in ["redis", "node_selector"] {
        assert!(settings.warnings.iter().any(|w| w.starts_with(&format!("{key} "))), "{key}");
    }
}

#[test]
fn limits_throttles_and_switches_reach_who_uses_them() {
    let text = "limit: {num_tracks: 8, bytes_per_sec: 1_000_000_000.5, subscription_limit_video: 9, \
        subscription_limit_audio: 3, max_data_blobs_size: 10, data_packets_per_sec: 7}\n\
        room: {update_batch_target_size: 99}\naudio: {smooth_intervals: 4, active_red_encoding: true}\n\
        video: {codec_regression_threshold: 0}\n\
        enable_data_tracks: false\nenable_participant_data_blob: false\n\
        rtc: {advertise_internal_ip: true, external_ip_only: true, skip_external_ip_validation: true, \
        packet_buffer_size: 700, packet_buffer_size_audio: 300, \
        pli_throttle: {low_quality: 1s, mid_quality: 2s, high_quality: 300ms}}\n";
    let settings = load(&format!("{text}{KEYS}")).unwrap();
    assert_eq!(settings.warnings, [""; 0]);
    let (limits, rooms) = (settings.api.limits, settings.api.rooms);
    assert_eq!((limits.tracks, limits.bytes_per_second), (8, 1_000_000_001));
    let none =
        load(&format!("limit: {{num_tracks: -1, bytes_per_sec: -1, subscription_limit_video: -1}}\n{KEYS}"))
            .unwrap();
    assert_eq!((none.api.limits, none.api.rooms.rules.max_videos), (api::Limits::default(), 0));
    assert_eq!((rooms.rules.max_videos, rooms.rules.max_audios), (9, 3));
    let signalling = rooms.signalling;
    assert_eq!(signalling.data, signal::Rate { burst: 28, per_second: 7 });
    assert_eq!((signalling.blobs_size, signalling.update_batch, signalling.smooth_intervals), (10, 99, 4));
    assert!(signalling.redundant_audio && signalling.regression_below == 0);
    assert!(!signalling.data_tracks && !signalling.blobs && !settings.engine.internal_candidates);
    let router = settings.engine.router;
    let millis =
        [router.key_frame_interval_low, router.key_frame_interval_mid, router.key_frame_interval_high];
    assert_eq!(millis.map(|span| span.as_millis()), [1000, 2000, 300]);
    assert_eq!((router.cache_video_packets, router.cache_audio_packets), (700, 300));
}
