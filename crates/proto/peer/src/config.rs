//! What one transport may take, and how long it waits.

use std::time::Duration;

/// The largest data channel message that a transport takes unless its [`Config`] says otherwise, bytes. Whoever
/// describes the transport (`a=max-message-size`, RFC 8841 section 6) promises this and no more: a longer message
/// ends the association.
pub const MESSAGE_MAX: u32 = 65_536;

/// DTLS versions to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtlsVersions {
    /// Either. As server, whichever gives AES-GCM for SRTP, 1.3 if both do; as client, what the server
    /// chooses.
    #[default]
    Any,
    /// 1.2 only, RFC 6347.
    Only12,
    /// 1.3 only, RFC 9147.
    Only13,
}

/// A transport's limits and timeouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Versions to speak.
    pub dtls: DtlsVersions,
    /// From the far end's description to a connection. Trickled candidates and a user's permission dialog
    /// lie in between.
    pub connect_timeout: Duration,
    /// Silence after which a transport counts as disconnected (as in the reference server).
    pub disconnected_after: Duration,
    /// Further silence after which it has failed (as in the reference server).
    pub failed_after: Duration,
    /// Our SCTP port, as in our `a=sctp-port`.
    pub sctp_port: u16,
    /// The largest data channel message taken, bytes, as in our `a=max-message-size`.
    pub max_message_size: u32,
    /// Data channel bytes kept until acknowledged, over all channels.
    pub send_buffer: usize,
    /// The same for a channel that does not retransmit, where old data is worth little.
    pub lossy_send_buffer: usize,
    /// Received data channel bytes kept until read.
    pub receive_buffer: u32,
    /// Data channels open at once.
    pub max_channels: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dtls: DtlsVersions::Any,
            connect_timeout: Duration::from_secs(30),
            disconnected_after: Duration::from_secs(10),
            failed_after: Duration::from_secs(5),
            sctp_port: 5000,
            max_message_size: MESSAGE_MAX,
            send_buffer: 1 << 20,
            lossy_send_buffer: 128 << 10,
            receive_buffer: 512 << 10,
            max_channels: 32,
        }
    }
}
