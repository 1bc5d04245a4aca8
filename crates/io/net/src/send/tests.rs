use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::{Options, Poller, Receiver};

const PLAIN: Options = Options { reuse_port: false, buffer: 1 << 20, gro: false };

fn socket(addr: &str, gro: bool) -> Socket {
    Socket::bind(addr.parse().unwrap(), Options { gro, ..PLAIN }).unwrap()
}

/// Receives until `count` datagrams are there; each with its sender and the address it was sent to.
fn receive(socket: &Socket, count: usize) -> Vec<(SocketAddr, Option<IpAddr>, Vec<u8>)> {
    let mut poller = Poller::new().unwrap();
    poller.add(socket, 0).unwrap();
    let mut receiver = Receiver::new(8, socket.gro());
    let mut got = Vec::new();
    while got.len() < count {
        let ready = poller.wait(Some(Duration::from_secs(5))).unwrap();
        assert!(!ready.is_empty(), "only {} of {count} came", got.len());
        while receiver.receive(socket).unwrap() {
            got.extend(receiver.datagrams().map(|d| (d.remote, d.local, d.payload.to_vec())));
        }
        got.extend(receiver.datagrams().map(|d| (d.remote, d.local, d.payload.to_vec())));
    }
    assert_eq!(got.len(), count);
    got
}

fn numbered(count: usize, len: usize) -> Vec<u8> {
    (0..count).flat_map(|i| vec![i as u8; len]).collect()
}

