//! The machine's addresses: getifaddrs(3).

use std::ffi::CStr;
use std::io;
use std::net::IpAddr;

use crate::addr::{ip_of_v4, ip_of_v6};
use crate::check;

/// One address of one network interface that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As the kernel names it: `eth0`, `lo`.
    pub name: String,
    /// One of its addresses.
    pub ip: IpAddr,
    /// The interface reaches this machine only.
    pub loopback: bool,
}

/// Addresses of all interfaces that are up, in the kernel's order.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `list` is where the C library puts a list, to be freed below.
    check(unsafe { libc::getifaddrs(&raw mut list) })?;
    let mut found = Vec::new();
    let mut entry = list;
    // SAFETY: `entry` walks the list that was just made, whose entries are valid until freed; names are C
    // strings, and an address is as long as its family says.
    unsafe {
        while let Some(interface) = entry.as_ref() {
            let up = interface.ifa_flags & libc::IFF_UP as u32 != 0;
            if let (true, Some(ip)) = (up, ip_at(interface.ifa_addr)) {
                let name = CStr::from_ptr(interface.ifa_name).to_string_lossy().into_owned();
                let loopback = interface.ifa_flags & libc::IFF_LOOPBACK as u32 != 0;
                found.push(Interface { name, ip, loopback });
            }
            entry = interface.ifa_next;
        }
        libc::freeifaddrs(list);
    }
    Ok(found)
}

/// # Safety
/// `addr` is null or points to an address as long as its family says.
unsafe fn ip_at(addr: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: by the contract above.
    unsafe {
        match i32::from(addr.as_ref()?.sa_family) {
            libc::AF_INET => Some(ip_of_v4(addr.cast::<libc::sockaddr_in>().read_unaligned().sin_addr)),
            libc::AF_INET6 => Some(ip_of_v6(addr.cast::<libc::sockaddr_in6>().read_unaligned().sin6_addr)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_listed_and_marked() {
        let all = interfaces().unwrap();
        assert!(all.iter().any(|i| i.loopback && i.ip == IpAddr::from([127, 0, 0, 1])), "{all:?}");
        assert!(all.iter().all(|i| i.loopback || !i.ip.is_loopback()), "{all:?}");
    }
}
