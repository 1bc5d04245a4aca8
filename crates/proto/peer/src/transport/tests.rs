//! Whole transports against each other.

mod moves;

use std::time::Duration;

use rand::{Rng, SeedableRng};

use super::*;
use crate::testbed::{End, Net, Setup, addr, certificate, host};
use crate::{Carrier, Class, DtlsVersions, Fingerprint, classify};

const SECOND: Duration = Duration::from_secs(1);

fn keys_of(end: &mut End) -> Box<crate::Keys> {
    let index = end.events.iter().position(|e| matches!(e, Event::Keys(_))).expect("no keys");
    let Event::Keys(keys) = end.events.swap_remove(index) else { unreachable!() };
    keys
}

/// Both ends hold the same keys: what one seals the other opens.
fn assert_keys_match(net: &mut Net) {
    let [a, b] = &mut net.ends;
    let (mut a, mut b) = (keys_of(a), keys_of(b));
    assert_eq!(a.profile, b.profile);
    cross(&mut a, &mut b);
    cross(&mut b, &mut a);
}

fn cross(from: &mut crate::Keys, to: &mut crate::Keys) {
    // RFC 3550 section 5.1: version 2, sequence 1, SSRC 9.
    let mut packet = vec![0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
    packet.extend_from_slice(b"media");
    let plain = packet.clone();
    packet.resize(plain.len() + 32, 0);
    let sealed = from.outbound.seal_rtp(&mut packet, 12, plain.len()).unwrap();
    packet.truncate(sealed);
    let opened = to.inbound.open_rtp(&mut packet, 12).unwrap();
    assert_eq!(&packet[..opened], plain);
}

#[test]
fn a_browser_connects_to_a_lite_server() {
    let mut net = Net::described(1, [Setup::server(), Setup::browser()]);
    let began = net.now;
    net.connect();
    assert!(net.now.since(began.mono) < Duration::from_millis(500), "took {:?}", net.now.since(began.mono));
    for end in &net.ends {
        let names: Vec<_> = end.events.iter().map(std::mem::discriminant).collect();
        let at = |wanted: &Event| names.iter().position(|n| *n == std::mem::discriminant(wanted));
        let keys = end.events.iter().position(|e| matches!(e, Event::Keys(_)));
        assert!(keys < at(&Event::Connected), "keys come before the connection: {:?}", end.events);
    }
    let path = net.ends[0].transport.selected().unwrap();
    assert_eq!(path, Path { local: addr("192.0.2.1:7882"), remote: addr("198.51.100.7:50000") });
    assert_keys_match(&mut net);
}

#[test]
fn every_combination_of_roles_and_versions_connects() {
    use DtlsVersions::{Any, Only12, Only13};
    let versions = [(Any, Any), (Only12, Any), (Any, Only12), (Only13, Any), (Any, Only13), (Only12, Only12)];
    let mut seed = 0;
    for (ours, theirs) in versions {
        for lite in [true, false] {
            for controlling in [true, false] {
                for dtls in [DtlsRole::Client, DtlsRole::Server] {
                    if lite && controlling {
                        continue;
                    }
                    seed += 1;
                    let mut server = Setup::server();
                    (server.lite, server.controlling, server.dtls) = (lite, controlling, dtls);
                    server.config.dtls = ours;
                    let mut browser = Setup::browser();
                    browser.controlling = !controlling;
                    browser.dtls = if dtls == DtlsRole::Client { DtlsRole::Server } else { DtlsRole::Client };
                    browser.config.dtls = theirs;
                    let what = format!("{ours:?}/{theirs:?} lite {lite} controlling {controlling} {dtls:?}");
                    let mut net = Net::described(seed, [server, browser]);
                    net.run(&what, 10 * SECOND, |net| net.ends.iter().all(End::is_connected));
                    assert!(
                        net.ends
                            .iter()
                            .all(|e| e.has(|e| matches!(e, Event::Keys(k) if k.profile.is_aead())))
                    );
                    assert_keys_match(&mut net);
                }
            }
        }
    }
}

#[test]
fn versions_without_common_ground_fail() {
    for (ours, theirs) in
        [(DtlsVersions::Only12, DtlsVersions::Only13), (DtlsVersions::Only13, DtlsVersions::Only12)]
    {
        let (mut server, mut browser) = (Setup::server(), Setup::browser());
        (server.config.dtls, browser.config.dtls) = (ours, theirs);
        let mut net = Net::described(2, [server, browser]);
        net.run("the server fails", 40 * SECOND, |net| {
            net.ends[0].has(|e| matches!(e, Event::Failed(FailReason::Dtls)))
        });
        assert!(!net.ends[1].has(|e| matches!(e, Event::Keys(_))));
    }
}

#[test]
fn a_fifth_of_the_datagrams_may_be_lost() {
    for seed in 0..24 {
        for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
            let (mut server, mut browser) = (Setup::server(), Setup::browser());
            server.config.dtls = versions;
            browser.config.dtls = versions;
            if seed % 2 == 1 {
                (server.dtls, browser.dtls) = (DtlsRole::Client, DtlsRole::Server);
            }
            let mut net = Net::described(seed, [server, browser]);
            net.loss = 0.2;
            net.duplicates = 0.05;
            net.jitter = Duration::from_millis(30);
            net.connect();
            assert_keys_match(&mut net);
        }
    }
}

