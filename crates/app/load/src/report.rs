//! What a run with rooms came to: a line a second, and the figures of its sheet.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cost::Cost;
use crate::crowd::Snapshot;
use crate::delays::Delays;
use crate::room::Room;
use crate::sheet::{ALL_GONE, Sheet, round};

/// One look at everything.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) at: Instant,
    pub(crate) seen: Snapshot,
    pub(crate) cost: Option<Cost>,
}

/// How everybody got in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joining {
    /// From the first WebSocket that was wanted until nobody was waited for any more.
    pub(crate) took: Duration,
    /// What the server had cost before and has cost then.
    pub(crate) before: Option<Cost>,
    pub(crate) after: Option<Cost>,
}

pub(crate) struct Report {
    participants: usize,
    /// To standard error, so that standard output is the report's.
    told: usize,
    sheet: Sheet,
}

impl Report {
    pub(crate) fn new(options: &Room, participants: usize) -> Self {
        let command = json!({
            "url": options.url, "sources": options.source, "rooms": options.rooms, "publishers": options.publishers,
            "subscribers": options.subscribers, "meet": options.meet,
            "video": format!("{:?}", options.video).to_lowercase(), "simulcast": options.simulcast,
            "bitrate": options.bitrate, "audio": options.audio, "dtx": options.dtx,
            "pacing": format!("{:?}", options.pacing).to_lowercase(), "uplink": options.uplink,
            "layout": options.layout.map(|layout| format!("{layout:?}").to_lowercase()),
            "protocol": if options.v0 { "v0" } else { "v1" }, "duration_s": options.measuring.duration,
        });
        Self { participants, told: 0, sheet: Sheet::new(command) }
    }

    pub(crate) fn joining(&mut self, seen: &Snapshot, all: usize) {
        if seen.connected != self.told {
            self.told = seen.connected;
            eprintln!("{}/{all} connected", seen.connected);
        }
    }

    pub(crate) fn second(&mut self, last: &Measure, now: &Measure) {
        let took = (now.at - last.at).as_secs_f64().max(0.001);
        let (a, b) = (&last.seen.stats, &now.seen.stats);
        let sent = b.sent.packets - a.sent.packets;
        let received = b.received.packets - a.received.packets;
        let lost = b.received.lost() as i64 - a.received.lost() as i64;
        let recovered = b.received.recovered - a.received.recovered;
        let freezes = freezes(b).saturating_sub(freezes(a));
        let (bits_sent, bits) =
            ((b.sent.bytes - a.sent.bytes) * 8, (b.received.bytes - a.received.bytes) * 8);
        let mbit = bits as f64 / 1e6 / took;
        let delays = now.seen.delays.since(&last.seen.delays);
        let cpu = cpu_between(last, now).map(|cpu| cpu / took * 100.0);
        eprintln!(
            "{:>4} connected  {sent:>7} sent  {received:>8} received  {mbit:>8.1} Mbit/s  {recovered:>4} recovered  \
             {lost:>5} lost  {freezes:>3} freezes  delay median {:.2} p99 {:.2} ms{}",
            now.seen.connected,
            delays.quantile(0.5),
            delays.quantile(0.99),
            cpu.map_or(String::new(), |cpu| format!("  server {cpu:.0} % of a core")),
        );
        self.sheet.second(json!({
            "connected": now.seen.connected, "packets_sent": sent, "bits_sent": bits_sent,
            "packets_expected": b.received.expected - a.received.expected, "packets_received": received,
            "bits_received": bits, "mbit_per_s": round(mbit), "recovered": recovered, "lost": lost, "freezes": freezes,
            "delay_median_ms": round(delays.quantile(0.5)), "delay_p99_ms": round(delays.quantile(0.99)),
            "delay_max_ms": round(delays.max_ms()), "server_cpu_percent": cpu.map(round),
            "rss_bytes": now.cost.map(|cost| cost.rss),
        }));
    }

