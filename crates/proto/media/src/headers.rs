//! Codec headers as of an index: which tracks the frames at a place of the ring belong to.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::{Track, TrackId};

/// The tracks of a stretch of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// Grows with every change, by one.
    pub version: u64,
    /// Grows where decoders must begin anew, because a track has other parameters or is gone: a
    /// discontinuity in a playlist. A track that joins, or a size that becomes known, is none.
    pub generation: u32,
    /// Pictures before sound, each by number.
    pub tracks: Vec<Track>,
}

impl Headers {
    pub fn track(&self, id: TrackId) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// The first track of pictures.
    pub fn video(&self) -> Option<&Track> {
        self.tracks.iter().find(|track| track.is_video())
    }

    /// The first track of sound.
    pub fn audio(&self) -> Option<&Track> {
        self.tracks.iter().find(|track| !track.is_video())
    }
}

/// Headers, each from an index on.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: VecDeque<(u64, Arc<Headers>)>,
    version: u64,
    generation: u32,
}

impl History {
    /// From `index` on, frames belong to `tracks`.
    pub(crate) fn change(&mut self, index: u64, mut tracks: Vec<Track>) {
        tracks.sort_by_key(|track| (!track.is_video(), track.id));
        if let Some((_, latest)) = self.entries.back() {
            if latest.tracks == tracks {
                return;
            }
            if must_begin_anew(&latest.tracks, &tracks) {
                self.generation += 1;
            }
        }
        self.version += 1;
        let headers = Arc::new(Headers { version: self.version, generation: self.generation, tracks });
        if self.entries.back().is_some_and(|(from, _)| *from == index) {
            self.entries.pop_back();
        }
        self.entries.push_back((index, headers));
    }

    /// The headers of the frame at `index`, and the index at which others follow.
    pub(crate) fn at(&self, index: u64) -> Option<(&Arc<Headers>, Option<u64>)> {
        let after = self.entries.partition_point(|(from, _)| *from <= index);
        let (_, headers) = self.entries.get(after.checked_sub(1)?)?;
        Some((headers, self.entries.get(after).map(|(from, _)| *from)))
    }

    pub(crate) fn latest(&self) -> Option<&Arc<Headers>> {
        self.entries.back().map(|(_, headers)| headers)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets what no frame from `base` on needs.
    pub(crate) fn trim(&mut self, base: u64) {
        while self.entries.get(1).is_some_and(|(from, _)| *from <= base) {
            self.entries.pop_front();
        }
    }

    /// If there are more than `max` changes in the ring: from where on there are only so many.
    pub(crate) fn excess(&self, max: usize) -> Option<u64> {
        let at = self.entries.len().checked_sub(max + 1)?;
        self.entries.get(at + 1).map(|(from, _)| *from)
    }
}

/// Whether a track of before is gone or has other parameters.
fn must_begin_anew(before: &[Track], after: &[Track]) -> bool {
    before.iter().any(|old| {
        let same = after.iter().find(|new| new.id == old.id);
        same.is_none_or(|new| new.codec != old.codec || new.config != old.config)
    })
}
