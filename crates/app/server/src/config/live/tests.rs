use super::*;
use crate::config::Settings;

const KEYS: &str = "keys:\n  k: 0123456789012345678901234567890123\n";

fn settings(text: &str, dev: bool) -> anyhow::Result<Option<Live>> {
    let text = format!("{KEYS}{text}");
    Settings::from_text(&text, &Options { dev, ..Options::default() }).map(|settings| settings.live)
}

fn live_of(text: &str) -> Live {
    settings(text, false).unwrap().unwrap()
}

fn error(text: &str) -> String {
    format!("{:#}", settings(text, false).unwrap_err())
}

/// The settings of `path` in the default domain.
fn app(live: &Live, path: &str) -> Arc<App> {
    live.desk.directory.stream("any", path).unwrap().app
}

#[test]
fn live_streams_are_there_where_asked_for() {
    assert!(settings("", false).unwrap().is_none());
    let live = live_of("live:\n  auto: false\n");
    assert_eq!((live.rtmp, live.rtmps, live.http), (Some(1935), None, Some(8080)));
    assert_eq!(*app(&live, "live/demo"), App::default());
    assert!(live.desk.directory.stream("any", "other/demo").is_err(), "unknown apps are refused");
    let off = live_of("live:\n  rtmp:\n    port: 0\n  http:\n    port: 80\n");
    assert_eq!((off.rtmp, off.http), (None, Some(80)));
}

#[test]
fn dev_is_open_and_makes_applications() {
    let live = settings("", true).unwrap().unwrap();
    assert_eq!(app(&live, "any/demo").publish, Policy::Open);
    let live = settings("live:\n  publish: token\n  auto: false\n", true).unwrap().unwrap();
    assert_eq!(app(&live, "live/demo").publish, Policy::Token);
    assert!(live.desk.directory.stream("any", "other/demo").is_err());
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let app = App::default();
    let s = Duration::from_secs;
    assert_eq!((app.stream.max_frames, app.stream.max_bytes), (1000, 64 << 20));
    assert_eq!((app.stream.content_latency, app.merge_latency), (s(3), Duration::ZERO));
    assert_eq!((app.stream.idle_time, app.stream.timeout_time), (s(30), s(20)));
    assert_eq!((app.hls.segment, app.hls.max_segment, app.hls.window), (s(3), s(6), 5));
    assert_eq!((app.hls.part, app.stream.replace_publisher), (Duration::from_millis(200), true));
    assert_eq!((app.publish, app.play), (Policy::Token, Policy::Open));
    let limits = live_of("live:\n  auto: false\n").desk.limits;
    assert_eq!((limits.connections, limits.per_address), (65_536, 4096));
    let limits = live_of("live:\n  max_connections: 10\n  max_connections_per_address: 2\n").desk.limits;
    assert_eq!((limits.connections, limits.per_address), (10, 2));
}

#[test]
fn every_key_does_something() {
    // Each of them, alone, makes an application that is not the default.
    for line in [
        "publish: open",
        "play: token",
        "max_buffer: 500",
        "max_buffer_bytes: 2000000",
        "content_latency: 1s",
        "stream_idle_time: 1s",
        "stream_timeout_time: 1s",
        "merge_latency: 350ms",
        "replace_publisher: false",
        "on_publish: http://h/",
        "on_play: http://h/",
        "on_close: http://h/",
        "callback_timeout: 1s",
    ] {
        let common = live_of(&format!("live:\n  {line}\n"));
        assert_ne!(*app(&common, "live/a"), App::default(), "{line}");
        let own =
            live_of(&format!("live:\n  domains:\n    - apps:\n        - name: live\n          {line}\n"));
        assert_eq!(*app(&own, "live/a"), *app(&common, "live/a"), "{line}");
    }
    for line in ["segment: 2s", "max_segment: 20s", "part: 300ms", "window: 7", "container: fmp4"] {
        let live = live_of(&format!("live:\n  hls:\n    {line}\n"));
        assert_ne!(*app(&live, "live/a"), App::default(), "{line}");
    }
    for (line, protocol) in [("rtmp", Protocol::Rtmp), ("flv", Protocol::Flv), ("hls", Protocol::Hls)] {
        let text = format!("live:\n  domains:\n    - apps:\n        - name: live\n          {line}: false\n");
        assert!(!app(&live_of(&text), "live/a").protocols.is_on(protocol), "{line}");
    }
}

