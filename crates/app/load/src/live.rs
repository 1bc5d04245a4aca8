//! `millrace load live`: the options, the run from the first publisher to the report.

mod address;
mod audience;
mod content;
mod figures;
mod hls;
mod http;
mod player;
mod playlist;
mod publisher;
mod report;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::files;
use crate::measuring::{self, Measuring, Silence};
use address::Address;
use audience::{Audience, Place};
use content::{AUDIO_BITRATE, Content};
use figures::{Tally, Way};
use publisher::{Published, Publisher};
use report::{Measure, Report};

/// Publish live streams over RTMP and play them by the thousand, and say what arrives and what it costs.
#[derive(Debug, Clone, Args)]
#[command(args_override_self = true)]
pub struct Live {
    /// The stream: rtmp://host[:port]/app/name, with ?token=… if one is needed.
    #[arg(long)]
    pub url: String,
    /// Where the server has HTTP-FLV and HLS: http://host:port; port 8080 of the same host if not given.
    #[arg(long)]
    pub http: Option<String>,
    /// Streams to publish; with more than one, -0, -1 and so on stands behind the name.
    #[arg(long, default_value_t = 1)]
    pub streams: usize,
    /// Publish nothing: play what somebody else publishes.
    #[arg(long)]
    pub existing: bool,
    /// Players over RTMP, of all streams in turn.
    #[arg(long, default_value_t = 0)]
    pub rtmp: usize,
    /// Players over HTTP-FLV.
    #[arg(long, default_value_t = 0)]
    pub flv: usize,
    /// Players over WebSocket-FLV.
    #[arg(long, default_value_t = 0)]
    pub ws_flv: usize,
    /// Players of HLS, whole segments.
    #[arg(long, default_value_t = 0)]
    pub hls: usize,
    /// Players of LL-HLS.
    #[arg(long, default_value_t = 0)]
    pub ll_hls: usize,
    /// Of each stream, bits a second, with its sound.
    #[arg(long, default_value_t = 2_000_000)]
    pub bitrate: u64,
    /// Pictures a second.
    #[arg(long, default_value_t = 25)]
    pub fps: u64,
    /// Seconds from one key frame to the next.
    #[arg(long, default_value_t = 2)]
    pub group: u64,
    /// Publish no sound.
    #[arg(long)]
    pub no_audio: bool,
    /// Connections a second.
    #[arg(long, default_value_t = 200.0)]
    pub join_rate: f64,
    #[command(flatten)]
    pub measuring: Measuring,
}

/// Somebody who connects has this long for a first frame, and a publisher for being let in.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Players of a thread, or publishers, that wait to be let in at once: servers bound how many they do not know yet, and a
/// machine that is busy makes everybody wait.
const KNOCKING: usize = 128;
/// A server of which players have heard nothing for so long has stopped; where segments are longer, for two of them.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
/// A picture holds its stamp and some filling; smaller ones would not be counted right.
const LEAST_BITRATE: u64 = 50_000;

impl Live {
    fn players(&self, way: Way) -> usize {
        match way {
            Way::Rtmp => self.rtmp,
            Way::Flv => self.flv,
            Way::WsFlv => self.ws_flv,
            Way::Hls => self.hls,
            Way::LlHls => self.ll_hls,
        }
    }

    fn all_players(&self) -> usize {
        Way::ALL.iter().fold(0, |sum, way| sum.saturating_add(self.players(*way)))
    }

    fn published(&self) -> usize {
        if self.existing { 0 } else { self.streams }
    }

    fn check(&self) -> anyhow::Result<Address> {
        let files = files::needed(self.all_players().saturating_add(self.published()));
        let address = Address::parse(&self.url, self.http.as_deref(), self.streams, files)?;
        self.measuring.check(self.url.split('?').next().unwrap_or_default(), address.is_ours())?;
        ensure!(self.streams > 0, "--streams must be at least 1");
        ensure!(
            self.all_players() > 0 || !self.existing,
            "nobody to play: give --rtmp, --flv, --ws-flv, --hls or --ll-hls"
        );
        measuring::check_rate(self.join_rate)?;
        ensure!((1..=240).contains(&self.fps), "--fps must be between 1 and 240");
        ensure!((1..=60).contains(&self.group), "--group must be between 1 and 60 seconds");
        let least = LEAST_BITRATE + if self.no_audio { 0 } else { AUDIO_BITRATE };
        ensure!(
            (least..=1_000_000_000).contains(&self.bitrate),
            "--bitrate must be between {least} and 1000000000{}",
            if self.no_audio { "" } else { ", of which 128000 are sound" }
        );
        files::raise(files)?;
        Ok(address)
    }

    /// Who plays which stream when: ways in turn, so that every one sees the whole time of joining.
    fn places(&self) -> Vec<Place> {
        let mut left = Way::ALL.map(|way| self.players(way));
        let mut places = Vec::with_capacity(self.all_players());
        while left.iter().any(|left| *left > 0) {
            for (left, way) in left.iter_mut().zip(Way::ALL).filter(|(left, _)| **left > 0) {
                *left -= 1;
                let index = places.len();
                let after = Duration::from_secs_f64(index as f64 / self.join_rate);
                places.push(Place { way, stream: index % self.streams, after });
            }
        }
        places
    }

