//! One peer as the router keeps it: its transport, and its two directions of media.
//!
//! Owns: the state, cut by duty. What is done with it stands in `router`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use peer::{ChannelId, Keys, Path, Transport};
use rtp::{Bitrate, Ssrc};

use crate::api::{ExtensionIds, PeerId};
use crate::bandwidth::Budget;
use crate::gate::Gate;
use crate::lipsync::Placement;
use crate::packet::Meanings;
use crate::quality::Meter;
use crate::recv::remb::Remb;
use crate::recv::twcc::Twcc;
use crate::ssrc::SsrcTable;

/// Round trip assumed before one is measured.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(100);

/// Requests for retransmission that wait for the next transmission.
const MAX_RESENDS: usize = 4096;

/// See the module.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) transport: Transport,
    pub(crate) ice: Ice,
    pub(crate) keys: Option<Box<Keys>>,
    pub(crate) reception: Reception,
    pub(crate) sending: Sending,
    pub(crate) data: Data,
    pub(crate) quality: Meter,
    /// Closed: it goes once its last datagrams have.
    pub(crate) closing: bool,
    /// In the router's list of peers that may have something to send.
    pub(crate) awake: bool,
}

/// What leads datagrams to the peer.
#[derive(Debug, Default)]
pub(crate) struct Ice {
    pub(crate) ufrags: Vec<String>,
    /// Passed a check.
    pub(crate) addresses: Vec<SocketAddr>,
    /// We sent checks there.
    pub(crate) probed: Vec<SocketAddr>,
    pub(crate) path: Option<Path>,
}

/// Where an SSRC's packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamRef {
    pub(crate) producer: usize,
    pub(crate) encoding: u8,
    pub(crate) rtx: bool,
}

/// What the peer publishes.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) meanings: Box<Meanings>,
    pub(crate) streams: SsrcTable<StreamRef>,
    pub(crate) producers: Vec<usize>,
    pub(crate) twcc: Twcc,
    pub(crate) remb: Remb,
    pub(crate) placement: Placement,
    pub(crate) next_report: Option<Instant>,
    /// The largest share lost that the last receiver report told, in 256ths.
    pub(crate) fraction_lost: u8,
    /// Under which we report.
    pub(crate) reporter: Ssrc,
}

/// What the peer is sent.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) consumers: Vec<usize>,
    /// Consumers by SSRC, for the peer's reports.
    pub(crate) streams: SsrcTable<usize>,
    pub(crate) gate: Gate,
    pub(crate) budget: Budget,
    /// Tracks may be held back altogether.
    pub(crate) may_pause: bool,
    resends: VecDeque<(usize, u16)>,
    pub(crate) next_report: Option<Instant>,
    round_trip: Option<Duration>,
    /// The peer's own estimate of what it can receive.
    pub(crate) remb: Option<Bitrate>,
}

/// Data channels.
#[derive(Debug, Default)]
pub(crate) struct Data {
    pub(crate) open: Vec<(ChannelId, String)>,
    /// Messages that wait for room in the transport.
    pub(crate) queue: VecDeque<(ChannelId, Bytes)>,
    pub(crate) queued: usize,
    /// Messages for channels that are not open yet: the far end opens them a moment after it has connected,
    /// and what is sent to it in between is for it too.
    pub(crate) early: VecDeque<(&'static str, Bytes)>,
    /// Not read until events have been taken.
    pub(crate) stalled: bool,
    /// See [`crate::Router::hold_data`].
    pub(crate) held: bool,
}

impl Peer {
    pub(crate) fn new(id: PeerId, transport: Transport, ufrag: String, now: Instant, reporter: Ssrc) -> Self {
        Self {
            id,
            transport,
            ice: Ice { ufrags: vec![ufrag], ..Ice::default() },
            keys: None,
            reception: Reception {
                meanings: Box::new(Meanings::new(&ExtensionIds::default())),
                streams: SsrcTable::default(),
                producers: Vec::new(),
                twcc: Twcc::new(now),
                remb: Remb::new(),
                placement: Placement::default(),
                next_report: None,
                fraction_lost: 0,
                reporter,
            },
            sending: Sending {
                consumers: Vec::new(),
                streams: SsrcTable::default(),
                gate: Gate::new(),
                budget: Budget::new(),
                may_pause: false,
                resends: VecDeque::new(),
                next_report: None,
                round_trip: None,
                remb: None,
            },
            data: Data::default(),
            quality: Meter::default(),
            closing: false,
            awake: false,
        }
    }

    /// The round trip to the peer.
    pub(crate) fn round_trip(&self) -> Duration {
        self.sending.round_trip.unwrap_or(ASSUMED_ROUND_TRIP)
    }
}

impl Sending {
    /// The round trip, if it was measured.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Takes a measurement in, smoothed as in RFC 6298 section 2.
    pub(crate) fn note_round_trip(&mut self, measured: Duration) {
        self.round_trip = Some(self.round_trip.map_or(measured, |r| r * 7 / 8 + measured / 8));
    }

    /// Queues an answer to a NACK.
    pub(crate) fn ask_again(&mut self, consumer: usize, seq: u16) {
        if self.resends.len() < MAX_RESENDS {
            self.resends.push_back((consumer, seq));
        }
    }

    pub(crate) fn next_resend(&mut self) -> Option<(usize, u16)> {
        self.resends.pop_front()
    }
}

impl Data {
    pub(crate) fn label(&self, channel: ChannelId) -> Option<&str> {
        self.open.iter().find(|(id, _)| *id == channel).map(|(_, label)| label.as_str())
    }

    /// Whether something for `label` waits for its channel to open.
    pub(crate) fn awaits(&self, label: &str) -> bool {
        self.early.iter().any(|(l, _)| *l == label)
    }

    pub(crate) fn waits(&self, channel: ChannelId) -> bool {
        self.queue.iter().any(|(id, _)| *id == channel)
    }
}
