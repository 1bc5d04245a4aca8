use std::net::SocketAddr;

use super::*;
use crate::access::{Issued, issue_for_key, issue_for_secret, long_term_key};

const START: u64 = 1_700_000_000;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A server and the time in which it lives.
struct World {
    server: Server,
    now: Time,
    transactions: u8,
}

/// An answer, taken apart.
#[derive(Debug)]
struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    fn read(&self) -> Message<'_> {
        Message::parse(&self.bytes).unwrap()
    }

    /// 0 for success.
    fn code(&self) -> u16 {
        match (self.read().class, self.read().attribute(attribute::ERROR_CODE)) {
            (Class::Success, None) => 0,
            (Class::Error, Some([_, _, hundreds, rest, ..])) => u16::from(*hundreds) * 100 + u16::from(*rest),
            other => panic!("{other:?}"),
        }
    }

    fn lifetime(&self) -> u32 {
        self.read().u32(attribute::LIFETIME).unwrap()
    }
}

type Attributes<'a> = &'a [(u16, &'a [u8])];

const UDP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);

impl World {
    #[allow(clippy::disallowed_methods)] // a test has to begin somewhere
    fn new(config: Config) -> Self {
        let access = Access { keys: vec![("key".into(), "secret".into())], secret: Some("shared".into()) };
        let policy = Policy { own: vec![addr("10.0.0.1:7882")], ..Policy::default() };
        let now = Time { mono: Instant::now(), unix: Duration::from_secs(START) };
        Self { server: Server::new(config, access, policy, [9; 32]), now, transactions: 0 }
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
        self.server.handle_timeout(self.now);
    }

    fn send(&mut self, flow: Flow, message: &[u8]) -> Answer {
        let mut out = Vec::new();
        match self.server.from_client(self.now, flow, message, &mut out) {
            Deed::Reply => {}
            Deed::Allocate(request) => {
                let relayed = SocketAddr::new([203, 0, 113, 1].into(), 30_000 + request.relay().0 as u16);
                self.server.finish(self.now, request, Some(relayed), &mut out);
            }
            other => panic!("{other:?}"),
        }
        Answer { bytes: out }
    }

    fn nonce(&mut self, flow: Flow) -> String {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, Method::Allocate, Class::Request, [0; 12]).finish(None, false);
        let answer = self.send(flow, &bytes);
        assert_eq!(answer.code(), 401);
        assert_eq!(answer.read().text(attribute::REALM), Some("livekit"));
        answer.read().text(attribute::NONCE).unwrap().into()
    }

    fn ask(&mut self, flow: Flow, user: &Issued, method: Method, attributes: Attributes<'_>) -> Answer {
        let nonce = self.nonce(flow);
        self.ask_with(flow, user, &nonce, method, attributes)
    }

    fn ask_with(
        &mut self,
        flow: Flow,
        user: &Issued,
        nonce: &str,
        method: Method,
        attributes: Attributes<'_>,
    ) -> Answer {
        self.transactions += 1;
        let bytes = request(user, nonce, method, attributes, [self.transactions; 12]);
        self.send(flow, &bytes)
    }

    fn allocate(&mut self, flow: Flow, user: &Issued) -> Answer {
        self.ask(flow, user, Method::Allocate, &[UDP])
    }

    fn relay_of(&self, flow: Flow) -> RelayId {
        self.server.allocations[&flow].relay
    }
}

fn request(
    user: &Issued,
    nonce: &str,
    method: Method,
    attributes: Attributes<'_>,
    transaction: [u8; 12],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, method, Class::Request, transaction);
    for (kind, value) in attributes {
        writer = writer.attribute(*kind, value);
    }
    let key = long_term_key(&user.username, "livekit", &user.credential);
    writer
        .attribute(attribute::USERNAME, user.username.as_bytes())
        .attribute(attribute::REALM, b"livekit")
        .attribute(attribute::NONCE, nonce.as_bytes())
        .finish(Some(&key), true);
    bytes
}

