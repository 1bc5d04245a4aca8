//! A publisher's packet as consumers see it: parsed once, kept beside its bytes.
//!
//! Owns: which header extensions mean what with a peer, and which of them go on to subscribers. Reads
//! payload descriptors only, never what an end-to-end encryption may have covered.

use std::time::Instant;

use codec::trailer::Trailer;
use codec::vp8;
use rtp::ext::AudioLevel;
use rtp::{Label, Mid, Rid};

use crate::api::ExtensionIds;

/// A piece of a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) len: u16,
}

impl Span {
    pub(crate) fn of(self, packet: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        packet.get(start..start + usize::from(self.len)).unwrap_or_default()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Where `part` lies in `packet`, of which it is a part.
    fn locate(packet: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(packet.as_ptr().addr());
        match (u16::try_from(start), u16::try_from(part.len())) {
            (Ok(start), Ok(len)) => Self { start, len },
            _ => Self::default(),
        }
    }
}

/// Extensions that go on to subscribers with the value they came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    AudioLevel,
    VideoOrientation,
    PlayoutDelay,
    DependencyDescriptor,
    AbsCaptureTime,
}

impl Carried {
    pub(crate) const ALL: [Self; 5] = [
        Self::AudioLevel,
        Self::VideoOrientation,
        Self::PlayoutDelay,
        Self::DependencyDescriptor,
        Self::AbsCaptureTime,
    ];

    /// The id under which `ids` knows it.
    pub(crate) fn id(self, ids: &ExtensionIds) -> Option<u8> {
        match self {
            Self::AudioLevel => ids.audio_level,
            Self::VideoOrientation => ids.video_orientation,
            Self::PlayoutDelay => ids.playout_delay,
            Self::DependencyDescriptor => ids.dependency_descriptor,
            Self::AbsCaptureTime => ids.abs_capture_time,
        }
    }
}

/// What a packet says about its frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Begins a frame at which a decoder can start.
    pub(crate) key: bool,
    /// First packet of a frame.
    pub(crate) start: bool,
    /// Last packet of a layer's frame, where the codec says so; the marker bit closes all layers.
    pub(crate) end: bool,
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// A receiver of the temporal layer below may go up to this one here.
    pub(crate) switch_up: bool,
    /// The highest temporal layer whose later frames can be decoded by who has this frame.
    pub(crate) reach: u8,
}

/// All that consumers need to know of a packet beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) at: Instant,
    /// Counted on past the wrap.
    pub(crate) seq: u64,
    /// Changes when the encoding begins anew under another SSRC: sequence numbers and timestamps of
    /// different epochs have nothing in common.
    pub(crate) epoch: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// Index in the producer's codecs.
    pub(crate) codec: u8,
    /// One byte of padding makes it as long as its frame's other packets.
    pub(crate) pad: bool,
    pub(crate) payload: Span,
    pub(crate) carried: [Span; Carried::ALL.len()],
    pub(crate) frame: Frame,
    pub(crate) vp8: Option<vp8::Descriptor>,
    /// What stands behind the picture that it closes.
    pub(crate) trailer: Option<Trailer>,
}

impl Meta {
    /// The value of an extension, empty if the packet has none.
    pub(crate) fn carried<'a>(&self, which: Carried, packet: &'a [u8]) -> &'a [u8] {
        self.carried[which as usize].of(packet)
    }

    /// A packet without a payload.
    pub(crate) fn blank(at: Instant, codec: u8) -> Self {
        Self {
            at,
            seq: 0,
            epoch: 0,
            timestamp: 0,
            marker: false,
            codec,
            pad: false,
            payload: Span::default(),
            carried: Default::default(),
            frame: Frame::default(),
            vp8: None,
            trailer: None,
        }
    }

    /// What decides a packet's size once its header is rewritten.
    pub(crate) fn weight(&self) -> u32 {
        self.carried.iter().map(|s| u32::from(s.len)).sum::<u32>() + u32::from(self.payload.len)
    }
}

/// What an extension id means with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Mid,
    Rid,
    RepairedRid,
    AbsSendTime,
    TransportCc,
    Carried(Carried),
}

