//! The server as the machine runs it: in the background, under a supervisor, reloaded, on its way out.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use auth::{ApiKeys, Claims, VideoGrant};

use super::*;

/// Longer than anything here takes on a busy machine: it only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "0123456789012345678901234567890123";

/// A folder of a test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millrace-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An access token, made as an application makes it.
fn signed(key: &str, secret: &str, video: VideoGrant) -> String {
    let mut keys = ApiKeys::new();
    keys.insert(key, secret).unwrap();
    let claims = Claims { identity: "ann".into(), video: Some(video), ..Claims::default() };
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = clock::Time { mono: std::time::Instant::now(), unix };
    auth::issue(&claims, key, keys.get(key).unwrap(), now, Duration::from_secs(600))
}

/// Status and body of a judgement about a token.
fn validate(server: &Server, token: &str) -> (u16, String) {
    let answer = server.get(&format!("/rtc/validate?access_token={token}"));
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.rsplit_once("\r\n\r\n").unwrap().1.to_owned())
}

const QUIET: [&str; 6] = ["--port", "0", "--bind", "127.0.0.1", "--node-ip", "127.0.0.1"];

#[test]
fn livekits_own_sample_runs_as_it_is() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process/livekit-sample.yaml");
    // Ports and addresses of a machine that has others running, and no STUN server to ask.
    let here = ["--port", "0", "--bind", "127.0.0.1", "--rtc.tcp_port", "0", "--node-ip", "127.0.0.1"];
    let mut server = Server::start_as(&[&["--config", sample], &here[..]].concat());
    assert!(server.get("/healthz").ends_with("OK"));
    let key1 = signed("key1", "secret1", VideoGrant::to_join("garden"));
    assert_eq!(validate(&server, &key1), (200, "success".into()));
    server.signal("TERM");
    server.line_with("stopping");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    let said = text(&run(&["check-config", "--config", sample]).stdout);
    assert!(said.contains("redis is accepted and does nothing yet") && said.contains("valid"), "{said}");

    // With all that it only mentions.
    let all: String = fs::read_to_string(sample)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("# ") || line.starts_with("#  "))
        .map(|line| format!("{}\n", line.replacen('#', "", 1)))
        .collect();
    let output = run(&["check-config", "--config-body", &all]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains("valid"), "{said}{}", text(&output.stderr));
    assert!(said.contains("warning: node_selector is accepted"), "{said}");
    let ports = text(&run(&["ports", "--config-body", &all]).stdout);
    assert!(
        ports.contains("7880/tcp") && ports.contains("7882/udp") && ports.contains("6789/tcp"),
        "{ports}"
    );
}

#[test]
fn keys_may_be_given_as_flags_and_in_the_environment() {
    let with = |arguments: &[&str], environment: &[(&str, &str)]| {
        let keys = ["--keys", &format!("k: {SECRET}")].map(str::to_owned);
        let mut command = millrace();
        command.envs(environment.iter().copied()).args(keys).args(arguments).output().unwrap()
    };
    let ports = |output: Output| text(&output.stdout);
    assert!(ports(with(&["--rtc.udp_port", "4000", "ports"], &[])).contains("4000/udp"));
    let variables = [("LIVEKIT_RTC_UDP_PORT", "4001"), ("LIVEKIT_PORT", "99")];
    assert!(ports(with(&["ports"], &variables)).contains("4001/udp"));
    let both = ports(with(&["ports", "--rtc.udp_port=4002"], &variables));
    assert!(both.contains("4002/udp") && both.contains(" 99/tcp"), "{both}");
    let wrong = with(&["check-config", "--room.empty_timeout", "soon"], &[]);
    assert!(!wrong.status.success());
    assert!(
        text(&wrong.stderr).contains("--room.empty_timeout: ") && !text(&wrong.stderr).contains('\u{1b}')
    );
    let misspelt = with(&["--rtc.upd_port", "1"], &[]);
    assert!(!misspelt.status.success() && text(&misspelt.stderr).contains("--rtc.udp_port"));
    let idle = with(&["check-config", "--redis-host", "r:1"], &[("LIVEKIT_RTC_UPD_PORT", "1")]);
    let said = text(&idle.stdout);
    assert!(
        said.contains("--redis-host is accepted") && said.contains("LIVEKIT_RTC_UPD_PORT names no key"),
        "{said}"
    );
    let help = text(&run(&["help-verbose"]).stdout);
    for key in ["--rtc.node_ip", "--live.rtmp.port", "LIVEKIT_ROOM_AUTO_CREATE", "--turn-cert"] {
        assert!(help.contains(key), "{key}");
    }
    assert!(!text(&run(&["--help"]).stdout).contains("--rtc.node_ip"));
}

