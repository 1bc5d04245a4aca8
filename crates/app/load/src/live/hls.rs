//! A player of HLS or LL-HLS: playlists, segments and parts over one connection that is kept.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::content::{Finder, Stamp};
use super::http::{self, Head};
use super::playlist::{Piece, Playlist, resolve};

/// Segments behind the live edge at which a player of segments begins (RFC 8216 section 6.3.3).
const BEHIND: usize = 3;
/// A stream that has just begun has no playlist yet; asked again so often, a second apart.
const PATIENCE: usize = 20;
/// Bytes of the largest playlist.
const MAX_PLAYLIST: usize = 1 << 20;
/// Shortest time between two looks at a playlist.
const SHORTEST: Duration = Duration::from_millis(100);

/// What an answer is awaited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    Playlist,
    Piece,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A playlist, the first one: the player is let in.
    Playlist,
    Picture(Option<Stamp>),
    Sound,
    /// A segment was gone before it was asked for.
    Gap,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Hls {
    path: String,
    authority: String,
    /// Plays parts, where there are any.
    is_low: bool,
    asked: Asked,
    head: Option<Head>,
    /// A head or a playlist that is not whole.
    buffer: Vec<u8>,
    /// Bytes of the body that came.
    got: usize,
    /// What is played next: segment and part.
    next: Option<(u64, u64)>,
    blocks: bool,
    queue: VecDeque<Piece>,
    due: Instant,
    refusals: usize,
    finder: Finder,
    packets: Packets,
}

impl Hls {
    pub(super) fn new(path: String, authority: String, is_low: bool, now: Instant) -> Self {
        Self {
            path,
            authority,
            is_low,
            asked: Asked::Nothing,
            head: None,
            buffer: Vec::new(),
            got: 0,
            next: None,
            blocks: false,
            queue: VecDeque::new(),
            due: now,
            refusals: 0,
            finder: Finder::default(),
            packets: Packets::default(),
        }
    }

    /// The next request, if it is time for one.
    pub(super) fn poll_request(&mut self, now: Instant) -> Option<String> {
        if self.asked != Asked::Nothing {
            return None;
        }
        if let Some(piece) = self.queue.pop_front() {
            self.asked = Asked::Piece;
            return Some(http::request(&resolve(&self.path, &piece.uri), &self.authority));
        }
        if now < self.due {
            return None;
        }
        self.asked = Asked::Playlist;
        let mut path = self.path.clone();
        if let Some((segment, part)) = self.next.filter(|_| self.is_low && self.blocks) {
            let sign = if path.contains('?') { '&' } else { '?' };
            path.push_str(&format!("{sign}_HLS_msn={segment}&_HLS_part={part}"));
        }
        Some(http::request(&path, &self.authority))
    }