/// Meanings by id, so that a packet's extensions are read in one pass.
pub(crate) struct Meanings([Option<Meaning>; 256]);

impl std::fmt::Debug for Meanings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().enumerate().filter(|(_, m)| m.is_some())).finish()
    }
}

impl Meanings {
    pub(crate) fn new(ids: &ExtensionIds) -> Self {
        let mut table = [None; 256];
        let mut set = |id: Option<u8>, meaning| {
            if let Some(id) = id.filter(|id| *id != 0) {
                table[usize::from(id)] = Some(meaning);
            }
        };
        set(ids.mid, Meaning::Mid);
        set(ids.rid, Meaning::Rid);
        set(ids.repaired_rid, Meaning::RepairedRid);
        set(ids.abs_send_time, Meaning::AbsSendTime);
        set(ids.transport_cc, Meaning::TransportCc);
        for which in Carried::ALL {
            set(which.id(ids), Meaning::Carried(which));
        }
        Self(table)
    }

    /// Reads the extensions of a packet in one pass.
    pub(crate) fn read(&self, header: &rtp::Header, packet: &[u8]) -> Received {
        let mut received = Received::default();
        for (id, value) in header.extensions(packet) {
            match self.0[usize::from(id)] {
                None => {}
                Some(Meaning::Mid) => received.mid = Label::from_bytes(value),
                Some(Meaning::Rid) => received.rid = Label::from_bytes(value),
                Some(Meaning::RepairedRid) => received.repaired_rid = Label::from_bytes(value),
                Some(Meaning::AbsSendTime) => {
                    received.abs_send_time = rtp::ext::AbsSendTime::read(value).map(|t| t.0);
                }
                Some(Meaning::TransportCc) => received.transport_seq = rtp::ext::transport_seq(value),
                Some(Meaning::Carried(which)) => {
                    received.carried[which as usize] = Span::locate(packet, value);
                    if which == Carried::AudioLevel {
                        received.audio_level = AudioLevel::read(value);
                    }
                }
            }
        }
        received
    }
}

/// The extensions of one received packet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Received {
    pub(crate) mid: Option<Mid>,
    pub(crate) rid: Option<Rid>,
    pub(crate) repaired_rid: Option<Rid>,
    pub(crate) transport_seq: Option<u16>,
    /// 6.18 fixed point seconds.
    pub(crate) abs_send_time: Option<u32>,
    pub(crate) audio_level: Option<AudioLevel>,
    pub(crate) carried: [Span; Carried::ALL.len()],
}

#[cfg(test)]
impl Meta {
    /// A packet that says nothing but when it came.
    pub(crate) fn for_test(at: Instant) -> Self {
        Self { payload: Span { start: 12, len: 1 }, ..Self::blank(at, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_read_by_meaning_and_found_again_by_span() {
        let ids =
            ExtensionIds { mid: Some(4), audio_level: Some(1), rid: Some(10), ..ExtensionIds::default() };
        let mut packet = [0; 64];
        let fields =
            rtp::Fields { marker: false, pt: rtp::Pt(111), seq: 1, timestamp: 2, ssrc: rtp::Ssrc(3) };
        let mut writer = rtp::Writer::new(&mut packet, &fields, rtp::Form::OneByte).unwrap();
        writer.element(4, b"0").unwrap();
        writer.element(1, &[0x80 | 42]).unwrap();
        writer.element(10, b"q").unwrap();
        writer.element(7, b"unknown").unwrap();
        let (header_len, len) = writer.payload(b"sound").unwrap();
        let header = rtp::Header::parse(&packet[..len]).unwrap();
        assert_eq!(header.len(), header_len);
        let received = Meanings::new(&ids).read(&header, &packet[..len]);
        assert_eq!((received.mid, received.rid), (Label::new("0"), Label::new("q")));
        assert_eq!(received.audio_level, Some(AudioLevel { voice: true, level: 42 }));
        assert_eq!(received.carried[Carried::AudioLevel as usize].of(&packet), [0x80 | 42]);
        assert!(received.carried[Carried::DependencyDescriptor as usize].is_empty());
    }
}
