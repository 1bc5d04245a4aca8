//! What a received packet costs: many in a call, and runs that the kernel has put together (UDP_GRO).
//!
//! `cargo bench -p millrace-net --bench receive`. A frame of 8 packets of 1,200 bytes after the other comes over loopback, in
//! runs, as a network card's driver hands them up; sending is outside the timing. The median of several rounds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use net::{Message, Options, Receiver, Sender, Socket};

/// Bytes of a packet: a full one of a video frame.
const PACKET: usize = 1200;
/// Packets of a frame.
const FRAME: usize = 8;
/// Frames in a round, as many as one call takes where they come in pieces.
const FRAMES: usize = 8;
/// Rounds, of which the median counts.
const ROUNDS: usize = 301;

fn main() -> std::io::Result<()> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bytes = vec![7; PACKET * FRAME];
    let plain = Options { reuse_port: false, buffer: 4 << 20, gro: false };
    let sending = Socket::bind(any, plain)?;
    let mut costs = Vec::new();
    for gro in [false, true] {
        let socket = Socket::bind(any, Options { gro, ..plain })?;
        let mut receiver = Receiver::new(64, socket.gro());
        let mut sender = Sender::new(true);
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let frame =
                Message { remote: socket.local_addr(), local: None, payload: &bytes, segment: PACKET };
            sender.send(&sending, (0..FRAMES).map(|_| frame));
            let (start, mut came) = (Instant::now(), 0);
            while came < FRAMES * FRAME {
                receiver.receive(&socket)?;
                came += receiver.datagrams().count();
            }
            times.push(start.elapsed() / (FRAMES * FRAME) as u32);
        }
        times.sort();
        costs.push(times[ROUNDS / 2]);
        report(if socket.gro() { "recvmmsg, UDP_GRO" } else { "recvmmsg" }, times[ROUNDS / 2], costs[0]);
    }
    Ok(())
}

fn report(name: &str, cost: Duration, base: Duration) {
    let share = cost.as_secs_f64() / base.as_secs_f64();
    println!("{name:<20} {:>6.0} ns a packet, {share:>5.2} of recvmmsg alone", cost.as_secs_f64() * 1e9);
}
