//! The embedded TURN server: where it listens, whom it reaches, and what clients are told of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use peer::Carrier;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::info;
use turn_net::{Own, Service};

use crate::config::{Settings, Turn};

/// Connections over TCP and TLS at once.
const CONNECTIONS: usize = 8192;
/// The port that clients find behind `turn.external_tls`.
const HTTPS: u16 = 443;
/// Bytes of the secret that credentials are derived from.
const SECRET: usize = 32;

/// Starts it where it is enabled: the service, and what clients are told.
pub(crate) async fn start(
    settings: &Settings,
    engine: &engine::Handle,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<Option<(Service, signal::IceServer)>> {
    let Some(turn) = &settings.turn else { return Ok(None) };
    let media: Vec<SocketAddr> = (0..engine.workers())
        .flat_map(|worker| engine.candidates(worker))
        .filter(|candidate| candidate.carrier == Carrier::Udp)
        .map(|candidate| candidate.addr)
        .collect();
    anyhow::ensure!(!media.is_empty(), "turn: there is no media over UDP to relay to (rtc.force_tcp)");
    let of_machine: Vec<IpAddr> = net::interfaces()?.into_iter().map(|interface| interface.ip).collect();
    let named = |v4: bool| media.iter().map(SocketAddr::ip).find(|ip| ip.is_ipv4() == v4);
    let (relay_v4, relay_v6) = (named(true), named(false));
    let listen = listen_on(turn, settings, &of_machine);
    let on = |port: u16| match port {
        0 => Vec::new(),
        port => listen.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
    };
    let plain_behind_tls = if turn.external_tls { turn.tls_port } else { 0 };
    let config = turn_net::Config {
        udp: on(turn.udp_port),
        tcp: [on(turn.tcp_port), on(plain_behind_tls)].concat(),
        tls: if turn.external_tls { Vec::new() } else { on(turn.tls_port) },
        acceptor: acceptor(turn)?,
        relay_v4,
        relay_v6,
        relay_ports: turn.relay_ports.clone(),
        own: media.iter().map(|told| Own { told: *told, inside: inside(*told, &of_machine) }).collect(),
        connections: CONNECTIONS,
        turn: turn::Config {
            per_user: turn.per_user,
            v4: relay_v4.is_some(),
            v6: relay_v6.is_some(),
            ..turn::Config::default()
        },
    };
    let seed = random()?;
    let mut secret = turn.issuer.secret.clone();
    if secret.is_empty() {
        secret = random()?.iter().map(|byte| format!("{byte:02x}")).collect();
    }
    let access = turn::Access { keys: Vec::new(), secret: Some(secret.clone()) };
    let relays = Some(turn.relay_ports.clone());
    let policy = turn::Policy { own: media, relays, deny: turn.deny.clone(), allow: turn.allow.clone() };
    let service = Service::start(config, access, policy, seed, stopped).await.context("turn")?;
    let bound = turn.bind.first().or(settings.bind.first()).copied().filter(|ip| !ip.is_unspecified());
    let urls = urls(turn, bound.or(relay_v4).or(relay_v6));
    info!(?urls, "relaying for clients behind firewalls");
    let issuer = Some(signal::Issuer { secret, ttl: turn.issuer.ttl });
    Ok(Some((service, signal::IceServer { urls, issuer, ..signal::IceServer::default() })))
}

fn acceptor(turn: &Turn) -> anyhow::Result<Option<TlsAcceptor>> {
    let Some(source) = turn.certificate.as_ref().filter(|_| turn.tls_port != 0) else { return Ok(None) };
    let mut config = source.load().context("turn.cert_file, turn.key_file")?.config.as_ref().clone();
    // Clients of TURN name no protocol, or their own (RFC 7443).
    config.alpn_protocols.clear();
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// One address a socket: an answer has to leave from where the question came to.
fn listen_on(turn: &Turn, settings: &Settings, of_machine: &[IpAddr]) -> Vec<IpAddr> {
    let wanted = if turn.bind.is_empty() { &settings.bind } else { &turn.bind };
    let mut all: Vec<IpAddr> = Vec::new();
    for ip in wanted {
        // As elsewhere, every IPv6 address means every address.
        let each = |known: &&IpAddr| ip.is_ipv6() || known.is_ipv4();
        match ip.is_unspecified() {
            true => all.extend(of_machine.iter().filter(each).filter(|ip| !is_link_local(**ip))),
            false => all.push(*ip),
        }
    }
    all.sort();
    all.dedup();
    all
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Where the machine reaches its own address: another one of its own, where clients are told one that it has not.
fn inside(told: SocketAddr, of_machine: &[IpAddr]) -> SocketAddr {
    let same = |ip: &&IpAddr| ip.is_ipv4() == told.is_ipv4() && !is_link_local(**ip);
    let all = || of_machine.iter().filter(same);
    let own = all().find(|ip| **ip == told.ip()).or_else(|| all().find(|ip| !ip.is_loopback()));
    let loopback = if told.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(own.copied().unwrap_or(loopback), told.port())
}

fn urls(turn: &Turn, ip: Option<IpAddr>) -> Vec<String> {
    let mut urls = Vec::new();
    if let Some(ip) = ip {
        let at = |port: u16, over: &str| format!("turn:{}?transport={over}", SocketAddr::new(ip, port));
        urls.extend((turn.udp_port != 0).then(|| at(turn.udp_port, "udp")));
        urls.extend((turn.tcp_port != 0).then(|| at(turn.tcp_port, "tcp")));
    }
    let port = if turn.external_tls { HTTPS } else { turn.tls_port };
    urls.extend((turn.tls_port != 0).then(|| format!("turns:{}:{port}?transport=tcp", turn.domain)));
    urls
}

fn random() -> anyhow::Result<[u8; SECRET]> {
    let mut bytes = [0; SECRET];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_only_the_router_has_is_reached_inside() {
        let machine: Vec<IpAddr> =
            ["127.0.0.1", "169.254.1.1", "10.0.0.5", "::1"].iter().map(|ip| ip.parse().unwrap()).collect();
        for (told, expected) in [
            ("203.0.113.9:7882", "10.0.0.5:7882"),
            ("10.0.0.5:7882", "10.0.0.5:7882"),
            ("127.0.0.1:7882", "127.0.0.1:7882"),
            ("[2001:db8::1]:7882", "[::1]:7882"),
        ] {
            assert_eq!(inside(told.parse().unwrap(), &machine), expected.parse().unwrap());
        }
    }
}
