//! Clients: datagrams over UDP, connections over TCP and TLS.
//!
//! Somebody without an allocation is a stranger: strangers have few connections an address, little memory and little
//! time each.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use turn::{Flow, Incoming, Transport, split_stream};

use crate::service::Shared;

/// Room for a datagram: more than any path carries.
const DATAGRAM_ROOM: usize = 2048;
/// Messages that wait for a client that reads slowly.
const QUEUE: usize = 256;
/// Bytes of a message that is not complete: of a stranger, and of a client (RFC 8656 section 12.5: 65,535 and header).
const STRANGER_BYTES: usize = 2048;
const CLIENT_BYTES: usize = 65_536 + 8;
/// How long a stranger may take for a TLS handshake, and for an allocation.
const HANDSHAKE: Duration = Duration::from_secs(10);
const STRANGER_TIME: Duration = Duration::from_secs(30);
/// Connections of strangers from one address, or one IPv6 network (/64).
const STRANGERS_PER_ADDRESS: usize = 64;
/// Between looks whether a silent client still has its allocation.
const LOOK: Duration = Duration::from_secs(10);
/// Rest after the system refused a connection, for want of descriptors above all.
const REST: Duration = Duration::from_millis(100);

/// Serves one UDP socket for as long as it is polled.
pub(crate) async fn serve_udp(shared: Arc<Shared>, server: SocketAddr, socket: Arc<UdpSocket>) {
    let (mut room, mut out) = (vec![0; DATAGRAM_ROOM], Vec::new());
    loop {
        // An error is that of an answer sent before, to a client that has gone.
        let Ok((len, client)) = socket.recv_from(&mut room).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let flow = Flow { client, server, transport: Transport::Udp };
        shared.from_client(flow, room.get(..len).unwrap_or_default(), &mut out);
    }
}

/// Accepts connections for as long as it is polled.
pub(crate) async fn serve_streams(
    shared: Arc<Shared>,
    listener: TcpListener,
    transport: Transport,
    stopped: watch::Receiver<bool>,
) {
    loop {
        let (socket, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a TURN connection was not accepted");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let Some(stranger) = Stranger::admit(&shared, client.ip()) else {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let (shared, mut stopped) = (Arc::clone(&shared), stopped.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection(shared, socket, client, transport, stranger) => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
        });
    }
}

async fn connection(
    shared: Arc<Shared>,
    socket: TcpStream,
    client: SocketAddr,
    transport: Transport,
    stranger: Stranger,
) {
    let _ = socket.set_nodelay(true);
    let Ok(server) = socket.local_addr() else { return };
    let flow = Flow { client, server, transport };
    match (transport, &shared.config.acceptor) {
        (Transport::Tls, Some(acceptor)) => match timeout(HANDSHAKE, acceptor.accept(socket)).await {
            Ok(Ok(stream)) => talk(&shared, flow, stream, stranger).await,
            Ok(Err(_)) | Err(_) => _ = shared.refused.fetch_add(1, Ordering::Relaxed),
        },
        (Transport::Tls, None) | (Transport::Udp, _) => {}
        (Transport::Tcp, _) => talk(&shared, flow, socket, stranger).await,
    }
}

/// Reads and writes until either end has enough.
async fn talk<S>(shared: &Arc<Shared>, flow: Flow, stream: S, stranger: Stranger)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = tokio::io::split(stream);
    let (queue, waiting) = mpsc::channel(QUEUE);
    shared.lock().streams.insert(flow, queue);
    let _leaving = Leaving { shared: Arc::clone(shared), flow };
    tokio::select! {
        () = read(shared, flow, reader, stranger) => {}
        () = write(writer, waiting) => {}
    }
}

async fn read(shared: &Arc<Shared>, flow: Flow, mut reader: impl AsyncRead + Unpin, stranger: Stranger) {
    let (mut held, mut out) = (BytesMut::new(), Vec::new());
    let deadline = Instant::now() + STRANGER_TIME;
    let mut stranger = Some(stranger);
    loop {
        loop {
            match split_stream(&held) {
                Incoming::Whole { message, taken } => {
                    shared.from_client(flow, message, &mut out);
                    held.advance(taken);
                }
                Incoming::Partial => break,
                Incoming::Lost => return,
            }
        }
        let allocated = shared.lock().server.has_allocation(flow);
        if allocated {
            stranger = None;
        }
        let bound = if allocated { CLIENT_BYTES } else { STRANGER_BYTES };
        // Who had an allocation and has it no more is done; a stranger's time is short.
        let over = !allocated && (stranger.is_none() || Instant::now() >= deadline);
        if over || held.len() >= bound {
            return;
        }
        held.reserve(DATAGRAM_ROOM);
        match timeout(LOOK, reader.read_buf(&mut held)).await {
            Ok(Ok(count)) if count > 0 => {}
            Err(_) => {}
            Ok(_) => return,
        }
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut waiting: mpsc::Receiver<Bytes>) {
    while let Some(mut message) = waiting.recv().await {
        if writer.write_all_buf(&mut message).await.is_err() {
            return;
        }
        if waiting.is_empty() && writer.flush().await.is_err() {
            return;
        }
    }
}

/// Takes a connection out when it ends, however it does.
struct Leaving {
    shared: Arc<Shared>,
    flow: Flow,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.streams.remove(&self.flow);
        state.server.gone(self.flow);
        state.close_ended();
    }
}

/// One connection without an allocation, counted as long as it lives.
struct Stranger {
    shared: Arc<Shared>,
    network: IpAddr,
}

impl Stranger {
    fn admit(shared: &Arc<Shared>, ip: IpAddr) -> Option<Self> {
        let network = match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        };
        let mut state = shared.lock();
        let all = state.strangers.values().sum::<usize>() + state.server.allocations();
        let count = state.strangers.get(&network).copied().unwrap_or(0);
        if count >= STRANGERS_PER_ADDRESS || all >= shared.config.connections {
            return None;
        }
        state.strangers.insert(network, count + 1);
        Some(Self { shared: Arc::clone(shared), network })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(count) = state.strangers.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                state.strangers.remove(&self.network);
            }
        }
    }
}
