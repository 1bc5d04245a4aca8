//! What we send to a subscriber: tracks that have an m-section and tracks that wait for one. The same for
//! both modes; who makes the sections differs.

use std::collections::VecDeque;

use room::{TrackKind, TrackSid};
use rtp::{Mid, Ssrc};
use sfu::{ConsumerId, ProducerId};

use super::codecs::Chosen;

/// An m-section for sending.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) mid: Mid,
    pub(crate) kind: TrackKind,
    pub(crate) state: SlotState,
}

/// What an m-section is used for.
#[derive(Debug, Clone)]
pub(crate) enum SlotState {
    /// Negotiated as inactive: ready for a track.
    Free,
    /// Carries a track, or is about to.
    Busy(Line),
    /// Its track has gone, which the far end has yet to hear: a client notices a new track in an old
    /// section only after the section was inactive.
    Closing,
}

/// A track in its m-section.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) track: TrackSid,
    pub(crate) consumer: ConsumerId,
    /// The track in the codec that is sent.
    pub(crate) producer: ProducerId,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Option<Ssrc>,
    pub(crate) codecs: Vec<Chosen>,
    /// The media engine has been told.
    pub(crate) started: bool,
    /// Whether the subscriber's line does not carry it, once there was something to say of that.
    pub(crate) paused: Option<bool>,
}

/// All that goes to one subscriber.
#[derive(Debug, Default)]
pub(crate) struct Downstream {
    pub(crate) slots: Vec<Slot>,
    /// What a client that will not offer again said of its receiving sections: tracks may still come into them.
    pub(crate) open: Vec<(Mid, sdp::Rtp)>,
    queue: VecDeque<(TrackSid, TrackKind)>,
}

impl Downstream {
    /// A track that is to be sent.
    pub(crate) fn add(&mut self, track: TrackSid, kind: TrackKind) {
        let known = self.line(&track).is_some() || self.queue.iter().any(|(t, _)| *t == track);
        if !known {
            self.queue.push_back((track, kind));
        }
    }

    /// A track that is no longer to be sent. Returns what was told the media engine about it.
    pub(crate) fn remove(&mut self, track: &TrackSid) -> Option<Line> {
        self.queue.retain(|(t, _)| t != track);
        let slot =
            self.slots.iter_mut().find(|s| matches!(&s.state, SlotState::Busy(l) if l.track == *track))?;
        match std::mem::replace(&mut slot.state, SlotState::Closing) {
            SlotState::Busy(line) => Some(line),
            SlotState::Free | SlotState::Closing => None,
        }
    }

    /// A track's place.
    pub(crate) fn line(&self, track: &TrackSid) -> Option<&Line> {
        self.lines().map(|(_, line)| line).find(|line| line.track == *track)
    }

    /// The same, to be changed.
    pub(crate) fn line_mut(&mut self, track: &TrackSid) -> Option<&mut Line> {
        let lines = self.slots.iter_mut().filter_map(|slot| match &mut slot.state {
            SlotState::Busy(line) => Some(line),
            SlotState::Free | SlotState::Closing => None,
        });
        lines.into_iter().find(|line| line.track == *track)
    }

    /// All tracks that have a place, with it.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (Mid, &Line)> {
        self.slots.iter().filter_map(|slot| match &slot.state {
            SlotState::Busy(line) => Some((slot.mid, line)),
            SlotState::Free | SlotState::Closing => None,
        })
    }

    /// The tracks that wait for a place; to be given one or handed back by [`Downstream::add`].
    pub(crate) fn take_queue(&mut self) -> Vec<(TrackSid, TrackKind)> {
        self.queue.drain(..).collect()
    }

    /// Something is to be negotiated.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.queue.is_empty() || self.slots.iter().any(|s| matches!(s.state, SlotState::Closing))
    }

    /// There is no other offer in which a client would see a section inactive: it is free at once.
    pub(crate) fn free_closing(&mut self) {
        for slot in self.slots.iter_mut().filter(|s| matches!(s.state, SlotState::Closing)) {
            slot.state = SlotState::Free;
        }
    }

    /// The index of a free section.
    pub(crate) fn free_slot(&self, kind: TrackKind) -> Option<usize> {
        self.slots.iter().position(|s| s.kind == kind && matches!(s.state, SlotState::Free))
    }

    /// Tracks of a kind that wait and the free sections for them.
    pub(crate) fn shortage(&self, kind: TrackKind) -> u32 {
        let waiting = self.queue.iter().filter(|(_, k)| *k == kind).count();
        // Sections that are closing will be free by the time that more could be made.
        let free =
            self.slots.iter().filter(|s| s.kind == kind && !matches!(s.state, SlotState::Busy(_))).count();
        u32::try_from(waiting.saturating_sub(free)).unwrap_or(u32::MAX)
    }
}