/// USE-CANDIDATE, RFC 8445 section 16.1, without value.
fn nominates(datagram: &[u8]) -> bool {
    datagram[0] == 0 && datagram.windows(4).any(|w| w == [0x00, 0x25, 0x00, 0x00])
}

#[test]
fn dtls_is_taken_before_nomination() {
    let mut net = Net::described(3, [Setup::server(), Setup::browser()]);
    net.tamper = Some(Box::new(|from, bytes| from == 0 || !nominates(bytes)));
    net.run("keys", SECOND, |net| net.ends[0].has(|e| matches!(e, Event::Keys(_))));
    assert_eq!(net.ends[0].transport.selected(), None);
    assert!(!net.ends[0].is_connected());
    net.tamper = None;
    net.connect();
}

#[test]
fn dtls_from_an_unchecked_address_is_refused() {
    let mut net = Net::described(4, [Setup::server(), Setup::browser()]);
    let hello = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0];
    let to = addr("192.0.2.1:7882");
    let server = &mut net.ends[0].transport;
    assert_eq!(server.handle_dtls(net.now, addr("203.0.113.9:1"), to, &hello), Err(Reject::Unchecked));
    net.connect();
    let server = &mut net.ends[0].transport;
    assert_eq!(server.handle_dtls(net.now, addr("203.0.113.9:1"), to, &hello), Err(Reject::Unchecked));
    assert!(server.knows(addr("198.51.100.7:50000")) && !server.knows(addr("203.0.113.9:1")));
}

#[test]
fn either_description_may_come_late() {
    for late in 0..2 {
        let mut net = Net::new(5, [Setup::server(), Setup::browser()]);
        net.describe(late, 1 - late);
        net.run_for(2 * SECOND);
        assert!(!net.ends.iter().any(End::is_connected));
        net.describe(1 - late, late);
        net.connect();
    }
}

#[test]
fn candidates_may_be_trickled() {
    let (mut server, browser) = (Setup::server(), Setup::browser());
    (server.lite, server.tells_candidates) = (false, false);
    let mut net = Net::described(6, [server, browser]);
    net.run_for(SECOND);
    assert!(!net.ends.iter().any(End::is_connected));
    net.ends[1].transport.add_candidate(net.now, &host(Carrier::Udp, addr("192.0.2.1:7882")));
    net.connect();
}

#[test]
fn the_families_go_together() {
    let (mut server, mut browser) = (Setup::server(), Setup::browser());
    server.addrs = vec![addr("192.0.2.1:7882"), addr("[2001:db8::1]:7882")];
    browser.addrs = vec![addr("[2001:db8::7]:50000")];
    let mut net = Net::described(7, [server, browser]);
    net.connect();
    let path = net.ends[0].transport.selected().unwrap();
    assert_eq!(path, Path { local: addr("[2001:db8::1]:7882"), remote: addr("[2001:db8::7]:50000") });
}