fn peer(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    // With a transaction of zeros an IPv6 address would be XORed with it: these are IPv4.
    Writer::new(&mut bytes, Method::Send, Class::Indication, [0; 12])
        .address(attribute::XOR_PEER_ADDRESS, addr(text))
        .finish(None, false);
    bytes[24..].to_vec()
}

fn send_indication(to: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes, Method::Send, Class::Indication, [3; 12])
        .address(attribute::XOR_PEER_ADDRESS, addr(to))
        .attribute(attribute::DATA, data)
        .finish(None, false);
    bytes
}

fn flow(port: u16) -> Flow {
    Flow {
        client: ([192, 0, 2, 1], port).into(),
        server: addr("203.0.113.1:3478"),
        transport: Transport::Udp,
    }
}

fn ada() -> Issued {
    issue_for_key("key", "secret", "PA_ada", START + 300)
}

#[test]
fn a_client_relays_by_indications_and_by_a_channel() {
    let mut w = World::new(Config::default());
    let answer = w.allocate(flow(1), &ada());
    assert_eq!((answer.code(), answer.lifetime()), (0, 600));
    let key = long_term_key(&ada().username, "livekit", &ada().credential);
    assert!(answer.read().verify(&key));
    assert_eq!(answer.read().address(attribute::XOR_MAPPED_ADDRESS), Some(flow(1).client));
    assert_eq!(answer.read().address(attribute::XOR_RELAYED_ADDRESS), Some(addr("203.0.113.1:30001")));
    let relay = w.relay_of(flow(1));

    // Before the permission nothing passes, either way.
    let (mut out, hello) = (Vec::new(), send_indication("8.8.8.8:5000", b"hello"));
    assert!(matches!(w.server.from_client(w.now, flow(1), &hello, &mut out), Deed::Nothing));
    assert_eq!(w.server.from_peer(w.now, relay, addr("8.8.8.8:5000"), b"x", &mut out), None);
    assert_eq!(w.server.counters().unpermitted, 2);

    let to = peer("8.8.8.8:5000");
    let answer = w.ask(flow(1), &ada(), Method::CreatePermission, &[(attribute::XOR_PEER_ADDRESS, &to)]);
    assert_eq!(answer.code(), 0);
    match w.server.from_client(w.now, flow(1), &hello, &mut out) {
        Deed::Relay { relay: of, peer, data } => {
            assert_eq!((of, peer, data), (relay, addr("8.8.8.8:5000"), &b"hello"[..]));
        }
        other => panic!("{other:?}"),
    }
    // A permission is for an address, whatever the port (RFC 8656 section 9).
    assert_eq!(w.server.from_peer(w.now, relay, addr("8.8.8.8:6000"), b"back", &mut out), Some(flow(1)));
    let back = Message::parse(&out).unwrap();
    assert_eq!((back.method, back.class), (Method::Data, Class::Indication));
    assert_eq!(back.attribute(attribute::DATA), Some(&b"back"[..]));
    assert_eq!(back.address(attribute::XOR_PEER_ADDRESS), Some(addr("8.8.8.8:6000")));

    let number = (attribute::CHANNEL_NUMBER, &[0x40, 1, 0, 0][..]);
    let answer = w.ask(flow(1), &ada(), Method::ChannelBind, &[number, (attribute::XOR_PEER_ADDRESS, &to)]);
    assert_eq!(answer.code(), 0);
    match w.server.from_client(w.now, flow(1), b"\x40\x01\x00\x03abc\0", &mut out) {
        Deed::Relay { peer, data, .. } => assert_eq!((peer, data), (addr("8.8.8.8:5000"), &b"abc"[..])),
        other => panic!("{other:?}"),
    }
    assert_eq!(w.server.from_peer(w.now, relay, addr("8.8.8.8:5000"), b"abc", &mut out), Some(flow(1)));
    assert_eq!(out, b"\x40\x01\x00\x03abc", "no padding over UDP");
    assert!(matches!(w.server.from_client(w.now, flow(1), b"\x40\x02\x00\x00", &mut out), Deed::Nothing));
    assert_eq!((w.server.counters().to_peers, w.server.counters().from_peers), (2, 2));
}

