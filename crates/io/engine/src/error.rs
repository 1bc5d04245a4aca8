//! What can go wrong, and for whom.

use std::io;
use std::net::SocketAddr;

/// Why an engine did not start. Each says what and where.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
    /// Another process has the port.
    #[error("UDP {addr} is in use by another process")]
    PortInUse {
        /// What was asked for.
        addr: SocketAddr,
    },
    /// No port of the range is free.
    #[error("every UDP port from {first} to {last} is in use")]
    RangeInUse {
        /// First of the range.
        first: u16,
        /// Last of the range.
        last: u16,
    },
    /// Ports below 1024 need a privilege; a sandbox may forbid more.
    #[error("not permitted to listen on UDP {addr}")]
    NotPermitted {
        /// What was asked for.
        addr: SocketAddr,
    },
    /// An address that this machine does not have.
    #[error("cannot listen on UDP {addr}: this machine does not have that address")]
    NoSuchAddress {
        /// What was asked for.
        addr: SocketAddr,
    },
    /// The machine has no address that a client could be told.
    #[error("no address to tell clients: no network interface passes the filter, and node_ip is not set")]
    NoCandidates,
    /// Any other failure of the operating system.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and where.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a worker did not take a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It has too many waiting. Trying again later can help.
    #[error("media worker {0} is behind: its mailbox is full")]
    Full(u8),
    /// It has ended, or never was.
    #[error("media worker {0} is not running")]
    Stopped(u8),
}

/// What was not taken, for whoever wants to try again: the command, or those parts of it whose workers refused,
/// each with its reason.
#[derive(Debug)]
pub struct Unsent(pub Vec<(SendError, sfu::Command)>);