fn restart(net: &mut Net, index: usize) {
    let credentials = Credentials { ufrag: format!("00restart0{index}0"), pwd: "a".repeat(24) };
    net.ends[index].credentials = credentials.clone();
    net.ends[index].transport.restart_ice(net.now, credentials);
}

#[test]
fn ice_restarts_in_any_order_of_commands_without_a_new_handshake() {
    for lite in [true, false] {
        for order in 0..4 {
            let mut server = Setup::server();
            server.lite = lite;
            let mut net = Net::described(9, [server, Setup::browser()]);
            net.connect();
            for end in &mut net.ends {
                end.events.clear();
            }
            // The browser offers new credentials, and the server answers with its own, in whichever order
            // its own signalling has it; or the server offers.
            match order {
                0 => {
                    restart(&mut net, 1);
                    restart(&mut net, 0);
                    net.describe(1, 0);
                    net.run_for(Duration::from_millis(300));
                    net.describe(0, 1);
                }
                1 => {
                    restart(&mut net, 1);
                    net.describe(1, 0);
                    restart(&mut net, 0);
                    net.run_for(Duration::from_millis(300));
                    net.describe(0, 1);
                }
                2 => {
                    restart(&mut net, 0);
                    net.run_for(Duration::from_millis(300));
                    restart(&mut net, 1);
                    net.describe(0, 1);
                    net.run_for(Duration::from_millis(300));
                    net.describe(1, 0);
                }
                // Another network, too.
                _ => {
                    net.ends[1].nat = Some((addr("198.51.100.7:50000"), addr("203.0.113.5:1024")));
                    restart(&mut net, 1);
                    restart(&mut net, 0);
                    net.describe(1, 0);
                    net.describe(0, 1);
                }
            }
            net.run_for(60 * SECOND);
            for end in &net.ends {
                let wrong = |e: &Event| matches!(e, Event::Failed(_) | Event::Keys(_) | Event::Disconnected);
                assert!(end.is_connected() && !end.has(wrong), "lite {lite} order {order}: {:?}", end.events);
            }
            if order == 3 {
                assert_eq!(net.ends[0].transport.selected().unwrap().remote, addr("203.0.113.5:1024"));
            }
        }
    }
}

#[test]
fn old_credentials_hold_until_the_new_ones_are_used() {
    let mut net = Net::connected(10);
    restart(&mut net, 0);
    // The browser has not heard of it and keeps its consent fresh.
    net.run_for(40 * SECOND);
    assert!(net.ends.iter().all(End::is_connected));
    restart(&mut net, 1);
    net.describe(0, 1);
    net.describe(1, 0);
    net.run_for(5 * SECOND);
    assert!(net.ends.iter().all(End::is_connected));
}

#[test]
fn a_wrong_fingerprint_gives_no_keys() {
    for wrong in 0..2 {
        for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
            let mut setups = [Setup::server(), Setup::browser()];
            for setup in &mut setups {
                setup.config.dtls = versions;
            }
            let mut net = Net::new(11, setups);
            net.describe(wrong, 1 - wrong);
            let mut description = net.ends[1 - wrong].description(1 - wrong);
            description.fingerprints = vec![Fingerprint([0; 32]), certificate(wrong).fingerprint()];
            net.ends[wrong].transport.set_remote(net.now, &description);
            net.run("the failure", 10 * SECOND, |net| {
                net.ends[wrong].has(|e| matches!(e, Event::Failed(FailReason::Fingerprint)))
            });
            net.run_for(5 * SECOND);
            assert!(!net.ends[wrong].has(|e| matches!(e, Event::Keys(_) | Event::Connected)));
        }
    }
}

#[test]
fn any_of_several_fingerprints_will_do() {
    let mut net = Net::new(12, [Setup::server(), Setup::browser()]);
    net.describe(0, 1);
    let mut description = net.ends[1].description(1);
    description.fingerprints.insert(0, Fingerprint([1; 32]));
    net.ends[0].transport.set_remote(net.now, &description);
    net.connect();
}