#[test]
fn both_kinds_of_credentials_are_good_until_they_expire_and_an_allocation_outlives_them() {
    let mut w = World::new(Config::default());
    let bob = issue_for_secret("shared", "bob", START + 300);
    assert_eq!(w.allocate(flow(1), &ada()).code(), 0);
    assert_eq!(w.allocate(flow(2), &bob).code(), 0);
    w.wait(300);
    assert_eq!(w.allocate(flow(3), &ada()).code(), 401);
    assert_eq!(w.allocate(flow(3), &bob).code(), 401);
    assert_eq!(w.ask(flow(1), &ada(), Method::Refresh, &[]).code(), 0);
    let mut wrong = ada();
    wrong.credential.push('x');
    assert_eq!(w.ask(flow(1), &wrong, Method::Refresh, &[]).code(), 401);
    // Another user with good credentials has no say either.
    let eve = issue_for_key("key", "secret", "PA_eve", START + 900);
    assert_eq!(w.ask(flow(1), &eve, Method::Refresh, &[]).code(), 441);
}

#[test]
fn lifetimes_are_bounded_and_end() {
    let mut w = World::new(Config::default());
    for (port, asked, given) in [(1, 1u32, 600), (2, 1200, 1200), (3, 100_000, 3600)] {
        let lifetime = asked.to_be_bytes();
        let answer = w.ask(flow(port), &ada(), Method::Allocate, &[UDP, (attribute::LIFETIME, &lifetime)]);
        assert_eq!((answer.code(), answer.lifetime()), (0, given));
    }
    let (first, second) = (w.relay_of(flow(1)), w.relay_of(flow(2)));
    assert_eq!(w.server.poll_timeout(), Some(w.now.mono + Duration::from_secs(600)));
    w.wait(599);
    assert_eq!(w.server.poll_closed(), None);
    w.wait(1);
    assert_eq!(w.server.poll_closed(), Some(first));
    assert_eq!(
        w.ask(flow(1), &ada(), Method::Refresh, &[]).code(),
        401,
        "the credentials have expired with it"
    );
    // A refresh of zero ends one at once.
    let answer = w.ask(flow(2), &ada(), Method::Refresh, &[(attribute::LIFETIME, &[0; 4])]);
    assert_eq!((answer.code(), answer.lifetime(), w.server.poll_closed()), (0, 0, Some(second)));
    let fresh = issue_for_key("key", "secret", "PA_ada", START + 9000);
    assert_eq!(w.ask(flow(2), &fresh, Method::Refresh, &[]).code(), 437);
    assert_eq!(w.server.allocations(), 1);
    w.server.gone(flow(3));
    w.server.gone(flow(3));
    assert_eq!((w.server.allocations(), w.server.users.len(), w.server.flows.len()), (0, 0, 0));
}

#[test]
fn permissions_and_channels_expire_unless_refreshed() {
    let mut w = World::new(Config::default());
    let lifetime = 3600u32.to_be_bytes();
    w.ask(flow(1), &ada(), Method::Allocate, &[UDP, (attribute::LIFETIME, &lifetime)]);
    let (relay, to) = (w.relay_of(flow(1)), peer("8.8.8.8:5000"));
    let bind: Attributes<'_> =
        &[(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]), (attribute::XOR_PEER_ADDRESS, &to)];
    assert_eq!(w.ask(flow(1), &ada(), Method::ChannelBind, bind).code(), 0);
    let mut out = Vec::new();
    let hears =
        |w: &mut World, out: &mut Vec<u8>| w.server.from_peer(w.now, relay, addr("8.8.8.8:5000"), b"x", out);
    w.wait(299);
    assert!(hears(&mut w, &mut out).is_some());
    w.wait(1);
    assert!(hears(&mut w, &mut out).is_none(), "the permission lasts 300 s, the channel 600 s");
    let permit: Attributes<'_> = &[(attribute::XOR_PEER_ADDRESS, &to)];
    assert_eq!(w.ask(flow(1), &ada(), Method::CreatePermission, permit).code(), 0);
    assert!(hears(&mut w, &mut out).is_some());
    assert_eq!(out[0], 0x40, "and the channel is still there");
    w.wait(299);
    assert!(matches!(
        w.server.from_client(w.now, flow(1), b"\x40\x00\x00\x00", &mut out),
        Deed::Relay { .. }
    ));
    w.wait(1);
    assert!(matches!(w.server.from_client(w.now, flow(1), b"\x40\x00\x00\x00", &mut out), Deed::Nothing));
}

