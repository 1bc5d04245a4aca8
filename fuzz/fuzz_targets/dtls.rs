//! The DTLS server: datagrams of anybody's, and a client's own that are lost, changed, cut, repeated and delayed.
#![no_main]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clock::Time;
use libfuzzer_sys::fuzz_target;
use peer::Certificate;
use peer::fuzzing::Association;

/// Turns of a handshake; without losses it takes three.
const TURNS: usize = 12;

fn certificates() -> &'static [Certificate; 2] {
    static BOTH: OnceLock<[Certificate; 2]> = OnceLock::new();
    BOTH.get_or_init(|| [(); 2].map(|()| Certificate::generate().expect("a certificate")))
}

/// What the input says is to happen; when it has ended, nothing is done to anything.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn next(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fuzz_target!(|data: &[u8]| {
    let [ours, theirs] = certificates();
    let mut now = Time { mono: Instant::now(), unix: Duration::from_secs(1_800_000_000) };
    let mut server = Association::server(ours, theirs.fingerprint());
    let mut client = Association::client(theirs, ours.fingerprint());
    let mut script = Script(data);
    let mut late: Vec<Vec<u8>> = Vec::new();
    client.start(now);
    for _ in 0..TURNS {
        // Somebody else's, from the client's address.
        for _ in 0..script.next() % 4 {
            let len = script.next() << 4 | script.next() & 15;
            server.handle(now, script.take(len));
        }
        for mut datagram in client.sends() {
            let at = |script: &mut Script<'_>, len: usize| (script.next() << 8 | script.next()) % len.max(1);
            match script.next() % 8 {
                1 => continue,
                2 => server.handle(now, &datagram),
                3 => {
                    let at = at(&mut script, datagram.len());
                    datagram[at] ^= script.next() as u8;
                }
                4 => datagram.truncate(at(&mut script, datagram.len())),
                5 => {
                    late.push(datagram);
                    continue;
                }
                6 => {
                    let at = at(&mut script, datagram.len());
                    let len = script.next();
                    for (to, from) in datagram[at..].iter_mut().zip(script.take(len)) {
                        *to = *from;
                    }
                }
                _ => {}
            }
            server.handle(now, &datagram);
        }
        for datagram in std::mem::take(&mut late) {
            server.handle(now, &datagram);
        }
        for datagram in server.sends() {
            client.handle(now, &datagram);
        }
        if client.connected.is_some() {
            client.send(now, b"said");
        }
        now = now.after(Duration::from_millis(300));
        client.handle_timeout(now);
        server.handle_timeout(now);
    }
    if let (Some(here), Some(there)) = (server.connected, client.connected) {
        assert_eq!(here, there, "both ends have the same profile");
    }
    assert!(server.heard.iter().all(|heard| heard == b"said"), "nobody else is heard");
});
