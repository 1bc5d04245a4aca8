//! The receiving sockets, emptied by a thread of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use net::{Options, Receiver, Socket};

/// Time between two looks, as in the load.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Kernel buffer of each socket, as in the load, bytes.
const BUFFER: usize = 256 << 10;

pub(crate) struct Drain {
    pub(crate) remotes: Vec<SocketAddr>,
    received: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

/// Binds so many sockets and empties them on `cpu`.
pub(crate) fn start(count: usize, cpu: usize) -> anyhow::Result<Drain> {
    net::raise_file_limit().context("the limit of open files")?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = Options { reuse_port: false, buffer: BUFFER, gro: false };
    let bind = || -> std::io::Result<Socket> {
        let socket = Socket::bind(any, options)?;
        socket.stamp_arrivals()?;
        Ok(socket)
    };
    let sockets: Vec<Socket> = (0..count).map(|_| bind()).collect::<Result<_, _>>().context("a socket")?;
    let remotes = sockets.iter().map(Socket::local_addr).collect();
    let (received, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, end) = (Arc::clone(&received), Arc::clone(&ended));
    let thread = std::thread::spawn(move || {
        // Elsewhere is fine where there is only one core.
        let _ = net::pin_to(cpu);
        let mut receiver = Receiver::new(64, false);
        while !end.load(Ordering::Relaxed) {
            for socket in &sockets {
                while receiver.receive(socket).unwrap_or(false) {
                    count.fetch_add(receiver.datagrams().count() as u64, Ordering::Relaxed);
                }
                count.fetch_add(receiver.datagrams().count() as u64, Ordering::Relaxed);
            }
            std::thread::sleep(TICK);
        }
    });
    Ok(Drain { remotes, received, ended, thread })
}

impl Drain {
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(self) {
        self.ended.store(true, Ordering::Relaxed);
        // A thread that panicked has said so.
        let _ = self.thread.join();
    }
}
