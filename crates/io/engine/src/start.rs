//! Bringing an engine up: everything that can fail does so here, before the first thread turns.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use net::{Interface, Listener, Poller, Receiver, Socket};
use peer::{Carrier, Certificate};
use sfu::Router;

use crate::bell::Bell;
use crate::config::Config;
use crate::crossing::Crossing;
use crate::doze::Doze;
use crate::error::StartError;
use crate::handle::{Handle, Remote};
use crate::hold::Hold;
use crate::homes::Homes;
use crate::lane::{LaneIn, LaneOut, lane};
use crate::lobby::{Door, Lobby};
use crate::mailbox::Mailbox;
use crate::outgoing::Outgoing;
use crate::port::{Local, Port};
use crate::ports;
use crate::rooms::Rooms;
use crate::stats::{Published, WorkerStats};
use crate::streams::Streams;
use crate::worker::{BELL, RECEIVE_BATCH, STREAMS, Worker, now};

/// Workers an engine may have; each is a thread with a lane to every other one.
const MAX_WORKERS: usize = 64;

/// Opens the sockets and starts the workers. Every transport will present `certificate`.
pub fn start(config: &Config, certificate: &Certificate) -> Result<Handle, StartError> {
    let cpus = net::allowed_cpus().map_err(io_error("cannot ask which cores may be used"))?;
    let count = match config.workers {
        0 => cpus.len().clamp(1, MAX_WORKERS),
        count if count > MAX_WORKERS => {
            return Err(StartError::Config(format!(
                "{count} media workers; at most {MAX_WORKERS} are possible"
            )));
        }
        count => count,
    };
    let interfaces = net::interfaces().map_err(io_error("cannot list the network interfaces"))?;
    let sockets = ports::open(config, count)?;
    let listeners = ports::listen(config)?;
    let listening: Vec<SocketAddr> = listeners.iter().map(Listener::local_addr).collect();
    let bells: Vec<Arc<Bell>> = (0..count)
        .map(|_| Bell::new().map(Arc::new))
        .collect::<Result<_, _>>()
        .map_err(io_error("eventfd"))?;
    let mut lanes = lanes(&bells);

    let mut remotes = Vec::new();
    let mut workers = Vec::new();
    for (index, sockets) in sockets.into_iter().enumerate() {
        let bound: Vec<SocketAddr> = sockets.iter().map(Socket::local_addr).collect();
        let candidates = ports::candidates(config, &interfaces, &bound, &listening);
        if candidates.is_empty() {
            return Err(StartError::NoCandidates);
        }
        let bell = Arc::clone(&bells[index]);
        let mailbox = Arc::new(Mailbox::new(index as u8, config.mailbox, Arc::clone(&bell)));
        let published = Arc::new(Published::default());
        remotes.push(Remote { mailbox: Arc::clone(&mailbox), published: Arc::clone(&published), candidates });
        let (out, into) = std::mem::take(&mut lanes[index]);
        let crossing = Crossing::new(Homes::new(index as u8, count as u8), out, into);
        let ports = sockets.into_iter().map(|socket| port(config, &interfaces, socket)).collect();
        let routers = routers(config, certificate, index as u8);
        workers.push(worker(config, routers, ports, crossing, mailbox, bell, published)?);
    }
    let lobby = lobby(config, &interfaces, listeners, &remotes)?;
    let mut threads = spawn(workers, config, &cpus)?;
    let door = match lobby.map(|(lobby, door)| (lobby.spawn(), door)) {
        Some((Ok(thread), door)) => {
            threads.push(thread);
            Some(door)
        }
        Some((Err(source), _)) => {
            remotes.iter().for_each(|remote| remote.mailbox.close());
            return Err(io_error("cannot start the thread of the lobby")(source));
        }
        None => None,
    };
    let told = remotes.first().map(|remote| addresses_of(&remote.candidates)).unwrap_or_default();
    tracing::info!(workers = count, told, "media engine started");
    Ok(Handle::new(remotes, certificate.fingerprint(), threads, door, config.spread_above))
}

/// What clients are told of a worker, for whoever reads the log.
fn addresses_of(candidates: &[peer::Candidate]) -> String {
    let one = |candidate: &peer::Candidate| match candidate.carrier {
        Carrier::Udp => format!("udp {}", candidate.addr),
        Carrier::Tcp => format!("tcp {}", candidate.addr),
    };
    candidates.iter().map(one).collect::<Vec<_>>().join(", ")
}

type Ends = (Vec<Option<LaneOut>>, Vec<Option<LaneIn>>);

/// For each worker the lanes to and from every other one.
fn lanes(bells: &[Arc<Bell>]) -> Vec<Ends> {
    let none = || bells.iter().map(|_| (None, None)).unzip();
    let mut ends: Vec<Ends> = bells.iter().map(|_| none()).collect();
    for (to, bell) in bells.iter().enumerate() {
        for from in (0..bells.len()).filter(|from| *from != to) {
            let (out, into) = lane(Arc::clone(bell));
            ends[from].0[to] = Some(out);
            ends[to].1[from] = Some(into);
        }
    }
    ends
}

