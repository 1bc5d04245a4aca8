//! A handshake message that comes in fragments, in any order and more than once (RFC 6347 section 4.2.3).

use std::ops::Range;

use crate::Reject;

/// Separate ranges of a message held at once; in order there is one.
const MAX_RANGES: usize = 16;

/// A message's body, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    body: Vec<u8>,
    /// What of it has come, apart from each other.
    ranges: Vec<Range<usize>>,
}

impl Pieces {
    /// Nothing yet of a body of this length. Whoever calls bounds it.
    pub(super) fn of(total: usize) -> Self {
        Self { body: vec![0; total], ranges: Vec::new() }
    }

    /// How long the whole is, in bytes.
    pub(super) fn total(&self) -> usize {
        self.body.len()
    }

    /// [`Reject::Malformed`] beyond the end, [`Reject::Limit`] where too much lies apart.
    pub(super) fn add(&mut self, offset: usize, fragment: &[u8]) -> Result<(), Reject> {
        let mut merged = offset..offset.saturating_add(fragment.len());
        self.body.get_mut(merged.clone()).ok_or(Reject::Malformed)?.copy_from_slice(fragment);
        self.ranges.retain(|r| {
            let apart = r.end < merged.start || merged.end < r.start;
            if !apart {
                merged = r.start.min(merged.start)..r.end.max(merged.end);
            }
            apart
        });
        if self.ranges.len() >= MAX_RANGES {
            return Err(Reject::Limit);
        }
        self.ranges.push(merged);
        Ok(())
    }

    /// The body once all of it has come.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        matches!(self.ranges.as_slice(), [one] if *one == (0..self.body.len())).then_some(&self.body)
    }

    /// What has come, and zeros for what has not.
    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }
}
