//! Header extension elements (RFC 8285) and the values that WebRTC carries in them.
//!
//! Ids are negotiated, so they are passed in; what is fixed here is how each value looks.

use crate::Form;

/// Profile of a block of one-byte elements, RFC 8285 section 4.2.
pub(crate) const ONE_BYTE_PROFILE: u16 = 0xbede;
/// Profile of a block of two-byte elements, RFC 8285 section 4.3.
pub(crate) const TWO_BYTE_PROFILE: u16 = 0x1000;

/// URIs under which extensions are negotiated.
pub mod uri {
    /// Media section, RFC 9143 section 15.
    pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
    /// Encoding, RFC 8852 section 4.1.
    pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
    /// Encoding that a retransmission repairs, RFC 8852 section 4.2.
    pub const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
    /// 24-bit sending time.
    pub const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
    /// Transport-wide sequence number.
    pub const TRANSPORT_CC: &str =
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    /// RFC 6464.
    pub const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
    /// 3GPP TS 26.114 section 7.4.5.
    pub const VIDEO_ORIENTATION: &str = "urn:3gpp:video-orientation";
    /// Bounds of the receiver's buffer.
    pub const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
    /// AV1 RTP specification, appendix A.
    pub const DEPENDENCY_DESCRIPTOR: &str =
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
    /// Capture time on the sender's clock.
    pub const ABS_CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
}

/// Iterates over `(id, value)`. Stops at the first element that does not fit its block.
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Extensions<'a> {
    pub(crate) fn new(form: Form, block: &'a [u8]) -> Self {
        Self { form, rest: block }
    }

    fn stop(&mut self) -> Option<(u8, &'a [u8])> {
        self.rest = &[];
        None
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        if self.form == Form::None {
            return None;
        }
        loop {
            let (&first, mut rest) = self.rest.split_first()?;
            if first == 0 {
                self.rest = rest;
                continue;
            }
            let (id, len) = if self.form == Form::OneByte {
                // Id 15, and id 0 with a length, end the block: RFC 8285 section 4.2.
                if matches!(first >> 4, 0 | 15) {
                    return self.stop();
                }
                (first >> 4, usize::from(first & 0x0f) + 1)
            } else {
                let Some((&len, after)) = rest.split_first() else { return self.stop() };
                rest = after;
                (first, usize::from(len))
            };
            let Some((value, after)) = rest.split_at_checked(len) else { return self.stop() };
            self.rest = after;
            return Some((id, value));
        }
    }
}

/// Loudness of a packet's audio, RFC 6464 section 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// The sender's voice detector says speech.
    pub voice: bool,
    /// -dBov: 0 is loudest, 127 silence.
    pub level: u8,
}

impl AudioLevel {
    /// Reads a value of either form.
    pub fn read(value: &[u8]) -> Option<Self> {
        let b = value.first()?;
        Some(Self { voice: b & 0x80 != 0, level: b & 0x7f })
    }

    /// The value on the wire.
    pub fn bytes(self) -> [u8; 1] {
        [u8::from(self.voice) << 7 | self.level & 0x7f]
    }
}

/// Sending time: 6.18 fixed point seconds, wrapping every 64 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsSendTime(pub u32);

impl AbsSendTime {
    /// From NTP's 32.32 format.
    pub fn from_ntp(ntp: u64) -> Self {
        Self((ntp >> 14) as u32 & 0x00ff_ffff)
    }

    /// Reads a 24-bit value.
    pub fn read(value: &[u8]) -> Option<Self> {
        let &[a, b, c] = value else { return None };
        Some(Self(u32::from_be_bytes([0, a, b, c])))
    }

    /// The value on the wire.
    pub fn bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

/// Reads a transport-wide sequence number; a second version of the extension appends two bytes.
pub fn transport_seq(value: &[u8]) -> Option<u16> {
    let (&seq, _) = value.split_first_chunk::<2>()?;
    Some(u16::from_be_bytes(seq))
}

/// How a camera is held, 3GPP TS 26.114 section 7.4.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoOrientation {
    /// Camera at the back of the device.
    pub back: bool,
    /// Mirrored.
    pub flip: bool,
    /// Degrees clockwise to turn the picture: 0, 90, 180, 270.
    pub rotation: u16,
}

impl VideoOrientation {
    /// Reads the value.
    pub fn read(value: &[u8]) -> Option<Self> {
        let b = value.first()?;
        Some(Self { back: b & 0x08 != 0, flip: b & 0x04 != 0, rotation: u16::from(b & 0x03) * 90 })
    }

