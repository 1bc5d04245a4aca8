//! What a sent packet costs: one call each, many in a call, and runs (UDP GSO).
//!
//! `cargo bench -p millrace-net --bench send`. Packets of 1,200 bytes over loopback to sockets that are
//! emptied outside the timing; the median of several rounds. The absolute numbers belong to the machine; the
//! ratios say why the outbox is laid out for runs.

#![allow(unsafe_code, reason = "an option that the crate itself sets by message")]

use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use net::{Message, Options, Receiver, Sender, Socket};

/// Bytes of a packet: a full one of a video frame.
const PACKET: usize = 1200;
/// Destinations, as subscribers of one track.
const DESTINATIONS: usize = 16;
/// Packets to each destination in a round: fits the receivers' buffers.
const EACH: usize = 64;
/// Frames of 7 packets, which are nearly as many.
const FRAMES: usize = EACH / 7;
/// Rounds, of which the median counts.
const ROUNDS: usize = 31;

fn main() -> std::io::Result<()> {
    let options = Options { reuse_port: false, buffer: 4 << 20, gro: false };
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let receivers: Vec<Socket> =
        (0..DESTINATIONS).map(|_| Socket::bind(any, options)).collect::<Result<_, _>>()?;
    let mut sink = Receiver::new(64, false);
    let mut drain = || -> std::io::Result<usize> {
        let mut count = 0;
        for socket in &receivers {
            loop {
                let more = sink.receive(socket)?;
                count += sink.datagrams().count();
                if !more {
                    break;
                }
            }
        }
        Ok(count)
    };

    let bytes = vec![7; PACKET * EACH];
    let plain = UdpSocket::bind(any)?;
    let one_by_one = median(&mut drain, || {
        for receiver in &receivers {
            for packet in bytes.chunks(PACKET) {
                // Loopback drops rather than refuses; what arrived is counted by the drain.
                let _ = plain.send_to(packet, receiver.local_addr());
            }
        }
    })?;
    report("send_to", one_by_one, one_by_one);

    let socket = Socket::bind(any, options)?;
    for run in [1, 2, 4, 8, 16, 32] {
        let mut sender = Sender::new(true);
        let cost = median(&mut drain, || {
            sender.send(&socket, runs_of(run, &receivers, &bytes));
        })?;
        let name = if run == 1 { "sendmmsg".to_owned() } else { format!("sendmmsg, runs of {run}") };
        report(&name, cost, one_by_one);
        if run > 1 && sender.max_segments() == 1 {
            println!("  (this kernel refuses runs: they were taken apart)");
        }
    }
    unequal(&receivers, &bytes, one_by_one, &mut drain)?;
    ways_not_taken(&receivers, &bytes, one_by_one, &mut drain)
}

/// All of `bytes` to each receiver, in runs of so many packets.
fn runs_of<'a>(count: usize, receivers: &'a [Socket], bytes: &'a [u8]) -> impl Iterator<Item = Message<'a>> {
    receivers.iter().flat_map(move |receiver| {
        let remote = receiver.local_addr();
        let message = move |payload| Message { remote, local: None, payload, segment: PACKET };
        bytes.chunks(PACKET * count).map(message)
    })
}

/// Frames of 7 packets whose first three are one byte longer, as an encoder cuts them: in one run each where the others
/// are padded to the same size, in two where not.
fn unequal(
    receivers: &[Socket],
    bytes: &[u8],
    base: Duration,
    drain: &mut impl FnMut() -> std::io::Result<usize>,
) -> std::io::Result<()> {
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = Socket::bind(any, Options { reuse_port: false, buffer: 4 << 20, gro: false })?;
    // The first run of a frame that is not padded ends with its first shorter packet.
    let padded: &[usize] = &[7 * PACKET];
    let not: &[usize] = &[4 * PACKET - 1, 3 * (PACKET - 1)];
    for (name, frame) in [("frames of 7, padded", padded), ("frames of 7, not padded", not)] {
        let mut sender = Sender::new(true);
        let cost = median(drain, || {
            let frames = receivers.iter().flat_map(|receiver| {
                let message = move |(at, len): (usize, &usize)| {
                    let (payload, segment) = (&bytes[..*len], PACKET - at);
                    Message { remote: receiver.local_addr(), local: None, payload, segment }
                };
                (0..FRAMES).flat_map(move |_| frame.iter().enumerate().map(message))
            });
            sender.send(&socket, frames);
        })?;
        report(name, cost, base);
    }
    Ok(())
}

/// Runs of 8 as above, and what would change if sockets were connected, or receivers were in an epoll.
fn ways_not_taken(
    receivers: &[Socket],
    bytes: &[u8],
    base: Duration,
    drain: &mut impl FnMut() -> std::io::Result<usize>,
) -> std::io::Result<()> {
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let connect = |receiver: &Socket| -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind(any)?;
        socket.connect(receiver.local_addr())?;
        let segment = PACKET as i32;
        // SAFETY: `segment` lives through the call and is as long as said.
        let refused = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                (&raw const segment).cast(),
                size_of::<i32>() as u32,
            )
        };
        if refused == 0 { Ok(socket) } else { Err(std::io::Error::last_os_error()) }
    };
    let connected: Vec<UdpSocket> = receivers.iter().map(connect).collect::<Result<_, _>>()?;
    let cost = median(drain, || {
        for socket in &connected {
            for run in bytes.chunks(PACKET * 8) {
                let _ = socket.send(run);
            }
        }
    })?;
    report("connected, runs of 8", cost, base);

    let poller = net::Poller::new()?;
    for (token, receiver) in receivers.iter().enumerate() {
        poller.add(receiver, token as u64)?;
    }
    let socket = Socket::bind(any, Options { reuse_port: false, buffer: 4 << 20, gro: false })?;
    let mut sender = Sender::new(true);
    let cost = median(drain, || {
        sender.send(&socket, runs_of(8, receivers, bytes));
    })?;
    report("to sockets in an epoll", cost, base);
    Ok(())
}

/// The median time a packet takes to send.
fn median(
    drain: &mut impl FnMut() -> std::io::Result<usize>,
    mut send: impl FnMut(),
) -> std::io::Result<Duration> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        send();
        let took = start.elapsed();
        let arrived = drain()?;
        let least = DESTINATIONS * FRAMES * 7;
        assert!(arrived >= least, "the receivers' buffers are too small for a round: {arrived} came");
        times.push(took / arrived as u32);
    }
    times.sort();
    Ok(times[ROUNDS / 2])
}

fn report(name: &str, cost: Duration, base: Duration) {
    let ratio = base.as_secs_f64() / cost.as_secs_f64();
    println!("{name:<24} {:>6.2} us a packet, {ratio:>5.2} times send_to", cost.as_secs_f64() * 1e6);
}
