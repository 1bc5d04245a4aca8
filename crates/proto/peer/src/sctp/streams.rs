//! What happens on the association's streams: opening, reading, writing.

use bytes::Bytes;
use sctp_proto::{Event, PayloadProtocolIdentifier as Ppid, ReliabilityType, StreamEvent};

use super::channel::{Channel, ChannelId, ChannelParams, Reliability, State};
use super::{Notice, STREAMS_A_CHANNEL, Sctp, dcep};

impl Sctp {
    /// Takes the association's events.
    pub(super) fn collect(&mut self) {
        while let Some((_, association)) = &mut self.association {
            // Streams are told by events too; this queue is of no use but must not grow.
            while association.accept_stream().is_some() {}
            let Some(event) = association.poll() else { break };
            match event {
                Event::Connected => {
                    self.established = true;
                    self.endpoint.reject_new_associations();
                    self.open_waiting();
                }
                Event::Stream(StreamEvent::Readable { id }) if !self.readable.contains(&id) => {
                    self.readable.push_back(id);
                }
                Event::Stream(StreamEvent::Opened { id }) => {
                    self.opened.insert(id);
                    if self.opened.len() > STREAMS_A_CHANNEL * self.limits.max_channels {
                        self.end();
                    }
                }
                Event::Stream(StreamEvent::Finished { id }) => self.finished(id),
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => self.end(),
                _ => {}
            }
        }
    }

    fn end(&mut self) {
        self.association = None;
        self.established = false;
        self.channels.clear();
        self.opened.clear();
        self.packets.clear();
        self.readable.clear();
        self.notices.push_back(Notice::Over);
    }

    /// Opens what was asked for before there was an association.
    pub(super) fn open_waiting(&mut self) {
        for index in 0..self.channels.len() {
            let Some(channel) = self.channels.get(index).filter(|c| c.state == State::Waiting) else {
                continue;
            };
            let params = channel.params.clone();
            let (id, state) = match params.negotiated {
                Some(id) => (Some(id), State::Open),
                None => (self.free_id(), State::Opening),
            };
            let Some(id) = id else { continue };
            if let Some(channel) = self.channels.get_mut(index) {
                channel.id = Some(id);
                channel.state = state;
            }
            self.prepare(id, &params);
            if state == State::Open {
                self.notices.push_back(Notice::Open { channel: ChannelId(id), label: params.label });
            } else {
                self.write(id, &Bytes::from(dcep::open(&params)), Ppid::Dcep);
            }
        }
    }

    /// A stream id of ours: even for the DTLS client, odd for the server, RFC 8832 section 6.
    fn free_id(&self) -> Option<u16> {
        let first = if self.client { 0 } else { 1 };
        let mut ids = (first..u16::MAX).step_by(2);
        ids.find(|id| self.channels.iter().all(|c| c.id != Some(*id)))
    }

    /// Makes the stream, if the far end has not, and sets how it sends. DCEP's own messages go ordered and
    /// reliable whatever this says: the library sees to the order, [`Sctp::write`] to the rest.
    fn prepare(&mut self, id: u16, params: &ChannelParams) {
        let Some((_, association)) = &mut self.association else { return };
        if association.stream(id).is_err() {
            // Fails while a reset of the id is on its way; then so does the first write.
            let _ = association.open_stream(id, Ppid::Binary);
        }
        set_reliability(association, id, params);
    }

    /// Queues one message on a stream. `None` if there is no such stream or it is being reset.
    pub(super) fn write(&mut self, id: u16, payload: &Bytes, ppid: Ppid) -> Option<()> {
        let (_, association) = self.association.as_mut()?;
        let mut stream = association.stream(id).ok()?;
        if ppid != Ppid::Dcep {
            return stream.write_sctp(payload, ppid).ok().map(|_| ());
        }
        // RFC 8832 section 6: establishment is reliable on a channel that is not.
        stream.set_reliability_params(false, ReliabilityType::Reliable, 0).ok()?;
        let written = stream.write_sctp(payload, ppid).ok().map(|_| ());
        if let Some(channel) = self.channels.iter().find(|c| c.id == Some(id)) {
            set_reliability(association, id, &channel.params);
        }
        written
    }

