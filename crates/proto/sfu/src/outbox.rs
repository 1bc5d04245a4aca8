//! What leaves: one arena of bytes and where each datagram in it goes.
//!
//! Owns: the layout that a driver needs for GSO. Datagrams lie back to back in the order in which they were
//! written, so those of one subscriber are neighbours. Knows nothing of sockets or of what the bytes mean.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use peer::Path;

/// Segments that one UDP GSO send may carry: `UDP_MAX_SEGMENTS` of Linux before 6.9.
pub const MAX_SEGMENTS: usize = 64;

/// Bytes of one GSO send: the largest UDP payload over IPv4, RFC 768 and RFC 791.
pub const MAX_RUN_BYTES: usize = 65_507;

/// One datagram in an [`Outbox`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Where it begins in [`Outbox::bytes`].
    offset: u32,
    len: u32,
    /// Index of its path, which a stretch of neighbours share.
    path: u32,
}

/// Neighbouring datagrams to one destination that differ in size only in that the last may be shorter:
/// what one `UDP_SEGMENT` send takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub path: Path,
    /// Where the run begins in [`Outbox::bytes`].
    pub offset: usize,
    /// Bytes in all.
    pub len: usize,
    /// Bytes of each datagram but the last.
    pub segment: usize,
    /// Datagrams in the run.
    pub count: usize,
}

/// Datagrams that wait for a driver. Memory is kept over [`Outbox::clear`].
#[derive(Debug)]
pub struct Outbox {
    bytes: Vec<u8>,
    used: usize,
    entries: Vec<Entry>,
    paths: Vec<Path>,
    limit: usize,
}

impl Outbox {
    /// An outbox that says it is full once `limit` bytes are in it. What has begun is still finished, so
    /// it can hold one subscriber's batch more.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::with_capacity(limit), used: 0, entries: Vec::new(), paths: Vec::new(), limit }
    }

    /// Forgets the datagrams, keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.entries.clear();
        self.paths.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a driver should send before more is put in.
    pub fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    /// The datagrams in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The arena.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// The bytes of one datagram.
    pub fn payload(&self, entry: &Entry) -> &[u8] {
        let (offset, len) = (entry.offset as usize, entry.len as usize);
        self.bytes.get(offset..offset + len).unwrap_or_default()
    }

    /// Where one datagram goes. An entry of another outbox goes nowhere.
    pub fn path(&self, entry: &Entry) -> Path {
        const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        self.paths.get(entry.path as usize).copied().unwrap_or(Path { local: NOWHERE, remote: NOWHERE })
    }

    /// Room for a datagram of up to `len` bytes, to be filled and then committed. Its content is
    /// whatever was there before.
    pub fn room(&mut self, len: usize) -> &mut [u8] {
        let end = self.used + len;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.used..end]
    }

    /// The first `len` bytes of the last [`Outbox::room`] are a datagram.
    pub fn commit(&mut self, path: Path, len: usize) {
        debug_assert!(self.used + len <= self.bytes.len());
        if self.paths.last() != Some(&path) {
            self.paths.push(path);
        }
        let path = self.paths.len() as u32 - 1;
        self.entries.push(Entry { offset: self.used as u32, len: len as u32, path });
        self.used += len;
    }

    /// A datagram that exists elsewhere.
    pub fn push(&mut self, path: Path, payload: &[u8]) {
        self.room(payload.len()).copy_from_slice(payload);
        self.commit(path, payload.len());
    }

    /// The datagrams as GSO runs of at most `max_segments`; with 1, one run a datagram.
    pub fn runs(&self, max_segments: usize) -> Runs<'_> {
        Runs { rest: &self.entries, outbox: self, max_segments: max_segments.max(1) }
    }
}

/// Iterator over [`Run`]s.
#[derive(Debug)]
pub struct Runs<'a> {
    rest: &'a [Entry],
    outbox: &'a Outbox,
    max_segments: usize,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let (first, others) = self.rest.split_first()?;
        let segment = first.len as usize;
        let path = self.outbox.path(first);
        let mut run = Run { path, offset: first.offset as usize, len: segment, segment, count: 1 };
        for entry in others {
            let len = entry.len as usize;
            let fits = run.count < self.max_segments && run.len + len <= MAX_RUN_BYTES;
            if !fits || entry.path != first.path || len > segment {
                break;
            }
            run.len += len;
            run.count += 1;
            if len < segment {
                break;
            }
        }
        self.rest = &self.rest[run.count..];
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path { local: ([127, 0, 0, 1], 1).into(), remote: ([127, 0, 0, 1], port).into() }
    }

    fn runs_of(sizes: &[(u16, usize)], max: usize) -> Vec<(usize, usize)> {
        let mut outbox = Outbox::new(1 << 20);
        for &(port, len) in sizes {
            outbox.push(path(port), &vec![port as u8; len]);
        }
        outbox.runs(max).map(|r| (r.segment, r.count)).collect()
    }

    #[test]
    fn equal_neighbours_are_one_run_and_a_shorter_one_ends_it() {
        assert_eq!(runs_of(&[(1, 10), (1, 10), (1, 7), (1, 7), (1, 10)], 64), [(10, 3), (7, 1), (10, 1)]);
    }

    #[test]
    fn another_destination_a_longer_datagram_or_the_limits_begin_a_new_run() {
        assert_eq!(runs_of(&[(1, 10), (2, 10), (2, 11)], 64), [(10, 1), (10, 1), (11, 1)]);
        assert_eq!(runs_of(&[(1, 10); 5], 2), [(10, 2), (10, 2), (10, 1)]);
        assert_eq!(runs_of(&[(1, 1400); 60], 64), [(1400, 46), (1400, 14)]);
    }

    #[test]
    fn memory_is_reused_after_clear() {
        let mut outbox = Outbox::new(100);
        outbox.push(path(1), &[1; 60]);
        assert!(!outbox.is_full());
        outbox.push(path(1), &[2; 60]);
        assert!(outbox.is_full());
        outbox.clear();
        assert!(outbox.is_empty() && outbox.bytes().is_empty());
        outbox.push(path(2), &[3; 5]);
        let entry = outbox.entries()[0];
        assert_eq!(outbox.payload(&entry), [3; 5]);
    }
}
