//! Clients that UDP does not reach.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use engine::{Config, StartError, TcpPort};
use peer::Carrier;

use crate::media::{call, talk};
use crate::stage::{Stage, certificate, on};

fn over_tcp(ip: &str, workers: usize) -> Config {
    Config { tcp: Some(TcpPort { port: 0, required: true }), tcp_only: true, ..on(ip, workers) }
}

#[test]
fn a_call_over_tcp_in_both_families_with_either_agent() {
    for (ip, lite) in [("127.0.0.1", true), ("::1", true), ("127.0.0.1", false), ("::1", false)] {
        let mut stage = Stage::new(&over_tcp(ip, 1));
        stage.lite = lite;
        let (alice, bob) = (stage.join(0), stage.join(0));
        call(&mut stage, alice, &[bob]);
        talk(&mut stage, &[alice, bob]);
        assert_eq!(stage.sum("streams_in"), 2);
        assert_eq!((stage.sum("streams_overflow"), stage.sum("messages_out")), (0, 0));
        // An agent that checks may do so before the client has connected.
        assert!(!lite || stage.sum("send_refused") == 0);
    }
}

#[test]
fn a_connection_goes_to_the_worker_of_its_user_fragment_and_meets_udp_there() {
    let tcp = Some(TcpPort { port: 0, required: true });
    let mut stage = Stage::new(&Config { tcp, ..on("127.0.0.1", 2) });
    let alice = stage.join(0);
    stage.carrier = Carrier::Tcp;
    let (bob, carol) = (stage.join(0), stage.join(1));
    call(&mut stage, alice, &[bob, carol]);
    call(&mut stage, carol, &[alice, bob]);
    let stats = stage.engine.stats();
    assert!(stats.iter().all(|worker| worker.streams_in == 1), "{stats:?}");
}

#[test]
fn a_slow_client_loses_media_of_its_own_and_delays_nobody() {
    let mut stage = Stage::new(&over_tcp("127.0.0.1", 1));
    let (alice, bob, slow) = (stage.join(0), stage.join(0), stage.join(0));
    let producer = stage.publish(alice, 11);
    stage.subscribe(bob, producer, 55);
    stage.subscribe(slow, producer, 66);
    stage.clients[slow].reads = false;
    stage.until("the slow one to lose something", |s| {
        s.clients[alice].frame(11, true, 10, 1000);
        s.sum("streams_overflow") > 100
    });
    stage.film(alice, 11, &[(bob, 55)], 20, 10);

    // When: it reads again, Then: what waited arrives whole, and what comes next with it.
    stage.clients[slow].reads = true;
    let before = stage.received(slow, 66);
    stage.until("media again", |s| {
        s.clients[alice].frame(11, true, 2, 1000);
        s.received(slow, 66) > before + 400
    });
}

#[test]
fn a_client_that_connects_anew_goes_on() {
    let mut stage = Stage::new(&over_tcp("127.0.0.1", 1));
    let (alice, bob) = (stage.join(0), stage.join(0));
    stage.reconnect(bob);
    stage.until("its next check", |s| s.sum("streams_in") == 3);
    call(&mut stage, alice, &[bob]);
    stage.until("the old connection to be gone", |s| s.sum("streams") == 2);
}

#[test]
fn strangers_are_shown_out_and_disturb_nobody() {
    let mut stage = Stage::new(&over_tcp("127.0.0.1", 1));
    let address = stage.engine.candidates(0)[0].addr;
    // A check for nobody, complete, with a user fragment that names a worker that there is.
    let mut check = vec![0, 1, 0, 20, 0x21, 0x12, 0xa4, 0x42];
    check.extend([7; 12]);
    check.extend([0, 6, 0, 14]);
    check.extend(b"00AAAAAAAAAA:x\0\0");
    let framed = |datagram: &[u8]| [&(datagram.len() as u16).to_be_bytes()[..], datagram].concat();
    let mut there_is_none = check.clone();
    there_is_none[24..26].copy_from_slice(b"3f");
    for junk in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        framed(b"").repeat(40),
        framed(&[0x16; 100]).repeat(40),
        framed(&check[..30]).repeat(40),
        framed(&there_is_none),
        vec![0xff, 0xff],
        [framed(&check), vec![0xff, 0xff]].concat(),
    ] {
        let mut stranger = TcpStream::connect(address).unwrap();
        stranger.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stranger.write_all(&junk).unwrap();
        // Then: it is closed, sooner than any time-out.
        let ended = stranger.read(&mut [0; 8]);
        assert!(
            matches!(ended, Ok(0)) || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
        );
    }
    assert_eq!(stage.engine.lobby_refused(), 6);
    // One that sends its check byte by byte, and one that says nothing at all, are waited for.
    let mut slow = TcpStream::connect(address).unwrap();
    let _silent = TcpStream::connect(address).unwrap();
    for byte in framed(&check) {
        slow.write_all(&[byte]).unwrap();
    }
    stage.until("the slow one to be let in", |s| s.sum("streams_in") == 2);
    let (alice, bob) = (stage.join(0), stage.join(0));
    call(&mut stage, alice, &[bob]);
}

#[test]
fn too_many_from_one_address_stay_out() {
    let mut stage = Stage::new(&over_tcp("127.0.0.1", 1));
    let address = stage.engine.candidates(0)[0].addr;
    let crowd: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    stage.until("the last ones to be refused", |s| s.engine.lobby_refused() == 36);
    drop(crowd);
    stage.until("everybody to have gone", |s| s.engine.lobby_refused() == 100);
    let (alice, bob) = (stage.join(0), stage.join(0));
    call(&mut stage, alice, &[bob]);
}

#[test]
fn a_port_that_is_taken_is_an_error_only_where_it_was_asked_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let with = |required| Config { tcp: Some(TcpPort { port, required }), ..on("127.0.0.1", 1) };
    let error = engine::start(&with(true), certificate()).unwrap_err();
    assert!(matches!(&error, StartError::Io { what, .. } if what.contains("TCP")), "{error}");
    let stage = Stage::new(&with(false));
    assert!(stage.engine.candidates(0).iter().all(|c| c.carrier == Carrier::Udp));
}
