//! The floor under a forwarding server: seals and sends the batches that `millrace load room` makes a server
//! send, to as many sockets, and does nothing else. `benches/fanout/run` sets a server against it.
//!
//! A thread on one core sends; another, on another core, empties the sockets every 10 ms as the load does. CPU
//! time is that of the sending thread, so others on the machine are not in it.

mod batch;
mod drain;
mod scene;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Parser;
use clock::Time;
use net::{Options, Sender, Socket};
use serde_json::json;

use batch::Batch;
use scene::Scene;

/// Seal and send what a room would be sent, and say what that costs.
#[derive(Debug, Clone, Parser)]
struct Floor {
    /// Participants that publish.
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    /// Participants that only subscribe.
    #[arg(long, default_value_t = 0)]
    subscribers: usize,
    /// Publishers get each other's media.
    #[arg(long)]
    meet: bool,
    /// No video.
    #[arg(long)]
    no_video: bool,
    #[arg(long)]
    simulcast: bool,
    /// Of each publisher's video, all layers together, bits a second.
    #[arg(long, default_value_t = 2_000_000)]
    bitrate: u64,
    #[arg(long)]
    audio: bool,
    /// One publisher's best layer and the lowest of the others, instead of everybody's best.
    #[arg(long)]
    speaker: bool,
    /// Packets come in the bursts of Chromium's pacer.
    #[arg(long)]
    bursts: bool,
    /// And out of a line of so many bits a second.
    #[arg(long)]
    uplink: Option<u64>,
    /// Packets that leave in one message, on average: what the server's runs had. More is waited for where runs are
    /// shorter, for 5 ms at most.
    #[arg(long, default_value_t = 1.0)]
    batch: f64,
    /// 128 or 256: AES-GCM with such a key.
    #[arg(long, default_value_t = 128)]
    key_bits: u16,
    /// Seconds.
    #[arg(long, default_value_t = 5.0)]
    duration: f64,
    /// The core that sends.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// The core that receives.
    #[arg(long, default_value_t = 1)]
    drain_cpu: usize,
}

/// Time before the measurement.
const WARM_UP: Duration = Duration::from_millis(500);
/// Bytes of the packet that send_to is measured with, and calls of a round.
const PLAIN: usize = 1200;
const CALLS: usize = 400;

fn main() -> anyhow::Result<()> {
    let options = Floor::parse();
    let drain = drain::start(options.publishers + options.subscribers, options.drain_cpu)?;
    net::pin_to(options.cpu).context("--cpu")?;
    let send_to = send_to(&drain.remotes)?;
    let mut scene = Scene::new(now(), &options);
    let mut batch = Batch::new(&options, &drain.remotes)?;
    let socket =
        Socket::bind(([127, 0, 0, 1], 0).into(), Options { reuse_port: false, buffer: 4 << 20, gro: false })
            .context("a socket")?;
    let mut sender = Sender::new(true);

    run(WARM_UP, &mut scene, &mut batch, &socket, &mut sender);
    let (before, began) = (net::thread_cpu_time()?, Instant::now());
    batch.totals = Default::default();
    batch.delays.clear();
    let received = drain.received();
    run(Duration::from_secs_f64(options.duration), &mut scene, &mut batch, &socket, &mut sender);
    let (cpu, took) = ((net::thread_cpu_time()? - before).as_secs_f64(), began.elapsed().as_secs_f64());
    std::thread::sleep(drain::TICK * 3);
    let totals = batch.totals;
    println!(
        "{}",
        json!({
            "packets": totals.packets, "messages": totals.messages, "calls": totals.calls,
            "run_length": totals.run_length(),
            "mbit_per_s": totals.bytes as f64 * 8.0 / 1e6 / took,
            "unsent": totals.unsent, "lost": totals.packets as i64 - (drain.received() - received) as i64,
            "cpu_s": cpu, "cpu_percent": cpu / took * 100.0,
            "packets_per_cpu_second": totals.packets as f64 / cpu.max(1e-9),
            "ns_per_packet": cpu * 1e9 / totals.packets.max(1) as f64,
            "delay_median_ms": delay(&mut batch.delays, 0.5), "delay_p99_ms": delay(&mut batch.delays, 0.99),
            "send_to_ns": send_to,
        })
    );
    drain.stop();
    Ok(())
}

fn now() -> Time {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { mono: Instant::now(), unix }
}

/// How long this share of all packets was on its way out at most, milliseconds.
fn delay(delays: &mut [(f64, usize)], share: f64) -> f64 {
    delays.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: usize = delays.iter().map(|(_, packets)| packets).sum();
    let mut seen = 0;
    let found = delays.iter().find(|(_, packets)| {
        seen += packets;
        seen as f64 >= all as f64 * share
    });
    found.map_or(0.0, |(delay, _)| (delay * 1e5).round() / 100.0)
}

/// Seals and sends for so long.
fn run(span: Duration, scene: &mut Scene, batch: &mut Batch, socket: &Socket, sender: &mut Sender) {
    let end = Instant::now() + span;
    loop {
        let now = now();
        if now.mono >= end {
            return;
        }
        scene.poll(now);
        if scene.is_due(now.mono, batch.totals.run_length()) {
            batch.send(&scene.take(), socket, sender);
            scene.adjust(batch.totals.run_length());
        }
        let wake = scene.wake().min(end);
        let patience = wake.saturating_duration_since(Instant::now());
        if !patience.is_zero() {
            std::thread::sleep(patience);
        }
    }
}

/// Nanoseconds of one bare send_to on this core: the median of rounds.
fn send_to(remotes: &[std::net::SocketAddr]) -> anyhow::Result<u64> {
    let plain = std::net::UdpSocket::bind(("127.0.0.1", 0)).context("a socket")?;
    let packet = [7; PLAIN];
    let mut rounds = Vec::new();
    for _ in 0..31 {
        let before = net::thread_cpu_time()?;
        for n in 0..CALLS {
            if let Some(remote) = remotes.get(n % remotes.len().max(1)) {
                // Loopback drops rather than refuses.
                let _ = plain.send_to(&packet, remote);
            }
        }
        rounds.push((net::thread_cpu_time()? - before).as_nanos() as u64 / CALLS as u64);
        std::thread::sleep(drain::TICK);
    }
    rounds.sort_unstable();
    Ok(rounds.get(rounds.len() / 2).copied().unwrap_or_default())
}
