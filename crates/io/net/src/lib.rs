//! UDP in batches, polling, pinning and interface addresses, safe to call; the only crate with `unsafe`.
//!
//! Owns: what std has no call for. Knows nothing of what the datagrams are.
#![allow(unsafe_code)]

mod poll;

pub use poll::{EventFd, Poller, Ready};

use std::io;

/// Turns a C return value into a result.
fn check(value: i32) -> io::Result<i32> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
