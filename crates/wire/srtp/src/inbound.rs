//! Opening what the far end sealed.

use std::fmt;

use rtp::Ssrc;

use crate::cipher::Cipher;
use crate::keys::Session;
use crate::table::Table;
use crate::window::{Verdict, Window, estimate};
use crate::{MAX_INBOUND_SSRCS, Profile, RTCP_ENCRYPTED, RTCP_HEADER, RTCP_TRAILER, RTP_HEADER};

/// RTP replay window in words of 64 packets: 1024, as in libwebrtc, so that a retransmission that comes a
/// second late is still taken.
const RTP_WINDOW: usize = 16;
/// SRTCP replay window in words of 64 packets, RFC 3711 section 3.3.2 asks for 64 at least.
const RTCP_WINDOW: usize = 2;

/// Why a packet was not opened. Its bytes are then unspecified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// No room for header and tag.
    #[error("too short")]
    Short,
    /// Seen before.
    #[error("replayed")]
    Replayed,
    /// So far behind that the window cannot tell.
    #[error("behind the replay window")]
    Old,
    /// The tag does not verify.
    #[error("not authentic")]
    Unauthentic,
    /// SRTCP without encryption, which WebRTC does not use (RFC 8827 section 6.5).
    #[error("not encrypted")]
    Unencrypted,
}

/// The receiving half of a transport.
pub struct Inbound {
    profile: Profile,
    session: Session,
    rtp: Replay<RTP_WINDOW>,
    rtcp: Replay<RTCP_WINDOW>,
}

impl fmt::Debug for Inbound {
    /// Keys are secrets: only the profile is printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Inbound {
    pub(crate) fn new(profile: Profile, session: Session) -> Self {
        Self { profile, session, rtp: Replay::default(), rtcp: Replay::default() }
    }

    /// The negotiated profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Opens an SRTP packet in place. `header_len` is the length of the RTP header with its CSRCs and
    /// extension block, which are in the clear. Returns the length of the RTP packet, header included: the
    /// tag behind it is spent.
    pub fn open_rtp(&mut self, packet: &mut [u8], header_len: usize) -> Result<usize, Reject> {
        if header_len < RTP_HEADER {
            return Err(Reject::Short);
        }
        let plain_len = packet.len().checked_sub(self.profile.tag_len()).ok_or(Reject::Short)?;
        let (clear, tag) = packet.split_at_mut_checked(plain_len).ok_or(Reject::Short)?;
        let (header, body) = clear.split_at_mut_checked(header_len).ok_or(Reject::Short)?;
        let (seq, ssrc) = match *header {
            [_, _, s0, s1, _, _, _, _, a, b, c, d, ..] => {
                (u16::from_be_bytes([s0, s1]), u32::from_be_bytes([a, b, c, d]))
            }
            _ => return Err(Reject::Short),
        };
        let slot = self.rtp.table.find(ssrc);
        let index = estimate(self.rtp.highest(slot), seq);
        self.rtp.admit(slot, index)?;
        let cipher: &Cipher = &self.session.rtp;
        cipher.open_rtp(ssrc, index, header, body, tag).map_err(|_| Reject::Unauthentic)?;
        self.rtp.mark(slot, ssrc, index);
        Ok(plain_len)
    }

