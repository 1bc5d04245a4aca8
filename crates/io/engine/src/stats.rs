//! What a worker counts, readable by anybody at any time.
//!
//! Owns: one atomic a counter, written by its worker only (so a plain store is enough) and read without
//! disturbing it. Knows nothing of how metrics are exported.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sfu::Counters;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// One worker's counters since its start; gauges say so.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct WorkerStats {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// Where a worker publishes [`WorkerStats`].
        #[derive(Debug, Default)]
        pub(crate) struct Published {
            $($name: AtomicU64,)*
            router: Mutex<Counters>,
        }

        impl Published {
            pub(crate) fn publish(&self, stats: &WorkerStats) {
                $(self.$name.store(stats.$name, Ordering::Relaxed);)*
            }

            pub(crate) fn read(&self) -> WorkerStats {
                WorkerStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl WorkerStats {
            /// Every counter with its name, for an exporter.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Turns of the loop.
    turns,
    /// Turns that a panic has ended, each with all peers of the worker.
    panics,
    /// Gauge: share of the last interval spent working, in thousandths.
    busy_permille,
    /// Gauge: peers on this worker.
    peers,
    /// Datagrams received from the network.
    datagrams_in,
    /// Their bytes.
    bytes_in,
    /// System calls that received at least one.
    receive_calls,
    /// Datagrams that the kernel dropped because the socket's buffer was full: the worker had too much to do.
    receive_overflow,
    /// Gauge: 1 while the worker is so far behind that it takes no video, 2 while it takes no sound either.
    behind,
    /// Times that it fell behind so far.
    overloads,
    /// Datagrams sent.
    datagrams_out,
    /// Their bytes.
    bytes_out,
    /// System calls that sent at least one.
    send_calls,
    /// Messages handed to the kernel; a GSO run is one.
    messages_out,
    /// Datagrams that the system refused to send (no route, too big, forbidden).
    send_refused,
    /// Datagrams dropped because the kernel's buffers were full for too long.
    send_overflow,
    /// Times the socket would have blocked.
    send_blocked,
    /// Datagrams handed to the worker they belong to.
    foreign_out,
    /// Datagrams that came from the worker they landed on.
    foreign_in,
    /// Datagrams dropped because the ring to their worker was full.
    foreign_overflow,
    /// Media packets handed to other workers' subscribers.
    links_out,
    /// Media packets that came from other workers' publishers.
    links_in,
    /// Media packets dropped because the ring to their worker was full.
    links_overflow,
    /// Gauge: clients connected over TCP.
    streams,
    /// Connections taken over from the lobby.
    streams_in,
    /// Connections closed because too many had not passed a check.
    streams_refused,
    /// Datagrams dropped because a client over TCP read too slowly.
    streams_overflow,
    /// Commands taken out of the mailbox.
    commands,
    /// Events given to rooms.
    events,
    /// Events of rooms that are not registered, or whose reader has gone.
    events_orphaned,
    /// Audio levels dropped, and changes of state beyond the reserve, because a reader was behind.
    events_overflow,
    /// Times a peer's data was stopped because a reader was behind.
    data_held,
    /// Times packets were held for company.
    holds,
}

impl Published {
    /// Copies the router's counters out, now and then. A reader that holds the lock just now makes it skip
    /// a round.
    pub(crate) fn publish_router(&self, counters: &Counters) {
        if let Ok(mut published) = self.router.try_lock() {
            *published = *counters;
        }
    }

    pub(crate) fn read_router(&self) -> Counters {
        *self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read() {
        let published = Published::default();
        let stats = WorkerStats { turns: 7, holds: 9, ..WorkerStats::default() };
        published.publish(&stats);
        assert_eq!(published.read(), stats);
        assert!(stats.named().any(|(name, value)| name == "holds" && value == 9));
    }
}
