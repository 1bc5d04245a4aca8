//! Sealing a batch for everybody and sending it, in runs of packets of one size, of which the last may be shorter.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context as _;
use net::{MAX_RUN_BYTES, MAX_SEGMENTS, Message, Sender, Socket};
use srtp::{Outbound, Profile, Repeats, Role, StreamIndex};

use crate::Floor;
use crate::scene::Arrived;

/// Bytes sealed before they are sent, as in the server.
const OUTBOX: usize = 256 << 10;
/// An RTP header with the elements that a subscriber of the server gets: mid, number, sending time.
const HEADER: usize = 28;

/// What has gone out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    pub(crate) calls: u64,
    pub(crate) unsent: u64,
}

impl Totals {
    /// Packets that leave in one message.
    pub(crate) fn run_length(&self) -> f64 {
        self.packets as f64 / self.messages.max(1) as f64
    }
}

/// One that packets are sent to.
struct Subscriber {
    remote: SocketAddr,
    outbound: Outbound,
    /// By publisher: video and audio, with the next sequence number.
    streams: Vec<[(StreamIndex, u16); 2]>,
    /// Whose best layer it gets.
    speaker: usize,
    /// Which publisher it is itself.
    own: Option<usize>,
}

struct Run {
    remote: SocketAddr,
    at: usize,
    len: usize,
    segment: usize,
    count: usize,
}

pub(crate) struct Batch {
    subscribers: Vec<Subscriber>,
    layers: usize,
    speaker: bool,
    source: Vec<u8>,
    outbox: Vec<u8>,
    runs: Vec<Run>,
    /// How many packets in the outbox each packet of the batch has become.
    copies: Vec<usize>,
    pub(crate) totals: Totals,
    /// For how long packets were on their way out since they had come, seconds, and how many of them.
    pub(crate) delays: Vec<(f64, usize)>,
}

impl Batch {
    pub(crate) fn new(options: &Floor, remotes: &[SocketAddr]) -> anyhow::Result<Self> {
        let profile = if options.key_bits == 128 { Profile::AeadAes128Gcm } else { Profile::AeadAes256Gcm };
        let mut subscribers = Vec::new();
        for (n, remote) in remotes.iter().enumerate() {
            let own = (n < options.publishers).then_some(n);
            if own.is_some() && !options.meet {
                continue;
            }
            // Keys differ, so that nothing is shared that a server cannot share.
            let material = vec![n as u8; profile.keying_material_len()];
            let (_, mut outbound) = srtp::contexts(profile, &material, Role::Server).context("keys")?;
            let mut streams = Vec::new();
            for publisher in 0..options.publishers {
                let mut open = |kind: usize| outbound.stream(ssrc(publisher, kind), Repeats::Refuse);
                streams.push([(open(0).context("a stream")?, 0), (open(1).context("a stream")?, 0)]);
            }
            let speaker = if own == Some(0) { 1 } else { 0 };
            subscribers.push(Subscriber { remote: *remote, outbound, streams, speaker, own });
        }
        Ok(Self {
            subscribers,
            layers: if options.simulcast { 3 } else { 1 },
            speaker: options.speaker,
            delays: Vec::new(),
            source: vec![0x5a; 2048],
            outbox: vec![0; OUTBOX + MAX_RUN_BYTES],
            runs: Vec::new(),
            copies: Vec::new(),
            totals: Totals::default(),
        })
    }

    /// Seals the batch subscriber by subscriber, and sends it.
    pub(crate) fn send(&mut self, batch: &[Arrived], socket: &Socket, sender: &mut Sender) {
        self.copies.clear();
        self.copies.resize(batch.len(), 0);
        let mut used = 0;
        for n in 0..self.subscribers.len() {
            for (index, arrived) in batch.iter().enumerate() {
                let before = used;
                used = self.seal(n, arrived, used);
                if let Some(copies) = self.copies.get_mut(index) {
                    *copies += usize::from(used > before);
                }
                if used >= OUTBOX {
                    self.flush(batch, socket, sender);
                    used = 0;
                }
            }
        }
        self.flush(batch, socket, sender);
    }

    /// Where the outbox ends now.
    fn seal(&mut self, n: usize, arrived: &Arrived, used: usize) -> usize {
        let Some(to) = self.subscribers.get_mut(n) else { return used };
        let wanted = if self.speaker && arrived.publisher != to.speaker { 0 } else { self.layers - 1 };
        if to.own == Some(arrived.publisher) || arrived.video && arrived.departure.layer != wanted {
            return used;
        }
        let kind = usize::from(arrived.video);
        let Some((stream, seq)) = to.streams.get_mut(arrived.publisher).and_then(|s| s.get_mut(kind)) else {
            return used;
        };
        let len = HEADER + arrived.departure.len;
        let Some(buf) = self.outbox.get_mut(used..) else { return used };
        let Some((header, body)) = buf.split_at_mut_checked(HEADER) else { return used };
        header.fill(0);
        if let Some(head) = header.first_chunk_mut::<12>() {
            let [s0, s1] = seq.to_be_bytes();
            let [a, b, c, d] = ssrc(arrived.publisher, kind).0.to_be_bytes();
            *head = [0x90, 96, s0, s1, 0, 0, 0, 0, a, b, c, d];
        }
        for (to, from) in
            body.chunks_mut(arrived.departure.len).zip(self.source.chunks(arrived.departure.len)).take(1)
        {
            to.copy_from_slice(from);
        }
        *seq = seq.wrapping_add(1);
        let Ok(sealed) = to.outbound.seal_rtp_on(*stream, buf, HEADER, len) else {
            self.totals.unsent += 1;
            return used;
        };
        match self.runs.last_mut() {
            Some(run)
                if run.remote == to.remote
                    && run.len == run.segment * run.count
                    && sealed <= run.segment
                    && run.count < MAX_SEGMENTS
                    && run.len + sealed <= MAX_RUN_BYTES =>
            {
                run.len += sealed;
                run.count += 1;
            }
            _ => self.runs.push(Run { remote: to.remote, at: used, len: sealed, segment: sealed, count: 1 }),
        }
        used + sealed
    }

    fn flush(&mut self, batch: &[Arrived], socket: &Socket, sender: &mut Sender) {
        let outbox = &self.outbox;
        let messages = self.runs.iter().filter_map(|run| {
            let payload = outbox.get(run.at..run.at + run.len)?;
            Some(Message { remote: run.remote, local: None, payload, segment: run.segment })
        });
        let outcome = sender.send(socket, messages);
        let offered: usize = self.runs.iter().map(|run| run.count).sum();
        let now = Instant::now();
        for (arrived, copies) in batch.iter().zip(&mut self.copies) {
            let delay = now.saturating_duration_since(arrived.departure.at);
            self.delays.push((delay.as_secs_f64(), std::mem::take(copies)));
        }
        self.totals.packets += outcome.sent as u64;
        self.totals.bytes += outcome.bytes as u64;
        self.totals.messages += outcome.messages as u64;
        self.totals.calls += outcome.calls as u64;
        self.totals.unsent += (offered - outcome.sent) as u64;
        self.runs.clear();
    }
}

fn ssrc(publisher: usize, kind: usize) -> rtp::Ssrc {
    rtp::Ssrc((publisher * 2 + kind + 1) as u32)
}
