//! Which peer is due when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Deadlines by slab key. Entries are not taken out when a deadline moves: whoever is woken asks the peer
/// what is really due.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    /// The earliest entry of each key that is in the heap.
    earliest: Vec<Option<Instant>>,
}

impl Schedule {
    /// Wakes `key` at `at`, unless it is woken earlier anyway.
    pub(crate) fn at(&mut self, key: usize, at: Instant) {
        if self.earliest.len() <= key {
            self.earliest.resize(key + 1, None);
        }
        let Some(earliest) = self.earliest.get_mut(key) else { return };
        if earliest.is_none_or(|e| at < e) {
            *earliest = Some(at);
            self.heap.push(Reverse((at, key)));
        }
    }

    /// The next key that is due by `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<usize> {
        loop {
            let &Reverse((at, key)) = self.heap.peek()?;
            if at > now {
                return None;
            }
            self.heap.pop();
            // An entry that an earlier one has overtaken has been served.
            if let Some(earliest) = self.earliest.get_mut(key)
                && *earliest == Some(at)
            {
                *earliest = None;
                return Some(key);
            }
        }
    }

    /// When the next key is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_key_is_woken_once_at_its_earliest_deadline() {
        let t0 = Instant::now();
        let at = |ms| t0 + Duration::from_millis(ms);
        let mut s = Schedule::default();
        s.at(3, at(30));
        s.at(3, at(10));
        s.at(3, at(20));
        s.at(1, at(15));
        assert_eq!(s.next(), Some(at(10)));
        assert_eq!(s.pop(at(9)), None);
        assert_eq!(s.pop(at(40)), Some(3));
        assert_eq!(s.pop(at(40)), Some(1));
        assert_eq!(s.pop(at(40)), None);
        s.at(3, at(50));
        assert_eq!(s.pop(at(50)), Some(3));
    }
}
