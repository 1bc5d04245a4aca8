//! Accepting connections, for all listeners.
//!
//! Owns: the accept loop, who is turned away because there are too many, and TLS. What is spoken then is not
//! known here.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use crate::Desk;
use crate::fan::Socket;
use crate::gate::Pass;

/// For TLS to be agreed on.
const TLS_LIMIT: Duration = Duration::from_secs(10);
/// After an error that will not pass at once: out of file descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(50);
/// Silence after which the system asks whether anybody is there. A player that has paused is not written to.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// From our last word until the far end has closed as well.
const LINGER: Duration = Duration::from_secs(2);
/// Read at once while it has not.
const READ: usize = 4 << 10;

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: Box<dyn Socket>,
    pub(crate) from: SocketAddr,
    pub(crate) pass: Pass,
}

/// Serves connections until `stop` ends, over TLS if there is an acceptor.
pub(crate) async fn accept<F, E>(
    desk: &Desk,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
    serve: impl Fn(Arrival) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display,
{
    tokio::pin!(stop);
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
                continue;
            }
        };
        let (tls, serve) = (tls.clone(), serve.clone());
        tokio::spawn(async move {
            match open(socket, tls).await {
                Err(error) => debug!(%from, %error, "connection not opened"),
                Ok(socket) => {
                    if let Err(gone) = serve(Arrival { socket, from, pass }).await {
                        debug!(%from, %gone, "connection ended");
                    }
                }
            }
        });
    }
}

async fn open(socket: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Box<dyn Socket>> {
    // Frames are written whole, and late is worse than small.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let Some(tls) = tls else { return Ok(Box::new(socket)) };
    match tokio::time::timeout(TLS_LIMIT, tls.accept(socket)).await {
        Ok(accepted) => Ok(Box::new(accepted?)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Closes a connection so that the last word arrives. What the far end still sends is read for a moment: closing on it
/// would take from the far end what is on the way (RFC 9112 section 9.6).
pub(crate) async fn close(socket: &mut Box<dyn Socket>) -> io::Result<()> {
    let farewell = async {
        socket.shutdown().await?;
        let mut unheard = BytesMut::with_capacity(READ);
        while socket.read_buf(&mut unheard).await? > 0 {
            unheard.clear();
        }
        Ok(())
    };
    // Whoever goes on talking is cut off.
    tokio::time::timeout(LINGER, farewell).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests;
