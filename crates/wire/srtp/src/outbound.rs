//! Sealing what we send, each packet index once.
//!
//! Both ciphers are stream ciphers: two different packets sealed under one (key, SSRC, index) give their
//! plaintexts away, and under GCM the authentication key as well (RFC 7714 section 8.4). So each stream
//! remembers which indices it has sealed and refuses to seal one again. A stream that repeats packets
//! (retransmission without RTX) is opened with [`Repeats::Identical`]: it keeps the tags of its last
//! packets, and since a tag is a keyed digest of header and payload, a second sealing is let out only if
//! it is the same packet byte for byte.

use std::fmt;

use rtp::Ssrc;

use crate::cipher::Tag;
use crate::keys::Session;
use crate::table::Table;
use crate::window::{Verdict, Window, estimate};
use crate::{MAX_OUTBOUND_SSRCS, Profile, RTCP_ENCRYPTED, RTCP_HEADER, RTCP_TRAILER, RTP_HEADER};

/// Sealed indices remembered, in words of 64 packets. What is forwarded late (a packet that we got back
/// by NACK) must still fall inside: 1024 packets are one second of 10 Mbit/s.
const WINDOW: usize = 16;

/// Tags remembered under [`Repeats::Identical`], packets; 1.28 s of Opus at 20 ms.
const TAGS: usize = 64;

/// Marks an SSRC whose stream has been closed.
const CLOSED: u32 = u32::MAX;

/// What a stream does when an index is sealed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// Refuse: its retransmissions go by RTX.
    Refuse,
    /// Seal again if it is the same packet byte for byte, as far back as 64 packets.
    Identical,
}

/// A stream's place in its [`Outbound`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamIndex(u32);

/// Why a packet was not sealed. Its payload is then unspecified and must not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SealError {
    /// No room for header or tag.
    #[error("the buffer is too short")]
    Short,
    /// The index has been sealed before, with other bytes or on a stream that repeats nothing.
    #[error("the packet index has been sealed before")]
    Repeated,
    /// So far behind that nobody knows whether it has been sealed.
    #[error("the packet index is behind the window")]
    Old,
    /// The packet's SSRC is not the stream's, or the stream is closed.
    #[error("the packet is not of this stream")]
    WrongStream,
    /// More than [`MAX_OUTBOUND_SSRCS`] under one key.
    #[error("too many SSRCs")]
    TooManySsrcs,
    /// 2^48 RTP or 2^31 RTCP packets have been sealed (RFC 3711 section 9.2).
    #[error("the key is worn out")]
    Exhausted,
    /// The cipher library refused.
    #[error("the cipher refused")]
    Cipher,
}

/// The sending half of a transport.
pub struct Outbound {
    profile: Profile,
    session: Session,
    table: Table,
    streams: Vec<Option<Stream>>,
    free: Vec<u32>,
    /// SRTCP index of the last packet, shared by all SSRCs: that keeps each one's growing.
    rtcp_index: u32,
}

struct Stream {
    ssrc: u32,
    sealed: Window<WINDOW>,
    /// By index modulo [`TAGS`].
    tags: Option<Box<[u64; TAGS]>>,
}

impl fmt::Debug for Outbound {
    /// Keys are secrets: only the profile is printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Outbound {
    pub(crate) fn new(profile: Profile, session: Session) -> Self {
        Self {
            profile,
            session,
            table: Table::default(),
            streams: Vec::new(),
            free: Vec::new(),
            rtcp_index: 0,
        }
    }

