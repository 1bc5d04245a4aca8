//! `millrace load room`: the options, the run from the first join to the report.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use client::{Coding, Mode, Publish, Quality, VideoSourceParams};
use clock::Time;

use crate::crowd::{self, Part, Post, Snapshot, ToCrowd};
use crate::files;
use crate::measuring::{self, Measuring, Silence};
use crate::report::{Joining, Measure, Report};
use crate::server::Server;
use crate::signalling::{self, Join};

/// Join rooms of a LiveKit-compatible server with participants that publish and subscribe, and say what
/// arrives and what it costs.
#[derive(Debug, Clone, Args)]
#[command(args_override_self = true)]
pub struct Room {
    /// The server: ws://host:port or wss://host:port.
    #[arg(long)]
    pub url: String,
    /// Take any certificate of a server with wss://.
    #[arg(long)]
    pub insecure: bool,
    /// Addresses of this machine that participants come from in turn: one has ports for some 28,000.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub source: Vec<IpAddr>,
    #[arg(long)]
    pub api_key: String,
    #[arg(long, hide_env_values = true)]
    pub api_secret: String,
    /// Rooms. Without publishers their people have a connection for data alone.
    #[arg(long, default_value_t = 1)]
    pub rooms: usize,
    /// What rooms are called; -0, -1 and so on stands behind it.
    #[arg(long, default_value = "load")]
    pub room_name: String,
    /// Participants of each room that publish.
    #[arg(long, default_value_t = 1)]
    pub publishers: usize,
    /// Participants of each room that only subscribe.
    #[arg(long, default_value_t = 10)]
    pub subscribers: usize,
    /// Publishers subscribe to each other, as in a meeting.
    #[arg(long)]
    pub meet: bool,
    /// What the publishers' video is.
    #[arg(long, value_enum, default_value_t = Video::Vp8)]
    pub video: Video,
    /// Three layers, 180p, 360p and 720p, with 7, 19 and 74 % of the bitrate.
    #[arg(long)]
    pub simulcast: bool,
    /// Of each publisher's video, all layers together, bits a second.
    #[arg(long, default_value_t = 2_000_000)]
    pub bitrate: u64,
    /// Publishers speak, too: Opus of 32 kbit/s.
    #[arg(long)]
    pub audio: bool,
    /// Voices pause, and send a packet every 400 ms then (DTX).
    #[arg(long, requires = "audio")]
    pub dtx: bool,
    /// Which layer subscribers ask for; the server's choice, the best, if not given.
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,
    /// How the packets of a frame leave a publisher.
    #[arg(long, value_enum, default_value_t = Pacing::Frame)]
    pub pacing: Pacing,
    /// Bits a second of the line behind which each publisher sits: packets come out one after the other.
    #[arg(long, value_name = "BITS")]
    pub uplink: Option<u64>,
    /// The older protocol, with two peer connections.
    #[arg(long)]
    pub v0: bool,
    /// Joins a second.
    #[arg(long, default_value_t = 100.0)]
    pub join_rate: f64,
    #[command(flatten)]
    pub measuring: Measuring,
}

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Video {
    Vp8,
    H264,
    Vp9,
    Av1,
    None,
}

/// Which layer of simulcast is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    Low,
    Medium,
    High,
    /// One publisher's best, and the lowest of all others.
    Speaker,
}

/// How the packets of a frame leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pacing {
    /// All at once.
    Frame,
    /// In bursts, as Chromium's pacer lets them go.
    Webrtc,
}

/// Join tokens live for this long.
const TOKEN_LIFETIME: Duration = Duration::from_secs(6 * 3600);
/// Somebody who has the WebSocket has this long for the media.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// What is on its way when the measurement ends, retransmissions included, has this long to come.
const SETTLE: Duration = Duration::from_millis(500);
/// A server of which subscribers have heard nothing for so long, who heard something before, is said to have stopped: a
/// voice that pauses sends every 400 ms.
const LONGEST_SILENCE: Duration = Duration::from_secs(3);
/// Publishers that one thread serves to the microsecond, and subscribers that one drains each tick.
const PUBLISHERS_A_THREAD: usize = 500;
const SUBSCRIBERS_A_THREAD: usize = 2000;

impl Room {
    fn participants(&self) -> usize {
        self.rooms.saturating_mul(self.publishers.saturating_add(self.subscribers))
    }

