//! `list-nodes`: the servers that work together. There is one, and what it says of itself is asked over HTTP.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::config::Settings;
use crate::say;

/// For a server on this machine to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer that are looked at.
const ANSWER_MAX: u64 = 4096;

pub(crate) fn list(settings: &Settings) -> anyhow::Result<()> {
    let server = &settings.api.rooms.server;
    let region = if server.region.is_empty() { "-" } else { &server.region };
    let address = SocketAddr::new(here(settings.bind.first().copied()), settings.port);
    let state = state(address, settings.tls.is_some());
    say(format_args!("{:<12} {:<12} {:<24} STATE", "ID", "REGION", "ADDRESS"))?;
    say(format_args!("{:<12} {region:<12} {:<24} {state}", server.node_id, address.to_string()))
}

/// Where a server that listens on `bind` is reached from this machine.
fn here(bind: Option<IpAddr>) -> IpAddr {
    match bind {
        Some(IpAddr::V4(ip)) if !ip.is_unspecified() => ip.into(),
        Some(IpAddr::V6(ip)) if !ip.is_unspecified() => ip.into(),
        // Sockets of every address take those of both families.
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

fn state(address: SocketAddr, tls: bool) -> &'static str {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) else { return "does not answer" };
    if tls {
        // Its certificate is for other names than this address.
        return "listening";
    }
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let asked = write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    match asked.and_then(|()| stream.take(ANSWER_MAX).read_to_string(&mut answer)) {
        Ok(_) if answer.starts_with("HTTP/1.1 200") => "serving",
        Ok(_) if answer.starts_with("HTTP/1.1 503") => "draining",
        _ => "does not answer as a server of meetings",
    }
}