#[test]
fn a_channel_is_bound_to_one_peer_and_a_peer_to_one_channel() {
    let mut w = World::new(Config::default());
    w.allocate(flow(1), &ada());
    let (one, other) = (peer("8.8.8.8:1"), peer("8.8.8.8:2"));
    let mut bind = |number: u16, to: &[u8]| {
        let number = [number.to_be_bytes(), [0, 0]].concat();
        let attributes = [(attribute::CHANNEL_NUMBER, &number[..]), (attribute::XOR_PEER_ADDRESS, to)];
        w.ask(flow(1), &ada(), Method::ChannelBind, &attributes).code()
    };
    assert_eq!((bind(0x4000, &one), bind(0x4000, &one)), (0, 0));
    assert_eq!((bind(0x4000, &other), bind(0x4001, &one)), (400, 400));
    assert_eq!((bind(0x3fff, &other), bind(0x7fff, &other)), (400, 400));
    assert_eq!(bind(0x7ffe, &other), 0);
}

#[test]
fn forbidden_peers_are_refused_and_this_server_is_reached_at_its_media_alone() {
    let mut w = World::new(Config::default());
    w.allocate(flow(1), &ada());
    let mut permit = |peers: &[&str]| {
        let peers: Vec<Vec<u8>> = peers.iter().map(|text| peer(text)).collect();
        let attributes: Vec<_> = peers.iter().map(|p| (attribute::XOR_PEER_ADDRESS, &p[..])).collect();
        w.ask(flow(1), &ada(), Method::CreatePermission, &attributes).code()
    };
    assert_eq!(permit(&["127.0.0.1:80"]), 403);
    assert_eq!(permit(&["8.8.8.8:80", "192.168.0.1:80"]), 403);
    assert_eq!(permit(&["10.0.0.2:7882"]), 403);
    assert_eq!(permit(&["10.0.0.1:1"]), 0, "a permission has no port");
    let mut out = Vec::new();
    for (to, passes) in [("10.0.0.1:7882", true), ("10.0.0.1:6379", false), ("8.8.8.8:80", false)] {
        let deed = w.server.from_client(w.now, flow(1), &send_indication(to, b"x"), &mut out).is_relay();
        assert_eq!(deed, passes, "{to}");
    }
    let to = peer("10.0.0.1:6379");
    let bind: Attributes<'_> =
        &[(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]), (attribute::XOR_PEER_ADDRESS, &to)];
    assert_eq!(w.ask(flow(1), &ada(), Method::ChannelBind, bind).code(), 403);
    assert_eq!(w.server.counters().forbidden, 5);
}

impl Deed<'_> {
    fn is_relay(&self) -> bool {
        matches!(self, Deed::Relay { .. })
    }
}

