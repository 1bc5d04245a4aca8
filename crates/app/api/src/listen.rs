//! Accepting connections.
//!
//! Owns: how long strangers may take and how much they may send before they have said who they are, and what those hear
//! for whom there is no room. A session that has joined counts no more against strangers.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use linger::{Linger, Lingering};
use live::{Full, Limits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::app::{Api, Shared};
use crate::http;

/// Bytes of a request's head: a join_request may make the target as long as hyper takes it, 65,534 bytes.
const HEAD_MAX: usize = 96 * 1024;
/// For strangers to become fewer before one is refused.
const ROOM: Duration = Duration::from_secs(1);
/// After an error that will not pass at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

impl Api {
    /// Serves connections of `listener` until `stop` turns true (or its sender is gone), over TLS if
    /// `tls` is given. Connections that are open then are finished by their own tasks.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        stop: watch::Receiver<bool>,
    ) {
        let shared = Arc::clone(self.shared());
        let router = http::router(Arc::clone(&shared));
        let tls = tls.map(TlsAcceptor::from);
        let lingering = Lingering::default();
        let mut stopped = stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            // Everybody who is on the way may come at once, as after a restart: that is over in a moment.
            let _ = timeout(ROOM, shared.gate.room()).await;
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            shared.metrics.connections.add_one();
            let pass = match shared.gate.enter(from.ip(), Limits::NONE) {
                Ok(pass) => pass,
                Err(full) => {
                    debug!(%from, %full, "connection closed");
                    if tls.is_none() {
                        // A fresh socket takes so little at once, and lingers when it is dropped. Over TLS nothing can
                        // be said so early.
                        let _ = stream.try_write(no_room(full).as_bytes());
                        drop(lingering.watch(stream));
                    }
                    continue;
                }
            };
            let connection =
                Connection { from, router: router.clone(), shared: Arc::clone(&shared), stop: stop.clone() };
            let tls = tls.clone();
            // Signalling is small messages that someone waits for. Without this they still arrive.
            let _ = stream.set_nodelay(true);
            let stream = lingering.watch(stream);
            tokio::spawn(async move {
                connection.serve_stream(stream, tls).await;
                drop(pass);
            });
        }
    }
}

/// What those hear for whom there is no room.
fn no_room(full: Full) -> String {
    let status = match full {
        Full::Address => "429 Too Many Requests",
        Full::Connections | Full::Strangers => "503 Service Unavailable",
    };
    let (retry, why) = (Full::RETRY_AFTER, format!("{full}\n"));
    format!(
        "HTTP/1.1 {status}\r\nRetry-After: {retry}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{why}",
        why.len()
    )
}

struct Connection {
    from: SocketAddr,
    router: Router,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn serve_stream(self, stream: Linger, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else { return self.serve(stream).await };
        let from = self.from;
        match timeout(self.shared.config().limits.head_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => debug!(%from, %error, "TLS handshake failed"),
            Err(_) => debug!(%from, "TLS handshake timed out"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { from, router, shared, mut stop } = self;
        let limits = shared.config().limits;
        let stream = Patient::new(stream, limits.write_timeout);
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let answer = http::answer(router.clone(), Arc::clone(&shared), from, request.map(Body::new));
            async move { Ok::<_, std::convert::Infallible>(answer.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(HEAD_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let stopped = async move { stop.wait_for(|stop| *stop).await.is_ok() };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stopped => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%from, %error, "connection failed");
        }
    }
}

/// A connection that fails once its client has taken nothing of what is written to it for a while. One that asks for the
/// page and does not read it would otherwise keep a stranger's place for ever.
struct Patient<S> {
    stream: S,
    patience: Duration,
    /// While something waits to be taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, stalled: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.watch(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.watch(cx, ended)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[test]
    fn who_is_refused_hears_whether_it_is_to_blame() {
        for (full, status) in
            [(Full::Address, "429 "), (Full::Strangers, "503 "), (Full::Connections, "503 ")]
        {
            let told = no_room(full);
            let (head, body) = told.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status}")) && head.contains("Retry-After: 10"),
                "{told}"
            );
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{told}");
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_is_given_up_and_who_takes_slowly_is_not() {
        let (near, mut far) = duplex(16);
        let mut near = Patient::new(near, Duration::from_millis(20));
        let error = near.write_all(&[7; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // What it takes counts, however much is left.
        let mut taken = [0; 16];
        far.read_exact(&mut taken).await.unwrap();
        near.write_all(&[8; 16]).await.unwrap();
        assert!(near.stalled.is_none());
    }
}