    /// Opens an SRTCP packet in place. Returns the length of the compound RTCP packet.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Reject> {
        let tag_len = self.profile.tag_len();
        let plain_len = packet.len().checked_sub(tag_len + RTCP_TRAILER).ok_or(Reject::Short)?;
        let (clear, rest) = packet.split_at_mut_checked(plain_len).ok_or(Reject::Short)?;
        // RFC 7714 section 9.3 has the tag before the trailer, RFC 3711 section 3.4 behind it.
        let (trailer, tag): (&[u8], &[u8]) = if self.profile.is_aead() {
            let (tag, trailer) = rest.split_at_checked(tag_len).ok_or(Reject::Short)?;
            (trailer, tag)
        } else {
            rest.split_at_checked(RTCP_TRAILER).ok_or(Reject::Short)?
        };
        let trailer: [u8; RTCP_TRAILER] = trailer.try_into().map_err(|_| Reject::Short)?;
        let word = u32::from_be_bytes(trailer);
        if word & RTCP_ENCRYPTED == 0 {
            return Err(Reject::Unencrypted);
        }
        let index = word & !RTCP_ENCRYPTED;
        let (header, body) = clear.split_at_mut_checked(RTCP_HEADER).ok_or(Reject::Short)?;
        let [_, _, _, _, a, b, c, d] = *header else { return Err(Reject::Short) };
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        let slot = self.rtcp.table.find(ssrc);
        self.rtcp.admit(slot, u64::from(index))?;
        let cipher = &self.session.rtcp;
        cipher.open_rtcp(ssrc, index, header, body, trailer, tag).map_err(|_| Reject::Unauthentic)?;
        self.rtcp.mark(slot, ssrc, u64::from(index));
        Ok(plain_len)
    }

    /// The rollover counter of `ssrc`, 0 before its first packet.
    pub fn rollover(&mut self, ssrc: Ssrc) -> u32 {
        let slot = self.rtp.table.find(ssrc.0);
        (self.rtp.highest(slot).unwrap_or(0) >> 16) as u32
    }
}

/// Replay windows by SSRC. A stream that was silent for longest gives way where there are too many; only packets that are
/// authentic count.
struct Replay<const WORDS: usize> {
    table: Table,
    streams: Vec<Stream<WORDS>>,
    /// Packets of all streams so far.
    count: u64,
}

struct Stream<const WORDS: usize> {
    window: Window<WORDS>,
    /// Its last packet's place among those of all.
    last: u64,
}

impl<const WORDS: usize> Default for Replay<WORDS> {
    fn default() -> Self {
        Self { table: Table::default(), streams: Vec::new(), count: 0 }
    }
}

impl<const WORDS: usize> Replay<WORDS> {
    fn window(&self, slot: Option<u32>) -> Option<&Window<WORDS>> {
        self.streams.get(slot? as usize).map(|stream| &stream.window)
    }

    fn highest(&self, slot: Option<u32>) -> Option<u64> {
        self.window(slot)?.highest()
    }

    fn admit(&self, slot: Option<u32>, index: u64) -> Result<(), Reject> {
        // RFC 3711 section 9.2: an index of 48 bits at most under one key.
        if index >> 48 != 0 {
            return Err(Reject::Old);
        }
        match self.window(slot).map(|window| window.judge(index)) {
            Some(Verdict::Fresh) => Ok(()),
            Some(Verdict::Seen) => Err(Reject::Replayed),
            Some(Verdict::Old) => Err(Reject::Old),
            None => Ok(()),
        }
    }

    fn mark(&mut self, slot: Option<u32>, ssrc: u32, index: u64) {
        let slot = slot.unwrap_or_else(|| self.enter(ssrc));
        self.count += 1;
        if let Some(stream) = self.streams.get_mut(slot as usize) {
            stream.window.mark(index);
            stream.last = self.count;
        }
    }

    /// A slot for a new stream.
    fn enter(&mut self, ssrc: u32) -> u32 {
        let mut slot = self.streams.len() as u32;
        let fresh = Stream { window: Window::new(), last: 0 };
        if self.table.len() < MAX_INBOUND_SSRCS {
            self.streams.push(fresh);
        } else {
            let last = |slot: u32| self.streams.get(slot as usize).map(|stream| stream.last);
            if let Some((silent, its)) = self.table.iter().min_by_key(|(_, slot)| last(*slot)) {
                self.table.remove(silent);
                slot = its;
            }
            if let Some(stream) = self.streams.get_mut(slot as usize) {
                *stream = fresh;
            }
        }
        self.table.set(ssrc, slot);
        slot
    }
}
