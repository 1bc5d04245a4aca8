//! What carries a transport's datagrams, and how an address says so.
//!
//! A far address stands for one peer in many tables. A UDP sender and a TCP connection may have the same
//! address and port, so a connection's far address is written in a form that no UDP socket gives: IPv6 (an
//! IPv4 address mapped into it, RFC 4291 section 2.5.5.2) with a flow label. Tables, queues and logs then
//! need no second key; whoever shows an address to the far end takes it apart again.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// What carries datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Carrier {
    #[default]
    Udp,
    /// Framed as in RFC 4571; the far end connects (RFC 6544 section 4.1, passive candidates).
    Tcp,
}

/// The flow label of a TCP connection's far address. The kernel gives none to datagrams unless asked.
const TCP_FLOW: u32 = 1;

impl Carrier {
    /// The far address `addr` over this carrier, as a key.
    pub fn mark(self, addr: SocketAddr) -> SocketAddr {
        match (self, addr) {
            (Self::Udp, addr) => addr,
            (Self::Tcp, SocketAddr::V4(v4)) => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), TCP_FLOW, 0).into()
            }
            (Self::Tcp, SocketAddr::V6(v6)) => {
                SocketAddrV6::new(*v6.ip(), v6.port(), TCP_FLOW, v6.scope_id()).into()
            }
        }
    }

    /// What carries datagrams to and from a far address.
    pub fn of(remote: SocketAddr) -> Self {
        match remote {
            SocketAddr::V6(v6) if v6.flowinfo() == TCP_FLOW => Self::Tcp,
            _ => Self::Udp,
        }
    }
}

/// A far address as the far end knows it.
pub fn plain_address(remote: SocketAddr) -> SocketAddr {
    match remote {
        SocketAddr::V6(v6) if v6.flowinfo() == TCP_FLOW => {
            let unmarked = |ip: Ipv6Addr| SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id());
            match v6.ip().to_canonical() {
                IpAddr::V4(ip) => SocketAddr::new(ip.into(), v6.port()),
                IpAddr::V6(ip) => unmarked(ip).into(),
            }
        }
        addr => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_address_is_another_key_and_comes_back_whole() {
        for text in ["192.0.2.1:5000", "[2001:db8::1]:443", "[fe80::1%3]:9", "127.0.0.1:1"] {
            let addr: SocketAddr = text.parse().unwrap();
            let marked = Carrier::Tcp.mark(addr);
            assert_ne!(marked, addr);
            assert_eq!((Carrier::of(marked), Carrier::of(addr)), (Carrier::Tcp, Carrier::Udp));
            assert_eq!((plain_address(marked), plain_address(addr)), (addr, addr));
            assert_eq!(Carrier::Udp.mark(addr), addr);
        }
    }
}