    /// Reads one message of a stream; false if there is none.
    pub(super) fn read(&mut self, id: u16) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        let message = association.stream(id).ok().and_then(|mut s| s.read_sctp().ok().flatten());
        let Some(message) = message else { return false };
        let mut whole = vec![0; message.len()];
        let read = message.read(&mut whole).unwrap_or(0);
        whole.truncate(read);
        let payload = Bytes::from(whole);
        if message.ppi == Ppid::Dcep {
            self.establish(id, &payload);
            return true;
        }
        let (binary, payload) = match message.ppi {
            Ppid::Binary => (true, payload),
            Ppid::String => (false, payload),
            Ppid::BinaryEmpty => (true, Bytes::new()),
            Ppid::StringEmpty => (false, Bytes::new()),
            _ => return true,
        };
        // Data on a stream that is no channel is nobody's.
        if self.channels.iter().any(|c| c.id == Some(id) && matches!(c.state, State::Open | State::Opening)) {
            self.notices.push_back(Notice::Message { channel: ChannelId(id), binary, payload });
        }
        true
    }

    /// DCEP, RFC 8832 section 6.
    fn establish(&mut self, id: u16, message: &[u8]) {
        let room = self.channels.len() < self.limits.max_channels;
        let existing = self.channels.iter_mut().find(|c| c.id == Some(id));
        match (dcep::parse(message), existing) {
            (Some(dcep::Message::Ack), Some(channel)) => {
                if channel.state == State::Opening {
                    channel.state = State::Open;
                    let label = channel.params.label.clone();
                    self.notices.push_back(Notice::Open { channel: ChannelId(id), label });
                }
            }
            (Some(dcep::Message::Open(params)), None) if room => {
                let label = params.label.clone();
                self.prepare(id, &params);
                self.channels.push(Channel { id: Some(id), params, state: State::Open });
                self.write(id, &Bytes::from(dcep::ack()), Ppid::Dcep);
                self.notices.push_back(Notice::Open { channel: ChannelId(id), label });
            }
            // An ACK for nothing, or an OPEN of what is open: no harm done.
            (Some(dcep::Message::Ack), None) | (Some(dcep::Message::Open(_)), Some(_)) => {}
            // RFC 8832 section 5.2: what cannot be opened is reset.
            (Some(dcep::Message::Open(_)) | None, None) => self.refuse(id),
            (None, Some(_)) => self.close(ChannelId(id)),
        }
    }

    fn refuse(&mut self, id: u16) {
        if let Some((_, association)) = &mut self.association
            && let Ok(mut stream) = association.stream(id)
        {
            // Fails only if the association is going away, and the stream with it.
            let _ = stream.close();
        }
    }

    /// The far end has reset its side, and the library ours.
    fn finished(&mut self, id: u16) {
        self.opened.remove(&id);
        self.readable.retain(|readable| *readable != id);
        if let Some(index) = self.channels.iter().position(|c| c.id == Some(id)) {
            self.channels.remove(index);
            self.notices.push_back(Notice::Closed { channel: ChannelId(id) });
        }
    }
}

fn set_reliability(association: &mut sctp_proto::Association, id: u16, params: &ChannelParams) {
    let (kind, value) = match params.reliability {
        Reliability::Reliable => (ReliabilityType::Reliable, 0),
        Reliability::Retransmits(n) => (ReliabilityType::Rexmit, u32::from(n)),
        Reliability::Lifetime(ms) => (ReliabilityType::Timed, u32::from(ms)),
    };
    if let Ok(mut stream) = association.stream(id) {
        // Fails only if the stream is gone.
        let _ = stream.set_reliability_params(!params.ordered, kind, value);
    }
}
