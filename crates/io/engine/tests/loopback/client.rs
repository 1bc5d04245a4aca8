//! A participant on a socket of its own.

use std::net::SocketAddr;
use std::time::Duration;

use clock::Time;
use peer::{
    Candidate, CandidateKind, Carrier, Certificate, ChannelId, Class, Credentials, DtlsRole, Keys,
    LocalTransport, RemoteTransport, SctpRemote, Transport, classify,
};
use rtp::{Fields, Form, Pt, Ssrc, Writer};
use sfu::PeerId;

use crate::line::Line;

/// What both sides of a transport say of themselves.
pub(crate) struct Terms {
    pub(crate) server: Credentials,
    pub(crate) client: Credentials,
    pub(crate) address: SocketAddr,
    pub(crate) lite: bool,
}

pub(crate) struct Client {
    pub(crate) id: PeerId,
    pub(crate) line: Line,
    /// Its candidate. One over TCP keeps it over a new connection.
    local: SocketAddr,
    /// Whether it takes what arrives.
    pub(crate) reads: bool,
    pub(crate) transport: Transport,
    pub(crate) keys: Option<Box<Keys>>,
    pub(crate) channel: Option<ChannelId>,
    /// Payloads of received RTP, opened.
    pub(crate) media: Vec<(Ssrc, Vec<u8>)>,
    pub(crate) messages: Vec<Vec<u8>>,
    seq: u16,
}

pub(crate) fn host(carrier: Carrier, addr: SocketAddr) -> Candidate {
    Candidate { kind: CandidateKind::Host, carrier, addr, priority: 1_000_000, foundation: "1".into() }
}

pub(crate) fn describe(
    certificate: &Certificate,
    credentials: &Credentials,
    candidate: Candidate,
    lite: bool,
    dtls_role: DtlsRole,
) -> RemoteTransport {
    RemoteTransport {
        credentials: credentials.clone(),
        ice_lite: lite,
        fingerprints: vec![certificate.fingerprint()],
        dtls_role,
        candidates: vec![candidate],
        sctp: Some(SctpRemote { port: 5000, max_message_size: 65_536 }),
    }
}

impl Client {
    pub(crate) fn new(id: PeerId, line: Line, certificate: &Certificate, terms: &Terms, now: Time) -> Self {
        let local = LocalTransport {
            credentials: terms.client.clone(),
            ice_lite: false,
            controlling: true,
            candidates: vec![host(line.carrier(), line.local_addr())],
        };
        let mut transport = Transport::new(now, local, certificate, &peer::Config::default(), id.0);
        transport.set_remote(
            now,
            &describe(
                certificate,
                &terms.server,
                host(line.carrier(), terms.address),
                terms.lite,
                DtlsRole::Client,
            ),
        );
        Self {
            id,
            local: line.local_addr(),
            line,
            reads: true,
            transport,
            keys: None,
            channel: None,
            media: Vec::new(),
            messages: Vec::new(),
            seq: 100,
        }
    }

    /// Takes what has arrived, sends what is due; how long nothing else will be.
    pub(crate) fn turn(&mut self, now: Time) -> Duration {
        let to = self.local;
        let arrived = if self.reads { self.line.receive() } else { Vec::new() };
        for (from, mut datagram) in arrived {
            // What a transport refuses is missed by the test that waits for what it leads to.
            match classify(datagram[0]) {
                Class::Stun => {
                    let _ = self.transport.handle_stun(now, from, to, &datagram);
                }
                Class::Dtls => {
                    let _ = self.transport.handle_dtls(now, from, to, &datagram);
                }
                Class::Rtp => open(&mut self.keys, &mut self.media, &mut datagram),
                other => panic!("{other:?} from the server"),
            }
        }
        if self.transport.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.transport.handle_timeout(now);
        }
        while let Some(event) = self.transport.poll_event() {
            match event {
                peer::Event::Keys(keys) => self.keys = Some(keys),
                peer::Event::ChannelOpen { channel, .. } => self.channel = Some(channel),
                peer::Event::Message { payload, .. } => self.messages.push(payload.to_vec()),
                _ => {}
            }
        }
        let mut buf = [0; 1500];
        while let Some(transmit) = self.transport.poll_transmit(now, &mut buf) {
            self.send(transmit.to, &buf[..transmit.len]);
        }
        let next = self.transport.poll_timeout();
        next.map_or(Duration::MAX, |at| at.saturating_duration_since(now.mono))
    }

    pub(crate) fn send(&mut self, remote: SocketAddr, payload: &[u8]) {
        self.line.send(remote, payload);
    }

    /// Sends a frame of VP8 in packets of `size` bytes to where the transport sends.
    pub(crate) fn frame(&mut self, ssrc: u32, key: bool, packets: usize, size: usize) {
        let path = self.transport.selected().unwrap();
        let timestamp = u32::from(self.seq) * 3000;
        for n in 0..packets {
            let mut buf = [0; 1600];
            let fields =
                Fields { marker: n + 1 == packets, pt: Pt(96), seq: self.seq, timestamp, ssrc: Ssrc(ssrc) };
            let mut writer = Writer::new(&mut buf, &fields, Form::OneByte).unwrap();
            writer.element(4, b"v").unwrap();
            let mut payload = vec![n as u8; size];
            // RFC 7741 section 4.2: S says that a partition begins; then RFC 6386 section 9.1: P, inverted key.
            payload[0] = if n == 0 { 0x10 } else { 0 };
            payload[1] = u8::from(!key);
            let (header, len) = writer.payload(&payload).unwrap();
            let len = self.keys.as_mut().unwrap().outbound.seal_rtp(&mut buf, header, len).unwrap();
            self.send(path.remote, &buf[..len]);
            self.seq = self.seq.wrapping_add(1);
        }
    }
}

fn open(keys: &mut Option<Box<Keys>>, media: &mut Vec<(Ssrc, Vec<u8>)>, datagram: &mut [u8]) {
    let keys = keys.as_mut().expect("media before keys");
    if rtp::is_rtcp(datagram) {
        keys.inbound.open_rtcp(datagram).unwrap();
        return;
    }
    let header = rtp::Header::parse(datagram).unwrap();
    let len = keys.inbound.open_rtp(datagram, header.len()).unwrap();
    let view = rtp::View::parse(&datagram[..len]).unwrap();
    media.push((header.ssrc, view.payload().to_vec()));
}
