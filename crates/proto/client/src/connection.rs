//! One peer connection: its transport, its descriptions, and the media that goes both ways.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clock::Time;
use peer::{ChannelParams, Class, Keys, LocalTransport, Reliability, Transmit, Transport, classify};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use rtp::rtcp::{Builder, Packet, ReportBlock};
use rtp::{Mid, Rid, Ssrc, View};
use sdp::Session;

use crate::describe::{self, DescribeError, Ids, Local, Purpose, Told};
use crate::incoming::Incoming;
use crate::outgoing::{PACKET, Publication, Publish, Wire};
use crate::pacer::Pacing;
use crate::recv::arrivals::{Arrivals, INTERVAL};
use crate::stats::{Delay, Received, Sent, Stats};

/// Reports go out this often (RFC 3550's minimum for small sessions is 5 s; browsers take 1 s).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Delays kept for whoever reads them.
const MAX_DELAYS: usize = 8192;
/// Where the transport-wide number lies: it is the first element of a one-byte block (RFC 8285 section 4.2).
const TRANSPORT_SEQ_AT: usize = 12 + 4 + 1;

/// Our end of a connection.
#[derive(Clone)]
pub struct Endpoint {
    /// Where the driver receives for this connection alone.
    pub address: SocketAddr,
    pub certificate: peer::Certificate,
    /// Compare the content of each frame with what was sent.
    pub verify: bool,
    pub pacing: Pacing,
    /// What is random follows from it.
    pub seed: u64,
}

/// One peer connection.
pub struct Connection {
    transport: Transport,
    local: Local,
    verify: bool,
    pacing: Pacing,
    rng: SmallRng,
    keys: Option<Box<Keys>>,
    connected: bool,
    /// The server has described its end.
    described: bool,
    failed: bool,
    hushed: bool,
    sections: Vec<(Mid, Purpose)>,
    publications: Vec<Publication>,
    /// Of each publication that the server has taken.
    wires: HashMap<Mid, Wire>,
    incoming: Vec<Incoming>,
    by_ssrc: HashMap<Ssrc, (usize, Use)>,
    /// Gone, but part of the account.
    past: Received,
    arrivals: Arrivals,
    transport_seq: u16,
    reporter: Ssrc,
    next_report: Option<Instant>,
    next_feedback: Option<Instant>,
    ready: VecDeque<Vec<u8>>,
    sent: Sent,
    strays: Received,
    delays: Vec<Delay>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Media,
    Repair,
}

impl Connection {
    pub fn new(now: Time, endpoint: &Endpoint) -> Self {
        let mut rng = SmallRng::seed_from_u64(endpoint.seed);
        let text = |len: usize, rng: &mut SmallRng| -> String {
            const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
            (0..len).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect()
        };
        let credentials = peer::Credentials { ufrag: text(8, &mut rng), pwd: text(24, &mut rng) };
        let local = LocalTransport {
            credentials: credentials.clone(),
            ice_lite: false,
            controlling: true,
            candidates: vec![peer::Candidate {
                carrier: peer::Carrier::Udp,
                kind: peer::CandidateKind::Host,
                addr: endpoint.address,
                priority: 2_130_706_431,
                foundation: "1".into(),
            }],
        };
        let config = peer::Config::default();
        let transport = Transport::new(now, local, &endpoint.certificate, &config, rng.random());
        Self {
            transport,
            local: Local {
                credentials,
                fingerprint: endpoint.certificate.fingerprint(),
                address: endpoint.address,
                version: 0,
            },
            verify: endpoint.verify,
            pacing: endpoint.pacing,
            keys: None,
            connected: false,
            described: false,
            failed: false,
            hushed: false,
            sections: Vec::new(),
            publications: Vec::new(),
            wires: HashMap::new(),
            incoming: Vec::new(),
            by_ssrc: HashMap::new(),
            past: Received::default(),
            arrivals: Arrivals::new(now),
            transport_seq: rng.random(),
            reporter: Ssrc(rng.random()),
            next_report: None,
            next_feedback: None,
            ready: VecDeque::new(),
            sent: Sent::default(),
            strays: Received::default(),
            delays: Vec::new(),
            rng,
        }
    }

    fn next_mid(&self) -> Option<Mid> {
        Mid::new(&self.sections.len().to_string())
    }

