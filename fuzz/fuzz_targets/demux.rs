//! Datagrams of anybody, at a router that waits for one peer.
#![no_main]

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clock::Time;
use libfuzzer_sys::fuzz_target;
use peer::{Certificate, Credentials, LocalTransport};
use sfu::{Command, Config, Outbox, PeerId, Router};

fn certificate() -> &'static Certificate {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    CERTIFICATE.get_or_init(|| Certificate::generate().expect("a certificate"))
}

fuzz_target!(|data: &[u8]| {
    let now = Time { mono: Instant::now(), unix: Duration::from_secs(1_800_000_000) };
    let mut router = Router::new(now, Config::default(), certificate().clone(), 0, 1);
    let credentials = Credentials { ufrag: "00ufragufrag".into(), pwd: "p".repeat(24) };
    let local = LocalTransport { credentials, ice_lite: true, controlling: false, candidates: Vec::new() };
    router.handle_command(now, Command::OpenPeer { peer: PeerId(1), local });
    let here = SocketAddr::from(([192, 0, 2, 1], 7882));
    let there = SocketAddr::from(([192, 0, 2, 2], 5000));
    let mut outbox = Outbox::new(64 << 10);
    // Datagrams of a length that the input itself says.
    let mut rest = data;
    while let Some((&len, tail)) = rest.split_first() {
        let (datagram, tail) = tail.split_at(usize::from(len).min(tail.len()));
        let _ = peer::stun_ufrag(datagram);
        router.handle_datagram(now, here, there, &mut datagram.to_vec());
        rest = tail;
    }
    router.handle_timeout(now.after(Duration::from_secs(60)));
    let _ = router.poll_transmit(now, &mut outbox);
    while router.poll_event().is_some() {}
});
