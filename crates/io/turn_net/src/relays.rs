//! Relay addresses: a UDP socket for each allocation.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use turn::RelayId;

use crate::service::Shared;

/// Ports tried for one allocation, from a random one on.
const TRIES: u32 = 256;
/// Room for a datagram: more than any path carries.
const DATAGRAM_ROOM: usize = 2048;

/// An open relay address; dropping it closes it.
pub(crate) struct Relay {
    socket: Arc<UdpSocket>,
    task: AbortHandle,
}

impl Relay {
    /// False if the kernel does not take it now.
    pub(crate) fn send(&self, peer: SocketAddr, data: &[u8]) -> bool {
        self.socket.try_send_to(data, peer).is_ok()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens a relay address and serves it: the address as the world is told.
pub(crate) fn open(shared: &Arc<Shared>, id: RelayId, v6: bool, even: bool) -> Option<(Relay, SocketAddr)> {
    let config = &shared.config;
    let (told, any) = match v6 {
        true => (config.relay_v6?, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
        false => (config.relay_v4?, Ipv4Addr::UNSPECIFIED.into()),
    };
    let (first, last) = (u32::from(*config.relay_ports.start()), u32::from(*config.relay_ports.end()));
    let count = (last + 1).checked_sub(first).filter(|count| *count > 0)?;
    // Keyed by the system's randomness: nobody outside foresees the port.
    let start = RandomState::new().hash_one(id) as u32 % count;
    let ports = (0..count.min(TRIES)).filter_map(|n| u16::try_from(first + (start + n) % count).ok());
    let socket = ports.filter(|port| !even || port % 2 == 0).find_map(|port| {
        let socket = bind(told, any, port).ok()?;
        socket.set_nonblocking(true).ok()?;
        UdpSocket::from_std(socket).ok()
    })?;
    let relayed = SocketAddr::new(told, socket.local_addr().ok()?.port());
    let socket = Arc::new(socket);
    let task = tokio::spawn(serve(Arc::clone(shared), id, Arc::clone(&socket))).abort_handle();
    Some((Relay { socket, task }, relayed))
}

/// What is relayed has to leave from the relay address (RFC 8656 section 3): a socket of every address would send to
/// each peer from the address nearest to it. Only an address of somebody else's, such as a 1:1 NAT's, needs that.
fn bind(told: IpAddr, any: IpAddr, port: u16) -> io::Result<std::net::UdpSocket> {
    std::net::UdpSocket::bind(SocketAddr::new(told, port)).or_else(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => std::net::UdpSocket::bind(SocketAddr::new(any, port)),
        _ => Err(error),
    })
}

/// Takes what peers send until the relay address is closed.
async fn serve(shared: Arc<Shared>, id: RelayId, socket: Arc<UdpSocket>) {
    let (mut room, mut out) = (vec![0; DATAGRAM_ROOM], Vec::new());
    loop {
        // An error is that of a datagram sent before (a port that nobody listens on): the socket is as good as it was.
        let Ok((len, peer)) = socket.recv_from(&mut room).await else {
            tokio::task::yield_now().await;
            continue;
        };
        shared.on_datagram(id, peer, room.get(..len).unwrap_or_default(), &mut out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_see_the_relay_address_whatever_other_address_is_nearer() {
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let told = "127.0.0.2".parse().unwrap();
        let relay = bind(told, Ipv4Addr::UNSPECIFIED.into(), 0).unwrap();
        relay.send_to(b"relayed", peer.local_addr().unwrap()).unwrap();
        let (_, from) = peer.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from, SocketAddr::new(told, relay.local_addr().unwrap().port()));
    }

    #[test]
    fn an_address_that_only_a_router_has_is_served_by_every_address_of_the_machine() {
        let relay = bind("203.0.113.9".parse().unwrap(), Ipv4Addr::UNSPECIFIED.into(), 0).unwrap();
        assert!(relay.local_addr().unwrap().ip().is_unspecified());
    }

    #[test]
    fn a_port_in_use_is_no_reason_to_try_every_address() {
        let told: IpAddr = "127.0.0.2".parse().unwrap();
        let other = std::net::UdpSocket::bind(SocketAddr::new(told, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let refused = bind(told, Ipv4Addr::UNSPECIFIED.into(), port).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }
}
