//! Sockets for every worker, and the addresses clients are told.
//!
//! Owns: choosing ports, noticing that another process has them, and candidates (RFC 8445 section 5.1.1).
//! The set of sockets never changes while an engine runs.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use net::{Interface, Listener, Options, Socket};
use peer::{Candidate, CandidateKind, Carrier};

use crate::config::{Config, Ports};
use crate::error::StartError;

/// Attempts to find a port that is free in both families, where any will do.
const ANY_PORT_ATTEMPTS: usize = 16;
/// Type preference of a host candidate, RFC 8445 section 5.1.2.2.
const HOST_PREFERENCE: u32 = 126;

/// The same over TCP: below anything over UDP that works, relays apart, where RFC 6544 section 4.2 leaves the choice.
const TCP_PREFERENCE: u32 = 90;
/// Local preference of the best address, RFC 8445 section 5.1.2.1.
const LOCAL_PREFERENCE_MAX: u32 = 65_535;
/// The same for a passive candidate: direction preference 4 of 7 in the upper three bits, RFC 6544 section 4.2.
const PASSIVE_PREFERENCE: u32 = 4 << 13 | 0x1fff;

/// Opens the sockets of each worker: one for each address listened on.
pub(crate) fn open(config: &Config, workers: usize) -> Result<Vec<Vec<Socket>>, StartError> {
    match config.ports {
        Ports::Shared(0) => open_any(config, workers),
        Ports::Shared(port) => {
            open_all(config, port, false)?;
            (0..workers).map(|_| open_all(config, port, true)).collect()
        }
        Ports::Range { first, last } => open_range(config, workers, first, last),
    }
}

