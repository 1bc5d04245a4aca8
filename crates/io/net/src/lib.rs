//! UDP in batches, TCP listeners and framing, polling, pinning and interface addresses, safe to call; the only crate with `unsafe`.
//!
//! Owns: what std has no call for. Knows nothing of what the datagrams are.
#![allow(unsafe_code)]

mod addr;
mod control;
mod cpu;
mod daemon;
mod framing;
mod interfaces;
mod limits;
mod listener;
mod poll;
mod receive;
mod send;
mod socket;
mod stream;

pub use cpu::{allowed_cpus, pin_to, thread_cpu_time};
pub use daemon::{Side, Starter, detach, reap_children};
pub use framing::{FRAME_HEADER, FrameTooLong, push_frame, split_frame};
pub use interfaces::{Interface, interfaces};
pub use limits::{FileLimit, raise_file_limit};
pub use listener::{Listener, limit_unsent};
pub use poll::{EventFd, Poller, Ready};
pub use receive::{Datagram, Receiver};
pub use send::{MAX_RUN_BYTES, MAX_SEGMENTS, Message, Outcome, Sender};
pub use socket::{Options, Queue, Socket};
pub use stream::{receive_stamped, stamp_arrivals};

use std::io;

/// Turns a C return value into a result.
fn check(value: i32) -> io::Result<i32> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
