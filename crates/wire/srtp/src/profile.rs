//! Protection profiles and their sizes.

use crate::RTCP_TRAILER;

/// An SRTP protection profile, as negotiated in DTLS's `use_srtp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `SRTP_AES128_CM_HMAC_SHA1_80`, RFC 5764 section 4.1.2.
    Aes128CmSha1_80,
    /// `SRTP_AEAD_AES_128_GCM`, RFC 7714 section 14.2.
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM`, RFC 7714 section 14.2.
    AeadAes256Gcm,
}

impl Profile {
    /// The profile of a DTLS protection profile id (IANA "DTLS-SRTP Protection Profiles").
    pub fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0001 => Some(Self::Aes128CmSha1_80),
            0x0007 => Some(Self::AeadAes128Gcm),
            0x0008 => Some(Self::AeadAes256Gcm),
            _ => None,
        }
    }

    /// The DTLS protection profile id.
    pub fn id(self) -> u16 {
        match self {
            Self::Aes128CmSha1_80 => 0x0001,
            Self::AeadAes128Gcm => 0x0007,
            Self::AeadAes256Gcm => 0x0008,
        }
    }

    /// The name of that registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        }
    }

    /// AES-GCM, which costs a fifth of AES-CM with HMAC-SHA1.
    pub fn is_aead(self) -> bool {
        !matches!(self, Self::Aes128CmSha1_80)
    }

    /// Master key, bytes.
    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Master salt, bytes.
    pub fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// What DTLS must export: two keys and two salts, RFC 5764 section 4.2.
    pub fn keying_material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    /// Authentication tag, bytes.
    pub(crate) fn tag_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 10,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Bytes by which sealing lengthens an RTP packet.
    pub fn rtp_overhead(self) -> usize {
        self.tag_len()
    }

    /// Bytes by which sealing lengthens a compound RTCP packet.
    pub fn rtcp_overhead(self) -> usize {
        self.tag_len() + RTCP_TRAILER
    }
}
