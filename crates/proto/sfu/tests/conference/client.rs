//! A participant's end: a transport, its SRTP contexts, and what came.

use std::net::SocketAddr;

use clock::Time;
use codec::vp8::{Descriptor, PictureId};
use peer::{ChannelId, Class, Keys, Transport, classify};
use rtp::{Fields, Form, Pt, Ssrc, Writer};
use sfu::{ExtensionIds, PeerId};

/// Ids that all clients use.
pub(crate) const IDS: ExtensionIds = ExtensionIds {
    mid: Some(4),
    rid: Some(10),
    repaired_rid: Some(11),
    abs_send_time: Some(2),
    transport_cc: Some(3),
    audio_level: Some(1),
    video_orientation: Some(13),
    playout_delay: Some(5),
    dependency_descriptor: Some(12),
    abs_capture_time: Some(7),
};

pub(crate) struct Client {
    pub(crate) id: PeerId,
    pub(crate) worker: usize,
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) keys: Option<Box<Keys>>,
    pub(crate) media: Vec<Got>,
    /// Opened RTCP compounds with their time.
    pub(crate) reports: Vec<(Time, Vec<u8>)>,
    pub(crate) messages: Vec<(ChannelId, Vec<u8>)>,
    pub(crate) open: Vec<(ChannelId, String)>,
    /// Packets that would not open: seen before.
    pub(crate) replayed: Vec<Vec<u8>>,
    next_transport_seq: u16,
    /// Numbers no packets transport-wide.
    pub(crate) by_remb: bool,
}

/// A received packet.
#[derive(Clone)]
pub(crate) struct Got {
    pub(crate) header: rtp::Header,
    /// Opened.
    pub(crate) packet: Vec<u8>,
    /// As it came.
    pub(crate) datagram: Vec<u8>,
}

impl Got {
    pub(crate) fn view(&self) -> rtp::View<'_> {
        rtp::View::parse(&self.packet).unwrap()
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.view().payload()
    }

    pub(crate) fn vp8(&self) -> Descriptor {
        Descriptor::parse(self.payload()).unwrap()
    }

    pub(crate) fn extension(&self, id: Option<u8>) -> Option<&[u8]> {
        self.view().extension(id.unwrap())
    }
}

/// What a client sends.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) ssrc: u32,
    pub(crate) pt: u8,
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) extensions: &'a [(Option<u8>, &'a [u8])],
    pub(crate) payload: &'a [u8],
}

/// A VP8 payload of `len` bytes; the first of its frame if `start`.
pub(crate) fn vp8(picture: u16, temporal: u8, key: bool, start: bool, len: usize) -> Vec<u8> {
    let descriptor = Descriptor {
        start,
        picture_id: Some(PictureId { value: picture & 0x7fff, wide: true }),
        tl0_picture_index: Some(picture as u8),
        temporal: Some(temporal),
        layer_sync: temporal > 0,
        key_index: Some(3),
        ..Descriptor::default()
    };
    let mut payload = vec![picture as u8; len.max(20)];
    let n = descriptor.write(&mut payload).unwrap();
    // P is 0 in key frames, RFC 6386 section 9.1.
    payload[n] = u8::from(!key);
    payload
}

impl Client {
    pub(crate) fn new(id: PeerId, worker: usize, address: SocketAddr, transport: Transport) -> Self {
        Self {
            id,
            worker,
            address,
            transport,
            keys: None,
            media: Vec::new(),
            reports: Vec::new(),
            messages: Vec::new(),
            open: Vec::new(),
            replayed: Vec::new(),
            next_transport_seq: 0,
            by_remb: false,
        }
    }

    pub(crate) fn take(&mut self, now: Time, from: SocketAddr, mut datagram: Vec<u8>) {
        match classify(datagram[0]) {
            Class::Stun => drop(self.transport.handle_stun(now, from, self.address, &datagram)),
            Class::Dtls => drop(self.transport.handle_dtls(now, from, self.address, &datagram)),
            Class::Rtp => self.take_srtp(now, &mut datagram),
            other => panic!("{other:?}"),
        }
    }

