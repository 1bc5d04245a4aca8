//! TCP sockets that tell when their bytes came.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::check;
use crate::control::{self, Buffer, SPACE};

/// Has the kernel tell when bytes came: [`receive_stamped`] (socket(7), SO_TIMESTAMPNS; TCP since Linux 4.13).
pub fn stamp_arrivals(socket: &impl AsFd) -> io::Result<()> {
    let on = 1i32;
    // SAFETY: `on` lives through the call and is as long as said.
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<i32>() as u32,
        )
    })?;
    Ok(())
}

/// Reads without waiting; and when the last of what was read came in, since 1970. No bytes: the other end has
/// closed.
pub fn receive_stamped(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Option<Duration>)> {
    let mut control = Buffer::new();
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: this C structure is integers and pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = SPACE as _;
    let count = loop {
        // SAFETY: `header` points to `vector` and `control`, which live through the call, and `vector` to
        // `buffer` with its length.
        match unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) } {
            count @ 0.. => break count as usize,
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    };
    // SAFETY: `control` is aligned and initialised, and the kernel set msg_controllen to what it used of it.
    let info = unsafe { control::read(&header) };
    Ok((count, info.at))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn bytes_come_with_the_time_at_which_they_came() {
        let unix = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut writer, _) = listener.accept().unwrap();
        stamp_arrivals(&reader).unwrap();
        let mut buffer = [0; 16];
        let nothing = receive_stamped(&reader, &mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);

        // Linux begins to stamp some time after the first socket has asked (net_enable_timestamp defers it to a
        // work queue): until then bytes come without a time.
        let (before, at, after) = loop {
            let before = unix();
            writer.write_all(b"now").unwrap();
            let after = unix();
            let (count, at) = receive_stamped(&reader, &mut buffer).unwrap();
            assert_eq!(&buffer[..count], b"now");
            match at {
                Some(at) => break (before, at, after),
                None => std::thread::yield_now(),
            }
        };
        assert!(before <= at && at <= after, "{before:?} {at:?} {after:?}");

        drop(writer);
        assert_eq!(receive_stamped(&reader, &mut buffer).unwrap().0, 0);
    }
}
