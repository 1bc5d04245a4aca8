//! SCTP over DTLS (RFC 8261) and the data channels on it (RFC 8831).
//!
//! Owns: the association, channel ids, establishment in both roles, the bounds on what is buffered. Knows
//! nothing of DTLS: it takes and gives plaintext packets.

mod channel;
mod dcep;
mod streams;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use clock::Time;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, EndpointEvent,
    Payload, PayloadProtocolIdentifier as Ppid, ServerConfig, TransportConfig,
};

use channel::{Channel, State};
pub use channel::{ChannelError, ChannelId, ChannelParams, Reliability, SendError};

use crate::{Config, SctpRemote};

/// The longest SCTP packet, bytes, which the library oversteps by a chunk's header and padding: with the record header,
/// nonce and tag of DTLS 1.2 it fits a datagram of 1200.
const MAX_PACKET: u32 = 1144;
/// SCTP's common header with one DATA chunk's header, RFC 9260 sections 3.1 and 3.3.1.
const DATA_HEADERS: u32 = 28;
/// Where RFC 9260 section 16 asks for 3 s, 1 s and 60 s, Chromium's SCTP starts at 500 ms and goes down to
/// 400 ms, twice the delay of acknowledgements: a lost chat message is there within a second.
const RTO_INITIAL_MS: u64 = 500;
const RTO_MIN_MS: u64 = 400;
const RTO_MAX_MS: u64 = 10_000;
/// Streams that the far end may have open for each channel that it may have. The library makes a state of some 500
/// bytes of each of 65,535, and looks at all of them with every packet; who uses that many means no good.
const STREAMS_A_CHANNEL: usize = 8;
/// The library routes by address; DTLS has but one peer.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

/// What the association tells.
#[derive(Debug)]
pub(crate) enum Notice {
    Open {
        channel: ChannelId,
        label: String,
    },
    Closed {
        channel: ChannelId,
    },
    Message {
        channel: ChannelId,
        binary: bool,
        payload: Bytes,
    },
    /// The association is gone.
    Over,
}

pub(crate) struct Sctp {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Box<Association>)>,
    /// DTLS client: opens the association and takes even stream ids (RFC 8832 section 6).
    client: bool,
    established: bool,
    limits: Limits,
    channels: Vec<Channel>,
    /// Streams that the far end has opened, channels or not.
    opened: BTreeSet<u16>,
    /// Streams with messages to read.
    readable: VecDeque<u16>,
    /// Packets of one look at the association; it gives several at once.
    packets: VecDeque<Bytes>,
    notices: VecDeque<Notice>,
}

struct Limits {
    max_send: usize,
    send_buffer: usize,
    lossy_send_buffer: usize,
    max_channels: usize,
}

