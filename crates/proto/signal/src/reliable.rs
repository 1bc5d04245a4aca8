//! Reliable data over resumes: which of a publisher's packets have come, which wait for others before them, and which
//! were sent lately, for those whom they may not have reached.
//!
//! Publishers number their reliable packets from 1 upwards. A transport that lives keeps the order by itself; but a
//! client that resumes sends again what the server has not acknowledged, and between two attempts to resume some send
//! new packets before those that they hold back. Receivers take a lower number for a repeat, so it has to be put in
//! order here. What receivers have got they say by publisher and number ([`proto::SyncState`]).
//!
//! As with LiveKit's server, what was sent outlives its publisher for as long as it would have been kept, and whoever is
//! hidden has no packets to be sent again: without a publisher's sid on them receivers could not tell repeats.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use clock::Time;
use livekit_protocol as proto;
use prost::bytes::Bytes;
use room::ParticipantSid;
use sfu::PeerId;

use crate::Conference;
use crate::conference::Timer;
use crate::data::RELIABLE;
use crate::session::Session;

/// What was sent is kept this long: clients remember for 30 s what they have got.
const SENT_FOR: Duration = Duration::from_secs(20);
/// Bytes kept of one publisher (LiveKit's server keeps 100 kB of a room).
const SENT_BYTES: usize = 128 << 10;
/// Publishers who have gone and whose packets are kept.
const LEGACIES: usize = 32;
/// A gap may close within this time; clients resume within a few seconds, or not at all.
const GAP: Duration = Duration::from_secs(10);
/// Bytes that may wait for one gap to close.
const EARLY_BYTES: usize = 1 << 20;

/// What becomes of a packet that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// Others belong before it, and may yet come.
    Wait,
    Repeat,
}

/// A packet that was passed on.
#[derive(Debug)]
struct Sent {
    at: Instant,
    sequence: u32,
    to: Vec<PeerId>,
    payload: Bytes,
}

impl Sent {
    fn size(&self) -> usize {
        self.payload.len() + size_of_val(self.to.as_slice())
    }
}

/// One publisher's reliable packets.
#[derive(Debug, Default)]
pub(crate) struct Reliable {
    /// All numbers up to this have come, or are not waited for.
    last: u32,
    /// Behind a gap, as they came, by number.
    early: BTreeMap<u32, Bytes>,
    early_bytes: usize,
    waiting_since: Option<Instant>,
    sent: VecDeque<Sent>,
    sent_bytes: usize,
}

impl Reliable {
    /// The number up to which the publisher need not send again.
    pub(crate) fn last(&self) -> u32 {
        self.last
    }

    /// Zero is a client that does not number. A gap is waited for only where it may close.
    fn judge(&mut self, sequence: u32, may_close: bool) -> Verdict {
        if sequence == 0 {
            return Verdict::Pass;
        }
        if sequence <= self.last {
            return Verdict::Repeat;
        }
        if sequence - self.last > 1 && (may_close || !self.early.is_empty()) {
            return Verdict::Wait;
        }
        self.last = sequence;
        Verdict::Pass
    }

    /// Keeps a packet that came too early. False if it is too much to be kept for long.
    fn wait(&mut self, now: Instant, sequence: u32, packet: &Bytes) -> bool {
        self.waiting_since.get_or_insert(now);
        if let Entry::Vacant(place) = self.early.entry(sequence) {
            place.insert(packet.clone());
            self.early_bytes += packet.len();
        }
        self.early_bytes <= EARLY_BYTES
    }

    /// The next packet that is early no longer; with `anyway`, also one behind a gap.
    fn next_early(&mut self, anyway: bool) -> Option<Bytes> {
        loop {
            let (sequence, _) = self.early.first_key_value()?;
            if sequence.saturating_sub(self.last) > 1 && !anyway {
                return None;
            }
            let (sequence, packet) = self.early.pop_first()?;
            self.early_bytes = self.early_bytes.saturating_sub(packet.len());
            if self.early.is_empty() {
                self.waiting_since = None;
            }
            if sequence > self.last {
                self.last = sequence;
                return Some(packet);
            }
        }
    }

    /// Notes what was passed on, and to whom.
    pub(crate) fn keep(&mut self, now: Instant, sequence: u32, to: &[PeerId], payload: &Bytes) {
        let sent = Sent { at: now, sequence, to: to.to_vec(), payload: payload.clone() };
        self.sent_bytes += sent.size();
        self.sent.push_back(sent);
        self.forget(now);
    }

    /// Parts with what was sent: those to whom it was sent may yet miss it.
    pub(crate) fn part(&mut self) -> Self {
        let (sent, sent_bytes) = (std::mem::take(&mut self.sent), std::mem::take(&mut self.sent_bytes));
        Self { sent, sent_bytes, ..Self::default() }
    }

