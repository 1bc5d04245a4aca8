//! ICE candidate lines, in descriptions and in trickled `candidate` strings (RFC 8839 section 5.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub foundation: String,
    /// 1 is RTP, and all there is with `rtcp-mux`.
    pub component: u16,
    pub protocol: Protocol,
    pub priority: u32,
    pub address: Address,
    pub port: u16,
    pub kind: CandidateKind,
    /// Base or mapped address.
    pub related: Option<(Address, u16)>,
    pub tcp: Option<TcpKind>,
    /// Which credentials it belongs to, where the line says so.
    pub ufrag: Option<String>,
}

/// Transport of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Udp,
    Tcp,
}

/// How a candidate came to be, RFC 8445 section 5.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateKind {
    Host,
    ServerReflexive,
    PeerReflexive,
    Relayed,
}

/// Who connects, RFC 6544 section 4.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpKind {
    Active,
    Passive,
    SimultaneousOpen,
}

/// A connection address: browsers hide host addresses behind mDNS names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Ip(IpAddr),
    Name(String),
}

/// A candidate line that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed candidate: {0}")]
pub struct CandidateError(&'static str);

/// Longest foundation, RFC 8839 section 5.1.
const MAX_FOUNDATION: usize = 32;
/// Longest user fragment, RFC 8839 section 5.4.
pub(crate) const MAX_ICE_TEXT: usize = 256;
/// Longest domain name, RFC 1035 section 2.3.4.
const MAX_NAME: usize = 255;

impl Candidate {
    /// Reads `candidate:…`, with or without `a=` before it.
    pub fn parse(line: &str) -> Result<Self, CandidateError> {
        let line = line.trim();
        let line = line.strip_prefix("a=").unwrap_or(line);
        let value = line.strip_prefix("candidate:").ok_or(CandidateError("no candidate: in front"))?;
        Self::parse_value(value)
    }

    /// Reads what follows `candidate:`.
    pub(crate) fn parse_value(value: &str) -> Result<Self, CandidateError> {
        let mut words = value.split_ascii_whitespace();
        let mut next = |what| words.next().ok_or(CandidateError(what));
        let foundation = next("foundation")?;
        if foundation.len() > MAX_FOUNDATION || !foundation.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(CandidateError("foundation"));
        }
        let component = next("component")?.parse().map_err(|_| CandidateError("component"))?;
        let protocol = match next("transport")? {
            word if word.eq_ignore_ascii_case("udp") => Protocol::Udp,
            word if word.eq_ignore_ascii_case("tcp") => Protocol::Tcp,
            _ => return Err(CandidateError("transport")),
        };
        let priority = next("priority")?.parse().map_err(|_| CandidateError("priority"))?;
        let address = Address::parse(next("address")?)?;
        let port = next("port")?.parse().map_err(|_| CandidateError("port"))?;
        if next("typ")? != "typ" {
            return Err(CandidateError("typ"));
        }
        let kind = CandidateKind::from_name(next("type")?).ok_or(CandidateError("type"))?;
        let mut candidate = Self {
            foundation: foundation.into(),
            component,
            protocol,
            priority,
            address,
            port,
            kind,
            related: None,
            tcp: None,
            ufrag: None,
        };
        let mut related = None;
        // Pairs of name and value; unknown ones (generation, network-id, network-cost) say nothing to us.
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match name {
                "raddr" => related = Some(Address::parse(value)?),
                "rport" => {
                    let port = value.parse().map_err(|_| CandidateError("rport"))?;
                    candidate.related = related.take().map(|address| (address, port));
                }
                "tcptype" => candidate.tcp = TcpKind::from_name(value),
                "ufrag" if value.len() <= MAX_ICE_TEXT => candidate.ufrag = Some(value.into()),
                _ => {}
            }
        }
        Ok(candidate)
    }

    /// Address and port, unless the address is a name.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.address {
            Address::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Address::Name(_) => None,
        }
    }
}

impl Address {
    fn parse(text: &str) -> Result<Self, CandidateError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        // No host name is all digits and dots: that would be a broken address.
        let plausible = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
            && text.bytes().any(|b| b.is_ascii_alphabetic());
        if text.len() > MAX_NAME || !plausible {
            return Err(CandidateError("address"));
        }
        Ok(Self::Name(text.into()))
    }
}

impl CandidateKind {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "host" => Self::Host,
            "srflx" => Self::ServerReflexive,
            "prflx" => Self::PeerReflexive,
            "relay" => Self::Relayed,
            _ => return None,
        })
    }

    /// As a candidate line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }
}

impl TcpKind {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "active" => Self::Active,
            "passive" => Self::Passive,
            "so" => Self::SimultaneousOpen,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Candidate {
    /// `candidate:…`, as in trickled candidates; a description puts `a=` before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        };
        write!(
            f,
            "candidate:{} {} {protocol} {} {} {} typ {}",
            self.foundation,
            self.component,
            self.priority,
            self.address,
            self.port,
            self.kind.name()
        )?;
        if let Some((address, port)) = &self.related {
            write!(f, " raddr {address} rport {port}")?;
        }
        if let Some(tcp) = self.tcp {
            write!(f, " tcptype {}", tcp.name())?;
        }
        if let Some(ufrag) = &self.ufrag {
            write!(f, " ufrag {ufrag}")?;
        }
        Ok(())
    }
}
