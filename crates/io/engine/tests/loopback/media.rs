//! Media from one client to others, through one worker and through two.

use bytes::Bytes;
use engine::{Config, Egress, Ports, SendError, StartError};
use sfu::Command;

use crate::stage::{Stage, certificate, on};

/// Publishes on one client and takes it on the others; every packet arrives as it was sent.
pub(crate) fn call(stage: &mut Stage, from: usize, to: &[usize]) {
    let ssrc = 1000 + from as u32;
    let producer = stage.publish(from, ssrc);
    let takers: Vec<(usize, u32)> = to.iter().map(|&c| (c, 5000 + 10 * from as u32 + c as u32)).collect();
    for &(client, ssrc) in &takers {
        stage.subscribe(client, producer, ssrc);
    }
    // The first frames may come before the subscriptions, which is no loss in a live picture.
    let mut sent = 0;
    stage.until("a first packet everywhere", |s| {
        if sent < 200 {
            s.clients[from].frame(ssrc, true, 2, 900);
            sent += 1;
        }
        takers.iter().all(|&(client, ssrc)| s.received(client, ssrc) > 0)
    });
    stage.film(from, ssrc, &takers, 20, 10);
    for &(client, ssrc) in &takers {
        let sizes = stage.clients[client].media.iter().filter(|(s, _)| s.0 == ssrc).map(|(_, p)| p.len());
        assert!(sizes.into_iter().all(|size| size == 900));
    }
}

pub(crate) fn talk(stage: &mut Stage, peers: &[usize]) {
    let ids = peers.iter().map(|&c| stage.clients[c].id).collect();
    let payload = Bytes::from_static(b"to all of you");
    stage.engine.send(Command::SendData { peers: ids, label: "_reliable", payload }).unwrap();
    let all = peers.to_vec();
    stage.until("a message at everybody", |s| {
        all.iter().all(|&c| s.clients[c].messages.iter().any(|m| m == b"to all of you"))
    });
}

#[test]
fn one_worker_forwards_media_in_runs_and_data_over_both_families() {
    for ip in ["127.0.0.1", "::1"] {
        let mut stage = Stage::new(&on(ip, 1));
        let (alice, bob, carol) = (stage.join(0), stage.join(0), stage.join(0));
        call(&mut stage, alice, &[bob, carol]);
        talk(&mut stage, &[alice, bob, carol]);
        stage.engine.stop();
        assert!(stage.sum("messages_out") < stage.sum("datagrams_out"), "{:?}", stage.engine.stats());
        assert_eq!(stage.sum("foreign_out") + stage.sum("send_refused") + stage.sum("events_orphaned"), 0);
        assert_eq!(stage.sum("peers"), 3);
    }
}

#[test]
fn without_runs_the_same_arrives() {
    let mut stage = Stage::new(&Config { gso: false, gro: false, pin: false, ..on("127.0.0.1", 1) });
    let (alice, bob) = (stage.join(0), stage.join(0));
    call(&mut stage, alice, &[bob]);
    stage.engine.stop();
    assert_eq!(stage.sum("messages_out"), stage.sum("datagrams_out"));
}

#[test]
fn two_workers_share_a_port_and_media_crosses_between_them() {
    let mut stage = Stage::new(&on("127.0.0.1", 2));
    let (alice, bob) = (stage.join(0), stage.join(1));
    // The kernel spreads clients by their ports: each of these lands on the wrong worker every other time.
    for n in 0..40 {
        if stage.sum("foreign_in") > 0 {
            break;
        }
        stage.join(n % 2);
    }
    let everybody: Vec<usize> = (0..stage.clients.len()).collect();
    call(&mut stage, alice, &everybody[1..]);
    call(&mut stage, bob, &[alice]);
    talk(&mut stage, &everybody);
    stage.engine.stop();
    let stats = stage.engine.stats();
    assert!(stage.sum("foreign_in") > 0 && stage.sum("links_in") > 0, "{stats:?}");
    // What was on its way at the end stays there.
    assert!(stage.sum("foreign_in") <= stage.sum("foreign_out"), "{stats:?}");
    assert_eq!(stage.sum("foreign_overflow") + stage.sum("links_overflow"), 0, "{stats:?}");
}