#[test]
fn an_application_says_otherwise_than_all() {
    let live = live_of(
        "live:
  publish: open
  on_play: https://example.org/hook
  domains:
    - name: example.org
      apps:
        - name: live
          publish: token
          on_play: ''
          stream_keys:
            demo: 007
          pull:
            - url: rtmp://one/live
            - url: http://two:8080/live
              interval: 5s
              max_retry: 0
          push:
            - url: rtmp://three/live
        - name: open
    - name: second.example
      auto: true
",
    );
    assert_eq!(live.desk.directory.default_domain(), "example.org");
    let live_app = app(&live, "live/demo");
    assert_eq!((live_app.publish, &live_app.callbacks.on_play), (Policy::Token, &None));
    assert_eq!(live_app.stream_of_key("007"), Some("demo"), "digits stay as they are written");
    let pulls: Vec<_> =
        live_app.pull.iter().map(|o| (o.protocol, o.interval.as_secs(), o.max_retry)).collect();
    assert_eq!(pulls, [(Protocol::Rtmp, 1, 3), (Protocol::Flv, 5, 0)]);
    assert_eq!(live_app.push[0].url, "rtmp://three/live");
    let open = app(&live, "open/demo");
    assert_eq!(open.publish, Policy::Open);
    assert_eq!(open.callbacks.on_play.as_deref(), Some("https://example.org/hook"));
    assert!(app(&live, "second.example/any/demo").push.is_empty());
}

#[test]
fn mistakes_are_said() {
    let one = |line: &str| {
        error(&format!(
            "live:\n  domains:\n    - name: d\n      apps:\n        - name: a\n          {line}\n"
        ))
    };
    assert!(one("publish: maybe").contains("neither token nor open"), "{}", one("publish: maybe"));
    assert!(one("publish: maybe").contains("apps: a"));
    assert!(one("stream_keys: {demo: ''}").contains("is empty"));
    assert!(one("on_play: ftp://x").contains("on_play"));
    assert!(one("push: [{url: http://x}]").contains("push.url"));
    assert!(one("pull: [{protocol: hls, url: http://x}]").contains("neither rtmp nor flv"));
    let wrong = one("pull: [{protocol: rtmp, url: 'http://x?token=hush'}]");
    assert!(wrong.contains("http://x") && !wrong.contains("hush"), "{wrong}");
    assert!(one("max_buffer: 1").contains("max_buffer"));
    assert!(one("merge_latency: 1m").contains("merge_latency"));
    assert!(error("live:\n  max_connections_per_address: 0\n").contains("at least 1"));
    assert!(error("live:\n  rtmps:\n    port: 1936\n").contains("tls.cert_file"));
    assert!(error("live:\n  hls:\n    part: 4s\n").contains("part"));
    assert!(error("live:\n  hls:\n    container: mkv\n").contains("none of auto, ts, fmp4"));
    assert!(error("live:\n  domains:\n    - name: ../x\n").contains("address"));
    assert!(error("live:\n  domains:\n    - name: a\n    - name: A\n").contains("twice"));
    assert!(error("live:\n  domains:\n    - name: a\n    - apps: []\n").contains("no name"));
    assert!(error("live:\n  contentlatency: 1s\n").contains("live.content_latency"));
}

#[test]
fn a_protocol_that_is_not_there_yet_says_so() {
    let text = format!("{KEYS}live:\n  domains:\n    - apps:\n        - name: a\n          srt: true\n");
    let settings = Settings::from_text(&text, &Options::default()).unwrap();
    assert_eq!(settings.warnings, ["live.domains.apps.srt is accepted and does nothing yet"]);
}
