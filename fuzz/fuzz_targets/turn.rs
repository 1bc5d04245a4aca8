//! The TURN server against whatever a client or a peer may send, with and without an allocation.
#![no_main]

use std::time::{Duration, Instant};

use clock::Time;
use libfuzzer_sys::fuzz_target;
use turn::{Access, Config, Deed, Flow, Incoming, Policy, Server, Transport, split_stream};

fuzz_target!(|data: &[u8]| {
    let now = Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) };
    let access = Access { keys: vec![("key".into(), "secret".into())], secret: Some("secret".into()) };
    let mut server = Server::new(Config::default(), access, Policy::default(), [7; 32]);
    let flow =
        Flow { client: ([192, 0, 2, 1], 1).into(), server: ([192, 0, 2, 2], 3478).into(), transport: Transport::Tcp };
    let mut out = Vec::new();
    let mut rest = data;
    while let Incoming::Whole { message, taken } = split_stream(rest) {
        match server.from_client(now, flow, message, &mut out) {
            Deed::Allocate(request) => {
                let relay = request.relay();
                server.finish(now, request, Some(([203, 0, 113, 1], 30_000).into()), &mut out);
                server.from_peer(now, relay, ([8, 8, 8, 8], 1).into(), message, &mut out);
            }
            Deed::Relay { data, .. } => assert!(data.len() <= message.len()),
            Deed::Nothing | Deed::Reply => {}
        }
        rest = &rest[taken..];
    }
    server.from_client(now, flow, data, &mut out);
    turn::mapped_address(data, [0; 12]);
    server.handle_timeout(now.after(Duration::from_secs(4000)));
});
