//! Peers with keys that mean no good: to the worker's time and memory, and to each other.

use peer::{Class, Credentials, classify};
use sfu::{Command, PeerId, id_on};

use crate::client::Client;
use crate::stage::*;
use crate::world::{World, address_of};

/// Transport-wide feedback that says of `count` packets from `base` on that none has come, in two bytes for 8191.
fn all_lost(base: u16, count: u16) -> Vec<u8> {
    let mut chunks = Vec::new();
    let mut left = count;
    while left > 0 {
        let run = left.min(8191);
        chunks.extend(run.to_be_bytes());
        left -= run;
    }
    chunks.resize(chunks.len().next_multiple_of(4), 0);
    let words = (16 + chunks.len()) / 4;
    let mut packet = vec![0x8f, 205, 0, words as u8, 0, 0, 0, 1, 0, 0, 0, 1];
    packet.extend(base.to_be_bytes());
    packet.extend(count.to_be_bytes());
    packet.extend([0, 0, 0, 0]);
    packet.extend(chunks);
    packet
}

fn sealed(client: &mut Client, compound: &[u8]) -> Vec<u8> {
    let mut buf = compound.to_vec();
    buf.resize(compound.len() + 64, 0);
    let len = client.keys.as_mut().unwrap().outbound.seal_rtcp(&mut buf, compound.len()).unwrap();
    buf.truncate(len);
    buf
}

#[test]
fn a_datagram_tells_the_fate_of_no_more_packets_than_are_remembered() {
    let (mut w, alice, bob) = World::with_a_picture();
    let mut camera = Camera::new(alice, 11, Some("q"));
    for n in 0..10 {
        camera.send(&mut w, n == 0);
        w.run(33);
    }
    let lost = |w: &World| w.routers[0].peer_stats(w.clients[bob].id).unwrap().lost_packets;
    let report = |w: &mut World, packets: &[Vec<u8>]| {
        let datagram = sealed(&mut w.clients[bob], &packets.concat());
        w.up(bob, datagram);
        w.run(1);
    };
    report(&mut w, &[all_lost(0, 1)]);
    assert_eq!(lost(&w), 1);
    // Behind more than a gate remembers nothing is worth reading, in one packet or in many.
    report(&mut w, &[all_lost(0u16.wrapping_sub(10_000), 10_005)]);
    let many: Vec<_> = (0..21u16).map(|n| all_lost((500 * n).wrapping_sub(10_000), 500)).collect();
    report(&mut w, &many);
    assert_eq!(lost(&w), 1);
    report(&mut w, &[all_lost(1, 4)]);
    assert_eq!(lost(&w), 5);
}

/// The next connectivity check that a client sends by itself.
fn check_of(w: &mut World, client: usize) -> Vec<u8> {
    for _ in 0..30_000 {
        w.run(1);
        let now = w.now;
        w.clients[client].timeout(now);
        while let Some(datagram) = w.clients[client].poll(now) {
            // A request: answers to the server's own checks are of no use to anybody else.
            if classify(datagram[0]) == Class::Stun && datagram[..2] == [0, 1] {
                return datagram;
            }
        }
    }
    panic!("client {client} sends no checks");
}

#[test]
fn an_address_that_was_taken_with_a_forged_sender_is_had_back_with_the_next_check() {
    let mut w = World::new(1);
    let (alice, mallory) = (w.join(0), w.join(0));
    w.publish(alice, 1, video_params(&["q"]));
    let mut camera = Camera::new(alice, 11, Some("q"));
    camera.send(&mut w, true);
    w.run(10);
    w.rest = true;
    let forged = check_of(&mut w, mallory);
    let address = w.clients[alice].address;
    w.routers[0].handle_datagram(w.now, address_of(0), address, &mut forged.clone());
    let heard = |w: &mut World, camera: &mut Camera| {
        let before = w.counters(0).traffic.rtp_in;
        camera.send(w, false);
        w.run(10);
        w.counters(0).traffic.rtp_in > before
    };
    assert!(!heard(&mut w, &mut camera), "the forgery has no effect: this test shows nothing");
    let own = check_of(&mut w, alice);
    w.up(alice, own);
    assert!(heard(&mut w, &mut camera));
}

/// A binding request with this receiver's user fragment.
fn check_to(ufrag: &str) -> Vec<u8> {
    let username = format!("{ufrag}:x");
    let mut attributes = vec![0, 6, 0, username.len() as u8];
    attributes.extend(username.bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    let mut message = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
    message.extend([9; 12]);
    message.extend(attributes);
    message
}

#[test]
fn restarts_leave_no_names_behind_and_neither_does_the_end() {
    let mut w = World::new(1);
    let peer = PeerId(id_on(0, 77));
    let credentials = |n: u32| Credentials { ufrag: format!("00restart{n}"), pwd: "p".repeat(24) };
    let local = peer::LocalTransport {
        credentials: credentials(0),
        ice_lite: true,
        controlling: false,
        candidates: Vec::new(),
    };
    w.command(0, Command::OpenPeer { peer, local });
    for n in 1..=5 {
        w.command(0, Command::RestartIce { peer, credentials: credentials(n) });
    }
    let known = |w: &mut World, n: u32| {
        let before = w.counters(0).drops.unknown_ufrag;
        let mut check = check_to(&credentials(n).ufrag);
        w.routers[0].handle_datagram(w.now, address_of(0), ([192, 0, 2, 9], 9).into(), &mut check);
        w.counters(0).drops.unknown_ufrag == before
    };
    let all = |w: &mut World| (0..=5).map(|n| known(w, n)).collect::<Vec<_>>();
    assert_eq!(all(&mut w), [false, false, false, false, true, true]);
    w.command(0, Command::ClosePeer { peer });
    assert_eq!(all(&mut w), [false; 6]);
}