fn to(remote: &Socket, payload: &'static [u8]) -> Message<'static> {
    Message { remote: remote.local_addr(), local: None, payload, segment: payload.len() }
}

#[test]
fn more_datagrams_than_fit_one_call_arrive_in_order() {
    for addr in ["127.0.0.1:0", "[::1]:0"] {
        let (a, b) = (socket(addr, false), socket(addr, false));
        let bytes = numbered(200, 50);
        let messages = bytes.chunks(50).map(|payload| Message {
            remote: b.local_addr(),
            local: None,
            payload,
            segment: 50,
        });
        let outcome = Sender::new(true).send(&a, messages);

        assert_eq!((outcome.done, outcome.sent, outcome.bytes, outcome.messages), (200, 200, 10_000, 200));
        assert_eq!(outcome.calls, 4);
        for (i, (from, local, payload)) in receive(&b, 200).into_iter().enumerate() {
            assert_eq!((from, payload), (a.local_addr(), vec![i as u8; 50]));
            assert_eq!(local, Some(b.local_addr().ip()));
        }
    }
}

#[test]
fn a_run_is_one_message_and_arrives_as_datagrams() {
    for gro in [false, true] {
        let (a, b) = (socket("127.0.0.1:0", false), socket("127.0.0.1:0", gro));
        // Given: 47 of 1,000 bytes and a shorter last one.
        let bytes = &numbered(48, 1000)[..47_300];
        let mut sender = Sender::new(true);
        let run = Message { remote: b.local_addr(), local: None, payload: bytes, segment: 1000 };
        let outcome = sender.send(&a, [run, to(&b, b"behind")]);

        assert_eq!((outcome.done, outcome.sent, outcome.messages, outcome.calls), (49, 49, 2, 1));
        let got = receive(&b, 49);
        assert!(got[..48].iter().map(|(_, _, payload)| &payload[..]).eq(bytes.chunks(1000)));
        assert_eq!(got[48].2, b"behind");
    }
}

#[test]
fn a_kernel_that_refuses_runs_gets_them_apart_and_is_not_asked_again() {
    let (a, b) = (socket("127.0.0.1:0", false), socket("127.0.0.1:0", false));
    // Given: a socket without checksums, for which Linux refuses UDP_SEGMENT.
    a.forbid_checksum().unwrap();
    let bytes = numbered(10, 100);
    let run = Message { remote: b.local_addr(), local: None, payload: &bytes[..950], segment: 100 };
    let mut sender = Sender::new(true);

    let outcome = sender.send(&a, [to(&b, b"before"), run, to(&b, b"behind")]);
    assert_eq!((outcome.done, outcome.sent, outcome.bytes, outcome.refused), (12, 12, 962, 0));
    assert_eq!(sender.max_segments(), 1);
    let got: Vec<_> = receive(&b, 12).into_iter().map(|(_, _, payload)| payload).collect();
    assert_eq!((&got[0][..], &got[11][..]), (&b"before"[..], &b"behind"[..]));
    assert_eq!(got[1..11].concat(), bytes[..950]);

    // Then: a run offered all the same costs no further refusal.
    let outcome = sender.send(&a, [run]);
    assert_eq!((outcome.sent, outcome.calls), (10, 1));
    receive(&b, 10);
}

#[test]
fn runs_switched_off_arrive_all_the_same() {
    let (a, b) = (socket("[::1]:0", false), socket("[::1]:0", false));
    let bytes = numbered(130, 10);
    let run = Message { remote: b.local_addr(), local: None, payload: &bytes, segment: 10 };
    let mut sender = Sender::new(false);
    assert_eq!(sender.max_segments(), 1);
    let outcome = sender.send(&a, [run]);
    assert_eq!((outcome.done, outcome.messages, outcome.calls), (130, 130, 3));
    assert_eq!(receive(&b, 130).into_iter().flat_map(|(_, _, payload)| payload).collect::<Vec<_>>(), bytes);
}

#[test]
fn long_segments_refused_do_not_end_runs_for_everybody() {
    let (a, b) = (socket("127.0.0.1:0", false), socket("127.0.0.1:0", false));
    let bytes = numbered(3, 1400);
    let run = Message { remote: b.local_addr(), local: None, payload: &bytes, segment: 1400 };
    let mut sender = Sender::new(true);
    sender.faults.push_back(libc::EINVAL);
    assert_eq!(sender.send(&a, [run]).sent, 3);
    assert_eq!(sender.max_segments(), MAX_SEGMENTS);

    // A device without checksums is another matter.
    sender.faults.push_back(libc::EIO);
    assert_eq!(sender.send(&a, [run]).sent, 3);
    assert_eq!(sender.max_segments(), 1);
    receive(&b, 6);
}

#[test]
fn a_full_socket_says_where_to_go_on() {
    let (a, b) = (socket("127.0.0.1:0", false), socket("127.0.0.1:0", false));
    let bytes = numbered(70, 4);
    let messages = || {
        bytes.chunks(4).map(|payload| Message { remote: b.local_addr(), local: None, payload, segment: 4 })
    };
    let mut sender = Sender::new(true);
    sender.faults.push_back(libc::EAGAIN);
    let outcome = sender.send(&a, messages());
    assert!(outcome.blocked);
    assert_eq!((outcome.done, outcome.sent), (0, 0));

    // When: a run is being taken apart and the socket fills up after its first 64.
    let run = Message { remote: b.local_addr(), local: None, payload: &bytes, segment: 4 };
    sender.gso = false;
    sender.faults.clear();
    let mut partial = Sender::new(false);
    let first = partial.send(&a, [Message { payload: &bytes[..256], ..run }]);
    partial.faults.push_back(libc::EAGAIN);
    let second = partial.send(&a, [Message { payload: &bytes[256..], ..run }, to(&b, b"never")]);
    assert_eq!((first.done, second.done, second.blocked), (64, 0, true));

    // Then: offering the rest again sends each datagram once.
    let third = partial.send(&a, messages().skip(64));
    assert_eq!(third.done, 6);
    assert_eq!(receive(&b, 70).into_iter().flat_map(|(_, _, payload)| payload).collect::<Vec<_>>(), bytes);
}

#[test]
fn what_cannot_be_sent_is_counted_and_the_rest_goes_on() {
    let (a, b) = (socket("127.0.0.1:0", false), socket("127.0.0.1:0", false));
    let huge = vec![0; 66_000];
    let too_long = Message { remote: b.local_addr(), local: None, payload: &huge, segment: 66_000 };
    let nowhere = Message { remote: "[2001:db8::1]:9".parse().unwrap(), ..to(&b, b"six") };
    let foreign = Message { local: Some([192, 0, 2, 1].into()), ..to(&b, b"not our address") };
    let mut sender = Sender::new(true);
    let outcome = sender.send(&a, [to(&b, b"1"), too_long, to(&b, b"2"), nowhere, foreign, to(&b, b"3")]);
    assert_eq!((outcome.done, outcome.sent, outcome.refused, outcome.blocked), (6, 3, 3, false));

    sender.faults.push_back(libc::ENOBUFS);
    sender.faults.push_back(libc::EINTR);
    let outcome = sender.send(&a, [to(&b, b"lost"), to(&b, b"4")]);
    assert_eq!((outcome.done, outcome.sent, outcome.overflow), (2, 1, 1));
    let got: Vec<_> = receive(&b, 4).into_iter().map(|(_, _, payload)| payload).collect();
    assert_eq!(got, [b"1", b"2", b"3", b"4"]);
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    // Given: a socket on every address, asked at two of them.
    let server = socket("0.0.0.0:0", false);
    let client = socket("127.0.0.1:0", false);
    let mut sender = Sender::new(true);
    for ip in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let asked = SocketAddr::from((ip, server.local_addr().port()));
        sender.send(&client, [Message { remote: asked, ..to(&client, b"?") }]);
        let (remote, local, _) = receive(&server, 1).remove(0);
        assert_eq!(local, Some(asked.ip()));

        // When: it answers with two datagrams in a run.
        let answer = Message { remote, local, payload: b"!!", segment: 1 };
        assert_eq!(sender.send(&server, [answer]).messages, 1);
        assert!(receive(&client, 2).iter().all(|(from, _, payload)| *from == asked && payload == b"!"));
    }
}
