//! What leaves a worker.
//!
//! Owns: the outbox, and what happens when a socket does not take it: it is offered again when the socket is
//! writable, nothing is put behind it meanwhile, and after a while it is dropped, because media that late is
//! of no use and its place is needed.

use std::time::{Duration, Instant};

use sfu::{Outbox, Run};

use crate::port::Port;
use crate::stats::WorkerStats;
use crate::streams::Streams;

/// Bytes in the outbox before it is sent: as much as stays in a core's second cache until the kernel reads it,
/// and enough for the calls to be few.
const OUTBOX_BYTES: usize = 256 << 10;
/// How long a full socket may hold up what is in the outbox.
const PATIENCE: Duration = Duration::from_millis(100);

/// The outbox of one worker.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) outbox: Outbox,
    blocked_since: Option<Instant>,
    /// Datagrams of the outbox that have gone to clients over TCP, once they have.
    streamed: Option<usize>,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self { outbox: Outbox::new(OUTBOX_BYTES), blocked_since: None, streamed: None }
    }

    /// Whether something waits for a socket; nothing must be put into the outbox then.
    pub(crate) fn blocked(&self) -> bool {
        self.blocked_since.is_some()
    }

    /// When what waits is given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.blocked_since.map(|since| since + PATIENCE)
    }

    /// Forgets what is in the outbox.
    pub(crate) fn clear(&mut self, ports: &mut [Port]) {
        self.outbox.clear();
        self.blocked_since = None;
        self.streamed = None;
        for port in ports {
            port.done = 0;
            port.blocked = false;
        }
    }

    /// Sends what is in the outbox. True if it is empty now.
    pub(crate) fn flush(
        &mut self,
        now: Instant,
        ports: &mut [Port],
        streams: &mut Streams,
        stats: &mut WorkerStats,
    ) -> bool {
        if self.outbox.is_empty() {
            return true;
        }
        // A connection has a queue of its own: what goes there is done with at the first attempt.
        let mut done = *self.streamed.get_or_insert_with(|| streams.send(now, &self.outbox, stats));
        for port in ports.iter_mut() {
            send(port, &self.outbox, stats);
            done += port.done;
        }
        let total = self.outbox.entries().len();
        if ports.iter().any(|port| port.blocked) {
            let since = *self.blocked_since.get_or_insert(now);
            if now.saturating_duration_since(since) < PATIENCE {
                return false;
            }
            stats.send_overflow += (total - done) as u64;
        } else {
            // From an address that no socket of this worker has, or over a connection that has ended.
            stats.send_refused += (total - done) as u64;
        }
        self.clear(ports);
        true
    }
}

/// Sends this port's share of the outbox, from where it left off.
fn send(port: &mut Port, outbox: &Outbox, stats: &mut WorkerStats) {
    let (local, mut skip) = (port.local(), port.done);
    let runs = outbox.runs(port.max_segments()).filter(|run| local.carries(&run.path));
    let outcome = port.send(outbox.bytes(), runs.filter_map(|run| rest_of(run, &mut skip)));
    port.done += outcome.done;
    port.blocked = outcome.blocked;
    stats.datagrams_out += outcome.sent as u64;
    stats.bytes_out += outcome.bytes as u64;
    stats.messages_out += outcome.messages as u64;
    stats.send_calls += outcome.calls as u64;
    stats.send_refused += outcome.refused as u64;
    stats.send_overflow += outcome.overflow as u64;
    stats.send_blocked += u64::from(outcome.blocked);
}

/// What is left of `run` after the first `skip` datagrams, of which it takes its share.
fn rest_of(run: Run, skip: &mut usize) -> Option<Run> {
    let skipped = run.count.min(*skip);
    *skip -= skipped;
    if skipped == run.count {
        return None;
    }
    let bytes = skipped * run.segment;
    Some(Run { offset: run.offset + bytes, len: run.len - bytes, count: run.count - skipped, ..run })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use net::{Options, Receiver, Socket};
    use sfu::Path;

    use super::*;

    fn port(addr: &str) -> Port {
        let options = Options { reuse_port: false, buffer: 0, gro: false };
        Port::new(Socket::bind(addr.parse().unwrap(), options).unwrap(), true, None)
    }

    fn run(count: usize, segment: usize, len: usize) -> Run {
        let path = Path { local: ([127, 0, 0, 1], 1).into(), remote: ([127, 0, 0, 1], 2).into() };
        Run { path, offset: 100, len, segment, count }
    }

    #[test]
    fn a_run_goes_on_where_it_was_interrupted() {
        let mut skip = 7;
        assert_eq!(rest_of(run(5, 10, 50), &mut skip), None);
        assert_eq!(rest_of(run(5, 10, 43), &mut skip), Some(Run { offset: 120, ..run(3, 10, 23) }));
        assert_eq!(rest_of(run(5, 10, 43), &mut skip), Some(run(5, 10, 43)));
    }

    #[test]
    fn each_datagram_leaves_through_its_own_port_and_strays_are_counted() {
        // Given: an outbox for both families, alternating, and one datagram from nowhere of ours.
        let mut ports = [port("127.0.0.1:0"), port("[::1]:0")];
        let locals = [ports[0].local().told(None), ports[1].local().told(None)];
        let mut outgoing = Outgoing::new();
        let mut stats = WorkerStats::default();
        for n in 0..10u8 {
            let local = locals[usize::from(n % 2)];
            outgoing.outbox.push(Path { local, remote: local }, &[n]);
        }
        let nowhere: SocketAddr = "192.0.2.1:1".parse().unwrap();
        outgoing.outbox.push(Path { local: nowhere, remote: nowhere }, b"stray");

        assert!(outgoing.flush(Instant::now(), &mut ports, &mut Streams::new().unwrap(), &mut stats));
        assert_eq!((stats.datagrams_out, stats.bytes_out, stats.send_refused), (10, 10, 1));
        assert!(outgoing.outbox.is_empty() && !outgoing.blocked());
        let mut receiver = Receiver::new(16, false);
        for (index, port) in ports.iter().enumerate() {
            receiver.receive(&port.socket).unwrap();
            let got: Vec<u8> = receiver.datagrams().map(|d| d.payload[0]).collect();
            assert_eq!(got, (0..10).filter(|n| usize::from(n % 2) == index).collect::<Vec<u8>>());
        }
    }
}
