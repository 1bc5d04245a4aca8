//! Which addresses clients may reach through this server: an open relay into a private network is a hole in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A network: an address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    ip: IpAddr,
    bits: u8,
}

/// Not `address/bits`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network such as 10.0.0.0/8")]
pub struct CidrError(String);

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let wrong = || CidrError(text.into());
        let (ip, bits) = match text.trim().split_once('/') {
            Some((ip, bits)) => (ip.parse().map_err(|_| wrong())?, bits.parse().map_err(|_| wrong())?),
            None => {
                let ip: IpAddr = text.trim().parse().map_err(|_| wrong())?;
                (ip, if ip.is_ipv4() { 32 } else { 128 })
            }
        };
        let fits = bits <= if ip.is_ipv4() { 32 } else { 128 };
        fits.then_some(Self { ip, bits }).ok_or_else(wrong)
    }
}

impl Cidr {
    /// Its addresses.
    pub fn range(&self) -> RangeInclusive<IpAddr> {
        let bits = u32::from(self.bits);
        match self.ip {
            IpAddr::V4(ip) => {
                let rest = u32::MAX.checked_shr(bits).unwrap_or(0);
                let first = ip.to_bits() & !rest;
                Ipv4Addr::from_bits(first).into()..=Ipv4Addr::from_bits(first | rest).into()
            }
            IpAddr::V6(ip) => {
                let rest = u128::MAX.checked_shr(bits).unwrap_or(0);
                let first = ip.to_bits() & !rest;
                Ipv6Addr::from_bits(first).into()..=Ipv6Addr::from_bits(first | rest).into()
            }
        }
    }

    /// Whether `ip` is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.range().contains(&ip)
    }
}

/// Who may be reached.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Where this server takes media itself: always allowed, at these ports.
    pub own: Vec<SocketAddr>,
    /// Ports of relay addresses, which those addresses have, too: two clients may both need a relay.
    pub relays: Option<RangeInclusive<u16>>,
    /// Never, whatever else is said.
    pub deny: Vec<Cidr>,
    /// Restricted networks that are allowed all the same.
    pub allow: Vec<Cidr>,
}

impl Policy {
    /// Whether anything at `ip` may be reached: what a permission is for (RFC 8656 section 9).
    pub(crate) fn admits_host(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.own.iter().any(|own| own.ip() == ip) || self.admits_stranger(ip)
    }

    /// Whether `peer` may be reached.
    pub(crate) fn admits(&self, peer: SocketAddr) -> bool {
        let ip = peer.ip().to_canonical();
        if self.own.iter().any(|own| own.ip() == ip) {
            // Other ports of this machine are behind its firewall, which sees us as a neighbour.
            let is_relay = self.relays.as_ref().is_some_and(|ports| ports.contains(&peer.port()));
            return is_relay || self.own.contains(&SocketAddr::new(ip, peer.port()));
        }
        self.admits_stranger(ip)
    }

    fn admits_stranger(&self, ip: IpAddr) -> bool {
        let listed = |list: &[Cidr]| list.iter().any(|network| network.contains(ip));
        !listed(&self.deny) && (!is_restricted(ip) || listed(&self.allow))
    }
}

/// Addresses that do not belong to the public Internet (RFC 6890), or that stand for many.
fn is_restricted(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_restricted_v4(ip),
        IpAddr::V6(ip) => is_restricted_v6(ip),
    }
}

fn is_restricted_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        // This network; shared addresses of carriers (RFC 6598); protocol assignments; benchmarks; reserved.
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || a >= 240
}

fn is_restricted_v6(ip: Ipv6Addr) -> bool {
    let embedded =
        |high: u16, low: u16| is_restricted_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match ip.segments() {
        // ::, ::1, IPv4-compatible and -mapped.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] => true,
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to IPv4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, ..] => true,
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo hides an IPv4 address (RFC 4380); documentation; discard (RFC 6666).
        [0x2001, 0, ..] | [0x2001, 0xdb8, ..] | [0x100, 0, 0, 0, ..] => true,
        // Unique local, link-local, the former site-local, multicast.
        [first, ..] => first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80 || first & 0xff00 == 0xff00,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_but_the_public_internet_is_reached() {
        let policy = Policy::default();
        for denied in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fec0::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:a00:1::1",
            "2001:0:1::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!policy.admits_host(ip(denied)), "{denied}");
            assert!(!policy.admits(SocketAddr::new(ip(denied), 5000)), "{denied}");
        }
        for allowed in ["8.8.8.8", "100.128.0.1", "2a00::1", "64:ff9b::808:808", "2002:808:808::1"] {
            assert!(policy.admits_host(ip(allowed)), "{allowed}");
        }
    }

    #[test]
    fn this_server_is_reached_at_its_media_and_relay_ports_alone() {
        let own = vec!["127.0.0.1:7882".parse().unwrap()];
        let policy = Policy { own, relays: Some(30_000..=30_002), ..Policy::default() };
        assert!(policy.admits_host(ip("127.0.0.1")));
        for allowed in ["127.0.0.1:7882", "[::ffff:127.0.0.1]:7882", "127.0.0.1:30000", "127.0.0.1:30002"] {
            assert!(policy.admits(allowed.parse().unwrap()), "{allowed}");
        }
        for denied in ["127.0.0.1:6379", "127.0.0.1:30003", "127.0.0.2:7882", "127.0.0.2:30000"] {
            assert!(!policy.admits(denied.parse().unwrap()), "{denied}");
        }
    }

    #[test]
    fn lists_open_and_close() {
        let nets = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect();
        let policy = Policy {
            allow: nets(&["10.0.0.0/8"]),
            deny: nets(&["10.9.0.0/16", "8.8.8.8"]),
            relays: None,
            own: vec![],
        };
        assert!(policy.admits_host(ip("10.1.1.1")));
        assert!(!policy.admits_host(ip("10.9.1.1")) && !policy.admits_host(ip("8.8.8.8")));
        assert!(!policy.admits_host(ip("192.168.1.1")));
        let everything: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(everything.contains(ip("1.2.3.4")) && !everything.contains(ip("::1")));
        for wrong in ["", "10.0.0.0/33", "x/8", "10.0.0.0/", "::/129"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