    fn check(&self) -> anyhow::Result<Server> {
        let server = Server::new(&self.url, &self.source, self.insecure, self.files())?;
        self.measuring.check(&self.url, server.is_ours())?;
        ensure!(self.participants() > 0, "nobody to join: give --publishers or --subscribers");
        ensure!(self.uplink != Some(0), "--uplink must be more than 0");
        ensure!(
            (10_000..=1_000_000_000).contains(&self.bitrate),
            "--bitrate must be between 10000 and 1000000000, bits a second"
        );
        measuring::check_rate(self.join_rate)?;
        let silent = self.video == Video::None && !self.audio;
        ensure!(self.publishers == 0 || !silent, "publishers with nothing to publish: add --audio");
        files::raise(self.files())?;
        server.has_room_for(self.participants().saturating_mul(self.connections()))?;
        Ok(server)
    }

    /// Of each participant.
    fn connections(&self) -> usize {
        if self.v0 { 2 } else { 1 }
    }

    fn files(&self) -> u64 {
        files::needed(self.participants().saturating_mul(1 + self.connections()))
    }

    fn publish(&self) -> Vec<Publish> {
        let mut tracks = Vec::new();
        if self.audio {
            tracks.push(if self.dtx { Publish::Voice } else { Publish::Audio });
        }
        let coding = match self.video {
            Video::Vp8 => Some(Coding::Vp8),
            Video::H264 => Some(Coding::H264),
            Video::Vp9 => Some(Coding::Vp9),
            Video::Av1 => Some(Coding::Av1),
            Video::None => None,
        };
        if let Some(coding) = coding {
            let params = if self.simulcast {
                VideoSourceParams::simulcast_of(self.bitrate)
            } else {
                VideoSourceParams::single(self.bitrate)
            };
            tracks.push(Publish::Video(VideoSourceParams { coding, ..params }));
        }
        tracks
    }

    fn part(&self, publishes: bool) -> Part {
        Part {
            mode: if self.v0 { Mode::Dual } else { Mode::Single },
            publish: if publishes { self.publish() } else { Vec::new() },
            subscribes: !publishes || self.meet,
            pacing: client::Pacing { bursts: self.pacing == Pacing::Webrtc, uplink: self.uplink },
            quality: self.layout.map(|layout| match layout {
                Layout::Low => Quality::Low,
                Layout::Medium => Quality::Medium,
                Layout::High => Quality::High,
                Layout::Speaker => Quality::Speaker,
            }),
        }
    }

    fn token(&self, room: usize, identity: &str) -> anyhow::Result<String> {
        let secret = auth::Secret::new(&self.api_secret).context("--api-secret is empty")?;
        let claims = auth::Claims {
            identity: identity.to_owned(),
            video: Some(auth::VideoGrant::to_join(format!("{}-{room}", self.room_name))),
            ..auth::Claims::default()
        };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Time { mono: Instant::now(), unix };
        Ok(auth::issue(&claims, &self.api_key, &secret, now, TOKEN_LIFETIME))
    }
}

