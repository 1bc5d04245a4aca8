//! Attributes that sections and session share.

use std::fmt;

/// An attribute that this crate does not know, as text: `a=name` or `a=name:value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub value: Option<String>,
}

/// Who sends in a section, RFC 8866 section 6.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    /// From an attribute's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "sendrecv" => Self::SendRecv,
            "sendonly" => Self::SendOnly,
            "recvonly" => Self::RecvOnly,
            "inactive" => Self::Inactive,
            _ => return None,
        })
    }

    /// The attribute's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// From `send` and `recv`.
    pub fn new(send: bool, recv: bool) -> Self {
        match (send, recv) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The describing side sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// The describing side receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// As the other side sees it.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }
}

/// DTLS role, RFC 8842 section 5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Either; the answerer chooses.
    ActPass,
    /// Sends the ClientHello.
    Active,
    /// Waits for it.
    Passive,
    /// Not now.
    HoldConn,
}

impl Setup {
    /// From the attribute's value.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "actpass" => Self::ActPass,
            "active" => Self::Active,
            "passive" => Self::Passive,
            "holdconn" => Self::HoldConn,
            _ => return None,
        })
    }

    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
            Self::HoldConn => "holdconn",
        }
    }
}

/// A certificate's digest, RFC 8122 section 5.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Lower-case hash name, such as `sha-256`.
    pub algorithm: String,
    pub digest: Vec<u8>,
}

impl Fingerprint {
    /// A SHA-256 digest.
    pub fn sha256(digest: [u8; 32]) -> Self {
        Self { algorithm: "sha-256".into(), digest: digest.to_vec() }
    }

    /// The digest, if it is SHA-256.
    pub fn as_sha256(&self) -> Option<[u8; 32]> {
        if self.algorithm != "sha-256" {
            return None;
        }
        self.digest.as_slice().try_into().ok()
    }

    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (algorithm, digits) = value.trim().split_once(' ')?;
        if !crate::parse::is_token(algorithm) {
            return None;
        }
        let digest: Option<Vec<u8>> = digits
            .trim()
            .split(':')
            .map(|pair| {
                let hex = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
                hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
            })
            .collect();
        // SHA-512 is the longest hash that RFC 8122 names.
        let digest = digest.filter(|digest| digest.len() <= 64)?;
        Some(Self { algorithm: algorithm.to_ascii_lowercase(), digest })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.algorithm)?;
        for (at, byte) in self.digest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