    /// The negotiated profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Opens the stream of `ssrc`, or finds it if it is open. Its rollover counter starts at 0, so the
    /// first sequence number should lie below 2^15 (RFC 3711 section 3.3.1).
    pub fn stream(&mut self, ssrc: Ssrc, repeats: Repeats) -> Result<StreamIndex, SealError> {
        match self.table.find(ssrc.0) {
            Some(CLOSED) => return Err(SealError::WrongStream),
            Some(slot) => return Ok(StreamIndex(slot)),
            None if self.table.len() >= MAX_OUTBOUND_SSRCS => return Err(SealError::TooManySsrcs),
            None => {}
        }
        let tags = (repeats == Repeats::Identical).then(|| Box::new([0; TAGS]));
        let stream = Some(Stream { ssrc: ssrc.0, sealed: Window::new(), tags });
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.streams.push(None);
                (self.streams.len() - 1) as u32
            }
        };
        if let Some(place) = self.streams.get_mut(slot as usize) {
            *place = stream;
        }
        self.table.set(ssrc.0, slot);
        Ok(StreamIndex(slot))
    }

    /// Closes the stream of `ssrc` for good: under this key the SSRC is refused from now on, because its
    /// indices have been used.
    pub fn close(&mut self, ssrc: Ssrc) {
        if let Some(slot) = self.table.find(ssrc.0)
            && slot != CLOSED
        {
            self.table.set(ssrc.0, CLOSED);
            if let Some(place) = self.streams.get_mut(slot as usize) {
                *place = None;
                self.free.push(slot);
            }
        }
    }

    /// Reads what sealing on `stream` will need, and says something that depends on it: a caller with many
    /// transports has the memory come for several at once.
    pub fn warm(&self, stream: StreamIndex) -> u64 {
        let state = self.streams.get(stream.0 as usize).and_then(Option::as_ref);
        self.session.rtp.warm() ^ state.map_or(0, |state| u64::from(state.ssrc) ^ state.sealed.warm())
    }

    /// Seals the RTP packet in `buf[..plain_len]` in place; the tag goes behind it. Returns the length of
    /// the SRTP packet, `plain_len` plus [`Profile::rtp_overhead`]. `header_len` counts the RTP header
    /// with its CSRCs and extension block.
    pub fn seal_rtp_on(
        &mut self,
        stream: StreamIndex,
        buf: &mut [u8],
        header_len: usize,
        plain_len: usize,
    ) -> Result<usize, SealError> {
        if header_len < RTP_HEADER {
            return Err(SealError::Short);
        }
        let (clear, rest) = buf.split_at_mut_checked(plain_len).ok_or(SealError::Short)?;
        let tag_place = rest.get_mut(..self.profile.tag_len()).ok_or(SealError::Short)?;
        let (header, body) = clear.split_at_mut_checked(header_len).ok_or(SealError::Short)?;
        let (seq, ssrc) = match *header {
            [_, _, s0, s1, _, _, _, _, a, b, c, d, ..] => {
                (u16::from_be_bytes([s0, s1]), u32::from_be_bytes([a, b, c, d]))
            }
            _ => return Err(SealError::Short),
        };
        let state = self.streams.get_mut(stream.0 as usize).and_then(Option::as_mut);
        let state = state.filter(|state| state.ssrc == ssrc).ok_or(SealError::WrongStream)?;
        let index = estimate(state.sealed.highest(), seq);
        let known = state.admit(index)?;
        let tag = self.session.rtp.seal_rtp(ssrc, index, header, body).map_err(|_| SealError::Cipher)?;
        if known.is_some_and(|known| known != digest(&tag)) {
            // The keystream has met other bytes than before: nobody may see the result.
            body.fill(0);
            return Err(SealError::Repeated);
        }
        state.remember(index, &tag);
        for (to, from) in tag_place.iter_mut().zip(tag) {
            *to = from;
        }
        Ok(plain_len + self.profile.tag_len())
    }

    /// As [`Outbound::seal_rtp_on`], finding or opening the stream by the packet's SSRC, without repeats.
    pub fn seal_rtp(
        &mut self,
        buf: &mut [u8],
        header_len: usize,
        plain_len: usize,
    ) -> Result<usize, SealError> {
        let ssrc = match *buf {
            [_, _, _, _, _, _, _, _, a, b, c, d, ..] => u32::from_be_bytes([a, b, c, d]),
            _ => return Err(SealError::Short),
        };
        let stream = self.stream(Ssrc(ssrc), Repeats::Refuse)?;
        self.seal_rtp_on(stream, buf, header_len, plain_len)
    }

    /// Seals the compound RTCP packet in `buf[..plain_len]` in place. Returns the length of the SRTCP
    /// packet, `plain_len` plus [`Profile::rtcp_overhead`].
    pub fn seal_rtcp(&mut self, buf: &mut [u8], plain_len: usize) -> Result<usize, SealError> {
        let tag_len = self.profile.tag_len();
        let (clear, rest) = buf.split_at_mut_checked(plain_len).ok_or(SealError::Short)?;
        let rest = rest.get_mut(..tag_len + RTCP_TRAILER).ok_or(SealError::Short)?;
        let (header, body) = clear.split_at_mut_checked(RTCP_HEADER).ok_or(SealError::Short)?;
        let [_, _, _, _, a, b, c, d] = *header else { return Err(SealError::Short) };
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        let index = self.rtcp_index + 1;
        if index & RTCP_ENCRYPTED != 0 {
            return Err(SealError::Exhausted);
        }
        self.rtcp_index = index;
        let trailer = (index | RTCP_ENCRYPTED).to_be_bytes();
        let tag =
            self.session.rtcp.seal_rtcp(ssrc, index, header, body, trailer).map_err(|_| SealError::Cipher)?;
        let tag = tag.get(..tag_len).ok_or(SealError::Cipher)?;
        // RFC 7714 section 9.3 has the tag before the trailer, RFC 3711 section 3.4 behind it.
        let (front, back) = if self.profile.is_aead() { (tag, &trailer[..]) } else { (&trailer[..], tag) };
        for (to, from) in rest.iter_mut().zip(front.iter().chain(back)) {
            *to = *from;
        }
        Ok(plain_len + tag_len + RTCP_TRAILER)
    }
}

#[cfg(test)]
impl Outbound {
    pub(crate) fn start_rtcp_at(&mut self, index: u32) {
        self.rtcp_index = index;
    }
}

impl Stream {
    /// Whether `index` may be sealed; if it was before, the digest that the result must have.
    fn admit(&self, index: u64) -> Result<Option<u64>, SealError> {
        if index >> 48 != 0 {
            return Err(SealError::Exhausted);
        }
        match self.sealed.judge(index) {
            Verdict::Fresh => Ok(None),
            Verdict::Old => Err(SealError::Old),
            Verdict::Seen => {
                let recent = self.sealed.highest().is_some_and(|highest| highest - index < TAGS as u64);
                let tags = self.tags.as_ref().filter(|_| recent).ok_or(SealError::Repeated)?;
                tags.get(index as usize % TAGS).map(|tag| Some(*tag)).ok_or(SealError::Repeated)
            }
        }
    }

    fn remember(&mut self, index: u64, tag: &Tag) {
        self.sealed.mark(index);
        let recent = self.sealed.highest().is_some_and(|highest| highest - index < TAGS as u64);
        if let Some(place) =
            self.tags.as_mut().filter(|_| recent).and_then(|tags| tags.get_mut(index as usize % TAGS))
        {
            *place = digest(tag);
        }
    }
}

/// The first 64 bits of a tag.
fn digest(tag: &Tag) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *tag;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