    /// Wants data channels: LiveKit's two.
    pub(crate) fn add_data(&mut self) {
        let Some(mid) = self.next_mid() else { return };
        self.sections.push((mid, Purpose::Data));
        for (label, reliability) in
            [("_reliable", Reliability::Reliable), ("_lossy", Reliability::Retransmits(0))]
        {
            let params = ChannelParams { label: label.into(), ordered: true, reliability, negotiated: None };
            // Two are within every limit.
            let _ = self.transport.open_channel(params);
        }
    }

    pub(crate) fn add_receiving(&mut self, video: bool) {
        if let Some(mid) = self.next_mid() {
            self.sections.push((mid, Purpose::Receive { video }));
        }
    }

    pub(crate) fn publish(&mut self, now: Time, what: &Publish, cid: String) {
        let Some(mid) = self.next_mid() else { return };
        let publication = Publication::new(now, what, mid, self.pacing, &mut self.rng);
        let rids: Vec<Rid> = publication.streams.iter().filter_map(|stream| stream.rid).collect();
        self.sections.push((mid, Purpose::Send { coding: publication.coding(), cid, rids }));
        self.publications.push(publication);
    }

    pub(crate) fn offer(&mut self) -> String {
        self.local.offer(&self.sections).to_string()
    }

    /// The server's answer to [`offer`](Self::offer).
    pub(crate) fn accept(&mut self, now: Time, answer: &str) -> Result<(), DescribeError> {
        let answer = describe::parse(answer)?;
        let mut remote = describe::remote(&answer)?;
        // The answer says what the server is; we are the other.
        let server_is_client = remote.dtls_role == peer::DtlsRole::Server;
        remote.dtls_role = if server_is_client { peer::DtlsRole::Server } else { peer::DtlsRole::Client };
        self.transport.set_remote(now, &remote);
        self.wires = answer
            .sections
            .iter()
            .filter(|section| section.is_rtp() && !section.is_rejected() && section.direction.receives())
            .filter_map(|section| {
                let pt = section.rtp.payloads.first()?.pt;
                let wire = Wire { pt, rtx: section.rtp.rtx_of(pt), ids: Ids::of(&section.rtp) };
                Some((section.mid?, wire))
            })
            .collect();
        self.learn(now, &answer);
        Ok(())
    }

    /// Answers an offer of the server's.
    pub(crate) fn answer(&mut self, now: Time, offer: &str) -> Result<String, DescribeError> {
        let offer = describe::parse(offer)?;
        let mut remote = describe::remote(&offer)?;
        remote.dtls_role = peer::DtlsRole::Client;
        let answer = self.local.answer(&offer);
        self.transport.set_remote(now, &remote);
        self.learn(now, &offer);
        Ok(answer.to_string())
    }

    fn learn(&mut self, now: Time, theirs: &Session) {
        self.described = true;
        let told = describe::streams(theirs);
        let gone = |incoming: &Incoming| !told.iter().any(|t| t.ssrc == incoming.told.ssrc);
        for incoming in self.incoming.iter().filter(|i| gone(i)) {
            self.past.add(&incoming.received());
        }
        self.incoming.retain(|incoming| !gone(incoming));
        for stream in told {
            match self.incoming.iter_mut().find(|i| i.told.ssrc == stream.ssrc) {
                Some(known) => known.told = stream,
                None => self.incoming.push(Incoming::new(now, stream, self.verify)),
            }
        }
        self.by_ssrc.clear();
        for (at, Incoming { told: Told { ssrc, rtx, .. }, .. }) in self.incoming.iter().enumerate() {
            self.by_ssrc.insert(*ssrc, (at, Use::Media));
            if let Some(rtx) = rtx {
                self.by_ssrc.insert(*rtx, (at, Use::Repair));
            }
        }
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the server wants it.
    pub(crate) fn is_described(&self) -> bool {
        self.described
    }

    /// It was given up, and stays so.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    pub fn address(&self) -> SocketAddr {
        self.local.address
    }

