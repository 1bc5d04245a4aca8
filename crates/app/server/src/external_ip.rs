//! Finding out under which address the world sees this machine, from STUN servers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// Asked where `rtc.stun_servers` names none: LiveKit's.
const SERVERS: [&str; 3] =
    ["global.stun.twilio.com:3478", "stun.l.google.com:19302", "stun1.l.google.com:19302"];
/// How often each is asked, and how long an answer may take.
const TRIES: usize = 3;
const PATIENCE: Duration = Duration::from_millis(500);
/// STUN's port where none is said, RFC 8489 section 18.6.
const STUN_PORT: u16 = 3478;

/// The IPv4 address that the first server to answer has seen.
pub(crate) fn find(servers: &[String]) -> anyhow::Result<IpAddr> {
    let defaults = || SERVERS.map(str::to_owned).to_vec();
    let servers = if servers.is_empty() { defaults() } else { servers.to_vec() };
    for server in &servers {
        match ask(server) {
            Ok(ip) => return Ok(ip),
            Err(error) => tracing::warn!(server, "no external address: {error:#}"),
        }
    }
    bail!("rtc.use_external_ip: no STUN server answers ({}); set rtc.node_ip instead", servers.join(", "))
}

fn ask(server: &str) -> anyhow::Result<IpAddr> {
    let host = if server.contains(':') { server.to_owned() } else { format!("{server}:{STUN_PORT}") };
    let address =
        host.to_socket_addrs().context("name")?.find(SocketAddr::is_ipv4).context("no IPv4 address")?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut transaction = [0; 12];
    aws_lc_rs::rand::fill(&mut transaction)
        .map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    let mut room = [0; 1500];
    for _ in 0..TRIES {
        socket.send(&turn::binding_request(transaction))?;
        // What is not the answer counts as none: the question goes out again.
        if let Ok(len) = socket.recv(&mut room)
            && let Some(mapped) = turn::mapped_address(room.get(..len).unwrap_or_default(), transaction)
        {
            return Ok(mapped.ip());
        }
    }
    bail!("no answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_server_that_answers_is_believed() {
        // Given: a server that says nothing, and one whose first answer is nonsense.
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let servers = [&silent, &server].map(|s| s.local_addr().unwrap().to_string());
        let answering = std::thread::spawn(move || {
            let mut machine = turn::Server::new(
                turn::Config::default(),
                turn::Access::default(),
                turn::Policy::default(),
                [0; 32],
            );
            let mut room = [0; 1500];
            let (_, client) = server.recv_from(&mut room).unwrap();
            server.send_to(b"nonsense", client).unwrap();
            let (len, client) = server.recv_from(&mut room).unwrap();
            let flow =
                turn::Flow { client, server: server.local_addr().unwrap(), transport: turn::Transport::Udp };
            let now = clock::Time { mono: std::time::Instant::now(), unix: Duration::ZERO };
            let mut out = Vec::new();
            machine.from_client(now, flow, &room[..len], &mut out);
            server.send_to(&out, client).unwrap();
        });
        assert_eq!(find(&servers).unwrap(), IpAddr::from([127, 0, 0, 1]));
        answering.join().unwrap();
    }

    #[test]
    fn nobody_answering_is_an_error_that_says_what_to_do() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = find(&[silent.local_addr().unwrap().to_string()]).unwrap_err().to_string();
        assert!(error.contains("rtc.node_ip"), "{error}");
    }
}