#[test]
fn goodbye_is_heard() {
    for leaver in 0..2 {
        for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
            let (mut server, mut browser) = (Setup::server(), Setup::browser());
            (server.config.dtls, browser.config.dtls) = (versions, versions);
            let mut net = Net::described(13, [server, browser]);
            net.connect();
            let now = net.now;
            net.ends[leaver].transport.close(now);
            net.run("the other end hears it", SECOND, |net| {
                net.ends[1 - leaver].has(|e| matches!(e, Event::Failed(FailReason::Closed)))
            });
            assert_eq!(net.ends[leaver].transport.poll_timeout(), None);
            assert_eq!(net.ends[1 - leaver].transport.poll_timeout(), None);
        }
    }
}

fn at(net: &mut Net, began: Time, what: &str, wanted: impl Fn(&Event) -> bool) -> Duration {
    net.run(what, 60 * SECOND, |net| net.ends[0].has(&wanted));
    net.now.since(began.mono)
}

#[test]
fn silence_disconnects_after_ten_seconds_and_fails_five_later() {
    for lite in [true, false] {
        let mut server = Setup::server();
        server.lite = lite;
        let mut net = Net::described(14, [server, Setup::browser()]);
        net.connect();
        net.run_for(20 * SECOND);
        net.ends[1].silent = true;
        let began = net.now;
        let disconnected = at(&mut net, began, "disconnected", |e| matches!(e, Event::Disconnected));
        // The last check came up to one period (3 s) before.
        assert!((7 * SECOND..=10 * SECOND + SECOND / 10).contains(&disconnected), "{disconnected:?}");
        let failed = at(&mut net, began, "failed", |e| matches!(e, Event::Failed(FailReason::IceTimeout)));
        assert_eq!((failed - disconnected).as_secs(), 5);
    }
}

#[test]
fn a_renegotiation_does_not_prolong_silence() {
    let mut net = Net::connected(22);
    net.ends[1].silent = true;
    let began = net.now;
    while net.now.since(began.mono) < 20 * SECOND {
        net.run_for(SECOND);
        net.describe(1, 0);
    }
    assert!(net.ends[0].has(|e| matches!(e, Event::Failed(FailReason::IceTimeout))));
}

#[test]
fn a_peer_that_comes_back_is_connected_again() {
    let mut net = Net::connected(15);
    net.ends[1].silent = true;
    let began = net.now;
    at(&mut net, began, "disconnected", |e| matches!(e, Event::Disconnected));
    net.ends[1].silent = false;
    net.ends[0].events.clear();
    at(&mut net, began, "connected again", |e| matches!(e, Event::Connected));
    assert!(net.ends[0].is_connected());
}

#[test]
fn a_restart_brings_back_what_had_failed_for_want_of_ice() {
    let mut net = Net::connected(16);
    net.ends[1].silent = true;
    let began = net.now;
    at(&mut net, began, "failed", |e| matches!(e, Event::Failed(FailReason::IceTimeout)));
    net.ends[1].silent = false;
    net.ends[0].events.clear();
    restart(&mut net, 1);
    restart(&mut net, 0);
    net.describe(0, 1);
    net.describe(1, 0);
    net.run("connected again", 10 * SECOND, |net| net.ends.iter().all(End::is_connected));
    assert!(!net.ends[0].has(|e| matches!(e, Event::Keys(_))));
}

#[test]
fn authentic_media_is_a_sign_of_life() {
    let mut net = Net::connected(17);
    net.ends[1].silent = true;
    for _ in 0..30 {
        let now = net.now;
        net.ends[0].transport.heard(now, addr("198.51.100.7:50000"));
        // From elsewhere it says nothing about the path.
        net.ends[0].transport.heard(now, addr("203.0.113.9:1"));
        net.run_for(SECOND);
    }
    assert!(net.ends[0].is_connected());
    for _ in 0..20 {
        let now = net.now;
        net.ends[0].transport.heard(now, addr("203.0.113.9:1"));
        net.run_for(SECOND);
    }
    assert!(net.ends[0].has(|e| matches!(e, Event::Failed(FailReason::IceTimeout))));
}

