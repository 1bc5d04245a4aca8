//! A router with one publisher and many subscribers, and frames that go through it.

#![allow(dead_code, reason = "each benchmark uses its part")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clock::Time;
use codec::Kind as Codec;
use codec::vp8::{Descriptor, PictureId};
use peer::{Certificate, Credentials, DtlsRole, Keys, LocalTransport, RemoteTransport, Transport};
use rtp::{Fields, Form, Label, Pt, Ssrc, Writer};
use sfu::{
    CodecParams, Command, Config, ConsumerId, ConsumerParams, Encoding, ExtensionIds, Kind, Outbox, PeerId,
    ProducerId, ProducerParams, Router, Wish, id_on,
};

/// Packets of a frame at 2 Mbit/s and 30 frames a second, and their payload.
pub(crate) const PACKETS: usize = 7;
pub(crate) const PAYLOAD: usize = 1140;
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 7882);
const IDS: ExtensionIds = ExtensionIds {
    mid: Some(4),
    rid: None,
    repaired_rid: None,
    abs_send_time: Some(2),
    transport_cc: Some(3),
    audio_level: None,
    video_orientation: None,
    playout_delay: None,
    dependency_descriptor: None,
    abs_capture_time: None,
};

/// CPU time of this thread: others on the machine do not count (proc(5), `schedstat`).
pub(crate) fn used() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_ascii_whitespace().next().unwrap().parse().unwrap())
}

pub(crate) struct Stage {
    now: Time,
    router: Router,
    outbox: Outbox,
    keys: Box<Keys>,
    from: SocketAddr,
    seq: u16,
    timestamp: u32,
    picture: u16,
    subscribers: usize,
    pub(crate) profile: srtp::Profile,
}

impl Stage {
    pub(crate) fn new(subscribers: usize) -> Self {
        let now = Time { mono: Instant::now(), unix: Duration::from_secs(1_800_000_000) };
        let certificate = Certificate::generate().unwrap();
        let mut router = Router::new(now, Config::default(), certificate.clone(), 0, 1);
        let mut outbox = Outbox::new(256 << 10);
        let publisher = PeerId(id_on(0, 1));
        let (from, keys) = connect(now, &mut router, &mut outbox, &certificate, publisher, 0);
        let producer = ProducerId(id_on(0, 1));
        let vp8 = |pt| CodecParams {
            codec: Codec::Vp8,
            pt: Pt(pt),
            rtx: Some(Pt(pt + 1)),
            clock_rate: 90_000,
            nack: true,
            fmtp: String::new(),
        };
        router.handle_command(now, Command::SetReceiveExtensions { peer: publisher, extensions: IDS });
        let params = ProducerParams {
            kind: Kind::Video,
            mid: Label::new("v"),
            encodings: vec![Encoding::default()],
            codecs: vec![vp8(96)],
            svc: false,
            transport_cc: true,
        };
        router.handle_command(now, Command::AddProducer { peer: publisher, producer, params });
        for n in 1..=subscribers {
            let peer = PeerId(id_on(0, n as u64 + 1));
            connect(now, &mut router, &mut outbox, &certificate, peer, n);
            let params = ConsumerParams {
                mid: Label::new("7").unwrap(),
                ssrc: Ssrc(n as u32 * 2),
                rtx_ssrc: Some(Ssrc(n as u32 * 2 + 1)),
                codecs: vec![vp8(120)],
                extensions: IDS,
                playout_delay: None,
                trailers: sfu::Trailers::None,
                wish: Wish { paused: false, max_spatial: 7, max_temporal: 7, priority: 0 },
            };
            let consumer = ConsumerId(id_on(0, n as u64));
            router.handle_command(now, Command::AddConsumer { peer, consumer, producer, params });
        }
        let profile = keys.profile;
        let mut stage =
            Self { now, router, outbox, keys, from, seq: 1, timestamp: 0, picture: 0, subscribers, profile };
        // The key frame, and what is made when first needed.
        for _ in 0..20 {
            stage.frame();
        }
        stage
    }

    /// One frame comes in and goes out; how long the way out took.
    pub(crate) fn frame(&mut self) -> Duration {
        for mut packet in self.publish() {
            self.take(&mut packet);
        }
        let began = used();
        let sent = self.fan_out();
        let took = used() - began;
        assert_eq!(sent, PACKETS * self.subscribers);
        self.settle();
        took
    }

    /// The packets of the next frame as they come from the publisher.
    pub(crate) fn publish(&mut self) -> Vec<Vec<u8>> {
        self.now = self.now.after(Duration::from_millis(1));
        let packets = (0..PACKETS).map(|n| self.packet(n)).collect();
        self.timestamp = self.timestamp.wrapping_add(3000);
        self.picture = (self.picture + 1) & 0x7fff;
        packets
    }

    /// One of them arrives.
    pub(crate) fn take(&mut self, packet: &mut [u8]) {
        self.router.handle_datagram(self.now, SERVER.into(), self.from, packet);
    }

