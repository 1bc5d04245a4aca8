//! Socket addresses as the kernel lays them out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for an address of either family.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union Raw {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Bytes in [`Raw`], for the kernel to fill.
pub(crate) const RAW_LEN: libc::socklen_t = size_of::<Raw>() as libc::socklen_t;

impl Raw {
    pub(crate) fn zeroed() -> Self {
        // SAFETY: every variant is plain integers, for which zero is a value.
        unsafe { std::mem::zeroed() }
    }

    /// `addr` and its length for the kernel.
    pub(crate) fn from(addr: SocketAddr) -> (Self, libc::socklen_t) {
        let mut raw = Self::zeroed();
        match addr {
            SocketAddr::V4(v4) => {
                raw.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: in_addr(*v4.ip()),
                    sin_zero: [0; 8],
                };
                (raw, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(v6) => {
                raw.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: in6_addr(*v6.ip()),
                    sin6_scope_id: v6.scope_id(),
                };
                (raw, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    /// What the kernel wrote; `None` for another family.
    pub(crate) fn to_addr(self) -> Option<SocketAddr> {
        // SAFETY: all variants begin with the family, all bytes are initialised, and each variant is plain
        // integers.
        unsafe {
            match i32::from(self.family) {
                libc::AF_INET => {
                    let ip = Ipv4Addr::from(self.v4.sin_addr.s_addr.to_ne_bytes());
                    Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(self.v4.sin_port))))
                }
                libc::AF_INET6 => {
                    let ip = Ipv6Addr::from(self.v6.sin6_addr.s6_addr);
                    let port = u16::from_be(self.v6.sin6_port);
                    Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, self.v6.sin6_scope_id)))
                }
                _ => None,
            }
        }
    }
}

pub(crate) fn in_addr(ip: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) }
}

pub(crate) fn in6_addr(ip: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr { s6_addr: ip.octets() }
}

/// The other way round.
pub(crate) fn ip_of_v4(addr: libc::in_addr) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(addr.s_addr.to_ne_bytes()))
}

/// The other way round.
pub(crate) fn ip_of_v6(addr: libc::in6_addr) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(addr.s6_addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_layout() {
        for text in ["1.2.3.4:5", "255.0.0.1:65535", "[2001:db8::1]:443", "[fe80::1%3]:9"] {
            let addr: SocketAddr = text.parse().unwrap();
            let (raw, len) = Raw::from(addr);
            assert!(len <= RAW_LEN);
            assert_eq!(raw.to_addr(), Some(addr));
        }
        assert_eq!(Raw::zeroed().to_addr(), None);
    }
}
