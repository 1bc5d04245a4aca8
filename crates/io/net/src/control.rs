//! Ancillary data of one message (cmsg(3)): the local address, the size of a run's segments, when it came.

use std::net::IpAddr;
use std::time::Duration;

use crate::addr::{in_addr, in6_addr, ip_of_v4, ip_of_v6};

/// Room for a packet info of either family, a segment size and a time, with headers and padding.
pub(crate) const SPACE: usize = 96;

/// A control buffer, aligned for `cmsghdr`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Buffer(pub(crate) [u8; SPACE]);

const _: () = assert!(align_of::<Buffer>() >= align_of::<libc::cmsghdr>());
// SAFETY: the macros only compute sizes.
const _: () = assert!(
    unsafe {
        libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as u32)
            + libc::CMSG_SPACE(size_of::<i32>() as u32)
            + libc::CMSG_SPACE(size_of::<libc::timespec>() as u32)
    } as usize
        <= SPACE
);

impl Buffer {
    pub(crate) const fn new() -> Self {
        Self([0; SPACE])
    }

    /// Fills the buffer for a message that leaves from `source` in segments of `segment` bytes, where
    /// given; returns the bytes used.
    pub(crate) fn write(&mut self, source: Option<IpAddr>, segment: Option<u16>) -> usize {
        let mut used = 0;
        match source {
            Some(IpAddr::V4(ip)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr(ip),
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                used += self.put(used, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            Some(IpAddr::V6(ip)) => {
                let info = libc::in6_pktinfo { ipi6_addr: in6_addr(ip), ipi6_ifindex: 0 };
                used += self.put(used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
            None => {}
        }
        if let Some(segment) = segment {
            used += self.put(used, libc::SOL_UDP, libc::UDP_SEGMENT, segment);
        }
        used
    }

    /// Appends one control message at `offset`; returns its length with padding.
    fn put<T: Copy>(&mut self, offset: usize, level: i32, kind: i32, value: T) -> usize {
        // SAFETY: the macros only compute sizes.
        let (space, len, data) = unsafe {
            (
                libc::CMSG_SPACE(size_of::<T>() as u32) as usize,
                libc::CMSG_LEN(size_of::<T>() as u32) as usize,
                libc::CMSG_LEN(0) as usize,
            )
        };
        let Some(room) = self.0.get_mut(offset..offset + space) else { return 0 };
        // SAFETY: `room` holds a header and a `T` behind it. The buffer is aligned for a header, and `offset`
        // is a sum of CMSG_SPACEs, which keep that alignment; the value is written without one.
        unsafe {
            let header = room.as_mut_ptr().cast::<libc::cmsghdr>();
            // Zeroed first: the C library's header may have padding.
            header.write(std::mem::zeroed());
            (*header).cmsg_len = len as _;
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            room.as_mut_ptr().add(data).cast::<T>().write_unaligned(value);
        }
        space
    }
}

/// What came with a received message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// The address it was sent to.
    pub(crate) local: Option<IpAddr>,
    /// Size of the datagrams in it, if it is several.
    pub(crate) segment: Option<usize>,
    /// When the kernel took it in, since 1970, if the socket was asked to tell.
    pub(crate) at: Option<Duration>,
}

/// Reads the control messages that the kernel attached to `header`.
///
/// # Safety
/// `header.msg_control` must point to `header.msg_controllen` initialised bytes, aligned for `cmsghdr`.
pub(crate) unsafe fn read(header: &libc::msghdr) -> Info {
    let mut info = Info::default();
    // SAFETY: by the contract above, the macros walk inside the control buffer; a message's payload is at
    // least as long as its kind says, because the kernel wrote it.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let pktinfo = data.cast::<libc::in_pktinfo>().read_unaligned();
                    info.local = Some(ip_of_v4(pktinfo.ipi_addr));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let pktinfo = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    info.local = Some(ip_of_v6(pktinfo.ipi6_addr));
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let segment = data.cast::<i32>().read_unaligned();
                    info.segment = usize::try_from(segment).ok().filter(|&size| size > 0);
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time = data.cast::<libc::timespec>().read_unaligned();
                    let parts = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
                    if let (Ok(seconds), Ok(nanos)) = parts {
                        info.at = Some(Duration::new(seconds, nanos));
                    }
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    info
}
