//! What a run with live streams came to: a line a second, and the figures of its sheet.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::Live;
use super::figures::{Figures, Tally, Way};
use super::publisher::Published;
use crate::cost::Cost;
use crate::sheet::{ALL_GONE, Sheet, round};

/// One look at everything.
#[derive(Debug, Clone)]
pub(super) struct Measure {
    pub(super) at: Instant,
    pub(super) published: Published,
    pub(super) tally: Tally,
    pub(super) cost: Option<Cost>,
    /// Calls of write(2) and writev(2) of the server since it began.
    pub(super) writes: Option<u64>,
}

/// Reads them (proc(5), `io`); a server that sends by send(2) is not counted there.
pub(super) fn writes_of(pid: u32) -> Option<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("syscw:"))?.trim().parse().ok()
}

pub(super) struct Report {
    /// Ways that are played, with the number of their players.
    ways: Vec<(Way, usize)>,
    streams: usize,
    /// To standard error, so that standard output is the report's.
    told: usize,
    sheet: Sheet,
}

impl Report {
    pub(super) fn new(options: &Live) -> Self {
        let mut command = json!({
            // Without what stands behind it: tokens.
            "url": options.url.split('?').next(), "streams": options.streams, "existing": options.existing,
            "bitrate": options.bitrate, "fps": options.fps, "group_s": options.group,
            "audio": !options.no_audio, "duration_s": options.measuring.duration,
        });
        let ways = Way::ALL.map(|way| (way, options.players(way)));
        for (way, players) in ways {
            command[way.name()] = json!(players);
        }
        Self {
            ways: ways.into_iter().filter(|(_, players)| *players > 0).collect(),
            streams: options.published(),
            told: 0,
            sheet: Sheet::new(command),
        }
    }

    pub(super) fn publishing(&mut self, published: &Published) {
        if published.live != self.told {
            self.told = published.live;
            eprintln!("{}/{} published", published.live, self.streams);
        }
        if published.live == self.streams {
            self.told = 0;
        }
    }

    pub(super) fn joining(&mut self, playing: usize) {
        if playing != self.told {
            self.told = playing;
            eprintln!("{playing}/{} playing", self.players());
        }
    }

    fn players(&self) -> usize {
        self.ways.iter().map(|(_, players)| players).sum()
    }

    pub(super) fn second(&mut self, last: &Measure, now: &Measure) {
        let took = (now.at - last.at).as_secs_f64().max(0.001);
        let (a, b) = (last.tally.sum(), now.tally.sum());
        let mbit = (b.bytes - a.bytes) as f64 * 8.0 / 1e6 / took;
        let (pictures, gaps) = (b.pictures - a.pictures, b.gaps - a.gaps);
        let cpu = cpu_between(last, now).map(|cpu| round(cpu / took * 100.0));
        eprintln!(
            "{:>5} playing  {pictures:>7} pictures  {mbit:>8.1} Mbit/s  {gaps:>4} gaps  latency median {:.2} p99 \
             {:.2} ms{}",
            b.playing,
            b.latency.quantile(0.5),
            b.latency.quantile(0.99),
            cpu.map_or(String::new(), |cpu| format!("  server {cpu:.0} % of a core")),
        );
        self.sheet.second(json!({
            "playing": b.playing, "pictures": pictures, "sounds": b.sounds - a.sounds,
            "mbit_per_s": round(mbit), "gaps": gaps, "server_cpu_percent": cpu,
        }));
    }