    /// Lets go of what is too old or too much.
    pub(crate) fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.sent.front() {
            let fresh = now.saturating_duration_since(oldest.at) <= SENT_FOR;
            if fresh && self.sent_bytes <= SENT_BYTES {
                break;
            }
            self.sent_bytes = self.sent_bytes.saturating_sub(oldest.size());
            self.sent.pop_front();
        }
    }

    /// What was sent to `peer` lately, beyond number `got`.
    fn missed(&self, now: Instant, peer: PeerId, got: u32) -> impl Iterator<Item = &Bytes> {
        let fresh = move |s: &&Sent| now.saturating_duration_since(s.at) <= SENT_FOR;
        let missed = move |s: &&Sent| s.sequence > got && s.to.contains(&peer);
        self.sent.iter().filter(fresh).filter(missed).map(|s| &s.payload)
    }
}

/// Packets of publishers who have gone lately: who was away for a moment has missed their last words too.
#[derive(Debug, Default)]
pub(crate) struct Legacies(VecDeque<(ParticipantSid, Reliable)>);

impl Legacies {
    pub(crate) fn keep(&mut self, now: Instant, publisher: ParticipantSid, mut reliable: Reliable) {
        reliable.forget(now);
        reliable.early.clear();
        if !reliable.sent.is_empty() {
            self.0.push_back((publisher, reliable));
        }
        let is_fresh = |r: &Reliable| {
            r.sent.back().is_some_and(|last| now.saturating_duration_since(last.at) <= SENT_FOR)
        };
        self.0.retain(|(_, reliable)| is_fresh(reliable));
        while self.0.len() > LEGACIES {
            self.0.pop_front();
        }
    }
}

impl Session {
    /// It has lost its socket, or has resumed a moment ago: what it holds back may come after what it does not.
    fn may_send_again(&self, now: Instant) -> bool {
        self.socket.is_none()
            || self.hold.resumed.is_some_and(|then| now.saturating_duration_since(then) < GAP)
    }
}

impl Conference {
    /// Whether a numbered packet is to be passed on now. If not, it is a repeat, or waits.
    pub(crate) fn is_due(&mut self, now: Time, sid: &ParticipantSid, sequence: u32, packet: &Bytes) -> bool {
        let Some(session) = self.sessions.get_mut(sid) else { return false };
        let may_close = session.may_send_again(now.mono);
        match session.reliable.judge(sequence, may_close) {
            Verdict::Pass => true,
            Verdict::Repeat => false,
            Verdict::Wait => {
                if session.reliable.wait(now.mono, sequence, packet) {
                    self.set_timer(now.mono + GAP, Timer::Gap(sid.clone()));
                } else {
                    self.pass_early(now, sid, true);
                }
                false
            }
        }
    }

    /// Passes on what was early and is no longer; `anyway`, also what is behind a gap.
    pub(crate) fn pass_early(&mut self, now: Time, sid: &ParticipantSid, anyway: bool) {
        while let Some(packet) = self.sessions.get_mut(sid).and_then(|s| s.reliable.next_early(anyway)) {
            self.pass_on(now, sid, RELIABLE, &packet);
        }
    }

    /// A gap that has not closed in time is a loss.
    pub(crate) fn check_gap(&mut self, now: Time, sid: &ParticipantSid) {
        let since = self.sessions.get(sid).and_then(|s| s.reliable.waiting_since);
        if since.is_some_and(|since| now.mono.saturating_duration_since(since) >= GAP) {
            self.pass_early(now, sid, true);
        }
    }

    /// Sends a client that has resumed what it may have missed. What still waits in its channel comes first; repeats it
    /// knows by their number.
    pub(crate) fn replay_data(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        received: &[proto::DataChannelReceiveState],
    ) {
        let Some(session) = self.sessions.get_mut(sid) else { return };
        if !std::mem::take(&mut session.hold.replay_due) {
            return;
        }
        let peer = session.sending_peer();
        // Clients that say nothing and are old do not tell repeats.
        let is_old = self.room.participant(sid).is_none_or(|p| p.who.client.protocol == 0);
        if received.is_empty() && is_old {
            return;
        }
        let got: BTreeMap<_, _> = received.iter().map(|r| (r.publisher_sid.as_str(), r.last_seq)).collect();
        let present = self.sessions.iter().map(|(publisher, session)| (publisher, &session.reliable));
        let gone = self.legacies.0.iter().map(|(publisher, reliable)| (publisher, reliable));
        let missed = gone.chain(present).flat_map(|(publisher, reliable)| {
            let got = got.get(publisher.0.as_str()).copied().unwrap_or(0);
            reliable.missed(now.mono, peer, got)
        });
        let missed: Vec<_> = missed.cloned().collect();
        for payload in missed {
            self.command(sfu::Command::SendData { peers: vec![peer], label: RELIABLE, payload });
        }
    }
}
