//! A bounded table by SSRC: sorted, so that a look-up is a binary search that no choice of SSRCs can
//! slow down, with the last hit tried first, because packets of one stream come in runs.

/// SSRC to a slot number, sorted by SSRC.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: Vec<(u32, u32)>,
    last: usize,
}

impl Table {
    /// The slot of `ssrc`.
    pub(crate) fn find(&mut self, ssrc: u32) -> Option<u32> {
        if let Some(&(known, slot)) = self.entries.get(self.last)
            && known == ssrc
        {
            return Some(slot);
        }
        let at = self.entries.binary_search_by_key(&ssrc, |entry| entry.0).ok()?;
        self.last = at;
        self.entries.get(at).map(|entry| entry.1)
    }

    /// Sets the slot of `ssrc`, whether it is known or not.
    pub(crate) fn set(&mut self, ssrc: u32, slot: u32) {
        match self.entries.binary_search_by_key(&ssrc, |entry| entry.0) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.1 = slot;
                }
            }
            Err(at) => self.entries.insert(at, (ssrc, slot)),
        }
    }

    pub(crate) fn remove(&mut self, ssrc: u32) {
        if let Ok(at) = self.entries.binary_search_by_key(&ssrc, |entry| entry.0) {
            self.entries.remove(at);
        }
    }

    /// Every SSRC with its slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.entries.iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