#[test]
fn full_ice_on_a_shared_port_gets_its_answers_back() {
    // Given: a server that sends checks of its own, whose answers land on either worker.
    let mut stage = Stage::new(&on("127.0.0.1", 2));
    stage.lite = false;
    let (alice, bob) = (stage.join(0), stage.join(1));
    for n in 0..40 {
        if stage.sum("foreign_in") > 0 {
            break;
        }
        stage.join(n % 2);
    }
    assert!(stage.sum("foreign_in") > 0);
    call(&mut stage, alice, &[bob]);
}

#[test]
fn a_port_for_each_worker_needs_no_crossing_of_datagrams() {
    // Given: the first ports of the dynamic range (RFC 6335 section 6) that are free.
    let ports = Ports::Range { first: 49_152, last: 65_535 };
    let mut stage = Stage::new(&Config { ports, ..on("127.0.0.1", 2) });
    let (zero, one) = (stage.engine.candidates(0), stage.engine.candidates(1));
    assert_ne!(zero[0].addr.port(), one[0].addr.port());
    let (alice, bob) = (stage.join(0), stage.join(1));
    call(&mut stage, alice, &[bob]);
    stage.engine.stop();
    assert_eq!(stage.sum("foreign_out"), 0);
    assert!(stage.sum("links_in") > 0);
}

#[test]
fn a_room_spreads_where_it_is_to_and_stays_where_its_worker_has_time() {
    let mut stage = Stage::new(&Config { spread_above: 100, ..on("127.0.0.1", 2) });
    stage.join(0);
    assert_eq!(stage.engine.beside(0), 0);

    let mut stage = Stage::new(&Config { spread_above: 0, ..on("127.0.0.1", 2) });
    let alice = stage.join(0);
    // A worker that was not let run for a moment looks busier than it is.
    let start = std::time::Instant::now();
    while stage.engine.beside(0) != 1 {
        assert!(
            start.elapsed() < std::time::Duration::from_secs(30),
            "worker 1 has nobody and is not chosen"
        );
        std::thread::yield_now();
    }
    let bob = stage.join(1);
    call(&mut stage, alice, &[bob]);
}

#[test]
fn what_is_held_for_company_arrives_all_the_same() {
    // Given: workers that hold from the first per cent of load on.
    let max_hold = std::time::Duration::from_millis(5);
    let mut stage = Stage::new(&Config { egress: Egress { max_hold, hold_above: 0 }, ..on("127.0.0.1", 2) });
    let (alice, bob, carol) = (stage.join(0), stage.join(0), stage.join(1));
    call(&mut stage, alice, &[bob, carol]);
}

#[test]
fn a_stopped_engine_says_so_and_leaves_its_port_to_the_next() {
    let mut first = Stage::new(&on("127.0.0.1", 2));
    let alice = first.join(0);
    let port = first.engine.candidates(0)[0].addr.port();
    let config = Config { ports: Ports::Shared(port), ..on("127.0.0.1", 2) };
    let error = engine::start(&config, certificate()).unwrap_err();
    assert!(matches!(error, StartError::PortInUse { addr } if addr.port() == port), "{error}");

    first.engine.stop();
    first.engine.stop();
    let peer = first.clients[alice].id;
    let unsent = first.engine.send(Command::ClosePeer { peer }).unwrap_err();
    assert_eq!(unsent.0.first().map(|(error, _)| *error), Some(SendError::Stopped(0)));

    let mut second = Stage::new(&config);
    let (alice, bob) = (second.join(0), second.join(1));
    call(&mut second, alice, &[bob]);
    // Then: the last handle going away stops it, too.
    drop(second);
    Stage::new(&config).join(1);
}
