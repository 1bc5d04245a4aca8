//! Hanging up so that the last word arrives.
//!
//! Owns: the end of a TCP connection. A socket closed while bytes of the other side lie unread is reset by the
//! kernel, and a reset takes with it what was just written: the client that sent too much would never learn
//! that. So a connection that this side ends is first shut for writing and read empty, for a while.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long the other side may take to fall silent.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections that may linger at the same time; further ones are closed at once.
const AT_ONCE: usize = 256;
/// Bytes read at a time only to be thrown away.
const CHUNK: usize = 4096;

/// How many may still linger, for all connections of a listener.
#[derive(Clone)]
pub(crate) struct Lingering(Arc<Semaphore>);

impl Lingering {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    pub(crate) fn watch(&self, stream: TcpStream) -> Linger {
        Linger { stream: Some(stream), ended: false, lingering: self.clone() }
    }
}

/// A connection that lingers when it is dropped, unless the other side has ended it.
pub(crate) struct Linger {
    /// `None` only while it is dropped.
    stream: Option<TcpStream>,
    /// The other side says no more, or cannot be reached.
    ended: bool,
    lingering: Lingering,
}

impl Linger {
    fn with<T>(
        self: Pin<&mut Self>,
        poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        let Some(stream) = &mut this.stream else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let polled = poll(Pin::new(stream));
        this.ended |= matches!(polled, Poll::Ready(Err(_)));
        polled
    }
}

impl AsyncRead for Linger {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (room, before) = (buf.remaining(), buf.filled().len());
        let polled = Pin::new(&mut *this).with(|stream| stream.poll_read(cx, buf));
        this.ended |= polled.is_ready() && room > 0 && buf.filled().len() == before;
        polled
    }
}

impl AsyncWrite for Linger {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

impl Drop for Linger {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take().filter(|_| !self.ended) else { return };
        let Ok(permit) = Arc::clone(&self.lingering.0).try_acquire_owned() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let _ = timeout(PATIENCE, async {
                stream.shutdown().await?;
                let mut thrown_away = [0; CHUNK];
                while stream.read(&mut thrown_away).await? > 0 {}
                io::Result::Ok(())
            })
            .await;
            drop(permit);
        });
    }
}
