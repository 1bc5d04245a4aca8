//! Accepting connections, for all listeners.
//!
//! Owns: the accept loop, who is turned away because there are too many, and TLS. What is spoken then is not
//! known here.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use linger::Lingering;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use crate::Desk;
use crate::gate::Pass;
use crate::socket::Socket;

/// For TLS to be agreed on.
const TLS_LIMIT: Duration = Duration::from_secs(10);
/// After an error that will not pass at once: out of file descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(50);
/// Silence after which the system asks whether anybody is there. A player that has paused is not written to.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: Socket,
    pub(crate) from: SocketAddr,
    pub(crate) pass: Pass,
    /// The far end chose HTTP/2 when TLS was agreed on (RFC 7301).
    pub(crate) is_h2: bool,
}

/// Serves connections until `stop` ends, over TLS if there is an acceptor. Whoever is turned away is told `refusal`,
/// where that needs no TLS: to agree on it is more work than anything else that a stranger can ask for.
pub(crate) async fn accept<F, E>(
    desk: &Desk,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    refusal: &'static [u8],
    stop: impl Future<Output = ()>,
    serve: impl Fn(Arrival) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display,
{
    tokio::pin!(stop);
    let lingering = Lingering::default();
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, from)) = accepted else {
            // The listener stays, and others leave.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let pass = match desk.gate().enter(from.ip(), desk.config().limits) {
            Ok(pass) => pass,
            Err(full) => {
                debug!(%from, %full, "connection closed");
                if tls.is_none() && !refusal.is_empty() {
                    // A fresh socket takes so little at once, and lingers when it is dropped.
                    let _ = socket.try_write(refusal);
                    drop(lingering.watch(socket));
                }
                continue;
            }
        };
        let (tls, serve) = (tls.clone(), serve.clone());
        tokio::spawn(async move {
            match open(socket, tls).await {
                Err(error) => debug!(%from, %error, "connection not opened"),
                Ok((socket, is_h2)) => {
                    if let Err(gone) = serve(Arrival { socket, from, pass, is_h2 }).await {
                        debug!(%from, %gone, "connection ended");
                    }
                }
            }
        });
    }
}

/// Whether HTTP/2 was chosen is told beside the socket.
async fn open(socket: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<(Socket, bool)> {
    // Frames are written whole, and late is worse than small.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let Some(tls) = tls else { return Ok((Socket::Plain(socket), false)) };
    let Ok(accepted) = tokio::time::timeout(TLS_LIMIT, tls.accept(socket)).await else {
        return Err(io::ErrorKind::TimedOut.into());
    };
    let socket = accepted?;
    let is_h2 = socket.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Socket::other(socket), is_h2))
}

#[cfg(test)]
mod tests;