fn open_any(config: &Config, workers: usize) -> Result<Vec<Vec<Socket>>, StartError> {
    let mut attempt = 0;
    loop {
        let ip = listen_on(config).first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let probe = bind(config, SocketAddr::new(ip, 0), false)?;
        let port = probe.local_addr().port();
        drop(probe);
        // Dropped at once: what holds the port exclusively would keep the workers out.
        match open_all(config, port, false).map(drop) {
            Ok(()) => return (0..workers).map(|_| open_all(config, port, true)).collect(),
            Err(StartError::PortInUse { .. }) if attempt < ANY_PORT_ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

fn open_range(
    config: &Config,
    workers: usize,
    first: u16,
    last: u16,
) -> Result<Vec<Vec<Socket>>, StartError> {
    if first == 0 || last < first {
        return Err(StartError::Config(format!("{first} to {last} is not a range of UDP ports")));
    }
    let mut found = Vec::new();
    for port in first..=last {
        match open_all(config, port, false) {
            Ok(sockets) => found.push(sockets),
            Err(StartError::PortInUse { .. }) => {}
            Err(error) => return Err(error),
        }
        if found.len() == workers {
            return Ok(found);
        }
    }
    // Fewer ports than workers: they share. What holds the ports exclusively has to go first.
    let ports: Vec<u16> = found.iter().filter_map(|set| set.first()).map(|s| s.local_addr().port()).collect();
    drop(found);
    if ports.is_empty() {
        return Err(StartError::RangeInUse { first, last });
    }
    (0..workers).map(|worker| open_all(config, ports[worker % ports.len()], true)).collect()
}

/// Listeners for clients over TCP, on the same addresses. A port that is taken is an error only where it is asked for.
pub(crate) fn listen(config: &Config) -> Result<Vec<Listener>, StartError> {
    let Some(tcp) = config.tcp else { return Ok(Vec::new()) };
    let mut listeners: Vec<Listener> = Vec::new();
    for ip in listen_on(config) {
        // Any port will do for the first address; the others follow it.
        let port = listeners.first().map_or(tcp.port, |first| first.local_addr().port());
        match Listener::bind(SocketAddr::new(ip, port)) {
            Ok(listener) => listeners.push(listener),
            Err(error) if config.bind.is_empty() && ip.is_ipv6() && is_no_such_address(&error) => {}
            Err(source) if tcp.required => {
                let what = format!("cannot listen on TCP {ip} port {port} for media");
                return Err(StartError::Io { what, source });
            }
            Err(error) => {
                tracing::warn!(%ip, port, %error, "no media over TCP: clients whom UDP does not reach stay out");
                return Ok(Vec::new());
            }
        }
    }
    Ok(listeners)
}

/// One socket for each address listened on. Without `shared` it fails if anybody has the port, even with
/// SO_REUSEPORT: two servers must not take each other's datagrams.
fn open_all(config: &Config, port: u16, shared: bool) -> Result<Vec<Socket>, StartError> {
    let mut sockets = Vec::new();
    for ip in listen_on(config) {
        match bind(config, SocketAddr::new(ip, port), shared) {
            Ok(socket) => sockets.push(socket),
            // A machine without IPv6 is no mistake unless IPv6 was asked for.
            Err(StartError::NoSuchAddress { .. }) if config.bind.is_empty() && ip.is_ipv6() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

fn listen_on(config: &Config) -> Vec<IpAddr> {
    if config.bind.is_empty() {
        vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
    } else {
        config.bind.clone()
    }
}

fn bind(config: &Config, addr: SocketAddr, shared: bool) -> Result<Socket, StartError> {
    let options = Options { reuse_port: shared, buffer: config.socket_buffer, gro: config.gro };
    Socket::bind(addr, options).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { addr },
        io::ErrorKind::PermissionDenied => StartError::NotPermitted { addr },
        _ if is_no_such_address(&source) => StartError::NoSuchAddress { addr },
        _ => StartError::Io { what: format!("cannot listen on UDP {addr}"), source },
    })
}

fn is_no_such_address(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// The address family is not supported by the kernel: errno 97 on Linux.
const EAFNOSUPPORT: i32 = 97;

/// What clients are told of a worker's sockets, best first, and of the listeners for TCP.
pub(crate) fn candidates(
    config: &Config,
    interfaces: &[Interface],
    bound: &[SocketAddr],
    listeners: &[SocketAddr],
) -> Vec<Candidate> {
    let udp = if config.tcp_only { Vec::new() } else { addresses(config, interfaces, bound) };
    let tcp = addresses(config, interfaces, listeners);
    let over = |carrier| move |addr| (carrier, addr);
    let all = udp.into_iter().map(over(Carrier::Udp)).chain(tcp.into_iter().map(over(Carrier::Tcp)));
    all.enumerate().map(|(index, (carrier, addr))| candidate(index, carrier, addr)).collect()
}

/// The addresses to tell for sockets bound to these, best first, each once.
fn addresses(config: &Config, interfaces: &[Interface], bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut addrs: Vec<SocketAddr> = Vec::new();
    for socket in bound {
        addrs.extend(
            told(config, interfaces, socket.ip()).into_iter().map(|ip| SocketAddr::new(ip, socket.port())),
        );
    }
    if addrs.is_empty() {
        // Better a meeting on this machine than none.
        for socket in bound.iter().filter(|socket| socket.ip().is_unspecified()) {
            addrs.extend(loopbacks(interfaces, socket.ip()).map(|ip| SocketAddr::new(ip, socket.port())));
        }
    }
    let mut seen = Vec::new();
    addrs.retain(|addr| {
        !seen.contains(addr) && {
            seen.push(*addr);
            true
        }
    });
    addrs
}

/// The addresses to tell for a socket bound to `bound`.
fn told(config: &Config, interfaces: &[Interface], bound: IpAddr) -> Vec<IpAddr> {
    let public: Vec<IpAddr> = public_ips(config, bound).collect();
    if !bound.is_unspecified() {
        return if public.is_empty() { vec![bound] } else { public };
    }
    let mut ips = public;
    if ips.is_empty() || config.internal_candidates {
        let usable = |i: &&Interface| !i.loopback && same_family(i.ip, bound) && routable(i.ip);
        ips.extend(interfaces.iter().filter(usable).filter(|i| config.interfaces.admits(i)).map(|i| i.ip));
    }
    let asked = |ip: &IpAddr| ip.is_loopback() && same_family(*ip, bound);
    ips.extend(config.node_ips.iter().copied().filter(asked));
    if config.loopback_candidate {
        ips.extend(loopbacks(interfaces, bound));
    }
    ips
}

/// Configured addresses that stand for those of the family of `bound`.
pub(crate) fn public_ips(config: &Config, bound: IpAddr) -> impl Iterator<Item = IpAddr> {
    config.node_ips.iter().copied().filter(move |ip| same_family(*ip, bound) && !ip.is_loopback())
}

fn loopbacks(interfaces: &[Interface], bound: IpAddr) -> impl Iterator<Item = IpAddr> {
    interfaces
        .iter()
        .filter(move |i| i.loopback && i.ip.is_loopback() && same_family(i.ip, bound))
        .map(|i| i.ip)
}

fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

/// Browsers do not use link-local addresses, which need a zone.
fn routable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_unspecified() && !ip.is_multicast(),
    }
}

fn candidate(index: usize, carrier: Carrier, addr: SocketAddr) -> Candidate {
    let (preference, local_preference) = match carrier {
        Carrier::Udp => (HOST_PREFERENCE, LOCAL_PREFERENCE_MAX),
        Carrier::Tcp => (TCP_PREFERENCE, PASSIVE_PREFERENCE),
    };
    let local_preference = local_preference.saturating_sub(index as u32);
    Candidate {
        kind: CandidateKind::Host,
        carrier,
        addr,
        // RFC 8445 section 5.1.2.1, for component 1.
        priority: preference << 24 | local_preference << 8 | 255,
        foundation: (index + 1).to_string(),
    }
}

#[cfg(test)]
mod tests;
