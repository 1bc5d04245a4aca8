//! What a participant publishes: a source, its streams, and when their packets leave.

use std::collections::VecDeque;
use std::time::Instant;

use clock::Time;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use rtp::ext::{AbsSendTime, AudioLevel};
use rtp::rtcp::SenderInfo;
use rtp::{Fields, Form, Mid, Pt, Rid, Ssrc, Writer};

use crate::content;
use crate::describe::Ids;
use crate::history::History;
use crate::pacer::{Pacer, Pacing};
use crate::payload::Coding;
use crate::source::{VideoSource, VideoSourceParams};
use crate::voice::{AudioSource, Sound};

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publish {
    /// Opus of a voice that never pauses.
    Audio,
    /// Opus of a voice that pauses, and sends little then (DTX).
    Voice,
    /// A camera.
    Video(VideoSourceParams),
}

/// One track that is published.
pub(crate) struct Publication {
    pub(crate) mid: Mid,
    pub(crate) source: Source,
    /// One a layer.
    pub(crate) streams: Vec<Stream>,
    pacer: Pacer,
    /// Packets that wait for the line, in order: layer and what to send.
    waiting: VecDeque<(Instant, usize, Unsent)>,
}

#[allow(clippy::large_enum_variant, reason = "a participant has few of them")]
pub(crate) enum Source {
    Audio(AudioSource),
    Video(VideoSource),
}

impl Source {
    /// When the next frame is to be made.
    pub(crate) fn due(&self) -> Instant {
        match self {
            Self::Audio(audio) => audio.due(),
            Self::Video(video) => video.due(),
        }
    }
}

struct Unsent {
    marker: bool,
    timestamp: u32,
    level: Option<u8>,
    payload: Vec<u8>,
}

/// One RTP stream with its repair stream.
pub(crate) struct Stream {
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Ssrc,
    pub(crate) rid: Option<Rid>,
    seq: u16,
    rtx_seq: u16,
    first_timestamp: u32,
    last_timestamp: u32,
    history: History,
    packets: u32,
    octets: u32,
}

/// How a packet of a section looks on the wire, as far as it was negotiated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    pub(crate) pt: Pt,
    pub(crate) rtx: Option<Pt>,
    pub(crate) ids: Ids,
}

/// Room for one packet with its SRTP trailer.
pub(crate) const PACKET: usize = 1500;

impl Publication {
    pub(crate) fn new(now: Time, what: &Publish, mid: Mid, pacing: Pacing, rng: &mut SmallRng) -> Self {
        let rids: Vec<Option<Rid>> = match what {
            Publish::Audio | Publish::Voice => vec![None],
            Publish::Video(params) => params.layers.iter().map(|layer| layer.rid).collect(),
        };
        let bitrate = match what {
            Publish::Audio | Publish::Voice => 0,
            Publish::Video(params) => params.layers.iter().map(|layer| layer.bitrate).sum(),
        };
        let source = match what {
            Publish::Audio | Publish::Voice => {
                Source::Audio(AudioSource::new(now, rng.random(), *what == Publish::Voice))
            }
            Publish::Video(params) => Source::Video(VideoSource::new(now, params.clone(), rng.random())),
        };
        Self {
            mid,
            source,
            streams: rids.into_iter().map(|rid| Stream::new(rid, rng)).collect(),
            pacer: Pacer::new(pacing, bitrate, SmallRng::from_rng(rng)),
            waiting: VecDeque::new(),
        }
    }

    /// None of sound.
    pub(crate) fn coding(&self) -> Option<Coding> {
        match &self.source {
            Source::Video(video) => Some(video.coding()),
            Source::Audio(_) => None,
        }
    }

    /// When something is to be made or sent.
    pub(crate) fn due(&self) -> Instant {
        let made = self.source.due();
        self.waiting.front().map_or(made, |(at, ..)| made.min(*at))
    }

    /// The sender report's view of a stream.
    pub(crate) fn info(stream: &Stream, now: Time) -> Option<SenderInfo> {
        (stream.packets > 0).then(|| SenderInfo {
            ssrc: stream.ssrc,
            ntp: now.ntp(),
            rtp_timestamp: stream.last_timestamp,
            packets: stream.packets,
            octets: stream.octets,
        })
    }

    /// Makes what is due to be made, and sends what is due to be sent: `send` gets each packet with its
    /// header's length, not sealed.
    pub(crate) fn poll(&mut self, now: Time, wire: &Wire, mut send: impl FnMut(&mut [u8], usize, usize)) {
        self.make(now);
        while let Some((at, ..)) = self.waiting.front() {
            if *at > now.mono {
                return;
            }
            let Some((_, layer, unsent)) = self.waiting.pop_front() else { return };
            let Some(stream) = self.streams.get_mut(layer) else { continue };
            let mut buf = [0; PACKET];
            if let Some((header, len)) = stream.write(now, wire, self.mid, &unsent, &mut buf) {
                send(&mut buf, header, len);
            }
        }
    }