    fn take_srtp(&mut self, now: Time, datagram: &mut [u8]) {
        let raw = datagram.to_vec();
        let keys = self.keys.as_mut().expect("media before keys");
        if rtp::is_rtcp(datagram) {
            let len = keys.inbound.open_rtcp(datagram).unwrap();
            self.reports.push((now, datagram[..len].to_vec()));
            return;
        }
        let header = rtp::Header::parse(datagram).unwrap();
        match keys.inbound.open_rtp(datagram, header.len()) {
            Ok(len) => {
                self.media.push(Got { header, packet: datagram[..len].to_vec(), datagram: raw });
            }
            Err(srtp::Reject::Replayed) => self.replayed.push(raw),
            Err(e) => panic!("{e}"),
        }
    }

    pub(crate) fn poll(&mut self, now: Time) -> Option<Vec<u8>> {
        while let Some(event) = self.transport.poll_event() {
            match event {
                peer::Event::Keys(keys) => self.keys = Some(keys),
                peer::Event::ChannelOpen { channel, label } => self.open.push((channel, label)),
                peer::Event::Message { channel, payload, .. } => {
                    self.messages.push((channel, payload.to_vec()))
                }
                _ => {}
            }
        }
        let mut buf = [0; 1500];
        let transmit = self.transport.poll_transmit(now, &mut buf)?;
        Some(buf[..transmit.len].to_vec())
    }

    pub(crate) fn timeout(&mut self, now: Time) {
        if self.transport.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.transport.handle_timeout(now);
        }
    }

    /// Seals a packet.
    pub(crate) fn rtp(&mut self, packet: Packet<'_>) -> Vec<u8> {
        let mut buf = vec![0; 1600];
        let fields = Fields {
            marker: packet.marker,
            pt: Pt(packet.pt),
            seq: packet.seq,
            timestamp: packet.timestamp,
            ssrc: Ssrc(packet.ssrc),
        };
        let long = packet.extensions.iter().any(|(_, v)| v.len() > 16);
        let form = if long { Form::TwoByte } else { Form::OneByte };
        let mut writer = Writer::new(&mut buf, &fields, form).unwrap();
        if !self.by_remb {
            writer.element(IDS.transport_cc.unwrap(), &self.next_transport_seq.to_be_bytes()).unwrap();
        }
        self.next_transport_seq = self.next_transport_seq.wrapping_add(1);
        for (id, value) in packet.extensions {
            writer.element(id.unwrap(), value).unwrap();
        }
        let (header_len, mut len) = writer.payload(packet.payload).unwrap();
        if packet.payload.is_empty() {
            len = rtp::pad(&mut buf, len, 200).unwrap();
        }
        let len = self.keys.as_mut().unwrap().outbound.seal_rtp(&mut buf, header_len, len).unwrap();
        buf.truncate(len);
        buf
    }

    /// Builds and seals RTCP.
    pub(crate) fn rtcp(&mut self, write: impl FnOnce(&mut rtp::rtcp::Builder<'_>)) -> Vec<u8> {
        let mut buf = vec![0; 1500];
        let mut builder = rtp::rtcp::Builder::new(&mut buf);
        write(&mut builder);
        let len = builder.len();
        let len = self.keys.as_mut().unwrap().outbound.seal_rtcp(&mut buf, len).unwrap();
        buf.truncate(len);
        buf
    }

    /// Received packets of one SSRC.
    pub(crate) fn of(&self, ssrc: u32) -> Vec<Got> {
        self.media.iter().filter(|g| g.header.ssrc == Ssrc(ssrc)).cloned().collect()
    }

    /// What all received RTCP says, with its time.
    pub(crate) fn rtcp_packets(&self) -> impl Iterator<Item = (Time, rtp::rtcp::Packet<'_>)> {
        self.reports.iter().flat_map(|(at, c)| rtp::rtcp::packets(c).map(|p| (*at, p.unwrap())))
    }

    /// Key frame requests received for one SSRC.
    pub(crate) fn plis(&self, ssrc: u32) -> usize {
        let wanted =
            |p: &rtp::rtcp::Packet<'_>| matches!(p, rtp::rtcp::Packet::Pli(p) if p.media == Ssrc(ssrc));
        self.rtcp_packets().filter(|(_, p)| wanted(p)).count()
    }
}
