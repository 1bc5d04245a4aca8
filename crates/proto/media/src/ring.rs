//! The last frames of a stream, and where a player can begin.
//!
//! Owns: the frames, their indices, which never change and never come twice, and the index of key frames.
//! Knows nothing of readers.

use std::collections::VecDeque;

use crate::{Frame, Ticks};

/// What a frame costs beside its payload: its place here and the bookkeeping of a shared buffer. Without it
/// a stream of empty frames would have no bound in bytes.
pub(crate) const FRAME_OVERHEAD: usize = 128;

/// Frames by index, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    frames: VecDeque<Frame>,
    /// The index of the oldest.
    base: u64,
    bytes: usize,
    /// Where groups begin, oldest first, none before `base`.
    keys: VecDeque<u64>,
}

impl Ring {
    /// Appends a frame; its index.
    pub(crate) fn push(&mut self, frame: Frame, begins_group: bool) -> u64 {
        let index = self.head();
        self.bytes += cost(&frame);
        self.frames.push_back(frame);
        if begins_group {
            self.keys.push_back(index);
        }
        index
    }

    /// Drops the oldest until the bounds hold; the newest group only by the bound in bytes.
    pub(crate) fn trim(&mut self, max_frames: usize, max_bytes: usize) {
        while self.frames.len() > 1 {
            let in_newest_group = self.keys.back().is_some_and(|key| *key <= self.base);
            let too_many = self.frames.len() > max_frames && !in_newest_group;
            if !too_many && self.bytes <= max_bytes {
                break;
            }
            self.drop_oldest();
        }
    }

    /// Drops everything before `index`.
    pub(crate) fn drop_before(&mut self, index: u64) {
        while self.base < index && !self.frames.is_empty() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(frame) = self.frames.pop_front() else { return };
        self.bytes -= cost(&frame);
        self.base += 1;
        while self.keys.front().is_some_and(|key| *key < self.base) {
            self.keys.pop_front();
        }
    }

    /// Forgets where groups begin: what has come so far is no place to begin any more.
    pub(crate) fn forget_keys(&mut self) {
        self.keys.clear();
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Frame> {
        let at = index.checked_sub(self.base)?;
        self.frames.get(usize::try_from(at).ok()?)
    }

    /// The index of the oldest frame.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// The index that the next frame will have.
    pub(crate) fn head(&self) -> u64 {
        self.base + self.frames.len() as u64
    }

    pub(crate) fn newest_key(&self) -> Option<u64> {
        self.keys.back().copied()
    }

    /// The first key frame at or after `index`.
    pub(crate) fn key_from(&self, index: u64) -> Option<u64> {
        self.keys.get(self.keys.partition_point(|key| *key < index)).copied()
    }

    /// The oldest key frame that is decoded at `since` or later.
    pub(crate) fn oldest_key_since(&self, since: Ticks) -> Option<u64> {
        let is_before = |key: &u64| self.get(*key).is_some_and(|frame| frame.dts < since);
        self.keys.get(self.keys.partition_point(is_before)).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn cost(frame: &Frame) -> usize {
    frame.payload.len() + FRAME_OVERHEAD
}