    /// A datagram has come; SRTP is opened where it lies.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &mut [u8]) {
        let Some(first) = datagram.first() else { return };
        // What is not for us is dropped by the transport, and counted nowhere: this is no server.
        match classify(*first) {
            Class::Stun => drop(self.transport.handle_stun(now, from, self.local.address, datagram)),
            Class::Dtls => drop(self.transport.handle_dtls(now, from, self.local.address, datagram)),
            Class::Rtp => {
                let opened = if rtp::is_rtcp(datagram) {
                    self.handle_rtcp(now, datagram)
                } else {
                    self.handle_rtp(now, datagram)
                };
                match opened {
                    Some(()) => self.transport.heard(now, from),
                    None => self.strays.unopened += 1,
                }
            }
            _ => {}
        }
        self.settle(now);
    }

    /// `None` if it does not open.
    fn handle_rtp(&mut self, now: Time, datagram: &mut [u8]) -> Option<()> {
        let keys = self.keys.as_mut()?;
        let header = rtp::Header::parse(datagram).ok()?;
        let len = keys.inbound.open_rtp(datagram, header.len()).ok()?;
        let view = View::with_header(header, datagram.get(..len)?).ok()?;
        let Some((at, purpose)) = self.by_ssrc.get(&header.ssrc).copied() else {
            self.strays.unknown += 1;
            return Some(());
        };
        let incoming = self.incoming.get_mut(at)?;
        if let Some(id) = incoming.told.ids.transport_cc
            && let Some(seq) = view.extension(id).and_then(rtp::ext::transport_seq)
        {
            self.arrivals.receive(now, seq);
            self.next_feedback.get_or_insert(now.mono + INTERVAL);
        }
        match purpose {
            Use::Media => {
                if let Some(took) = incoming.receive(now, &view, &header)
                    && self.delays.len() < MAX_DELAYS
                {
                    self.delays.push(Delay { took, video: incoming.told.video });
                }
            }
            Use::Repair => incoming.repair(now, &view, &header),
        }
        Some(())
    }

    /// `None` if it does not open.
    fn handle_rtcp(&mut self, now: Time, datagram: &mut [u8]) -> Option<()> {
        let len = self.keys.as_mut()?.inbound.open_rtcp(datagram).ok()?;
        for packet in rtp::rtcp::packets(datagram.get(..len)?).flatten() {
            match packet {
                Packet::SenderReport(report) => {
                    let of = self.incoming.iter_mut().find(|i| i.told.ssrc == report.info.ssrc);
                    if let Some(incoming) = of {
                        incoming.sender_report(now, &report.info);
                    }
                }
                Packet::Nack(nack) => self.repeat(now, nack.media, nack.lost),
                Packet::Pli(pli) => self.key_frame_asked(pli.media),
                Packet::Fir(fir) => fir.entries.for_each(|entry| self.key_frame_asked(entry.0)),
                _ => {}
            }
        }
        Some(())
    }

    fn key_frame_asked(&mut self, media: Ssrc) {
        let ours = self.publications.iter_mut().any(|publication| publication.key_frame_asked(media));
        self.sent.key_frames_asked += u64::from(ours);
    }

    fn repeat(&mut self, now: Time, media: Ssrc, lost: impl Iterator<Item = u16>) {
        let Some(keys) = &mut self.keys else { return };
        let publication =
            self.publications.iter_mut().find(|p| p.streams.iter().any(|stream| stream.ssrc == media));
        let Some(publication) = publication else { return };
        let Some(wire) = self.wires.get(&publication.mid) else { return };
        for seq in lost {
            let mut buf = [0; PACKET];
            let Some((header, len)) = publication.repeat(now, wire, media, seq, &mut buf) else { continue };
            number(&mut self.transport_seq, wire, &mut buf);
            if let Ok(len) = keys.outbound.seal_rtp(&mut buf, header, len) {
                self.sent.repeats += 1;
                self.ready.push_back(buf.get(..len).unwrap_or_default().to_vec());
            }
        }
    }

    /// Takes what the transport tells.
    fn settle(&mut self, now: Time) {
        while let Some(event) = self.transport.poll_event() {
            match event {
                peer::Event::Keys(keys) => self.keys = Some(keys),
                peer::Event::Connected => {
                    if !self.connected {
                        self.publications.iter_mut().for_each(|publication| publication.skip(now));
                    }
                    self.connected = true;
                    self.next_report.get_or_insert(now.mono + REPORT_INTERVAL);
                }
                peer::Event::Disconnected => self.connected = false,
                peer::Event::Failed(_) => {
                    self.connected = false;
                    self.failed = true;
                }
                _ => {}
            }
        }
    }

    pub fn handle_timeout(&mut self, now: Time) {
        if self.transport.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.transport.handle_timeout(now);
        }
        self.settle(now);
        if !self.connected {
            return;
        }
        if !self.hushed {
            self.send_media(now);
        }
        self.send_reports(now);
    }

    fn send_media(&mut self, now: Time) {
        let Self { keys: Some(keys), publications, wires, transport_seq, ready, sent, .. } = self else {
            return;
        };
        for publication in publications.iter_mut() {
            let Some(wire) = wires.get(&publication.mid).copied() else { continue };
            publication.poll(now, &wire, |buf, header, len| {
                number(transport_seq, &wire, buf);
                if let Ok(len) = keys.outbound.seal_rtp(buf, header, len) {
                    sent.packets += 1;
                    sent.bytes += len as u64;
                    ready.push_back(buf.get(..len).unwrap_or_default().to_vec());
                }
            });
        }
    }

    fn send_reports(&mut self, now: Time) {
        let us = self.reporter;
        let mut buf = [0; PACKET];
        // Room for SRTCP's index and tag.
        let mut out = Builder::new(buf.get_mut(..PACKET - 64).unwrap_or_default());
        if self.next_report.is_some_and(|at| at <= now.mono) {
            self.next_report = Some(now.mono + REPORT_INTERVAL);
            let blocks: Vec<ReportBlock> = self.incoming.iter_mut().filter_map(|i| i.report(now)).collect();
            let streams = self.publications.iter().flat_map(|publication| &publication.streams);
            for info in streams.filter_map(|stream| Publication::info(stream, now)) {
                let _ = out.sender_report(&info, &[]);
            }
            if !blocks.is_empty() {
                let _ = out.receiver_report(us, &blocks);
            }
        }
        for incoming in &mut self.incoming {
            incoming.ask(now, us, &mut out);
        }
        if self.next_feedback.is_some_and(|at| at <= now.mono) {
            self.next_feedback = None;
            let media = self.incoming.first().map_or(Ssrc(0), |incoming| incoming.told.ssrc);
            self.arrivals.report(us, media, &mut out);
        }
        let len = out.len();
        if len == 0 {
            return;
        }
        if let Some(keys) = &mut self.keys
            && let Ok(len) = keys.outbound.seal_rtcp(&mut buf, len)
        {
            self.ready.push_back(buf.get(..len).unwrap_or_default().to_vec());
        }
    }

    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let transport = self.transport.poll_timeout();
        if !self.connected {
            return transport;
        }
        let sources = self.publications.iter().filter(|p| !self.hushed && self.wires.contains_key(&p.mid));
        let media = sources.map(Publication::due).min();
        let asking = self.incoming.iter().filter_map(|incoming| incoming.poll_timeout(now)).min();
        [transport, media, asking, self.next_report, self.next_feedback].into_iter().flatten().min()
    }

    /// The next datagram, written to the front of `buf`, which should have 1500 bytes.
    pub fn poll_transmit(&mut self, now: Time, buf: &mut [u8]) -> Option<Transmit> {
        if let Some(transmit) = self.transport.poll_transmit(now, buf) {
            return Some(transmit);
        }
        let path = self.transport.selected()?;
        let datagram = self.ready.pop_front()?;
        buf.get_mut(..datagram.len())?.copy_from_slice(&datagram);
        Some(Transmit { from: path.local, to: path.remote, len: datagram.len() })
    }

    /// Makes no more media.
    pub(crate) fn hush(&mut self) {
        self.hushed = true;
    }

    /// Says goodbye; what is polled afterwards is the last.
    pub(crate) fn close(&mut self, now: Time) {
        self.transport.close(now);
    }

    /// Adds this connection's numbers.
    pub fn account(&self, now: Time, into: &mut Stats) {
        into.profile = into.profile.or(self.keys.as_ref().map(|keys| keys.profile));
        into.sent.add(&self.sent);
        into.received.add(&self.past);
        into.received.add(&self.strays);
        for incoming in &self.incoming {
            into.received.add(&incoming.received());
            into.corrupt_audio += incoming.corrupt_audio();
            match incoming.video(now) {
                Some(video) => into.videos.push(video),
                None => {
                    into.audios += 1;
                    into.heard.add(&incoming.received());
                }
            }
        }
    }

    /// How long the packets since the last call were on their way.
    pub fn take_delays(&mut self) -> std::vec::Drain<'_, Delay> {
        self.delays.drain(..)
    }
}

/// Numbers a packet transport-wide, RFC draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2.
fn number(seq: &mut u16, wire: &Wire, buf: &mut [u8]) {
    if wire.ids.transport_cc.is_none() {
        return;
    }
    if let Some(place) = buf.get_mut(TRANSPORT_SEQ_AT..TRANSPORT_SEQ_AT + 2) {
        place.copy_from_slice(&seq.to_be_bytes());
        *seq = seq.wrapping_add(1);
    }
}
