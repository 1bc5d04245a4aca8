//! What an engine is told once, at its start.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use net::Interface;

/// How workers share the UDP port space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// One port for all workers (SO_REUSEPORT). 0 takes a free one, which tests do.
    Shared(u16),
    /// A port for each worker, taken from this range in order, ports in use skipped. If the range is
    /// shorter than the number of workers, workers share its ports.
    Range {
        /// First port of the range.
        first: u16,
        /// Last port of the range, included.
        last: u16,
    },
}

/// Where clients that UDP does not reach may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpPort {
    /// 0 takes a free one, which tests do.
    pub port: u16,
    /// Not to start without it. Otherwise a port that is taken is said and done without.
    pub required: bool,
}

/// Which addresses of which network interfaces are candidates; a name ending in `*` is a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceFilter {
    /// If not empty, only these.
    pub include: Vec<String>,
    /// Never these.
    pub exclude: Vec<String>,
    /// If there are any, only addresses in these.
    pub include_ips: Vec<RangeInclusive<IpAddr>>,
    /// Never those in these.
    pub exclude_ips: Vec<RangeInclusive<IpAddr>>,
}

/// When packets wait for company, so that a frame leaves as one GSO run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Egress {
    /// Longest time a packet is held. Zero sends everything at once.
    pub max_hold: Duration,
    /// Share of a worker's time, in percent, below which packets are held for a millisecond at most; from there the
    /// hold grows linearly and reaches `max_hold` at 90 %.
    pub hold_above: u8,
}

impl Default for Egress {
    fn default() -> Self {
        Self { max_hold: Duration::from_millis(5), hold_above: 70 }
    }
}

/// An engine's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Media threads; 0 is one a core that the process may use. At most 64.
    pub workers: usize,
    /// UDP ports.
    pub ports: Ports,
    /// Clients over TCP, if any (RFC 6544).
    pub tcp: Option<TcpPort>,
    /// Tell clients of TCP alone.
    pub tcp_only: bool,
    /// Addresses to listen on; empty is every address of both families.
    pub bind: Vec<IpAddr>,
    /// Addresses told to clients instead of those of the interfaces, one a family at most is useful:
    /// a public address in front of a 1:1 NAT. A loopback address here is told besides the interfaces'.
    pub node_ips: Vec<IpAddr>,
    /// Tell the interfaces' addresses besides `node_ips`.
    pub internal_candidates: bool,
    /// Which interfaces give candidates.
    pub interfaces: InterfaceFilter,
    /// Tell loopback addresses too. They are told anyway where there is nothing else.
    pub loopback_candidate: bool,
    /// Kernel buffer of each socket and direction, in bytes; the kernel may grant less.
    pub socket_buffer: usize,
    /// Send runs of equal-sized packets in one trip through the kernel, where the kernel can.
    pub gso: bool,
    /// Receive runs in one piece, where the kernel can.
    pub gro: bool,
    /// Pin each worker to a core of its own.
    pub pin: bool,
    /// When packets wait for company.
    pub egress: Egress,
    /// Share of a worker's time, in percent, from which on those who join a room that lives on it are put on the
    /// least loaded worker; 0 spreads every room.
    pub spread_above: u8,
    /// Commands that may wait for a worker; beyond it [`crate::Handle::send`] refuses data, and at twice
    /// as many everything.
    pub mailbox: usize,
    /// Each worker's router.
    pub router: sfu::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 0,
            ports: Ports::Shared(7882),
            tcp: None,
            tcp_only: false,
            bind: Vec::new(),
            node_ips: Vec::new(),
            internal_candidates: false,
            interfaces: InterfaceFilter::default(),
            loopback_candidate: false,
            socket_buffer: 4 << 20,
            gso: true,
            gro: true,
            pin: true,
            egress: Egress::default(),
            spread_above: 70,
            mailbox: 16_384,
            router: sfu::Config::default(),
        }
    }
}

impl InterfaceFilter {
    /// Whether this address may be a candidate.
    pub(crate) fn admits(&self, Interface { name, ip, .. }: &Interface) -> bool {
        let is_named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => pattern == name,
        };
        let is_in = |range: &RangeInclusive<IpAddr>| range.contains(ip);
        (self.include.is_empty() || self.include.iter().any(is_named))
            && !self.exclude.iter().any(is_named)
            && (self.include_ips.is_empty() || self.include_ips.iter().any(is_in))
            && !self.exclude_ips.iter().any(is_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_excluded_is_so_even_if_included() {
        let is = |filter: &InterfaceFilter, name: &str, ip: &str| {
            filter.admits(&Interface { name: name.into(), ip: ip.parse().unwrap(), loopback: false })
        };
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let mut filter = InterfaceFilter { include: names(&["eth*", "lo"]), ..InterfaceFilter::default() };
        filter.exclude = names(&["eth1"]);
        let named = |name| is(&filter, name, "10.0.0.1");
        assert!(named("eth0") && named("lo"));
        assert!(!named("eth1") && !named("docker0") && !named("lo0"));

        let range = |first: &str, last: &str| first.parse().unwrap()..=last.parse().unwrap();
        let ips = InterfaceFilter {
            include_ips: vec![range("10.0.0.0", "10.255.255.255"), range("2001:db8::", "2001:db8::ffff")],
            exclude_ips: vec![range("10.1.0.0", "10.1.255.255")],
            ..InterfaceFilter::default()
        };
        let at = |ip| is(&ips, "eth0", ip);
        assert!(at("10.0.0.1") && at("2001:db8::1"));
        assert!(!at("10.1.0.1") && !at("192.0.2.1") && !at("2001:db9::1"));
        assert!(is(&InterfaceFilter::default(), "anything", "192.0.2.1"));
    }
}
