//! One track that is received: reassembly, what is missing, what to ask for.

use std::time::{Duration, Instant};

use clock::Time;
use codec::opus;
use rtp::rtcp::{Builder, ReportBlock, SenderInfo};
use rtp::seq::ExtSeq;
use rtp::{Ssrc, View};

use crate::content;
use crate::describe::Told;
use crate::recv::VideoStats;
use crate::recv::frames::Frames;
use crate::recv::ledger::{Ledger, Way};
use crate::recv::missing::{Missing, Seen};
use crate::recv::reception::Reception;
use crate::stats::Received;

/// A key frame is not asked for again within this time: a round trip, and an encoder's turn.
const KEY_FRAME_PATIENCE: Duration = Duration::from_millis(300);
/// RTP clocks, Hz.
const VIDEO_CLOCK: u32 = 90_000;
const AUDIO_CLOCK: u32 = 48_000;

pub(crate) struct Incoming {
    pub(crate) told: Told,
    reception: Reception,
    missing: Missing,
    ledger: Ledger,
    media: Media,
    asked_for_key: Option<Instant>,
    pub(crate) stats: Received,
}

enum Media {
    Video(Box<Frames>),
    Audio { corrupt: u64, verify: bool },
}

impl Incoming {
    pub(crate) fn new(now: Time, told: Told, verify: bool) -> Self {
        let rate = if told.video { VIDEO_CLOCK } else { AUDIO_CLOCK };
        let media = if told.video {
            Media::Video(Box::new(Frames::new(verify)))
        } else {
            Media::Audio { corrupt: 0, verify }
        };
        Self {
            told,
            reception: Reception::new(now, told.ssrc, rate),
            missing: Missing::default(),
            ledger: Ledger::default(),
            media,
            asked_for_key: None,
            stats: Received::default(),
        }
    }

    /// A packet of the stream itself. How long it was on its way, if it says.
    pub(crate) fn receive(&mut self, now: Time, view: &View<'_>, header: &rtp::Header) -> Option<Duration> {
        self.stats.bytes += view.bytes().len() as u64;
        let seq = self.reception.receive(now, header.seq, header.timestamp);
        self.ledger.note(seq, Way::First);
        if let (Media::Video(frames), Some(coding)) = (&mut self.media, self.told.coding(header.pt)) {
            frames.set_coding(coding);
        }
        self.take(now, seq, header.timestamp, header.marker, view.payload());
        let (_, sent) = content::split(view.payload())?;
        now.unix.checked_sub(sent)
    }

    /// A packet of the repair stream.
    pub(crate) fn repair(&mut self, now: Time, view: &View<'_>, header: &rtp::Header) {
        self.stats.bytes += view.bytes().len() as u64;
        // Padding sent to probe for bandwidth repeats nothing.
        let Some((seq, payload)) = rtp::read_rtx(view.payload()) else { return };
        let seq = self.reception.place(seq);
        self.ledger.note(seq, Way::Repair);
        self.take(now, seq, header.timestamp, header.marker, payload);
    }

    fn take(&mut self, now: Time, seq: ExtSeq, timestamp: u32, marker: bool, payload: &[u8]) {
        let seen = self.missing.receive(now, seq);
        match &mut self.media {
            Media::Video(frames) => {
                if seen == Seen::Jumped {
                    frames.give_up(now, seq.0.saturating_sub(1));
                }
                frames.receive(now, seq, timestamp, marker, payload);
                if let Some(settled) = frames.settled() {
                    self.missing.forget_before(settled);
                }
            }
            Media::Audio { corrupt, verify } => {
                // Late voice is of no use: nothing is asked for again.
                self.missing.forget_before(seq.0 + 1);
                let body = content::split(payload).and_then(|(body, _)| body.get(1..));
                let whole = !*verify || body.and_then(content::check).is_some() || opus::is_silence(payload);
                *corrupt += u64::from(!whole);
            }
        }
    }

    pub(crate) fn sender_report(&mut self, now: Time, info: &SenderInfo) {
        self.reception.sender_report(now, info);
    }

    pub(crate) fn report(&mut self, now: Time) -> Option<ReportBlock> {
        self.reception.report(now)
    }

    /// When something is to be asked for. A key frame that has not been asked for is due at once.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let Media::Video(frames) = &self.media else { return None };
        let wants_key = frames.wants_key_frame() && self.reception.expected() > 0;
        let key = wants_key.then(|| self.asked_for_key.map_or(now, |at| at + KEY_FRAME_PATIENCE));
        [key, self.missing.poll_timeout()].into_iter().flatten().min()
    }

    /// Asks for what is missing.
    pub(crate) fn ask(&mut self, now: Time, us: Ssrc, out: &mut Builder<'_>) {
        let Media::Video(frames) = &mut self.media else { return };
        let mut given_up = Vec::new();
        let lost = self.missing.poll(now, &mut given_up);
        let mut rest = lost.as_slice();
        while !rest.is_empty() {
            let Some(taken) = out.nack(us, self.told.ssrc, rest).filter(|taken| *taken > 0) else { break };
            self.stats.nacked += taken as u64;
            rest = rest.get(taken..).unwrap_or_default();
        }
        for seq in given_up {
            frames.give_up(now, seq);
        }
        let patient = self.asked_for_key.is_some_and(|at| now.since(at) < KEY_FRAME_PATIENCE);
        if frames.wants_key_frame() && self.reception.expected() > 0 && !patient {
            self.asked_for_key = Some(now.mono);
            self.stats.plis += u64::from(out.pli(us, self.told.ssrc).is_some());
        }
    }

    pub(crate) fn received(&self) -> Received {
        let ledger = &self.ledger;
        Received {
            expected: ledger.expected(),
            packets: ledger.came(),
            recovered: ledger.recovered(),
            duplicates: ledger.again(),
            tracks: 1,
            silent: u64::from(ledger.expected() == 0),
            ..self.stats
        }
    }

    pub(crate) fn video(&self, now: Time) -> Option<VideoStats> {
        match &self.media {
            Media::Video(frames) => Some(frames.stats(now)),
            Media::Audio { .. } => None,
        }
    }

    pub(crate) fn corrupt_audio(&self) -> u64 {
        match &self.media {
            Media::Audio { corrupt, .. } => *corrupt,
            Media::Video(_) => 0,
        }
    }
}
