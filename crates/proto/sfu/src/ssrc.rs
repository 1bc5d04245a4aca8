//! Streams by SSRC.
//!
//! A sorted table: a look-up is a binary search that no choice of SSRCs can slow down, with the last hit
//! tried first, because packets of one stream come in runs.

use rtp::Ssrc;

/// SSRCs that one peer may bring: a hundred simulcast tracks with RTX.
pub(crate) const MAX_SSRCS: usize = 640;

/// See the module.
#[derive(Debug)]
pub(crate) struct SsrcTable<T> {
    entries: Vec<(Ssrc, T)>,
    last: usize,
}

impl<T> Default for SsrcTable<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), last: 0 }
    }
}

impl<T: Copy> SsrcTable<T> {
    pub(crate) fn get(&mut self, ssrc: Ssrc) -> Option<T> {
        if let Some((known, value)) = self.entries.get(self.last)
            && *known == ssrc
        {
            return Some(*value);
        }
        self.last = self.entries.binary_search_by_key(&ssrc, |e| e.0).ok()?;
        self.entries.get(self.last).map(|e| e.1)
    }

    /// False if the table is full.
    pub(crate) fn set(&mut self, ssrc: Ssrc, value: T) -> bool {
        match self.entries.binary_search_by_key(&ssrc, |e| e.0) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(_) if self.entries.len() >= MAX_SSRCS => return false,
            Err(at) => self.entries.insert(at, (ssrc, value)),
        }
        true
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Ssrc, T) -> bool) {
        self.entries.retain(|e| keep(e.0, e.1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_found_replaced_forgotten_and_bounded() {
        let mut table = SsrcTable::default();
        for n in 0..MAX_SSRCS as u32 {
            assert!(table.set(Ssrc(n * 7919), n));
        }
        assert!(!table.set(Ssrc(1), 0));
        assert!(table.set(Ssrc(7919), 99));
        assert_eq!(
            (table.get(Ssrc(7919)), table.get(Ssrc(2 * 7919)), table.get(Ssrc(1))),
            (Some(99), Some(2), None)
        );
        table.retain(|_, n| n != 99);
        assert_eq!(table.get(Ssrc(7919)), None);
        assert!(table.set(Ssrc(1), 0));
    }
}