#[test]
fn a_daemon_lets_its_caller_go_and_is_alone_and_gone_when_told() {
    let folder = Folder::new("daemon");
    let pid_file = folder.file("pid");
    let keys = format!("k: {SECRET}");
    let common = ["--daemon", "--pid-file", &pid_file, "--keys", &keys];
    // Its standard error is a pipe, and ends when it does.
    let mut caller =
        millrace().args(common).args(QUIET).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(caller.stderr.take().unwrap());
    assert!(caller.wait().unwrap().success());
    // The caller's standard output has been let go of.
    assert_eq!(caller.stdout.take().unwrap().read(&mut [0]).unwrap(), 0);
    let pid: u32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    assert_ne!(pid, caller.id());
    let mut seen = String::new();
    while !seen.contains("listening") {
        assert_ne!(log.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    let address = seen.rsplit_once("address=").unwrap().1.trim().to_owned();
    assert!(get(&address, "/healthz", "").ends_with("OK"));
    // Of a session without terminal that it does not lead: fields 5 to 7 of proc(5), stat.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let (session, terminal) = (fields[3], fields[4]);
    assert!(session != pid.to_string() && terminal == "0", "{stat}");

    // A second one does not start, and leaves the first one's file alone.
    for way in [&common[..], &common[1..]] {
        let second = millrace().args(way).args(QUIET).output().unwrap();
        let error = text(&second.stderr);
        assert!(
            !second.status.success() && error.contains(&format!("runs already (process {pid})")),
            "{error}"
        );
    }
    assert_eq!(fs::read_to_string(&pid_file).unwrap().trim(), pid.to_string());

    assert!(Command::new("kill").arg(pid.to_string()).status().unwrap().success());
    log.read_to_string(&mut seen).unwrap();
    assert!(seen.contains("stopping"), "{seen}");
    assert!(!Path::new(&pid_file).exists());
}

#[test]
fn a_daemon_that_cannot_start_says_so_to_its_caller() {
    let folder = Folder::new("no-daemon");
    let pid_file = folder.file("pid");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let keys = format!("k: {SECRET}");
    let common = ["--daemon", "--pid-file", &pid_file, "--keys", &keys, "--bind", "127.0.0.1"];
    for (more, part) in
        [(&["--port", &port][..], "cannot listen on 127.0.0.1"), (&["--port", "x"], "--port: ")]
    {
        let output = millrace().args(common).args(more).output().unwrap();
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(part), "{error}");
        assert!(!Path::new(&pid_file).exists());
    }
}

#[test]
fn a_supervisor_hears_that_it_is_ready_alive_and_stopping() {
    let folder = Folder::new("notify");
    let path = folder.file("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = [0; 256];
    let mut next = || {
        let n = supervisor.recv(&mut heard).unwrap();
        text(&heard[..n])
    };
    let keys = format!("k: {SECRET}");
    let mut child = millrace()
        .args(["--keys", &keys])
        .args(QUIET)
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "100000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(next(), "READY=1");
    // Beats for as long as it runs, also while it stops.
    assert_eq!([next(), next(), next()], ["WATCHDOG=1"; 3]);
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    while next() != "STOPPING=1" {}
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn children_that_it_inherits_do_not_stay_as_zombies() {
    let program = env!("CARGO_BIN_EXE_millrace");
    // One that has ended before the server is there, and one that ends later.
    let script = "true & sleep 0.5 & exec \"$0\" \"$@\"";
    let keys = format!("k: {SECRET}");
    let mut command = Command::new("sh");
    command.args(["-c", script, program, "--keys", &keys]).args(QUIET);
    let server = Server::of(command);
    let pid = server.child.id();
    let children = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let start = std::time::Instant::now();
    while !children().is_empty() {
        assert!(start.elapsed() < PATIENCE, "still there: {}", children());
        assert!(server.get("/healthz").ends_with("OK"));
    }
}

#[test]
fn a_hang_up_takes_keys_limits_webhooks_and_the_log_level_and_a_broken_file_changes_nothing() {
    let folder = Folder::new("reload");
    let file = folder.file("config.yaml");
    let hooks = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = format!("http://{}/hook", hooks.local_addr().unwrap());
    fs::write(&file, format!("keys: {{old: {SECRET}}}\n")).unwrap();
    let mut server = Server::start_as(&[&["--config", &file], &QUIET[..]].concat());
    let old = signed("old", SECRET, VideoGrant::to_join("garden"));
    let new =
        |room: &str| signed("new", SECRET, VideoGrant { room_create: true, ..VideoGrant::to_join(room) });
    assert_eq!(validate(&server, &old).0, 200);
    assert_eq!(validate(&server, &new("garden")).0, 401);

    let changed = format!(
        "keys: {{new: {SECRET}}}\nlimit: {{max_room_name_length: 5}}\nlogging: {{level: debug}}\n\
         webhook: {{api_key: new, urls: [\"{hook}\"]}}\n"
    );
    fs::write(&file, &changed).unwrap();
    server.signal("HUP");
    server.line_with("configuration reloaded");
    assert_eq!(validate(&server, &old).0, 401);
    assert_eq!(validate(&server, &new("garden")), (400, "room name is too long".into()));
    assert_eq!(validate(&server, &new("shed")).0, 200);
    server.line_with("DEBUG");
    let body = "{\"name\":\"shed\"}";
    let mut call = TcpStream::connect(&server.address).unwrap();
    write!(
        call,
        "POST /twirp/livekit.RoomService/CreateRoom HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        new("shed"),
        body.len()
    )
    .unwrap();
    let (mut told, _) = hooks.accept().unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut event = Vec::new();
    while !text(&event).contains("room_started") {
        let mut part = [0; 4096];
        let n = told.read(&mut part).unwrap();
        assert_ne!(n, 0, "{}", text(&event));
        event.extend_from_slice(&part[..n]);
    }
    assert!(text(&event).starts_with("POST /hook "), "{}", text(&event));

    for (broken, why) in [
        ("keys: [", "not YAML"),
        ("prot: 1\n", "did you mean"),
        ("port: 7880\n", "no API keys"),
        (&format!("{changed}tls: {{cert_file: /nowhere}}\n"), "tls.key_file"),
    ] {
        fs::write(&file, broken).unwrap();
        server.signal("HUP");
        let line = server.line_with("configuration not reloaded");
        assert!(line.contains(why), "{broken:?}: {line}");
        assert_eq!(validate(&server, &new("shed")).0, 200, "{broken:?}");
        assert_eq!(validate(&server, &new("garden")).0, 400, "{broken:?}");
    }
}

/// What a client that trusts `certificate` alone thinks of the server.
async fn is_shown(address: &str, certificate: &rcgen::Certificate) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    connector.connect("localhost".try_into().unwrap(), stream).await.is_ok()
}

#[tokio::test]
async fn a_hang_up_takes_new_certificates_and_keeps_the_old_where_they_are_broken() {
    let folder = Folder::new("certificates");
    let (cert, key) = (folder.file("cert.pem"), folder.file("key.pem"));
    let put = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        made.cert
    };
    let first = put();
    let keys = format!("k: {SECRET}");
    let files = ["--keys", &keys, "--tls.cert_file", &cert, "--tls.key_file", &key];
    let mut server = Server::start_as(&[&files[..], &QUIET[..]].concat());
    assert!(is_shown(&server.address, &first).await);
    let second = put();
    server.signal("HUP");
    server.line_with("configuration reloaded");
    assert!(is_shown(&server.address, &second).await && !is_shown(&server.address, &first).await);
    fs::write(&cert, "-----BEGIN CERTIFICATE-----\nnothing\n").unwrap();
    server.signal("HUP");
    server.line_with("configuration not reloaded");
    assert!(is_shown(&server.address, &second).await);
}

#[tokio::test]
async fn a_stop_waits_for_rooms_as_long_as_it_is_told() {
    for (wait, leaves) in [("60s", true), ("300ms", false)] {
        let mut server = Server::start(&format!("shutdown: {{wait: {wait}, grace: 5s}}\n"));
        let url = format!("ws://{}/rtc?protocol=16&access_token={}", server.address, token("garden"));
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        socket.next().await.unwrap().unwrap();
        server.signal("TERM");
        server.line_with("waiting for rooms");
        if leaves {
            // Nobody else comes, and who is there is left in peace until they go.
            assert!(server.get("/readyz").starts_with("HTTP/1.1 503"));
            assert_eq!(validate(&server, &token("garden")).0, 503);
            socket.close(None).await.unwrap();
        }
        let mut told = None;
        while let Some(Ok(message)) = socket.next().await {
            let Message::Binary(bytes) = message else { continue };
            if let Some(signal_response::Message::Leave(leave)) =
                SignalResponse::decode(bytes).unwrap().message
            {
                told = Some(leave.action);
            }
        }
        assert_eq!(told, (!leaves).then_some(0), "{wait}");
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
    }
}

/// A number on the page of metrics.
fn metric(page: &str, name: &str) -> u64 {
    let line = page.lines().find(|line| line.starts_with(&format!("millrace_{name} ")));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or_else(|| panic!("no {name}: {page}"))
}

/// The larger run is `benches/rooms/run`.
#[test]
fn rooms_that_have_ended_leave_nothing_behind() {
    let port = free_port();
    let server = Server::start(&format!(
        "rtc: {{udp_port: 0, node_ip: 127.0.0.1}}\nroom: {{departure_timeout: 0, empty_timeout: 1}}\n\
         prometheus: {{port: {port}}}\n"
    ));
    let metrics = || get(&format!("127.0.0.1:{port}"), "/metrics", "");
    let output = load(
        &server,
        &["--rooms", "10", "--subscribers", "1", "--audio", "--video", "none", "--duration", "1"],
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = metrics();
    assert!(
        page.contains("\nmillrace_rooms_opened_total 10\n") && page.contains("\nmillrace_joins_total 20\n"),
        "{page}"
    );
    for name in [
        "media_packets_total{worker=\"0\",kind=\"rtp_in\"}",
        "media_packets_total{worker=\"0\",kind=\"rtp_out\"}",
        "worker_datagrams_in_total{worker=\"0\"}",
        "worker_bytes_out_total{worker=\"0\"}",
        "signal_messages_in_total",
        "signal_messages_out_total",
        "media_workers",
    ] {
        assert!(metric(&page, name) > 0, "{name}: {page}");
    }
    for name in ["losses_total", "key_frame_requests_total", "drops_total"] {
        assert!(page.contains(&format!("\n# TYPE millrace_media_{name} counter\n")), "{name}: {page}");
    }
    // What is refused is counted too.
    server.get("/rtc/validate?access_token=x");
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    get(&server.address, "/rtc?access_token=x", upgrade);
    get(&server.address, "/twirp/livekit.RoomService/ListRooms", "");
    let after = metrics();
    for name in ["joins_refused_total", "api_calls_total", "api_errors_total", "http_requests_total"] {
        assert!(metric(&after, name) > metric(&page, name), "{name}: {after}");
    }
    let start = std::time::Instant::now();
    let gauges =
        ["rooms 0", "participants 0", "tracks 0", "signal_sessions 0", "worker_peers{worker=\"0\"} 0"];
    while let Some(left) = gauges.iter().find(|gauge| !metrics().contains(&format!("\nmillrace_{gauge}\n"))) {
        assert!(start.elapsed() < PATIENCE, "not {left}: {}", metrics());
    }
}

#[test]
fn the_only_node_is_listed_and_says_whether_it_serves() {
    let server = Server::start("region: here\n");
    let port = server.address.rsplit_once(':').unwrap().1;
    let keys = ["--keys", "k: 0123456789012345678901234567890123", "--bind", "127.0.0.1", "--region", "here"];
    let list = |port: &str| text(&run(&[&["list-nodes", "--port", port], &keys[..]].concat()).stdout);
    let said = list(port);
    let row: Vec<_> = said.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["ND_local", "here", &server.address, "serving"]);
    assert!(list("1").contains("does not answer"), "{said}");
}

#[test]
fn systemd_takes_the_unit() {
    let unit = include_str!("../../../../../deploy/millrace.service");
    let binary = env!("CARGO_BIN_EXE_millrace");
    assert!(unit.contains("ExecStart=/usr/local/bin/millrace "));
    let here = Folder::new("unit");
    let path = here.0.join("millrace.service");
    fs::write(&path, unit.replace("/usr/local/bin/millrace", binary)).unwrap();
    // Machines without systemd have nobody to ask.
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else { return };
    let said = text(&output.stderr);
    assert!(output.status.success() && !said.contains("millrace.service"), "{said}");
}
