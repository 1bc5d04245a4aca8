//! One WebRTC transport: ICE, DTLS, SCTP and demultiplexing, either end.
//!
//! Owns: connectivity checks and liveness (RFC 8445, RFC 7675), the DTLS handshake with its certificate
//! check and the SRTP keys that come out of it (RFC 5764, RFC 8842), SCTP over DTLS (RFC 8261) and data
//! channels with their establishment protocol (RFC 8831, RFC 8832). This is the only crate that names the
//! libraries for these. Knows nothing of SDP, of RTP, or of sockets: SRTP is opened and sealed by whoever
//! holds the keys.
//!
//! [`Transport`] is a machine: it takes datagrams, commands and the time, and is polled for datagrams,
//! events and its next deadline. It plays both ends: ICE lite and full, controlled and controlling, DTLS
//! server and client, versions 1.2 and 1.3.
//!
//! Randomness inside dependencies, which no seed reaches: `is` draws transaction ids, `dimpl` nonces and
//! keys, `sctp-proto` tags and initial sequence numbers. `sctp-proto` reads the clock when it connects.

mod api;
mod carrier;
mod certificate;
mod config;
mod credentials;
mod demux;
mod dtls;
mod event;
#[cfg(fuzzing)]
pub mod fuzzing;
mod ice;
mod sctp;
#[cfg(test)]
mod testbed;
mod transport;

pub use api::*;
pub use carrier::{Carrier, plain_address};
pub use certificate::{Certificate, CertificateError};
pub use config::{Config, DtlsVersions, MESSAGE_MAX};
pub use credentials::home_of;
pub use demux::{Class, classify, stun_ufrag};
pub use event::{Event, FailReason, Keys, Path, Reject, Transmit};
pub use sctp::{ChannelError, ChannelId, ChannelParams, Reliability, SendError};
pub use transport::Transport;