    /// Takes bytes as they come.
    pub(super) fn push(
        &mut self,
        now: Instant,
        mut bytes: &[u8],
        found: &mut impl FnMut(Found),
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            let Some(head) = self.head.clone() else {
                let had = self.buffer.len();
                self.buffer.extend_from_slice(bytes);
                let Some(head) = Head::read(&self.buffer)? else { return Ok(()) };
                bytes = bytes.get(head.len.saturating_sub(had)..).unwrap_or_default();
                if head.length.is_none() {
                    return Err(format!("an answer of {} does not say its length", head.status));
                }
                self.buffer.clear();
                (self.got, self.finder, self.packets) = (0, Finder::default(), Packets::default());
                self.head = Some(head);
                self.settle(now, found)?;
                continue;
            };
            let left = head.length.unwrap_or(0).saturating_sub(self.got);
            let (body, rest) = bytes.split_at(left.min(bytes.len()));
            bytes = rest;
            self.got += body.len();
            match self.asked {
                Asked::Piece if head.status == 200 => self.media(body, found),
                _ if self.buffer.len() + body.len() > MAX_PLAYLIST => {
                    return Err("a playlist is larger than a mebibyte".into());
                }
                _ => self.buffer.extend_from_slice(body),
            }
            self.settle(now, found)?;
        }
        Ok(())
    }

    fn media(&mut self, body: &[u8], found: &mut impl FnMut(Found)) {
        let mut stamps = 0_u64;
        self.finder.push(body, |stamp| {
            stamps += 1;
            found(Found::Picture(Some(stamp)));
        });
        let (pictures, sounds) = self.packets.push(body);
        self.packets.stamped += stamps;
        // In streams of others, pictures are what begins where a picture begins.
        if self.packets.stamped == 0 {
            (0..pictures).for_each(|_| found(Found::Picture(None)));
        }
        (0..sounds).for_each(|_| found(Found::Sound));
    }

    /// Ends an answer that is whole.
    fn settle(&mut self, now: Instant, found: &mut impl FnMut(Found)) -> Result<(), String> {
        let is_whole = |head: &mut Head| head.length.is_some_and(|length| self.got >= length);
        let Some(head) = self.head.take_if(is_whole) else { return Ok(()) };
        let body = std::mem::take(&mut self.buffer);
        match std::mem::replace(&mut self.asked, Asked::Nothing) {
            Asked::Playlist if head.status == 200 => {
                self.refusals = 0;
                let list = Playlist::read(&String::from_utf8_lossy(&body))?;
                found(Found::Playlist);
                self.take(now, list);
            }
            Asked::Piece if head.status == 200 => {}
            Asked::Piece if head.status == 404 => found(Found::Gap),
            Asked::Playlist if matches!(head.status, 404 | 503) && self.refusals < PATIENCE => {
                self.refusals += 1;
                self.due = now + Duration::from_secs(1);
            }
            _ => return Err(format!("hls was answered with {}", head.status)),
        }
        Ok(())
    }

    fn take(&mut self, now: Instant, list: Playlist) {
        if let Some(variant) = list.variant {
            self.path = resolve(&self.path, &variant);
            return;
        }
        self.blocks = list.blocks;
        let longest = list.pieces.iter().rev().find(|piece| piece.part.is_none()).map(|piece| piece.seconds);
        let had = self.queue.len();
        match list.pieces.iter().any(|piece| piece.part.is_some()) && self.is_low {
            true => self.take_parts(list.pieces),
            false => self.take_segments(list.pieces),
        }
        let pause = Duration::try_from_secs_f64(longest.unwrap_or(1.0)).unwrap_or(Duration::from_secs(1));
        self.due = match self.queue.len() > had {
            _ if self.is_low && self.blocks => now,
            true => now + pause.max(SHORTEST),
            false => now + (pause / 2).max(SHORTEST),
        };
    }

    fn take_segments(&mut self, mut pieces: Vec<Piece>) {
        pieces.retain(|piece| piece.part.is_none());
        let begin = pieces.len().saturating_sub(BEHIND);
        let first = pieces.get(begin).map_or(0, |piece| piece.segment);
        let (mut next, _) = self.next.unwrap_or((first, 0));
        for piece in
            pieces.into_iter().filter(|piece| piece.segment >= self.next.map_or(first, |next| next.0))
        {
            next = piece.segment + 1;
            self.queue.push_back(piece);
        }
        self.next = Some((next, 0));
    }

    fn take_parts(&mut self, pieces: Vec<Piece>) {
        let newest = pieces.iter().rev().find(|piece| piece.is_independent && piece.part.is_some());
        let begin = newest.map(|piece| (piece.segment, piece.part.unwrap_or(0)));
        let Some(mut next) = self.next.or(begin) else { return };
        let listed: Vec<u64> =
            pieces.iter().filter(|piece| piece.part.is_some()).map(|piece| piece.segment).collect();
        for piece in pieces {
            let segment = piece.segment;
            match piece.part {
                Some(part) if (segment, part) >= next => {
                    next = (segment, part + 1);
                    self.queue.push_back(piece);
                }
                Some(_) => {}
                // All of its parts stood before it.
                None if segment >= next.0 && listed.contains(&segment) => next = (segment + 1, 0),
                None if segment > next.0 || (segment == next.0 && next.1 == 0) => {
                    next = (segment + 1, 0);
                    self.queue.push_back(piece);
                }
                // Its parts are not listed any more: the rest of it is lost.
                None if segment == next.0 => next = (segment + 1, 0),
                None => {}
            }
        }
        self.next = Some(next);
    }
}

/// Packets of an MPEG transport stream (ISO/IEC 13818-1 section 2.4.3.2), as far as pictures begin in them.
#[derive(Debug, Default)]
struct Packets {
    /// The beginning of a packet.
    rest: Vec<u8>,
    /// It is something else.
    is_other: bool,
    stamped: u64,
}

impl Packets {
    const LEN: usize = 188;

    /// How many pictures and blocks of sound begin in these bytes.
    fn push(&mut self, bytes: &[u8]) -> (u64, u64) {
        let (mut pictures, mut sounds) = (0, 0);
        let mut count = |packet: &[u8]| {
            match packet.first() {
                Some(0x47) => {}
                _ => return false,
            }
            match beginning(packet) {
                Some(0xe0..=0xef) => pictures += 1,
                Some(0xc0..=0xdf | 0xbd) => sounds += 1,
                _ => {}
            }
            true
        };
        let mut bytes = bytes;
        if !self.rest.is_empty() {
            let (more, rest) = bytes.split_at((Self::LEN - self.rest.len()).min(bytes.len()));
            self.rest.extend_from_slice(more);
            bytes = rest;
            if self.rest.len() == Self::LEN {
                self.is_other |= !count(&self.rest);
                self.rest.clear();
            }
        }
        if self.is_other {
            return (pictures, sounds);
        }
        let packets = bytes.chunks_exact(Self::LEN);
        self.rest.extend_from_slice(packets.remainder());
        for packet in packets {
            if !count(packet) {
                self.is_other = true;
                break;
            }
        }
        (pictures, sounds)
    }
}

