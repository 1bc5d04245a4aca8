//! RTMP on sockets: the server's end.
//!
//! Owns: connections until they play, when their socket goes to the stream's sweep. What is held for somebody
//! who was not let in is bounded, in memory and in time.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flv::Ingest;
use rtmp::Server;
use rtmp::server::{Address, Event, Refusal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};
use vhost::{Protocol, Query};

use crate::accept::{Arrival, accept};
use crate::fan::{Form, Seat};
use crate::feed::feed;
use crate::socket::Socket;
use crate::{Desk, Publishing, Refused, Visit};

/// From the first byte to publishing or playing; and from one stream to the next.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// For an answer to leave.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Read from a publisher at once.
const READ: usize = 64 << 10;
/// Read at once from whoever was not let in.
const READ_OF_STRANGERS: usize = 4 << 10;

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
    let serve = {
        let desk = desk.clone();
        move |arrival| Connection::new(desk.clone(), arrival).run()
    };
    // Before its handshake RTMP has no words for it.
    accept(&desk, listener, tls, b"", stop, serve).await;
}

struct Connection {
    desk: Desk,
    arrival: Arrival,
    server: Server,
    buffer: BytesMut,
}

impl Connection {
    fn new(desk: Desk, arrival: Arrival) -> Self {
        Self { desk, arrival, server: Server::new(random()), buffer: BytesMut::new() }
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
            read(&mut self.arrival.socket, &mut self.buffer, READ_OF_STRANGERS, &mut self.server).await?;
        }
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        let bytes = self.server.take_output();
        if bytes.is_empty() {
            return Ok(());
        }
        let write = async {
            self.arrival.socket.write_all(&bytes).await?;
            self.arrival.socket.flush().await
        };
        Ok(tokio::time::timeout(WRITE_LIMIT, write).await.map_err(|_| Gone::Slow)??)
    }

    fn visit(&self, address: &Address) -> Result<Visit, Refused> {
        let place = self.desk.config().directory.stream(&address.host, &address.path)?;
        let query = Query::parse(&address.query);
        Ok(Visit { place, query, protocol: Protocol::Rtmp, address: Some(self.arrival.from) })
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
        let _ = linger::farewell(&mut self.arrival.socket).await;
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
        self.arrival.pass.let_in();
        self.server.accept();
        info!(stream = %publishing.place().name, from = %self.arrival.from, "published over rtmp");
        let ended = self.feed(&mut publishing).await;
        info!(stream = %publishing.place().name, from = %self.arrival.from, "publisher gone");
        ended
    }

    async fn feed(&mut self, publishing: &mut Publishing) -> Result<(), Gone> {
        let (mut ingest, mut items) = (Ingest::default(), Vec::new());
        loop {
            while let Some(event) = self.server.poll_event() {
                match event {
                    Event::Media(media) => {
                        if let Err(error) = ingest.tag(media.kind, media.timestamp, &media.body, &mut items) {
                            debug!(from = %self.arrival.from, %error, "a message is left out");
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
            let Self { arrival: Arrival { socket, .. }, buffer, server, .. } = self;
            let why = tokio::select! {
                read = read(socket, buffer, READ, server) => { read?; None }
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
        let _ = linger::farewell(&mut self.arrival.socket).await;
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
        self.arrival.pass.let_in();
        self.server.accept();
        let first: Bytes = self.server.take_output();
        let form = Form::Rtmp(Box::new(self.server));
        self.desk.seat(Seat::new(self.arrival, form, playing, first));
        Ok(())
    }
}

async fn read(
    socket: &mut Socket,
    buffer: &mut BytesMut,
    at_most: usize,
    server: &mut Server,
) -> Result<(), Gone> {
    buffer.clear();
    buffer.reserve(at_most);
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