/// Runs the load and prints the report.
pub fn run(options: &Room) -> anyhow::Result<()> {
    let server = Arc::new(options.check()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name("signalling")
        .build()
        .context("cannot start the runtime")?;
    let certificate = peer::Certificate::generate().context("cannot make a DTLS certificate")?;
    let (joins, parts) = people(options, &server)?;
    let mut crowds = Vec::new();
    for parts in parts {
        crowds.push(crowd::start(parts, certificate.clone(), options.files(), options.publishers == 0)?);
    }
    let posts: Vec<Post> = crowds.iter().map(|(post, _)| post.clone()).collect();
    let report = runtime.block_on(measure(options, joins, &posts));
    for post in &posts {
        post.send(ToCrowd::Leave);
    }
    for (_, thread) in crowds {
        // A thread that panicked has said so.
        let _ = thread.join();
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    let report = report?;
    report.write(options.measuring.json.as_deref())
}

/// Everybody with the thread they belong to, and what each thread's people do.
type People = (Vec<(usize, Join)>, Vec<HashMap<usize, Part>>);

/// Publishers have threads of their own, so that receiving does not make them late.
fn people(options: &Room, server: &Arc<Server>) -> anyhow::Result<People> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = |people: usize, each: usize| people.div_ceil(each).min(cores);
    let publishing = threads(options.rooms * options.publishers, PUBLISHERS_A_THREAD);
    let subscribing = threads(options.rooms * options.subscribers, SUBSCRIBERS_A_THREAD);
    let mut parts: Vec<HashMap<usize, Part>> = vec![HashMap::new(); publishing + subscribing];
    let mut joins = Vec::new();
    let each_room = options.publishers + options.subscribers;
    for index in 0..options.participants() {
        let (room, place) = (index / each_room, index % each_room);
        let publishes = place < options.publishers;
        let part = options.part(publishes);
        let join = Join {
            index,
            server: server.clone(),
            token: options.token(room, &format!("{}-{place}", if publishes { "giver" } else { "taker" }))?,
            mode: part.mode,
            subscribes: part.subscribes,
        };
        let thread = if publishes { index % publishing } else { publishing + index % subscribing };
        if let Some(parts) = parts.get_mut(thread) {
            parts.insert(index, part);
        }
        joins.push((thread, join));
    }
    Ok((joins, parts))
}

async fn measure(options: &Room, joins: Vec<(usize, Join)>, posts: &[Post]) -> anyhow::Result<Report> {
    let all = joins.len();
    let mut report = Report::new(options, all);
    let before = options.measuring.cost();
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut interrupted = false;

    let began = Instant::now();
    let mut last_joined = began;
    let mut joins = joins.into_iter().enumerate();
    let mut next = joins.next();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    // Everybody in, or known not to come.
    while !interrupted {
        let due = next.as_ref().map(|(n, _)| began + Duration::from_secs_f64(*n as f64 / options.join_rate));
        tokio::select! {
            () = sleep_until(due) => {
                if let Some((_, (thread, join))) = next.take() {
                    if let Some(post) = posts.get(thread) {
                        tokio::spawn(signalling::live(join, post.clone()));
                    }
                    last_joined = Instant::now();
                    next = joins.next();
                }
            }
            _ = second.tick() => {}
            _ = &mut interrupt => interrupted = true,
        }
        if next.is_some() {
            continue;
        }
        let seen = look(posts)?;
        let failed: usize = seen.failures.values().sum();
        report.joining(&seen, all);
        if seen.connected + failed >= all || last_joined.elapsed() > CONNECT_TIMEOUT {
            break;
        }
        // To ask everybody is work, too.
        tokio::time::sleep(Duration::from_millis(50) + Duration::from_micros(20) * all as u32).await;
    }
    let joining = Joining { took: began.elapsed(), before, after: options.measuring.cost() };
    posts.iter().for_each(|post| post.send(ToCrowd::Begin));
    let start = look(posts)?;
    if start.connected == 0 && !interrupted {
        let why = start.failures.keys().next().cloned();
        bail!(why.unwrap_or_else(|| "nobody's media connected: is the server's UDP port open?".into()));
    }

    let began = Instant::now();
    let first = Measure { at: began, seen: start, cost: options.measuring.cost() };
    let mut last = first.clone();
    let mut silence = Silence::of(began, first.seen.stats.received.bytes, LONGEST_SILENCE);
    second.reset();
    let over = tokio::time::sleep_until((began + Duration::from_secs(options.measuring.duration)).into());
    tokio::pin!(over);
    while !interrupted && last.seen.connected > 0 {
        tokio::select! {
            _ = second.tick() => {
                let cost = options.measuring.cost();
                let next = Measure { at: Instant::now(), seen: look(posts)?, cost };
                report.second(&last, &next);
                silence.hear(next.at, next.seen.stats.received.bytes);
                last = next;
            }
            () = &mut over => break,
            _ = &mut interrupt => interrupted = true,
        }
    }
    let (at, cost) = (Instant::now(), options.measuring.cost());
    let videos = look(posts)?.stats.videos;
    posts.iter().for_each(|post| post.send(ToCrowd::Hush));
    tokio::time::sleep(SETTLE).await;
    let mut seen = look(posts)?;
    // That no pictures come any more is no freeze.
    seen.stats.videos = videos;
    if let Some(why) = silence.verdict(at) {
        report.trouble(why);
    }
    report.finish(&first, &Measure { at, seen, cost }, &joining);
    Ok(report)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What all crowds have come to.
fn look(posts: &[Post]) -> anyhow::Result<Snapshot> {
    let (answer, answers) = mpsc::channel();
    for post in posts {
        post.send(ToCrowd::Look(answer.clone()));
    }
    drop(answer);
    let mut all = Snapshot::default();
    for _ in posts {
        let one = answers.recv_timeout(Duration::from_secs(10)).context("a thread of the load has ended")?;
        all.add(one);
    }
    Ok(all)
}