#[test]
fn quotas_are_of_each_user_and_of_all() {
    let mut w = World::new(Config { per_user: 2, allocations: 3, ..Config::default() });
    let (bob, cyd) =
        (issue_for_secret("shared", "bob", START + 300), issue_for_secret("shared", "cyd", START + 300));
    // Credentials issued anew are the same user.
    let again = issue_for_key("key", "secret", "PA_ada", START + 299);
    assert_eq!((w.allocate(flow(1), &ada()).code(), w.allocate(flow(2), &again).code()), (0, 0));
    assert_eq!(w.allocate(flow(3), &again).code(), 486);
    assert_eq!((w.allocate(flow(4), &bob).code(), w.allocate(flow(5), &cyd).code()), (0, 486));
    w.server.gone(flow(1));
    assert_eq!(w.allocate(flow(5), &cyd).code(), 0);
    assert_eq!(w.server.counters().quota, 2);
}

#[test]
fn a_request_that_comes_twice_gets_the_same_answer_and_another_one_is_a_mismatch() {
    let mut w = World::new(Config::default());
    let nonce = w.nonce(flow(1));
    let bytes = request(&ada(), &nonce, Method::Allocate, &[UDP], [5; 12]);
    let first = w.send(flow(1), &bytes);
    let second = w.send(flow(1), &bytes);
    assert_eq!(first.bytes, second.bytes);
    assert_eq!((w.server.allocations(), w.allocate(flow(1), &ada()).code()), (1, 437));
}

#[test]
fn nonces_go_stale_and_belong_to_their_client() {
    let mut w = World::new(Config { nonce_time: Duration::from_secs(100), ..Config::default() });
    let nonce = w.nonce(flow(1));
    assert_eq!(w.ask_with(flow(1), &ada(), &nonce, Method::Allocate, &[UDP]).code(), 0);
    w.wait(100);
    let stale = w.ask_with(flow(1), &ada(), &nonce, Method::Refresh, &[]);
    assert_eq!(stale.code(), 438);
    let fresh = stale.read().text(attribute::NONCE).unwrap().to_owned();
    assert_eq!(w.ask_with(flow(1), &ada(), &fresh, Method::Refresh, &[]).code(), 0);
    let elsewhere = Flow { client: addr("198.51.100.1:1"), ..flow(1) };
    assert_eq!(w.ask_with(elsewhere, &ada(), &fresh, Method::Allocate, &[UDP]).code(), 438);
    assert_eq!(w.server.counters().stale, 2);
}

#[test]
fn what_cannot_be_had_is_refused_by_its_code() {
    let mut w = World::new(Config::default());
    for (attributes, code) in [
        (&[][..], 400),
        (&[(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0][..])], 442),
        (&[UDP, (attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])], 440),
        (&[UDP, (attribute::REQUESTED_ADDRESS_FAMILY, &[9, 0, 0, 0])], 440),
        (&[UDP, (attribute::EVEN_PORT, &[0x80])], 508),
        // DONT-FRAGMENT and RESERVATION-TOKEN.
        (&[UDP, (0x001a, &[])], 420),
        (&[UDP, (0x0022, &[0; 8])], 420),
    ] {
        assert_eq!(w.ask(flow(1), &ada(), Method::Allocate, attributes).code(), code, "{attributes:?}");
    }
    // What may be ignored is.
    assert_eq!(w.ask(flow(1), &ada(), Method::Allocate, &[UDP, (0x8000, &[2, 0, 0, 0])]).code(), 0);
    for method in [Method::CreatePermission, Method::ChannelBind] {
        assert_eq!(w.ask(flow(1), &ada(), method, &[]).code(), 400);
    }
    let six = (attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0][..]);
    assert_eq!(w.ask(flow(1), &ada(), Method::Refresh, &[six]).code(), 443);
    assert_eq!(w.ask(flow(2), &ada(), Method::Refresh, &[]).code(), 437);

    // No port is left.
    let nonce = w.nonce(flow(3));
    let bytes = request(&ada(), &nonce, Method::Allocate, &[UDP], [1; 12]);
    let mut out = Vec::new();
    let Deed::Allocate(request) = w.server.from_client(w.now, flow(3), &bytes, &mut out) else { panic!() };
    w.server.finish(w.now, request, None, &mut out);
    assert_eq!((Answer { bytes: out }).code(), 508);
    assert_eq!(w.server.allocations(), 1);
}

