//! RTMP on sockets: the server's end.
//!
//! Owns: connections until they play, when their socket goes to the stream's sweep. What is held for somebody
//! who was not let in is bounded, in memory and in time.

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flv::Ingest;
use rtmp::Server;
use rtmp::server::{Address, Event, Refusal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};
use vhost::{Protocol, Query};

use crate::fan::{Form, Seat, Socket};
use crate::feed::feed;
use crate::{Desk, Publishing, Refused, Visit};

/// From the first byte to publishing or playing; and from one stream to the next.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// For an answer to leave.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Connections at once that were not let in.
const STRANGERS: usize = 1024;
/// Read from a publisher at once.
const READ: usize = 64 << 10;

/// Why a connection has ended.
#[derive(Debug, thiserror::Error)]
enum Gone {
    #[error("connection closed")]
    Closed,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Rtmp(#[from] rtmp::Error),
    #[error("neither published nor played in time")]
    Idle,
    #[error("an answer did not leave in time")]
    Slow,
    #[error("refused: {0}")]
    Refused(#[from] Refused),
    #[error("sent away: {0}")]
    Over(&'static str),
}

/// Serves connections until `stop` ends, over TLS if there is an acceptor.
pub async fn serve(
    desk: Desk,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, from)) = accepted else {
            // Out of file descriptors, most likely: the listener stays, and others leave.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = strangers.clone().try_acquire_owned() else {
            debug!(%from, "too many connections that were not let in");
            continue;
        };
        // Frames are written whole, and late is worse than small.
        let _ = socket.set_nodelay(true);
        let (desk, tls) = (desk.clone(), tls.clone());
        tokio::spawn(async move {
            let gone = match open(socket, tls).await {
                Ok(socket) => Connection::new(desk, socket, from, permit).run().await,
                Err(gone) => Err(gone),
            };
            if let Err(gone) = gone {
                debug!(%from, %gone, "rtmp connection ended");
            }
        });
    }
}

async fn open(socket: TcpStream, tls: Option<TlsAcceptor>) -> Result<Box<dyn Socket>, Gone> {
    match tls {
        None => Ok(Box::new(socket)),
        Some(tls) => {
            let accepted = tokio::time::timeout(ASK_LIMIT, tls.accept(socket)).await;
            Ok(Box::new(accepted.map_err(|_| Gone::Idle)??))
        }
    }
}

struct Connection {
    desk: Desk,
    socket: Box<dyn Socket>,
    from: SocketAddr,
    server: Server,
    buffer: BytesMut,
    /// Given back when it is let in.
    permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(desk: Desk, socket: Box<dyn Socket>, from: SocketAddr, permit: OwnedSemaphorePermit) -> Self {
        let server = Server::new(random());
        Self { desk, socket, from, server, buffer: BytesMut::new(), permit: Some(permit) }
    }

    async fn run(mut self) -> Result<(), Gone> {
        loop {
            let asked = tokio::time::timeout(ASK_LIMIT, self.asked()).await.map_err(|_| Gone::Idle)??;
            match asked {
                Event::Publish(address) => self.publish(&address).await?,
                Event::Play(address) => return self.play(&address).await,
                Event::Media(_) | Event::Pause(_) | Event::Stop => {}
            }
        }
    }

