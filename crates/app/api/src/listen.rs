//! Accepting connections.
//!
//! Owns: how many strangers may be connected at once, how long they may take, and how much they may send
//! before they have said who they are. A session that has joined counts no more against strangers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use linger::{Linger, Lingering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::app::{Api, Shared};
use crate::http;

/// Bytes of a request's head: a join_request may make the target as long as hyper takes it, 65,534 bytes.
const HEAD_MAX: usize = 96 * 1024;
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
        let strangers = Arc::new(Semaphore::new(shared.config().limits.connections));
        let tls = tls.map(TlsAcceptor::from);
        let lingering = Lingering::default();
        let mut stopped = stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &strangers) => accepted,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            let (stream, from, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            shared.metrics.connections.add_one();
            let connection =
                Connection { from, router: router.clone(), shared: Arc::clone(&shared), stop: stop.clone() };
            let tls = tls.clone();
            // Signalling is small messages that someone waits for. Without this they still arrive.
            let _ = stream.set_nodelay(true);
            let stream = lingering.watch(stream);
            tokio::spawn(async move {
                connection.serve_stream(stream, tls).await;
                drop(permit);
            });
        }
    }
}

async fn accept(
    listener: &TcpListener,
    strangers: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, Option<tokio::sync::OwnedSemaphorePermit>)> {
    // Never closed, so there is always a permit in the end.
    let permit = Arc::clone(strangers).acquire_owned().await.ok();
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, permit))
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
        let head_timeout = shared.config().limits.head_timeout;
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let answer = http::answer(router.clone(), Arc::clone(&shared), from, request.map(Body::new));
            async move { Ok::<_, std::convert::Infallible>(answer.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
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