#[test]
fn a_peer_that_never_comes_fails_in_time() {
    let mut net = Net::new(18, [Setup::server(), Setup::browser()]);
    net.run_for(100 * SECOND);
    assert!(net.ends[0].events.is_empty(), "nothing is expected before a description");
    net.describe(1, 0);
    let began = net.now;
    let failed = at(&mut net, began, "failed", |e| matches!(e, Event::Failed(FailReason::IceTimeout)));
    assert_eq!(failed.as_secs(), 30);
}

#[test]
fn a_peer_that_checks_but_never_shakes_hands_fails_in_time() {
    let mut net = Net::described(19, [Setup::server(), Setup::browser()]);
    net.tamper = Some(Box::new(|_, bytes| classify(bytes[0]) == Class::Stun));
    let began = net.now;
    at(&mut net, began, "failed", |e| matches!(e, Event::Failed(_)));
    assert!(net.now.since(began.mono) <= 31 * SECOND);
}

#[test]
fn garbage_between_the_datagrams_disturbs_nothing() {
    for seed in 0..20 {
        let mut net = Net::described(seed, [Setup::server(), Setup::browser()]);
        net.jitter = Duration::from_millis(5);
        let began = net.now;
        while !net.ends.iter().all(End::is_connected) {
            assert!(net.now.since(began.mono) < 20 * SECOND, "seed {seed} never connected");
            let end = net.now.mono + SECOND;
            net.step(end);
            inject(&mut net);
        }
        net.run_for(SECOND);
        assert!(net.ends.iter().all(End::is_connected), "seed {seed}");
        assert!(net.rejects > 0);
    }
}

/// Truncated copies of what is under way, and noise with the first byte of STUN or DTLS.
fn inject(net: &mut Net) {
    let mut forged = Vec::new();
    for flight in &net.flights {
        let len = net.rng.random_range(1..=flight.bytes.len());
        let mut noise: Vec<u8> = (0..len).map(|_| net.rng.random()).collect();
        noise[0] = if net.rng.random() { net.rng.random_range(20..64) } else { net.rng.random_range(0..4) };
        for bytes in [flight.bytes[..len - 1].to_vec(), noise] {
            forged.push(crate::testbed::Flight { bytes, ..flight.copied() });
        }
    }
    for flight in forged {
        net.hand_in(&flight);
    }
}

#[test]
fn flipped_bits_may_cost_the_connection_but_nothing_else() {
    for seed in 0..60 {
        let (mut server, mut browser) = (Setup::server(), Setup::browser());
        match seed % 3 {
            0 => (server.config.dtls, browser.config.dtls) = (DtlsVersions::Only12, DtlsVersions::Any),
            1 => (server.dtls, browser.dtls) = (DtlsRole::Client, DtlsRole::Server),
            _ => server.lite = false,
        }
        let mut net = Net::described(seed, [server, browser]);
        let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
        net.tamper = Some(Box::new(move |_, bytes| {
            if rng.random_bool(0.3) {
                let bit = rng.random_range(0..bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            true
        }));
        for end in &mut net.ends {
            let params = ChannelParams {
                label: "x".into(),
                ordered: true,
                reliability: Default::default(),
                negotiated: None,
            };
            end.transport.open_channel(params).unwrap();
        }
        let end = net.now.mono + 20 * SECOND;
        let mut steps = 0;
        while net.step(end) {
            steps += 1;
        }
        assert!(steps < 4000, "seed {seed}: a storm of {steps} steps");
    }
}

#[test]
fn a_seed_repeats_a_run() {
    let run = || {
        let mut net = Net::described(21, [Setup::server(), Setup::browser()]);
        net.loss = 0.3;
        let began = net.now;
        net.connect();
        net.now.since(began.mono)
    };
    assert_eq!(run(), run());
}