    /// One for every two thousand, and not more than cores.
    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.all_players().div_ceil(2000).clamp(1, cores)
    }
}

/// Runs the load and prints the report.
pub fn run(options: &Live) -> anyhow::Result<()> {
    let address = options.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.context("cannot start the runtime")?.block_on(measure(options, &address))?;
    report.write(options.measuring.json.as_deref())
}

/// Everybody who is at work; they end with it.
struct Crew {
    publisher: Option<Publisher>,
    audiences: Vec<Audience>,
}

impl Crew {
    fn look(&self) -> (Published, Tally) {
        let mut tally = Tally::default();
        self.audiences.iter().for_each(|audience| tally.add(&audience.look()));
        (self.publisher.as_ref().map_or_else(Published::default, Publisher::look), tally)
    }

    fn measure(&self, of: &Measuring) -> Measure {
        let (published, tally) = self.look();
        Measure {
            at: Instant::now(),
            published,
            tally,
            cost: of.cost(),
            writes: of.server_pid.and_then(report::writes_of),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.audiences.drain(..).for_each(Audience::end);
        if let Some(publisher) = self.publisher.take() {
            publisher.end();
        }
    }
}

async fn measure(options: &Live, address: &Address) -> anyhow::Result<Report> {
    let measuring = &options.measuring;
    let mut report = Report::new(options);
    let before = measuring.cost();
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut crew = Crew { publisher: None, audiences: Vec::new() };

    if !options.existing {
        let content = Content::new(options.bitrate, options.fps, options.group, !options.no_audio);
        crew.publisher = Some(Publisher::start(address, options.streams, content, options.join_rate)?);
    }
    let mut interrupted = tokio::select! {
        published = all_published(options, &crew, &mut report) => { published?; false }
        _ = &mut interrupt => true,
    };
    let mut parts: Vec<Vec<Place>> = vec![Vec::new(); options.threads()];
    let threads = parts.len();
    for (index, place) in options.places().into_iter().enumerate().filter(|_| !interrupted) {
        if let Some(part) = parts.get_mut(index % threads) {
            part.push(place);
        }
    }
    for part in parts {
        crew.audiences.push(Audience::start(part, address)?);
    }
    if !interrupted {
        interrupted = tokio::select! {
            playing = all_playing(options, &crew, &mut report) => { playing?; false }
            _ = &mut interrupt => true,
        };
    }
    crew.audiences.iter().for_each(Audience::begin);

    let first = crew.measure(measuring);
    let mut last = first.clone();
    let longest = LONGEST_SILENCE.max(Duration::from_secs(2 * options.group));
    let mut silence = Silence::of(first.at, first.tally.sum().bytes, longest);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.reset();
    let end = tokio::time::sleep(Duration::from_secs(measuring.duration));
    tokio::pin!(end);
    while !interrupted {
        tokio::select! {
            () = &mut end => break,
            _ = second.tick() => {
                let next = crew.measure(measuring);
                report.second(&last, &next);
                let heard = next.tally.sum();
                silence.hear(next.at, heard.bytes);
                if silence.verdict(next.at).is_some() || (heard.playing == 0 && options.all_players() > 0) {
                    break;
                }
                last = next;
            }
            _ = &mut interrupt => interrupted = true,
        }
    }
    let end = crew.measure(measuring);
    if let Some(why) = silence.verdict(end.at) {
        report.trouble(why);
    }
    report.finish(&first, &end, before);
    Ok(report)
}

async fn all_published(options: &Live, crew: &Crew, report: &mut Report) -> anyhow::Result<()> {
    let began = Instant::now();
    let joining = Duration::from_secs_f64(options.published() as f64 / options.join_rate);
    loop {
        let (published, _) = crew.look();
        report.publishing(&published);
        let failed: usize = published.failures.values().sum();
        if let Some(why) = published.failures.keys().next()
            && published.live == 0
            && failed >= options.published()
        {
            bail!("{why}");
        }
        if published.live + failed >= options.published() {
            return Ok(());
        }
        ensure!(
            published.live > 0 || began.elapsed() < START_LIMIT + joining,
            "--url: the server let no publisher in within {} s",
            START_LIMIT.as_secs()
        );
        if began.elapsed() > START_LIMIT + joining {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn all_playing(options: &Live, crew: &Crew, report: &mut Report) -> anyhow::Result<()> {
    let began = Instant::now();
    let joining = Duration::from_secs_f64(options.all_players() as f64 / options.join_rate);
    loop {
        let (published, tally) = crew.look();
        let (sum, failed) = (tally.sum(), tally.failures.values().sum::<usize>());
        report.joining(sum.playing);
        if sum.playing + failed >= options.all_players() || began.elapsed() > START_LIMIT + joining {
            let why = tally.failures.keys().chain(published.failures.keys()).next();
            ensure!(
                sum.playing > 0 || options.all_players() == 0,
                "{}",
                why.map_or("nobody had a frame: is the stream published?", String::as_str)
            );
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The time since 1970.
fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Bytes for handshakes: different each time, and no secret (Numerical Recipes' generator).
fn noise() -> impl FnMut() -> u32 {
    let mut state = unix().as_nanos() as u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    }
}