fn port(config: &Config, interfaces: &[Interface], socket: Socket) -> Port {
    let public = public(config, interfaces, socket.local_addr().ip());
    Port::new(socket, config.gso, public)
}

/// The address clients are told instead of `bound` that no interface has.
fn public(config: &Config, interfaces: &[Interface], bound: IpAddr) -> Option<IpAddr> {
    let elsewhere = |ip: &IpAddr| !interfaces.iter().any(|interface| interface.ip == *ip);
    ports::public_ips(config, bound).find(elsewhere)
}

/// Where clients over TCP come in, if they may.
fn lobby(
    config: &Config,
    interfaces: &[Interface],
    listeners: Vec<Listener>,
    remotes: &[Remote],
) -> Result<Option<(Lobby, Arc<Door>)>, StartError> {
    if listeners.is_empty() {
        return Ok(None);
    }
    let locals = listeners.into_iter().map(|listener| {
        let bound = listener.local_addr();
        let public = public(config, interfaces, bound.ip());
        (listener, Local::new(bound, public))
    });
    let mailboxes = remotes.iter().map(|remote| Arc::clone(&remote.mailbox)).collect();
    Lobby::new(locals.collect(), mailboxes).map(Some).map_err(io_error("the lobby"))
}

/// Makes the worker's router, now and whenever it has to begin afresh.
fn routers(config: &Config, certificate: &Certificate, index: u8) -> Box<dyn Fn() -> Router + Send> {
    let (config, certificate) = (config.router.clone(), certificate.clone());
    Box::new(move || {
        // Sequence numbers and tie-breaks must differ between runs; nothing of it is a secret.
        let seed = RandomState::new().hash_one(index);
        Router::new(now(), config.clone(), certificate.clone(), index, seed)
    })
}

fn worker(
    config: &Config,
    routers: Box<dyn Fn() -> Router + Send>,
    ports: Vec<Port>,
    crossing: Crossing,
    mailbox: Arc<Mailbox>,
    bell: Arc<Bell>,
    published: Arc<Published>,
) -> Result<Worker, StartError> {
    let poller = Poller::new().map_err(io_error("epoll"))?;
    poller.add_bell(bell.event(), BELL).map_err(io_error("epoll"))?;
    for (token, port) in ports.iter().enumerate() {
        poller.add(&port.socket, token as u64).map_err(io_error("epoll"))?;
    }
    let streams = Streams::new().map_err(io_error("epoll"))?;
    poller.add(streams.poller(), STREAMS).map_err(io_error("epoll"))?;
    let runs = ports.iter().any(|port| port.socket.gro());
    let now = now().mono;
    Ok(Worker {
        router: routers(),
        routers,
        poller,
        receiver: Receiver::new(RECEIVE_BATCH, runs),
        ports,
        streams,
        streams_ready: false,
        outgoing: Outgoing::new(),
        crossing,
        doze: Doze::new(now),
        hold: Hold::new(config.egress, now),
        rooms: Rooms::new(Arc::clone(&bell)),
        mailbox,
        bell,
        published,
        inbox: VecDeque::new(),
        peers: HashSet::new(),
        stats: WorkerStats::default(),
        housekeeping: now,
    })
}

/// Starts the threads; if one cannot be started, those before it end.
fn spawn(workers: Vec<Worker>, config: &Config, cpus: &[usize]) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut threads = Vec::new();
    let mailboxes: Vec<Arc<Mailbox>> = workers.iter().map(|worker| Arc::clone(&worker.mailbox)).collect();
    for (index, worker) in workers.into_iter().enumerate() {
        // More workers than cores are left to the scheduler.
        let cpu = cpus.get(index).copied().filter(|_| config.pin && mailboxes.len() <= cpus.len());
        let started = std::thread::Builder::new().name(format!("media-{index}")).spawn(move || {
            let _closing = Closing { mailbox: Arc::clone(&worker.mailbox), index };
            if let Some(cpu) = cpu
                && let Err(error) = net::pin_to(cpu)
            {
                tracing::warn!(worker = index, cpu, %error, "a media worker stays unpinned");
            }
            worker.run();
        });
        match started {
            Ok(thread) => threads.push(thread),
            Err(source) => {
                mailboxes.iter().for_each(|mailbox| mailbox.close());
                threads.into_iter().for_each(|thread: JoinHandle<()>| drop(thread.join()));
                return Err(StartError::Io {
                    what: format!("cannot start the thread of media worker {index}"),
                    source,
                });
            }
        }
    }
    Ok(threads)
}

/// Makes a worker that ends, for whatever reason, refuse what is sent to it.
struct Closing {
    mailbox: Arc<Mailbox>,
    index: usize,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.mailbox.close();
        if std::thread::panicking() {
            tracing::error!(worker = self.index, "a media worker has died; its rooms are lost");
        }
    }
}

fn io_error(what: &str) -> impl FnOnce(io::Error) -> StartError {
    let what = what.to_owned();
    move |source| StartError::Io { what, source }
}