    /// Sums up what lies between two looks; `before` is what the server cost before anybody came.
    pub(super) fn finish(&mut self, first: &Measure, end: &Measure, before: Option<Cost>) {
        let took = (end.at - first.at).as_secs_f64().max(0.001);
        let sum = end.tally.sum();
        let sheet = &mut self.sheet;
        let mut put = |name: &str, value: Value, unit| sheet.put(name, value, unit);
        put("duration_s", json!(round(took)), "s");
        put("streams", json!(self.streams), "");
        put("published", json!(end.published.live), "");
        put("frames_sent", json!(end.published.frames - first.published.frames), "");
        put("bits_sent", json!((end.published.bytes - first.published.bytes) * 8), "bit");
        put("players", json!(self.ways.iter().map(|(_, players)| players).sum::<usize>()), "");
        figures("", &first.tally.sum(), &sum, took, &mut put);
        let cpu = cpu_between(first, end);
        put("server_cpu_s", json!(cpu.map(round)), "s");
        put("server_cpu_percent", json!(cpu.map(|cpu| round(cpu / took * 100.0))), "% of a core");
        let a_player = |value: f64| (sum.playing > 0).then(|| value / sum.playing as f64 / took);
        let millis = cpu.and_then(|cpu| a_player(cpu * 1000.0)).map(fine);
        put("cpu_ms_per_player_second", json!(millis), "ms/s");
        let writes = end.writes.zip(first.writes).map(|(end, first)| end.saturating_sub(first) as f64);
        put("writes_per_player_second", json!(writes.and_then(a_player).map(round)), "1/s");
        let rss = end.cost.map(|cost| cost.rss);
        let grown = rss.zip(before).map(|(rss, before)| rss.saturating_sub(before.rss));
        put("rss_bytes", json!(rss), "byte");
        let all = (sum.playing + end.published.live).max(1) as u64;
        put("rss_per_connection", json!(grown.map(|grown| grown / all)), "byte");
        for (way, players) in &self.ways {
            let name = way.name();
            put(&format!("{name}_players"), json!(players), "");
            figures(&format!("{name}_"), first.tally.of(*way), end.tally.of(*way), took, &mut put);
        }
        let mut failures = end.tally.failures.clone();
        for (why, count) in &end.published.failures {
            *failures.entry(why.clone()).or_default() += count;
        }
        sheet.fail(&failures);
        if first.tally.sum().playing > 0 && sum.playing == 0 {
            sheet.trouble(ALL_GONE.into());
        }
    }

    /// Makes the run one that has failed.
    pub(super) fn trouble(&mut self, why: String) {
        self.sheet.trouble(why);
    }

    pub(super) fn write(&self, json: Option<&Path>) -> anyhow::Result<()> {
        self.sheet.write(json)
    }
}

/// What players came to, of all ways or of one.
fn figures(
    prefix: &str,
    first: &Figures,
    end: &Figures,
    took: f64,
    put: &mut impl FnMut(&str, Value, &'static str),
) {
    let mut put = |name: &str, value, unit| put(&format!("{prefix}{name}"), value, unit);
    put("joined", json!(end.joined), "");
    put("playing", json!(end.playing), "");
    put("join_median_ms", json!(round(end.joins.quantile(0.5))), "ms");
    put("join_p99_ms", json!(round(end.joins.quantile(0.99))), "ms");
    put("first_frame_median_ms", json!(round(end.firsts.quantile(0.5))), "ms");
    put("first_frame_p99_ms", json!(round(end.firsts.quantile(0.99))), "ms");
    let bits = (end.bytes - first.bytes) * 8;
    put("bits_received", json!(bits), "bit");
    let each = (end.playing > 0).then(|| round(bits as f64 / took / end.playing as f64 / 1e6));
    put("mbit_per_player_second", json!(each), "Mbit/s");
    put("pictures", json!(end.pictures - first.pictures), "");
    put("sounds", json!(end.sounds - first.sounds), "");
    put("gaps", json!(end.gaps - first.gaps), "");
    put("missing", json!(end.missing - first.missing), "");
    let has_stamps = end.latency.max_ms() > 0.0;
    let latency = |value: f64| json!(has_stamps.then(|| round(value)));
    put("latency_median_ms", latency(end.latency.quantile(0.5)), "ms");
    put("latency_p99_ms", latency(end.latency.quantile(0.99)), "ms");
    put("latency_max_ms", latency(end.latency.max_ms()), "ms");
}

fn cpu_between(first: &Measure, end: &Measure) -> Option<f64> {
    Some(end.cost?.cpu.saturating_sub(first.cost?.cpu).as_secs_f64())
}

/// To the tenth of a thousandth.
fn fine(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