    fn make(&mut self, now: Time) {
        match &mut self.source {
            Source::Audio(audio) => {
                if let Some(sound) = audio.poll(now) {
                    let Sound { timestamp, marker, level, payload } = sound;
                    let unsent = Unsent { marker, timestamp, level: Some(level), payload };
                    self.waiting.push_back((now.mono, 0, unsent));
                }
            }
            Source::Video(video) => {
                // Chromium sends the best layer first.
                for frame in video.poll(now).into_iter().rev() {
                    let last = frame.payloads.len().saturating_sub(1);
                    for (n, payload) in frame.payloads.into_iter().enumerate() {
                        let at = self.pacer.leaves(now.mono, payload.len());
                        let marker = n == last;
                        let unsent = Unsent { marker, timestamp: frame.timestamp, level: None, payload };
                        self.waiting.push_back((at, frame.layer, unsent));
                    }
                }
            }
        }
    }

    /// A retransmission on request.
    pub(crate) fn repeat(
        &mut self,
        now: Time,
        wire: &Wire,
        media: Ssrc,
        seq: u16,
        buf: &mut [u8],
    ) -> Option<(usize, usize)> {
        let mid = self.mid;
        let stream = self.streams.iter_mut().find(|stream| stream.ssrc == media)?;
        stream.repeat(now, wire, mid, seq, buf)
    }

    /// The far end wants a key frame of this stream; false if it is none of ours.
    pub(crate) fn key_frame_asked(&mut self, media: Ssrc) -> bool {
        let Some(layer) = self.streams.iter().position(|stream| stream.ssrc == media) else { return false };
        if let Source::Video(video) = &mut self.source {
            video.request_key_frame(layer);
        }
        true
    }

    /// Nothing was sent while there was no connection: what has piled up is dropped.
    pub(crate) fn skip(&mut self, now: Time) {
        self.make(now);
        self.waiting.clear();
        if let Source::Video(video) = &mut self.source {
            (0..self.streams.len()).for_each(|layer| video.request_key_frame(layer));
        }
    }
}

impl Stream {
    fn new(rid: Option<Rid>, rng: &mut SmallRng) -> Self {
        Self {
            ssrc: Ssrc(rng.random()),
            rtx: Ssrc(rng.random()),
            rid,
            // Below 2^15, so that both ends begin with the same rollover count (RFC 3711 section 3.3.1).
            seq: rng.random::<u16>() >> 1,
            rtx_seq: rng.random::<u16>() >> 1,
            first_timestamp: rng.random(),
            last_timestamp: 0,
            history: History::default(),
            packets: 0,
            octets: 0,
        }
    }

    fn write(
        &mut self,
        now: Time,
        wire: &Wire,
        mid: Mid,
        unsent: &Unsent,
        buf: &mut [u8],
    ) -> Option<(usize, usize)> {
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        let timestamp = self.first_timestamp.wrapping_add(unsent.timestamp);
        self.last_timestamp = timestamp;
        let fields = Fields { marker: unsent.marker, pt: wire.pt, seq, timestamp, ssrc: self.ssrc };
        let mut payload = unsent.payload.clone();
        payload.extend(content::trailer(now.unix));
        let mut writer = Writer::new(buf, &fields, Form::OneByte)?;
        wire.ids.put(&mut writer, now, mid, self.rid.map(|rid| (rid, false)), unsent.level);
        let lengths = writer.payload(&payload)?;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        self.history.push(now, seq, unsent.marker, timestamp, payload);
        Some(lengths)
    }

    fn repeat(
        &mut self,
        now: Time,
        wire: &Wire,
        mid: Mid,
        seq: u16,
        buf: &mut [u8],
    ) -> Option<(usize, usize)> {
        let pt = wire.rtx?;
        let sent = self.history.repeat(now, seq)?;
        let rtx_seq = self.rtx_seq;
        self.rtx_seq = rtx_seq.wrapping_add(1);
        let fields =
            Fields { marker: sent.marker, pt, seq: rtx_seq, timestamp: sent.timestamp, ssrc: self.rtx };
        let mut writer = Writer::new(buf, &fields, Form::OneByte)?;
        wire.ids.put(&mut writer, now, mid, self.rid.map(|rid| (rid, true)), None);
        writer.rtx_payload(sent.seq, &sent.payload)
    }
}

impl Ids {
    /// Writes the extensions that were negotiated. The transport-wide number is put in when it is known.
    fn put(&self, writer: &mut Writer<'_>, now: Time, mid: Mid, rid: Option<(Rid, bool)>, level: Option<u8>) {
        // First, so that its place is known to whoever counts: see `Connection::number`.
        if let Some(id) = self.transport_cc {
            let _ = writer.element(id, &[0; 2]);
        }
        if let Some(id) = self.abs_send_time {
            let _ = writer.element(id, &AbsSendTime::from_ntp(now.ntp()).bytes());
        }
        if let Some(id) = self.mid {
            let _ = writer.element(id, mid.as_bytes());
        }
        if let Some((rid, repaired)) = rid
            && let Some(id) = if repaired { self.repaired_rid } else { self.rid }
        {
            let _ = writer.element(id, rid.as_bytes());
        }
        if let (Some(id), Some(level)) = (self.audio_level, level) {
            let _ = writer.element(id, &AudioLevel { voice: level < 60, level }.bytes());
        }
    }
}
