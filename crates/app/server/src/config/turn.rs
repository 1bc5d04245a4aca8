//! The `turn` section: what it means and what its values must be.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::file::Text;
use crate::cli::Options;
use crate::tls;

/// LiveKit's ports and times.
const UDP_PORT: u16 = 3478;
const RELAY_PORTS: RangeInclusive<u16> = 30_000..=40_000;
const DEV_RELAY_PORTS: RangeInclusive<u16> = 30_000..=30_002;
const TTL: Duration = Duration::from_secs(300);
const TTL_MAX: Duration = Duration::from_secs(86_400);
const PER_USER: usize = 12;
/// Characters below which a secret can be found by trying.
const SECRET_MIN: usize = 16;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct TurnSection {
    enabled: bool,
    domain: String,
    cert_file: String,
    key_file: String,
    tls_port: u16,
    tcp_port: u16,
    udp_port: u16,
    relay_range_start: u16,
    relay_range_end: u16,
    external_tls: bool,
    bind_addresses: Vec<IpAddr>,
    ttl_seconds: Option<u64>,
    secret: Text,
    secret_file: String,
    per_user_relay_allocation_limit: Option<usize>,
    allow_restricted_peer_cidrs: Vec<String>,
    deny_peer_cidrs: Vec<String>,
}

/// The embedded TURN server.
#[derive(Debug)]
pub(crate) struct Turn {
    /// 0 is off, as for the others.
    pub(crate) udp_port: u16,
    pub(crate) tcp_port: u16,
    pub(crate) tls_port: u16,
    /// Of `tls_port`; none where something in front takes TLS off.
    pub(crate) certificate: Option<tls::Source>,
    /// The name in that certificate.
    pub(crate) domain: String,
    pub(crate) external_tls: bool,
    pub(crate) relay_ports: RangeInclusive<u16>,
    /// Empty: where the server listens.
    pub(crate) bind: Vec<IpAddr>,
    /// What credentials are derived from, where it is written down, and how long they are good for new allocations.
    pub(crate) issuer: signal::Issuer,
    pub(crate) per_user: usize,
    pub(crate) allow: Vec<::turn::Cidr>,
    pub(crate) deny: Vec<::turn::Cidr>,
}

/// None unless it is enabled. `fallback` is the certificate of the `tls` section.
pub(super) fn turn(
    section: &TurnSection,
    options: &Options,
    fallback: Option<&tls::Source>,
) -> anyhow::Result<Option<Turn>> {
    if !section.enabled {
        return Ok(None);
    }
    let certificate = match (section.cert_file.as_str(), section.key_file.as_str()) {
        ("", "") => fallback.cloned(),
        (cert, key) => {
            ensure!(!cert.is_empty() && !key.is_empty(), "turn.cert_file and turn.key_file go together");
            Some(tls::Source::Files { cert: cert.into(), key: key.into() })
        }
    };
    if section.tls_port != 0 {
        ensure!(!section.domain.is_empty(), "turn.tls_port needs turn.domain, the name in its certificate");
        ensure!(
            section.external_tls || certificate.is_some(),
            "turn.tls_port needs turn.cert_file and turn.key_file, or turn.external_tls"
        );
    }
    let nothing = section.udp_port == 0 && section.tcp_port == 0 && section.tls_port == 0;
    let range = if options.dev { DEV_RELAY_PORTS } else { RELAY_PORTS };
    let or = |port: u16, default: u16| if port == 0 { default } else { port };
    let relay_ports =
        or(section.relay_range_start, *range.start())..=or(section.relay_range_end, *range.end());
    ensure!(!relay_ports.is_empty(), "turn.relay_range_start, turn.relay_range_end: not a range of ports");
    let ttl = section.ttl_seconds.map_or(TTL, Duration::from_secs);
    ensure!(!ttl.is_zero() && ttl <= TTL_MAX, "turn.ttl_seconds: 1 to 86400");
    Ok(Some(Turn {
        udp_port: if nothing { UDP_PORT } else { section.udp_port },
        tcp_port: section.tcp_port,
        tls_port: section.tls_port,
        certificate: certificate.filter(|_| !section.external_tls),
        domain: section.domain.clone(),
        external_tls: section.external_tls,
        relay_ports,
        bind: section.bind_addresses.clone(),
        issuer: signal::Issuer { secret: secret(section)?, ttl },
        per_user: section.per_user_relay_allocation_limit.unwrap_or(PER_USER),
        allow: networks(&section.allow_restricted_peer_cidrs, "turn.allow_restricted_peer_cidrs")?,
        deny: networks(&section.deny_peer_cidrs, "turn.deny_peer_cidrs")?,
    }))
}

/// The networks in a list of them.
pub(super) fn networks(list: &[String], key: &'static str) -> anyhow::Result<Vec<::turn::Cidr>> {
    list.iter().map(|text| text.parse().context(key)).collect()
}

/// Several servers may share one, and a server keep its own over a restart; empty where nothing is written down.
fn secret(section: &TurnSection) -> anyhow::Result<String> {
    let secret = match (section.secret.0.as_str(), section.secret_file.as_str()) {
        ("", "") => return Ok(String::new()),
        (secret, "") => secret.to_owned(),
        ("", path) => std::fs::read_to_string(path)
            .with_context(|| format!("turn.secret_file {path}"))?
            .trim()
            .to_owned(),
        _ => anyhow::bail!("turn.secret or turn.secret_file, not both"),
    };
    ensure!(secret.len() >= SECRET_MIN, "turn.secret: at least {SECRET_MIN} characters");
    Ok(secret)
}