    /// The value on the wire.
    pub fn bytes(self) -> [u8; 1] {
        [u8::from(self.back) << 3 | u8::from(self.flip) << 2 | (self.rotation / 90) as u8 & 0x03]
    }
}

/// Bounds of the receiver's buffer, in units of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// At least this much, 12 bits.
    pub min: u16,
    /// At most this much, 12 bits.
    pub max: u16,
}

impl PlayoutDelay {
    /// Reads a 24-bit value.
    pub fn read(value: &[u8]) -> Option<Self> {
        let &[a, b, c] = value else { return None };
        Some(Self {
            min: u16::from(a) << 4 | u16::from(b >> 4),
            max: u16::from(b & 0x0f) << 8 | u16::from(c),
        })
    }

    /// The value on the wire.
    pub fn bytes(self) -> [u8; 3] {
        let (min, max) = (self.min & 0x0fff, self.max & 0x0fff);
        [(min >> 4) as u8, (min << 4) as u8 | (max >> 8) as u8, max as u8]
    }
}

/// When a frame was captured, on the capturer's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// NTP 32.32.
    pub capture_ntp: u64,
    /// What to add to get the sender's clock, 32.32 signed.
    pub clock_offset: Option<i64>,
}

impl AbsCaptureTime {
    /// Reads a value of 8 or 16 bytes.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (&ntp, rest) = value.split_first_chunk::<8>()?;
        let clock_offset = match rest {
            [] => None,
            _ => Some(i64::from_be_bytes(*rest.first_chunk::<8>()?)),
        };
        Some(Self { capture_ntp: u64::from_be_bytes(ntp), clock_offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_as_written() {
        let a = AudioLevel { voice: true, level: 42 };
        assert_eq!(AudioLevel::read(&a.bytes()), Some(a));
        let t = AbsSendTime(0x0012_3456);
        assert_eq!(AbsSendTime::read(&t.bytes()), Some(t));
        let p = PlayoutDelay { min: 0x123, max: 0xfed };
        assert_eq!(PlayoutDelay::read(&p.bytes()), Some(p));
        let o = VideoOrientation { back: true, flip: false, rotation: 270 };
        assert_eq!(VideoOrientation::read(&o.bytes()), Some(o));
        assert_eq!(transport_seq(&[0x12, 0x34, 0, 0]), Some(0x1234));
    }

    #[test]
    fn send_time_is_seconds_in_6_18_fixed_point() {
        // 65.5 s in NTP: 65.5 mod 64 = 1.5 s.
        let ntp = (65u64 << 32) | 0x8000_0000;
        assert_eq!(AbsSendTime::from_ntp(ntp).0, 3 << 17);
    }

    #[test]
    fn values_of_wrong_length_are_refused() {
        assert_eq!(AudioLevel::read(&[]), None);
        assert_eq!(AbsSendTime::read(&[1, 2]), None);
        assert_eq!(PlayoutDelay::read(&[1, 2, 3, 4]), None);
        assert_eq!(VideoOrientation::read(&[]), None);
        assert_eq!(transport_seq(&[1]), None);
        assert_eq!(AbsCaptureTime::read(&[0; 7]), None);
        assert_eq!(AbsCaptureTime::read(&[0; 12]), None);
        assert_eq!(AbsCaptureTime::read(&[0; 8]).unwrap().clock_offset, None);
        assert_eq!(AbsCaptureTime::read(&[0; 16]).unwrap().clock_offset, Some(0));
    }

    #[test]
    fn two_byte_elements_may_be_empty_and_long() {
        // Made by hand after RFC 8285 section 4.3.
        let block = [1, 0, 0, 20, 2, 0xaa, 0xbb, 0];
        let all: Vec<_> = Extensions::new(Form::TwoByte, &block).collect();
        assert_eq!(all, [(1, &[][..]), (20, &[0xaa, 0xbb][..])]);
        for n in 0..block.len() {
            let _ = Extensions::new(Form::TwoByte, &block[..n]).count();
        }
    }

    #[test]
    fn id_15_ends_a_block_of_one_byte_elements() {
        let block = [0x10, 0x01, 0xf0, 0x01, 0x20, 0x02];
        assert_eq!(Extensions::new(Form::OneByte, &block).count(), 1);
    }
}