    /// Sums up how everybody got in, and what lies between two looks.
    pub(crate) fn finish(&mut self, first: &Measure, end: &Measure, joining: &Joining) {
        let took = (end.at - first.at).as_secs_f64().max(0.001);
        let (a, b) = (&first.seen.stats, &end.seen.stats);
        let received = b.received.packets - a.received.packets;
        let recovered = b.received.recovered - a.received.recovered;
        let expected = b.received.expected - a.received.expected;
        let cpu = cpu_between(first, end);
        let mut joins = Delays::default();
        end.seen.joins.iter().for_each(|join| joins.record(*join));
        let delays = &end.seen.delays;
        let frames = |seen: &Snapshot| seen.stats.videos.iter().map(|video| video.frames).sum::<u64>();
        let rss = end.cost.map(|cost| cost.rss);
        let grown = rss.zip(joining.before).map(|(rss, before)| rss.saturating_sub(before.rss));
        let mut put = |name, value: Value, unit| self.sheet.put(name, value, unit);
        put("participants", json!(self.participants), "");
        put("connected", json!(end.seen.connected), "");
        put("join_median_ms", json!(round(joins.quantile(0.5))), "ms");
        put("join_p99_ms", json!(round(joins.quantile(0.99))), "ms");
        let inside = first.seen.connected as f64;
        put("joins_per_second", json!(round(inside / joining.took.as_secs_f64().max(0.001))), "1/s");
        let each =
            joining.after.zip(joining.before).map(|(after, before)| after.cpu.saturating_sub(before.cpu));
        let each = each.filter(|_| inside > 0.0).map(|cpu| round(cpu.as_secs_f64() * 1000.0 / inside));
        put("cpu_ms_per_join", json!(each), "ms");
        put("srtp_profile", json!(b.profile.map(|profile| profile.name())), "");
        put("duration_s", json!(round(took)), "s");
        put("packets_sent", json!(b.sent.packets - a.sent.packets), "");
        put("bits_sent", json!((b.sent.bytes - a.sent.bytes) * 8), "bit");
        put("packets_expected", json!(expected), "");
        put("packets_received", json!(received), "");
        put("bits_received", json!((b.received.bytes - a.received.bytes) * 8), "bit");
        put("recovered", json!(recovered), "");
        put("lost", json!(expected as i64 - received as i64 - recovered as i64), "");
        let voices = |of: &client::Received| (of.expected as i64, (of.packets + of.recovered) as i64);
        let ((promised, came), (promised_before, came_before)) = (voices(&b.heard), voices(&a.heard));
        put("audio_expected", json!(promised - promised_before), "");
        put("audio_lost", json!((promised - promised_before) - (came - came_before)), "");
        put("dropped_by_load", json!(end.seen.dropped.saturating_sub(first.seen.dropped)), "");
        put("duplicates", json!(b.received.duplicates - a.received.duplicates), "");
        put("tracks", json!(b.received.tracks), "");
        put("tracks_silent", json!(b.received.silent), "");
        put("frames", json!(frames(&end.seen).saturating_sub(frames(&first.seen))), "");
        put("freezes", json!(freezes(b).saturating_sub(freezes(a))), "");
        put("delay_median_ms", json!(round(delays.quantile(0.5))), "ms");
        put("delay_p99_ms", json!(round(delays.quantile(0.99))), "ms");
        put("delay_max_ms", json!(round(delays.max_ms())), "ms");
        put("audio_delay_p99_ms", json!(round(end.seen.audio_delays.quantile(0.99))), "ms");
        put("server_cpu_s", json!(cpu.map(round)), "s");
        put("server_cpu_percent", json!(cpu.map(|cpu| round(cpu / took * 100.0))), "% of a core");
        let forwarded = cpu.filter(|cpu| *cpu > 0.0).map(|cpu| (received as f64 / cpu).round());
        put("packets_per_cpu_second", json!(forwarded), "");
        put("rss_bytes", json!(rss), "byte");
        put(
            "rss_per_participant",
            json!(grown.map(|grown| grown / end.seen.connected.max(1) as u64)),
            "byte",
        );
        self.sheet.fail(&end.seen.failures);
        if first.seen.connected > 0 && end.seen.connected == 0 {
            self.trouble(ALL_GONE.into());
        }
    }

    /// Makes the run one that has failed.
    pub(crate) fn trouble(&mut self, why: String) {
        self.sheet.trouble(why);
    }

    pub(crate) fn write(&self, json: Option<&Path>) -> anyhow::Result<()> {
        self.sheet.write(json)
    }
}

/// Times without a picture, of all tracks.
fn freezes(stats: &client::Stats) -> u64 {
    stats.videos.iter().map(|video| video.freezes).sum()
}

fn cpu_between(first: &Measure, end: &Measure) -> Option<f64> {
    Some(end.cost?.cpu.saturating_sub(first.cost?.cpu).as_secs_f64())
}
