//! The segments that can be had: those that playlists list, and some more for those who read late.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use media::Ticks;

use crate::Segment;

/// Segments are kept after they have left the playlist: as many again (RFC 8216 section 6.2.2).
const KEPT: usize = 2;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Window {
    /// Segments that are listed, at least.
    count: usize,
    /// Their length, at least.
    length: Ticks,
    /// Bytes that are kept; beyond them there are fewer segments.
    max_bytes: usize,
    bytes: usize,
    segments: VecDeque<Arc<Segment>>,
    /// What decoders need, each from the segment of its number on.
    maps: VecDeque<(u64, Bytes)>,
    /// Segments with a discontinuity that have left the playlist.
    pub(crate) lost_discontinuities: u64,
    /// The last of them.
    last_left: Option<u64>,
}

impl Window {
    pub(crate) fn new(count: usize, length: Ticks, max_bytes: usize) -> Self {
        Self {
            count,
            length,
            max_bytes,
            bytes: 0,
            segments: VecDeque::new(),
            maps: VecDeque::new(),
            lost_discontinuities: 0,
            last_left: None,
        }
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        self.bytes += segment.len();
        self.segments.push_back(Arc::new(segment));
        let listed = self.listed();
        // One is always left: a stream of which a single segment is too much has no playlist otherwise.
        while self.segments.len() > 1 && (self.segments.len() > listed * KEPT || self.bytes > self.max_bytes)
        {
            let Some(gone) = self.segments.pop_front() else { break };
            self.bytes -= gone.len();
            self.leave(&gone);
        }
        let first = self.segments.len().saturating_sub(self.listed());
        let unlisted: Vec<Arc<Segment>> = self.segments.iter().take(first).cloned().collect();
        unlisted.iter().for_each(|segment| self.leave(segment));
        let oldest = self.segments.front().and_then(|segment| segment.map);
        self.maps.retain(|(id, _)| oldest.is_none_or(|oldest| *id >= oldest));
    }

    /// Counts a discontinuity that is not listed any more, once.
    fn leave(&mut self, segment: &Segment) {
        if segment.is_discontinuous && self.last_left.is_none_or(|last| segment.sequence > last) {
            self.lost_discontinuities += 1;
            self.last_left = Some(segment.sequence);
        }
    }

    pub(crate) fn add_map(&mut self, id: u64, init: Bytes) {
        self.maps.push_back((id, init));
    }

    pub(crate) fn map(&self, id: u64) -> Option<Bytes> {
        self.maps.iter().find(|(known, _)| *known == id).map(|(_, init)| init.clone())
    }

    /// How many of the newest segments are listed.
    fn listed(&self) -> usize {
        let mut length = Ticks(0);
        let mut count = 0;
        for segment in self.segments.iter().rev() {
            if count >= self.count && length >= self.length {
                break;
            }
            length = length + segment.duration;
            count += 1;
        }
        count
    }

    /// What a playlist lists, oldest first.
    pub(crate) fn list(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> + Clone {
        self.segments.iter().skip(self.segments.len().saturating_sub(self.listed()))
    }

    /// A whole segment, listed or lately listed.
    pub(crate) fn get(&self, sequence: u64) -> Option<&Arc<Segment>> {
        let first = self.segments.front()?.sequence;
        self.segments.get(usize::try_from(sequence.checked_sub(first)?).ok()?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn all(&self) -> &VecDeque<Arc<Segment>> {
        &self.segments
    }
}