    /// The next thing that the client wants.
    async fn asked(&mut self) -> Result<Event, Gone> {
        loop {
            if let Some(event) = self.server.poll_event() {
                return Ok(event);
            }
            self.flush().await?;
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Gone> {
        read(&mut self.socket, &mut self.buffer, &mut self.server).await
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        let bytes = self.server.take_output();
        if bytes.is_empty() {
            return Ok(());
        }
        let write = async {
            self.socket.write_all(&bytes).await?;
            self.socket.flush().await
        };
        Ok(tokio::time::timeout(WRITE_LIMIT, write).await.map_err(|_| Gone::Slow)??)
    }

    fn visit(&self, address: &Address) -> Result<Visit, Refused> {
        let place = self.desk.config().directory.stream(&address.host, &address.path)?;
        let query = Query::parse(&address.query);
        Ok(Visit { place, query, protocol: Protocol::Rtmp, address: Some(self.from) })
    }

    /// Says no, and waits until that has left.
    async fn refuse(&mut self, refused: Refused) -> Gone {
        let refusal = match refused.status() {
            404 => Refusal::NotFound,
            409 => Refusal::Busy,
            _ => Refusal::Denied,
        };
        self.server.refuse(refusal, &refused.to_string());
        let _ = self.flush().await;
        let _ = self.socket.shutdown().await;
        refused.into()
    }

    /// Until it stops publishing; then it may ask for something else.
    async fn publish(&mut self, address: &Address) -> Result<(), Gone> {
        let admitted = match self.visit(address) {
            Ok(visit) => self.desk.publish(visit).await,
            Err(refused) => Err(refused),
        };
        let mut publishing = match admitted {
            Ok(publishing) => publishing,
            Err(refused) => return Err(self.refuse(refused).await),
        };
        self.permit = None;
        self.server.accept();
        info!(stream = %publishing.place().name, from = %self.from, "published over rtmp");
        let ended = self.feed(&mut publishing).await;
        info!(stream = %publishing.place().name, from = %self.from, "publisher gone");
        ended
    }

    async fn feed(&mut self, publishing: &mut Publishing) -> Result<(), Gone> {
        let (mut ingest, mut items) = (Ingest::default(), Vec::new());
        loop {
            while let Some(event) = self.server.poll_event() {
                match event {
                    Event::Media(media) => {
                        if let Err(error) = ingest.tag(media.kind, media.timestamp, &media.body, &mut items) {
                            debug!(from = %self.from, %error, "a message is left out");
                        }
                    }
                    Event::Stop => return Ok(()),
                    Event::Pause(_) | Event::Publish(_) | Event::Play(_) => {}
                }
            }
            if feed(publishing, items.drain(..)).is_err() {
                return Err(self.send_away(publishing.ended().await.name()).await);
            }
            self.flush().await?;
            // Field by field: the socket is read while the stay is watched.
            let Self { socket, buffer, server, .. } = self;
            let why = tokio::select! {
                read = read(socket, buffer, server) => { read?; None }
                why = publishing.ended() => Some(why.name()),
            };
            if let Some(why) = why {
                return Err(self.send_away(why).await);
            }
        }
    }

    async fn send_away(&mut self, why: &'static str) -> Gone {
        self.server.end(why);
        let _ = self.flush().await;
        let _ = self.socket.shutdown().await;
        Gone::Over(why)
    }

    /// Hands the socket to the stream's sweep.
    async fn play(mut self, address: &Address) -> Result<(), Gone> {
        let admitted = match self.visit(address) {
            Ok(visit) => self.desk.play(visit).await,
            Err(refused) => Err(refused),
        };
        let playing = match admitted {
            Ok(playing) => playing,
            Err(refused) => return Err(self.refuse(refused).await),
        };
        self.server.accept();
        let first: Bytes = self.server.take_output();
        let desk = self.desk.clone();
        desk.seat(Seat::new(self.socket, Form::Rtmp(Box::new(self.server)), playing, first));
        Ok(())
    }
}

async fn read(socket: &mut Box<dyn Socket>, buffer: &mut BytesMut, server: &mut Server) -> Result<(), Gone> {
    buffer.clear();
    buffer.reserve(READ);
    if socket.read_buf(buffer).await? == 0 {
        return Err(Gone::Closed);
    }
    Ok(server.push(buffer)?)
}

/// Bytes for a handshake: different each time, and no secret.
pub(crate) fn random() -> impl FnMut() -> u32 {
    let state = std::collections::hash_map::RandomState::new();
    let mut count = 0_u32;
    move || {
        count = count.wrapping_add(1);
        let mut hasher = state.build_hasher();
        hasher.write_u32(count);
        hasher.finish() as u32
    }
}

#[cfg(test)]
mod tests;
