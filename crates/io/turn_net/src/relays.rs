//! Relay addresses: a UDP socket for each allocation.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
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
        true => (config.relay_v6?, Ipv6Addr::UNSPECIFIED.into()),
        false => (config.relay_v4?, Ipv4Addr::UNSPECIFIED.into()),
    };
    let (first, last) = (u32::from(*config.relay_ports.start()), u32::from(*config.relay_ports.end()));
    let count = (last + 1).checked_sub(first).filter(|count| *count > 0)?;
    // Keyed by the system's randomness: nobody outside foresees the port.
    let start = RandomState::new().hash_one(id) as u32 % count;
    let ports = (0..count.min(TRIES)).filter_map(|n| u16::try_from(first + (start + n) % count).ok());
    let socket = ports.filter(|port| !even || port % 2 == 0).find_map(|port| {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(any, port)).ok()?;
        socket.set_nonblocking(true).ok()?;
        UdpSocket::from_std(socket).ok()
    })?;
    let relayed = SocketAddr::new(told, socket.local_addr().ok()?.port());
    let socket = Arc::new(socket);
    let task = tokio::spawn(serve(Arc::clone(shared), id, Arc::clone(&socket))).abort_handle();
    Some((Relay { socket, task }, relayed))
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