/// The stream id of the PES packet that begins in this packet.
fn beginning(packet: &[u8]) -> Option<u8> {
    let [_, flags, _, control, rest @ ..] = packet else { return None };
    if flags & 0x40 == 0 {
        return None;
    }
    let field = if control & 0x20 != 0 { usize::from(*rest.first()?) + 1 } else { 0 };
    match rest.get(field..)? {
        [0, 0, 1, id, ..] => Some(*id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn hls(is_low: bool, now: Instant) -> Hls {
        Hls::new("/live/x/index.m3u8".into(), "h".into(), is_low, now)
    }

    /// What is asked for next.
    fn asks(hls: &mut Hls, now: Instant) -> Option<String> {
        hls.poll_request(now).map(|request| request.split(' ').nth(1).unwrap().to_owned())
    }

    fn push(hls: &mut Hls, now: Instant, bytes: &str) -> Vec<Found> {
        let mut all = Vec::new();
        for byte in bytes.as_bytes() {
            hls.push(now, &[*byte], &mut |found| all.push(found)).unwrap();
        }
        all
    }

    #[test]
    fn segments_are_played_from_the_third_last_on_and_each_once() {
        let now = Instant::now();
        let mut hls = hls(false, now);
        let list = |first: u64, count: u64| {
            let mut text = format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
            (first..first + count).for_each(|n| text.push_str(&format!("#EXTINF:2,\n{n}.ts\n")));
            answer(&text)
        };
        assert_eq!(asks(&mut hls, now).unwrap(), "/live/x/index.m3u8");
        assert_eq!(asks(&mut hls, now), None, "one request at a time");
        assert_eq!(push(&mut hls, now, &list(4, 5)), [Found::Playlist]);
        for n in 6..9 {
            assert_eq!(asks(&mut hls, now).unwrap(), format!("/live/x/{n}.ts"));
            assert_eq!(push(&mut hls, now, &answer("media")), []);
        }
        assert_eq!(asks(&mut hls, now), None, "not before there can be something new");
        let later = now + Duration::from_secs(2);
        assert_eq!(asks(&mut hls, later).unwrap(), "/live/x/index.m3u8");
        push(&mut hls, later, &list(5, 5));
        assert_eq!(asks(&mut hls, later).unwrap(), "/live/x/9.ts");
        let gone = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(push(&mut hls, later, gone), [Found::Gap]);
    }

    #[test]
    fn parts_are_played_from_the_newest_independent_one_and_waited_for() {
        let now = Instant::now();
        let mut hls = hls(true, now);
        let control = "#EXTM3U\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-MEDIA-SEQUENCE:3\n";
        let part = |name: &str, more: &str| format!("#EXT-X-PART:DURATION=0.2,URI=\"{name}.ts\"{more}\n");
        asks(&mut hls, now);
        let key = part("4.1", ",INDEPENDENT=YES");
        let text = format!("{control}#EXTINF:2,\n3.ts\n{}{key}{}", part("4.0", ""), part("4.2", ""));
        push(&mut hls, now, &answer(&text));
        for name in ["4.1", "4.2"] {
            assert_eq!(asks(&mut hls, now).unwrap(), format!("/live/x/{name}.ts"));
            push(&mut hls, now, &answer("media"));
        }
        assert_eq!(asks(&mut hls, now).unwrap(), "/live/x/index.m3u8?_HLS_msn=4&_HLS_part=3");
        // When: the segment is complete, and the next one has begun.
        let text = format!("{text}{}#EXTINF:2,\n4.ts\n{}", part("4.3", ""), part("5.0", ""));
        push(&mut hls, now, &answer(&text));
        for name in ["4.3", "5.0"] {
            assert_eq!(asks(&mut hls, now).unwrap(), format!("/live/x/{name}.ts"));
            push(&mut hls, now, &answer("media"));
        }
        assert_eq!(asks(&mut hls, now).unwrap(), "/live/x/index.m3u8?_HLS_msn=5&_HLS_part=1");
    }

    #[test]
    fn a_refusal_is_an_error_and_a_missing_playlist_is_waited_for() {
        let now = Instant::now();
        let mut hls = hls(false, now);
        asks(&mut hls, now);
        let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(push(&mut hls, now, missing), []);
        assert_eq!(asks(&mut hls, now), None);
        assert!(asks(&mut hls, now + Duration::from_secs(1)).is_some());
        let refused = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        assert!(hls.push(now, refused, &mut |_| {}).unwrap_err().contains("401"));
    }

    #[test]
    fn pictures_and_sounds_are_counted_where_they_begin() {
        let packet = |start: u8, id: u8| {
            let mut packet = vec![0x47, start, 1, 0x30, 1, 0, 0, 0, 1, id];
            packet.resize(188, 0xff);
            packet
        };
        let all = [packet(0x41, 0xe0), packet(1, 0xe0), packet(0x41, 0xc0), packet(0x41, 0xe0)].concat();
        for size in [1, 100, 188, 500, 752] {
            let mut packets = Packets::default();
            let counts = all.chunks(size).map(|piece| packets.push(piece));
            assert_eq!(counts.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)), (2, 1), "in pieces of {size}");
        }
        assert_eq!(Packets::default().push(&[0; 400]), (0, 0));
    }
}
