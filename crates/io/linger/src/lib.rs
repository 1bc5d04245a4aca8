//! Hanging up so that the last word arrives.
//!
//! Owns: the end of a TCP connection. A socket closed while bytes of the other side lie unread is reset by the
//! kernel, and a reset takes with it what was just written: the client that sent too much would never learn
//! that (RFC 9112 section 9.6). So a connection that this side ends is first shut for writing and read empty, for a
//! while. Knows nothing of what is spoken.

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

/// Says that nothing more comes, and reads what the other side still sends until it has ended the connection too. Whoever
/// goes on talking is cut off.
pub async fn farewell(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let work = async {
        stream.shutdown().await?;
        let mut thrown_away = [0; CHUNK];
        while stream.read(&mut thrown_away).await? > 0 {}
        Ok(())
    };
    timeout(PATIENCE, work).await.unwrap_or(Ok(()))
}

/// How many may still linger, for all connections of a listener.
#[derive(Debug, Clone)]
pub struct Lingering(Arc<Semaphore>);

impl Default for Lingering {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Lingering {
    /// Must be dropped within a runtime.
    pub fn watch(&self, stream: TcpStream) -> Linger {
        Linger { stream: Some(stream), ended: false, lingering: self.clone() }
    }
}

/// A connection that lingers when it is dropped, unless the other side has ended it.
#[derive(Debug)]
pub struct Linger {
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
            let _ = farewell(&mut stream).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Both ends of a connection, of which the far one has sent what nobody reads.
    async fn talked_at() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        far.write_all(&[0; 10_000]).await.unwrap();
        near.readable().await.unwrap();
        (near, far)
    }

    #[tokio::test]
    async fn the_last_word_arrives_whatever_the_far_end_has_said() {
        for _ in 0..50 {
            let (near, mut far) = talked_at().await;
            let mut near = Lingering::default().watch(near);
            near.write_all(b"no").await.unwrap();
            drop(near);
            let mut heard = Vec::new();
            far.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"no");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_go_is_cut_off() {
        let (mut near, _far) = talked_at().await;
        let start = tokio::time::Instant::now();
        farewell(&mut near).await.unwrap();
        assert!(start.elapsed() >= PATIENCE);
    }
}