impl Sctp {
    /// Starts when DTLS is connected. The DTLS client opens the association; browsers open one from
    /// whichever side, which the library takes too.
    pub(crate) fn new(config: &Config, remote: SctpRemote, client: bool) -> Self {
        // Zero means any, RFC 8841 section 6.1.
        let max_send = if remote.max_message_size == 0 { u32::MAX } else { remote.max_message_size };
        let transport = TransportConfig::default()
            .with_max_receive_buffer_size(config.receive_buffer)
            .with_max_receive_message_size(config.max_message_size)
            .with_max_send_message_size(max_send)
            .with_max_num_inbound_streams(u16::MAX)
            .with_max_num_outbound_streams(u16::MAX)
            // ICE consent decides when the far end is gone.
            .with_max_init_retransmits(None)
            .with_max_data_retransmits(None)
            .with_rto_initial_ms(RTO_INITIAL_MS)
            .with_rto_min_ms(RTO_MIN_MS)
            .with_rto_max_ms(RTO_MAX_MS)
            .with_local_port(config.sctp_port)
            .with_remote_port(remote.port);
        let transport = Arc::new(transport);
        let mut server = ServerConfig::new();
        server.transport = Arc::clone(&transport);
        let mut endpoint = EndpointConfig::new();
        endpoint.max_payload_size(MAX_PACKET - DATA_HEADERS);
        // The library unwraps the server's configuration when an INIT comes in, whoever opens.
        let mut endpoint = Endpoint::new(Arc::new(endpoint), Some(Arc::new(server)));
        let mut association = None;
        if client {
            let mut config = ClientConfig::new();
            config.transport = transport;
            // Fails for ports of zero only, which a far end's description may well say: then it is up to
            // the far end.
            association = endpoint.connect(config, PEER).ok().map(|(handle, a)| (handle, Box::new(a)));
        }
        Self {
            endpoint,
            association,
            client,
            established: false,
            limits: Limits {
                max_send: usize::try_from(max_send).unwrap_or(usize::MAX).min(config.send_buffer),
                send_buffer: config.send_buffer,
                lossy_send_buffer: config.lossy_send_buffer,
                max_channels: config.max_channels,
            },
            channels: Vec::new(),
            opened: BTreeSet::new(),
            readable: VecDeque::new(),
            packets: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    /// Opens a channel, at once or when the association is there.
    pub(crate) fn open(&mut self, params: ChannelParams) -> Result<(), ChannelError> {
        params.check()?;
        if self.channels.len() >= self.limits.max_channels {
            return Err(ChannelError::TooMany);
        }
        let id = match params.negotiated {
            Some(id) if self.channels.iter().any(|c| c.id == Some(id)) => return Err(ChannelError::InUse),
            id => id,
        };
        self.channels.push(Channel { id, params, state: State::Waiting });
        if self.established {
            self.open_waiting();
        }
        Ok(())
    }

    /// The open channel of this label; of several, the one opened first.
    pub(crate) fn channel(&self, label: &str) -> Option<ChannelId> {
        let open = self.channels.iter().find(|c| c.state == State::Open && c.params.label == label)?;
        open.id.map(ChannelId)
    }

    /// Closes a channel by resetting its stream, RFC 8831 section 6.7.
    pub(crate) fn close(&mut self, channel: ChannelId) {
        if let Some(c) =
            self.channels.iter_mut().find(|c| c.id == Some(channel.0) && c.state != State::Closing)
        {
            c.state = State::Closing;
            if let Some((_, association)) = &mut self.association
                && let Ok(mut stream) = association.stream(channel.0)
            {
                // Fails if the association is not established: it takes its streams with it.
                let _ = stream.close();
            }
            self.collect();
        }
    }

    /// Whether a channel gives a message up that does not arrive.
    pub(crate) fn is_lossy(&self, channel: ChannelId) -> bool {
        self.channels.iter().any(|c| c.id == Some(channel.0) && c.is_lossy())
    }

    /// Queues a message.
    pub(crate) fn send(
        &mut self,
        channel: ChannelId,
        binary: bool,
        payload: &Bytes,
    ) -> Result<(), SendError> {
        let open = self.channels.iter().find(|c| c.id == Some(channel.0) && c.state == State::Open);
        let lossy = open.ok_or(SendError::NotOpen)?.is_lossy();
        if payload.len() > self.limits.max_send {
            return Err(SendError::TooLong);
        }
        let room = if lossy {
            self.limits.lossy_send_buffer.saturating_sub(self.buffered_amount(channel))
        } else {
            self.limits.send_buffer.saturating_sub(self.buffered_total())
        };
        if payload.len() > room {
            return Err(SendError::Full);
        }
        let ppid = match (binary, payload.is_empty()) {
            (true, false) => Ppid::Binary,
            (true, true) => Ppid::BinaryEmpty,
            (false, false) => Ppid::String,
            (false, true) => Ppid::StringEmpty,
        };
        // SCTP has no empty messages: one byte stands for them, RFC 8831 section 6.6.
        let placeholder = Bytes::from_static(&[0]);
        let payload = if payload.is_empty() { &placeholder } else { payload };
        self.write(channel.0, payload, ppid).ok_or(SendError::NotOpen)
    }

    /// Bytes of a channel that are not acknowledged yet.
    pub(crate) fn buffered_amount(&mut self, channel: ChannelId) -> usize {
        let Some((_, association)) = &mut self.association else { return 0 };
        association.stream(channel.0).and_then(|stream| stream.buffered_amount()).unwrap_or(0)
    }

    fn buffered_total(&mut self) -> usize {
        let Some((_, association)) = &mut self.association else { return 0 };
        let ids = self.channels.iter().filter_map(|c| c.id);
        ids.filter_map(|id| association.stream(id).and_then(|stream| stream.buffered_amount()).ok()).sum()
    }

    /// Takes a packet out of DTLS.
    pub(crate) fn handle(&mut self, now: Time, packet: Bytes) {
        match self.endpoint.handle(now.mono, PEER, None, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => self.adopt(handle, association),
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((ours, association)) = &mut self.association
                    && *ours == handle
                {
                    association.handle_event(event);
                }
            }
            None => {}
        }
        self.collect();
    }

    /// The far end opens the association. When both do, its own wins: it answers ours too, and the library
    /// cannot join the two (RFC 9260 section 5.2.1).
    fn adopt(&mut self, handle: AssociationHandle, association: Association) {
        let drained = if self.established {
            Some(handle)
        } else {
            self.association.replace((handle, Box::new(association))).map(|(old, _)| old)
        };
        if let Some(handle) = drained {
            let _ = self.endpoint.handle_event(handle, EndpointEvent::drained());
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if let Some((_, association)) = &mut self.association
            && association.poll_timeout().is_some_and(|at| now.mono >= at)
        {
            association.handle_timeout(now.mono);
            self.collect();
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|(_, association)| association.poll_timeout())
    }

    /// The next packet to seal and send.
    pub(crate) fn poll_transmit(&mut self, now: Time) -> Option<Bytes> {
        if self.packets.is_empty() {
            let (_, association) = self.association.as_mut()?;
            if let Some(transmit) = association.poll_transmit(now.mono)
                && let Payload::RawEncode(packets) = transmit.payload
            {
                self.packets = packets.into();
            }
        }
        self.packets.pop_front()
    }

    /// Reads no message before it is asked for, so that what nobody reads fills the receive window and stops
    /// the sender.
    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Some(notice);
            }
            let id = *self.readable.front()?;
            if !self.read(id) {
                self.readable.pop_front();
            }
            self.collect();
        }
    }

    /// What has happened so far without reading another message.
    pub(crate) fn poll_change(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }
}

#[cfg(test)]
impl Sctp {
    /// Sends on streams that are no channels.
    pub(crate) fn babble(&mut self, ids: std::ops::Range<u16>) {
        for id in ids {
            let (_, association) = self.association.as_mut().unwrap();
            let _ = association.open_stream(id, Ppid::Binary);
            self.write(id, &Bytes::from_static(b"word"), Ppid::Binary).unwrap();
        }
    }

    /// What the library does on a broken rule of the protocol.
    pub(crate) fn abort(&mut self) {
        if let Some((_, association)) = &mut self.association {
            association.close().unwrap();
        }
        self.collect();
    }
}
