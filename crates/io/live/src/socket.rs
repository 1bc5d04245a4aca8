//! A connection's socket.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket of any kind.
#[derive(Debug)]
pub(crate) enum Socket {
    /// In its place, as players come by the thousand: behind a pointer it is one more piece of cold memory for each.
    Plain(TcpStream),
    /// Over TLS, say.
    Other(Box<dyn Stream>),
}

/// What a socket is made of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + Debug> Stream for T {}

impl Socket {
    pub(crate) fn other(stream: impl Stream + 'static) -> Self {
        Self::Other(Box::new(stream))
    }

    /// Writes without waiting, and wakes nobody later: `WouldBlock` where nothing is taken.
    ///
    /// A plain socket is written past the runtime, which would first look up what it knows of it, unless it `was_full`:
    /// then the runtime is told when there is room worth a write.
    pub(crate) fn write_now(&mut self, slices: &[IoSlice<'_>], was_full: bool) -> io::Result<usize> {
        if let Self::Plain(socket) = self
            && !was_full
        {
            let socket = SockRef::from(&*socket);
            // One buffer leaves by send(2), which is cheaper than sendmsg(2).
            let written = if let [one] = slices { socket.send(one) } else { socket.send_vectored(slices) };
            match written {
                // The runtime is to learn of it, from a write that is refused as well.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
        let mut context = Context::from_waker(Waker::noop());
        let stream = Pin::new(self).stream();
        let written = match slices {
            [one] => stream.poll_write(&mut context, one),
            _ => stream.poll_write_vectored(&mut context, slices),
        };
        match written {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut (dyn Stream + 'static)> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket),
            Self::Other(stream) => Pin::new(stream.as_mut()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}