#[test]
fn an_indication_that_asks_for_what_is_not_known_goes_nowhere() {
    let mut w = World::new(Config::default());
    w.allocate(flow(1), &ada());
    let to = peer("8.8.8.8:5000");
    let permit: Attributes<'_> = &[(attribute::XOR_PEER_ADDRESS, &to)];
    assert_eq!(w.ask(flow(1), &ada(), Method::CreatePermission, permit).code(), 0);
    let mut out = Vec::new();
    // DONT-FRAGMENT, and an attribute that may be ignored.
    for (kind, passes) in [(0x001a, false), (0x8022, true)] {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, Method::Send, Class::Indication, [3; 12])
            .address(attribute::XOR_PEER_ADDRESS, addr("8.8.8.8:5000"))
            .attribute(attribute::DATA, b"x")
            .attribute(kind, &[])
            .finish(None, false);
        assert_eq!(w.server.from_client(w.now, flow(1), &bytes, &mut out).is_relay(), passes, "{kind:x}");
    }
    assert_eq!(w.server.counters().malformed, 1);
}

#[test]
fn what_has_expired_is_in_nobodys_way_before_the_clock_tells() {
    let mut w = World::new(Config { per_user: 1, ..Config::default() });
    w.allocate(flow(1), &ada());
    let first = w.relay_of(flow(1));
    // No timer fires in between.
    w.now = w.now.after(Duration::from_secs(600));
    let later = issue_for_key("key", "secret", "PA_ada", START + 900);
    assert_eq!(w.allocate(flow(1), &later).code(), 0);
    assert_eq!((w.server.poll_closed(), w.server.allocations()), (Some(first), 1));
    assert_ne!(w.relay_of(flow(1)), first);
}

#[test]
fn streams_get_padding() {
    let mut w = World::new(Config::default());
    let tcp = Flow { transport: Transport::Tcp, ..flow(1) };
    w.allocate(tcp, &ada());
    let to = peer("8.8.8.8:5000");
    let bind: Attributes<'_> =
        &[(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]), (attribute::XOR_PEER_ADDRESS, &to)];
    assert_eq!(w.ask(tcp, &ada(), Method::ChannelBind, bind).code(), 0);
    let mut out = Vec::new();
    w.server.from_peer(w.now, w.relay_of(tcp), addr("8.8.8.8:5000"), b"abc", &mut out).unwrap();
    assert_eq!(out, b"\x40\x00\x00\x03abc\0");
}

#[test]
fn damaged_requests_change_nothing_and_never_panic() {
    let mut w = World::new(Config::default());
    let nonce = w.nonce(flow(1));
    let whole = request(&ada(), &nonce, Method::Allocate, &[UDP], [5; 12]);
    let mut out = Vec::new();
    for len in 0..whole.len() {
        let deed = w.server.from_client(w.now, flow(1), &whole[..len], &mut out);
        assert!(!matches!(deed, Deed::Allocate(_) | Deed::Relay { .. }), "cut at {len}");
    }
    // But for the fingerprint, which anybody may leave out.
    for bit in 0..(whole.len() - 8) * 8 {
        let mut copy = whole.clone();
        copy[bit / 8] ^= 1 << (bit % 8);
        let deed = w.server.from_client(w.now, flow(1), &copy, &mut out);
        assert!(!matches!(deed, Deed::Allocate(_) | Deed::Relay { .. }), "bit {bit}");
    }
    assert_eq!(w.server.allocations(), 0);
}

#[test]
fn anybody_learns_their_address() {
    let mut w = World::new(Config::default());
    let mut bytes = Vec::new();
    Writer::new(&mut bytes, Method::Binding, Class::Request, [1; 12]).finish(None, true);
    let answer = w.send(flow(77), &bytes);
    assert_eq!(answer.read().address(attribute::XOR_MAPPED_ADDRESS), Some(flow(77).client));
}
