//! The binary as an operator meets it: what it says, what it exits with, how it goes.

#![allow(clippy::unwrap_used, reason = "a test's set-up")]

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use futures_util::StreamExt as _;
use livekit_protocol::{SignalResponse, signal_response};
use prost::Message as _;
use tokio_tungstenite::tungstenite::Message;

#[path = "process/operation.rs"]
mod operation;

fn millrace() -> Command {
    without_environment(Command::new(env!("CARGO_BIN_EXE_millrace")))
}

fn without_environment(mut command: Command) -> Command {
    let ours = |name: &str| name.starts_with("LIVEKIT_") || name.starts_with("MILLRACE_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    for name in ["NODE_IP", "UDP_PORT", "REDIS_HOST", "REDIS_PASSWORD", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    millrace().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running server, gone with the test that started it.
struct Server {
    child: Child,
    lines: BufReader<ChildStderr>,
    /// `127.0.0.1:port` of HTTP.
    address: String,
}

impl Server {
    fn start(config: &str) -> Self {
        let body = format!("port: 0\nbind_addresses: [127.0.0.1]\n{config}");
        Self::start_as(&["--config-body", &body, "--keys", "k: 0123456789012345678901234567890123"])
    }

    fn start_as(arguments: &[&str]) -> Self {
        let mut command = millrace();
        command.args(arguments);
        Self::of(command)
    }

    /// What `command` starts, once it listens.
    fn of(command: Command) -> Self {
        let mut command = without_environment(command);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let mut server = Self { child, lines, address: String::new() };
        let line = server.line_with("listening for http");
        server.address = line.rsplit_once("address=").unwrap().1.trim().to_owned();
        server
    }

    /// The next line of its log that has `part` in it.
    fn line_with(&mut self, part: &str) -> String {
        let mut seen = String::new();
        loop {
            let from = seen.len();
            assert_ne!(self.lines.read_line(&mut seen).unwrap(), 0, "ended without {part:?}:\n{seen}");
            if seen[from..].contains(part) {
                return seen[from..].to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    fn get(&self, path: &str) -> String {
        get(&self.address, path, "")
    }
}

/// An HTTP answer as text.
fn get(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn token(room: &str) -> String {
    let arguments = ["create-join-token", "--keys", "k: 0123456789012345678901234567890123", "--room", room];
    let output = run(&[&arguments[..], &["--identity", "ann"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

#[test]
fn a_wrong_configuration_is_one_clear_error() {
    for (body, part) in [
        ("prot: 1\n", "line 1: unknown key \"prot\"; did you mean \"port\"?"),
        ("keys: {a: b}\nrtc: {udp_port: nine}\n", "rtc.udp_port"),
        ("keys: {a: b}\nrtc: {node_ip: here}\n", "rtc.node_ip: invalid IP address syntax at line 2"),
        ("keys: {a: b\n", "not YAML: "),
        ("{}", "no API keys"),
    ] {
        let output = run(&["check-config", "--config-body", body]);
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(part), "{body:?} gave {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let missing = text(&run(&["--config", "/nowhere/millrace.yaml"]).stderr);
    assert!(missing.contains("/nowhere/millrace.yaml"), "{missing}");
    assert!(!run(&["--https", "--keys", "a: b"]).status.success(), "a made certificate is for --dev");
}

#[test]
fn a_valid_configuration_is_said_to_be_so() {
    let output = run(&["check-config", "--config-body", "keys: {a: b}\nredis: {address: x}\n"]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains("valid"), "{said}");
    assert!(said.contains("redis") && said.contains("shorter than 32"), "{said}");
}

#[test]
fn generated_keys_differ_and_work() {
    let keys = || text(&run(&["generate-keys"]).stdout);
    let (one, two) = (keys(), keys());
    assert_ne!(one, two);
    let word = |n: usize| one.lines().nth(n).unwrap().split_whitespace().last().unwrap().to_owned();
    let pair = format!("{}: {}", word(0), word(1));
    let output = run(&["check-config", "--keys", &pair]);
    assert!(output.status.success() && !text(&output.stdout).contains("warning"), "{}", text(&output.stdout));
}

#[tokio::test]
async fn sigterm_tells_clients_to_leave_and_ends_well() {
    for (config, action) in [("", 0), ("shutdown: {action: reconnect}\n", 2)] {
        let mut server = Server::start(config);
        assert!(server.get("/").ends_with("OK"));
        let url = format!("ws://{}/rtc?protocol=16&access_token={}", server.address, token("garden"));
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut leave = None;
        let mut signalled = false;
        while let Some(Ok(message)) = socket.next().await {
            let Message::Binary(bytes) = message else { continue };
            match SignalResponse::decode(bytes).unwrap().message {
                Some(signal_response::Message::Leave(said)) => leave = Some(said),
                _ if !signalled => {
                    server.signal("TERM");
                    signalled = true;
                }
                _ => {}
            }
        }
        assert_eq!(leave.expect("a goodbye").action, action);
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn sigint_without_anybody_ends_well_and_sigpipe_does_not_end_it() {
    let mut server = Server::start("");
    server.signal("PIPE");
    assert!(server.get("/healthz").ends_with("OK"));
    server.signal("INT");
    server.line_with("stopping");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_hang_up_reloads_and_a_taken_port_is_one_clear_error() {
    let mut server = Server::start("");
    server.signal("HUP");
    server.line_with("reloaded");
    assert!(server.get("/healthz").ends_with("OK"));

    let (_, port) = server.address.rsplit_once(':').unwrap();
    let body =
        format!("port: {port}\nbind_addresses: [127.0.0.1]\nkeys: {{a: 0123456789012345678901234567890123}}");
    let output = run(&["--config-body", &body]);
    let error = text(&output.stderr);
    assert!(!output.status.success());
    assert!(error.lines().last().unwrap().contains("cannot listen on 127.0.0.1"), "{error}");
}

#[test]
fn metrics_are_on_their_own_port_behind_their_login() {
    // Free a moment ago; 0 would mean off.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start(&format!("prometheus: {{port: {port}, username: u, password: p}}\n"));
    assert!(server.get("/metrics").starts_with("HTTP/1.1 404"), "not for everybody");
    let metrics = format!("127.0.0.1:{port}");
    assert!(get(&metrics, "/metrics", "").starts_with("HTTP/1.1 401"));
    let wrong = get(&metrics, "/metrics", "Authorization: Basic dTpx\r\n");
    assert!(wrong.starts_with("HTTP/1.1 401") && !wrong.contains("millrace_"), "{wrong}");
    let page = get(&metrics, "/metrics", "Authorization: Basic dTpw\r\n");
    assert!(page.contains("\nmillrace_rooms 0\n"), "{page}");
    assert!(page.contains("\n# TYPE millrace_worker_peers gauge\n"), "{page}");
}

#[test]
fn tokens_stay_out_of_the_log() {
    let mut server = Server::start("logging: {level: debug}\n");
    let token = token("garden");
    server.get(&format!("/rtc/validate?access_token={token}"));
    let line = server.line_with("/rtc/validate");
    assert!(line.contains("access_token") && !line.contains(&token[..20]), "{line}");
}

fn load(server: &Server, more: &[&str]) -> Output {
    let url = format!("ws://{}", server.address);
    let secret = "0123456789012345678901234567890123";
    let common = ["load", "room", "--url", &url, "--api-key", "k", "--api-secret", secret];
    run(&[&common[..], more].concat())
}

#[test]
fn a_small_load_arrives_whole_in_both_modes_and_is_reported() {
    let server = Server::start("rtc: {udp_port: 0, node_ip: 127.0.0.1}\n");
    let pid = server.child.id().to_string();
    for mode in [&[][..], &["--v0"]] {
        let what = ["--subscribers", "3", "--audio", "--duration", "2", "--json", "-", "--server-pid", &pid];
        let output = load(&server, &[&what[..], mode].concat());
        let (said, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{error}");
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&report["connected"], &report["lost"]), (&4.into(), &0.into()), "{said}");
        assert!(report["packets_received"].as_u64().unwrap() > 500, "{said}");
        assert!(report["frames"].as_u64().unwrap() > 100, "{said}");
        assert!(report["rss_bytes"].as_u64().unwrap() > 1_000_000, "{said}");
        for key in REPORTED {
            assert!(report[key].is_number(), "no {key}: {said}");
        }
        let second = &report["seconds"][0];
        assert!(second["packets_received"].as_u64().unwrap() > 0, "{said}");
        assert!(second["delay_p99_ms"].as_f64().unwrap() > 0.0, "{said}");
    }
}

/// What a report has at least.
const REPORTED: [&str; 16] = [
    "packets_per_cpu_second",
    "packets_sent",
    "packets_expected",
    "packets_received",
    "lost",
    "recovered",
    "delay_median_ms",
    "delay_p99_ms",
    "delay_max_ms",
    "join_median_ms",
    "join_p99_ms",
    "freezes",
    "server_cpu_s",
    "server_cpu_percent",
    "rss_bytes",
    "rss_per_participant",
];

/// A load that has measured something, and goes on.
struct Measuring {
    child: Child,
    said: Lines<BufReader<ChildStderr>>,
}

impl Measuring {
    fn start(load: &[&str], duration: &str) -> Self {
        let mut child = millrace()
            .args(load)
            .args(["--duration", duration, "--json", "-"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut before = Vec::new();
        let measured = said.by_ref().map(Result::unwrap).any(|line| {
            let traffic = line.contains("Mbit/s") && !line.contains(" 0.0 Mbit/s");
            before.push(line);
            traffic
        });
        assert!(measured, "ended before it measured: {before:?}");
        Self { child, said }
    }

    /// How it ends: its report, whether it is content, and the last that it says.
    fn end(self) -> (serde_json::Value, bool, String) {
        // What it says until it ends is read, so that it does not wait for a reader.
        let last = self.said.map_while(Result::ok).last();
        let output = self.child.wait_with_output().unwrap();
        let report = serde_json::from_str(&text(&output.stdout)).unwrap();
        (report, output.status.success(), last.unwrap_or_default())
    }
}

fn signal(process: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &process.id().to_string()]).status().unwrap().success());
}

/// The report of a load that would go on for ten minutes, and is interrupted once it has measured something.
fn interrupted(load: &[&str]) -> serde_json::Value {
    let load = Measuring::start(load, "600");
    signal(&load.child, "INT");
    let (report, is_content, last) = load.end();
    assert!(is_content, "{last}");
    report
}

#[test]
fn a_server_that_stops_answering_is_said_to_have_stopped() {
    let (rtmp, http) = (free_port(), free_port());
    let server = Server::start(&format!(
        "rtc: {{udp_port: 0, node_ip: 127.0.0.1}}\n\
         live: {{rtmp: {{port: {rtmp}}}, http: {{port: {http}}}, publish: open}}\n"
    ));
    let (url, stream) = (format!("ws://{}", server.address), format!("rtmp://127.0.0.1:{rtmp}/live/load"));
    let (secret, http) = ("0123456789012345678901234567890123", format!("http://127.0.0.1:{http}"));
    let room =
        ["load", "room", "--url", &url, "--api-key", "k", "--api-secret", secret, "--subscribers", "1"];
    let live = ["load", "live", "--url", &stream, "--http", &http, "--rtmp", "1"];
    // That of the room ends before its server would have to say a word again, that of the stream because of its silence.
    let loads = [Measuring::start(&live, "600"), Measuring::start(&room, "8")];
    server.signal("STOP");
    for (report, is_content, last) in loads.map(Measuring::end) {
        assert!(!is_content && last.contains("stopped answering"), "{last}");
        assert!(report["trouble"].as_str().unwrap().contains("stopped answering"), "{report}");
    }
}

#[test]
fn an_interrupted_load_reports() {
    let server = Server::start("rtc: {udp_port: 0, node_ip: 127.0.0.1}\n");
    let url = format!("ws://{}", server.address);
    let secret = "0123456789012345678901234567890123";
    let target = ["load", "room", "--url", &url, "--api-key", "k", "--api-secret", secret];
    let report = interrupted(&[&target[..], &["--subscribers", "2"]].concat());
    assert_eq!((&report["connected"], &report["lost"]), (&3.into(), &0.into()), "{report}");
    assert!(report["packets_received"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_load_that_cannot_run_says_what_to_change_in_one_line() {
    let rtmp = free_port();
    let server = Server::start(&format!("live: {{rtmp: {{port: {rtmp}}}, http: {{port: 0}}}}\n"));
    for (more, part) in [
        (&["--api-secret", "01234567890123456789012345678901"][..], "--api-secret"),
        (&["--url", "ws://192.0.2.1:7880"], "--i-own-this-server"),
        (&["--url", "http://127.0.0.1:7880"], "must begin with ws://"),
        (&["--url", "ws://127.0.0.1:1"], "is it running?"),
        (&["--url", &format!("ws://127.0.0.1:{rtmp}")], "port of HTTP"),
        (&["--video", "none"], "--audio"),
        (&["--server-pid", "4294967295"], "no such process"),
        (&["--subscribers", "900000000"], "ulimit -n"),
        (&["--rooms", "18446744073709551615", "--subscribers", "2"], "ulimit -n"),
        (&["--bitrate", "18446744073709551615"], "--bitrate"),
        (&["--join-rate", "1e-300"], "--join-rate"),
    ] {
        let output = load(&server, &[&["--subscribers", "1", "--duration", "1"][..], more].concat());
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(part), "{more:?} gave {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

/// A port that was free a moment ago; 0 would mean off.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn live_streams_arrive_whole_over_every_protocol_and_are_reported() {
    let (rtmp, http) = (free_port(), free_port());
    let config = format!(
        "rtc: {{udp_port: 0, node_ip: 127.0.0.1}}\n\
         live: {{rtmp: {{port: {rtmp}}}, http: {{port: {http}}}, publish: open, hls: {{segment: 1s}}}}\n"
    );
    let server = Server::start(&config);
    let url = format!("rtmp://127.0.0.1:{rtmp}/live/load");
    let (http, pid) = (format!("http://127.0.0.1:{http}"), server.child.id().to_string());
    let ways = ["--rtmp", "3", "--flv", "3", "--ws-flv", "2", "--hls", "1", "--ll-hls", "1"];
    let common = ["load", "live", "--url", &url, "--http", &http, "--group", "1", "--bitrate", "500000"];
    let more = ["--streams", "2", "--duration", "2", "--json", "-", "--server-pid", &pid];
    let output = run(&[&common[..], &ways, &more].concat());
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{error}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&report["playing"], &report["published"]), (&10.into(), &2.into()), "{said}");
    assert_eq!((&report["gaps"], &report["failures"]), (&0.into(), &serde_json::json!([])), "{said}");
    for way in ["rtmp", "flv", "ws_flv", "hls", "ll_hls"] {
        assert!(report[format!("{way}_pictures")].as_u64().unwrap() > 0, "{way}: {said}");
        assert!(report[format!("{way}_latency_median_ms")].as_f64().unwrap() > 0.0, "{way}: {said}");
    }
    assert!(report["writes_per_player_second"].as_f64().unwrap() > 0.0, "{said}");
    assert!(report["rss_bytes"].as_u64().unwrap() > 1_000_000, "{said}");
}

#[test]
fn a_live_load_that_cannot_run_says_what_to_change_in_one_line_and_an_interrupted_one_reports() {
    let (rtmp, http) = (free_port(), free_port());
    let server = Server::start(&format!(
        "rtc: {{udp_port: 0}}\nlive: {{rtmp: {{port: {rtmp}}}, http: {{port: {http}}}, publish: open}}\n"
    ));
    let (url, http) = (format!("rtmp://127.0.0.1:{rtmp}/live/load"), format!("http://127.0.0.1:{http}"));
    let common = ["load", "live", "--url", &url, "--http", &http];
    for (more, part) in [
        (&["--url", "rtmp://192.0.2.1/live/load"][..], "--i-own-this-server"),
        (&["--url", "rtmp://127.0.0.1/load"], "app/stream"),
        (&["--url", "rtmp://127.0.0.1:1/live/load"], "is it running?"),
        (&["--url", &format!("rtmp://127.0.0.1:{rtmp}/other/load")], "NetStream.Publish"),
        (&["--http", "http://127.0.0.1:1", "--flv", "1"], "is it running?"),
        (&["--existing"], "nobody to play"),
        (&["--bitrate", "1000"], "--bitrate"),
        (&["--server-pid", "4294967295"], "no such process"),
        (&["--rtmp", "900000000"], "ulimit -n"),
        (&["--join-rate", "1e-300"], "--join-rate"),
    ] {
        let output = run(&[&common[..], &["--duration", "1"], more].concat());
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(part), "{more:?} gave {error}");
        // What was published before is told as well.
        assert_eq!(error.lines().filter(|line| line.contains("millrace:")).count(), 1, "{error}");
    }

    let report = interrupted(&[&common[..], &["--rtmp", "2"]].concat());
    assert_eq!(report["playing"], 2, "{report}");
    drop(server);
}

/// As `livekit-server create-join-token --recorder` has it.
#[test]
fn a_recorder_hears_and_sees_and_says_nothing() {
    use base64::Engine as _;
    let output = run(&["create-join-token", "--dev", "--room", "r", "--identity", "eye", "--recorder"]);
    let token = text(&output.stdout);
    let claims =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims = text(&claims);
    for part in ["\"recorder\":true", "\"hidden\":true", "\"canPublish\":false", "\"canPublishData\":false"] {
        assert!(claims.contains(part), "{claims}");
    }
}

/// Files for containers list variables that nobody has set.
#[test]
fn an_empty_variable_is_none() {
    let with_empty = |arguments: &[&str]| {
        let mut command = millrace();
        let names =
            ["LIVEKIT_CONFIG", "LIVEKIT_KEYS", "NODE_IP", "UDP_PORT", "LIVEKIT_RTC_TCP_PORT", "REDIS_HOST"];
        command.envs(names.map(|name| (name, ""))).args(arguments).output().unwrap()
    };
    let output = with_empty(&["--dev", "check-config"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "the configuration is valid\n");
    let output = with_empty(&["--config", "/nowhere/millrace.yaml"]);
    assert!(text(&output.stderr).contains("/nowhere/millrace.yaml"), "{}", text(&output.stderr));
}