    /// What has arrived goes out; how many packets that were.
    #[inline(never)]
    pub(crate) fn fan_out(&mut self) -> usize {
        let mut sent = 0;
        loop {
            let more = self.router.fan_out(self.now, &mut self.outbox);
            sent += self.outbox.entries().len();
            self.outbox.clear();
            if !more {
                return sent;
            }
        }
    }

    /// Reports and the like go out, which are no part of a measurement.
    pub(crate) fn settle(&mut self) {
        while self.router.poll_transmit(self.now, &mut self.outbox) {
            self.outbox.clear();
        }
        self.outbox.clear();
        while self.router.poll_event().is_some() {}
    }

    fn packet(&mut self, n: usize) -> Vec<u8> {
        let key = self.picture == 0;
        let descriptor = Descriptor {
            start: n == 0,
            picture_id: Some(PictureId { value: self.picture, wide: true }),
            tl0_picture_index: Some(self.picture as u8),
            temporal: Some(0),
            key_index: Some(1),
            ..Descriptor::default()
        };
        let mut payload = vec![7; PAYLOAD];
        let head = descriptor.write(&mut payload).unwrap();
        payload[head] = u8::from(!key);
        let fields = Fields {
            marker: n + 1 == PACKETS,
            pt: Pt(96),
            seq: self.seq,
            timestamp: self.timestamp,
            ssrc: Ssrc(1),
        };
        let mut buf = vec![0; 1500];
        let mut writer = Writer::new(&mut buf, &fields, Form::OneByte).unwrap();
        writer.element(3, &self.seq.to_be_bytes()).unwrap();
        writer.element(4, b"v").unwrap();
        let (header, len) = writer.payload(&payload).unwrap();
        self.seq = self.seq.wrapping_add(1);
        let len = self.keys.outbound.seal_rtp(&mut buf, header, len).unwrap();
        buf.truncate(len);
        buf
    }
}

/// Brings a transport up between the router and a client that is then forgotten; its address and keys.
fn connect(
    now: Time,
    router: &mut Router,
    outbox: &mut Outbox,
    certificate: &Certificate,
    peer: PeerId,
    n: usize,
) -> (SocketAddr, Box<Keys>) {
    let far = SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 5000));
    let ours = Credentials { ufrag: format!("server{n:04}"), pwd: "p".repeat(24) };
    let theirs = Credentials { ufrag: format!("client{n:04}"), pwd: "q".repeat(24) };
    let host = |addr| peer::Candidate {
        carrier: peer::Carrier::Udp,
        kind: peer::CandidateKind::Host,
        addr,
        priority: 1_000_000,
        foundation: "1".into(),
    };
    let local = |credentials: &Credentials, lite: bool, addr| LocalTransport {
        credentials: credentials.clone(),
        ice_lite: lite,
        controlling: !lite,
        candidates: vec![host(addr)],
    };
    let remote = |credentials: &Credentials, lite: bool, dtls_role, addr| RemoteTransport {
        credentials: credentials.clone(),
        ice_lite: lite,
        fingerprints: vec![certificate.fingerprint()],
        dtls_role,
        candidates: vec![host(addr)],
        sctp: None,
    };
    let server = SocketAddr::from(SERVER);
    router.handle_command(now, Command::OpenPeer { peer, local: local(&ours, true, server) });
    let theirs_told = remote(&theirs, false, DtlsRole::Server, far);
    router.handle_command(now, Command::SetRemote { peer, remote: theirs_told });
    let config = peer::Config::default();
    let mut client = Transport::new(now, local(&theirs, false, far), certificate, &config, n as u64);
    client.set_remote(now, &remote(&ours, true, DtlsRole::Client, server));
    let mut keys = None;
    for step in 0..500 {
        let now = now.after(Duration::from_millis(step * 5));
        if client.poll_timeout().is_some_and(|at| at <= now.mono) {
            client.handle_timeout(now);
        }
        let mut buf = [0; 1500];
        while let Some(transmit) = client.poll_transmit(now, &mut buf) {
            router.handle_datagram(now, server, far, &mut buf[..transmit.len]);
        }
        loop {
            let more = router.poll_transmit(now, outbox);
            for entry in outbox.entries() {
                let datagram = outbox.payload(entry);
                let _ = match peer::classify(datagram[0]) {
                    peer::Class::Stun => client.handle_stun(now, server, far, datagram),
                    _ => client.handle_dtls(now, server, far, datagram),
                };
            }
            outbox.clear();
            if !more {
                break;
            }
        }
        while let Some(event) = client.poll_event() {
            if let peer::Event::Keys(found) = event {
                keys = Some(found);
            }
        }
        let mut connected = false;
        while let Some(event) = router.poll_event() {
            connected |= event == sfu::Event::Connected { peer };
        }
        if connected && let Some(keys) = keys.take() {
            return (far, keys);
        }
    }
    panic!("client {n} does not connect");
}
