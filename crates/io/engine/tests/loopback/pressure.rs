//! Readers that are slow, senders that are fast, and strangers.

use bytes::Bytes;
use engine::{Config, Limits, SendError};
use sfu::{Command, Event, PeerId};

use crate::media::call;
use crate::stage::{Stage, on};

#[test]
fn a_slow_reader_loses_no_reliable_data() {
    let mut stage = Stage::with(&on("127.0.0.1", 1), Limits { events: 4, bytes: 1 << 20 });
    let alice = stage.join(0);
    stage.reading = false;
    // When: sixty messages come while nobody reads.
    let channel = stage.clients[alice].channel.unwrap();
    for n in 0..60u8 {
        stage.clients[alice].transport.send(channel, true, &Bytes::from(vec![n; 500])).unwrap();
    }
    stage.until("the room's queue to be full", |s| s.sum("data_held") > 0);

    // Then: all of them are there when it reads, in order.
    stage.reading = true;
    let bytes = |s: &Stage| -> Vec<u8> {
        s.told
            .iter()
            .filter_map(|e| if let Event::Data { payload, .. } = e { Some(payload[0]) } else { None })
            .collect()
    };
    stage.until("all data", |s| bytes(s).len() >= 60);
    assert_eq!(bytes(&stage), (0..60).collect::<Vec<_>>());
}

#[test]
fn a_room_that_does_not_read_stops_its_own_senders_and_nobody_else() {
    let mut stage = Stage::new(&on("127.0.0.1", 1));
    let alice = stage.join(0);
    // Given: another room on the same worker, which reads nothing.
    let (sink, deaf) = engine::events(Limits { events: 4, bytes: 1 << 20 }, || {});
    stage.room += 1;
    stage.engine.register_room(stage.room, &sink).unwrap();
    let mallory = stage.enter(0);
    stage.until("a channel", |s| s.clients[mallory].channel.is_some());

    // When: its client sends all it can, until its window is closed.
    let loud = stage.clients[mallory].channel.unwrap();
    let payload = Bytes::from(vec![0; 1000]);
    let (mut taken, mut quiet) = (0, 0);
    stage.until("its window to close", |s| {
        let before = taken;
        while s.clients[mallory].transport.send(loud, true, &payload).is_ok() {
            taken += payload.len();
        }
        quiet = if taken == before { quiet + 1 } else { 0 };
        quiet == 20
    });
    // Then: little was taken of what nobody reads (a sender's and a receiver's buffer, and what came in one turn), and
    // the other room hears its own.
    assert!(stage.sum("data_held") > 0);
    assert!(taken < 4 << 20, "{taken} bytes");
    let channel = stage.clients[alice].channel.unwrap();
    for _ in 0..100 {
        stage.clients[alice].transport.send(channel, true, &payload).unwrap();
    }
    stage.until("all of alice's messages", |s| {
        s.told.iter().filter(|e| matches!(e, Event::Data { .. })).count() == 100
    });
    drop(deaf);
}

#[test]
fn a_panic_costs_a_worker_its_peers_and_they_can_come_again() {
    let mut stage = Stage::new(&on("127.0.0.1", 2));
    let (alice, carol) = (stage.join(0), stage.join(1));
    // When: another room's reader, called out of a worker's turn, panics.
    let (sink, _broken) = engine::events(Limits::default(), || panic!("a reader that is broken"));
    stage.room += 1;
    stage.engine.register_room(stage.room, &sink).unwrap();
    stage.enter(0);
    stage.room -= 1;
    let failed = |s: &Stage, client: usize| {
        let event = Event::Failed { peer: s.clients[client].id, reason: sfu::FailReason::Worker };
        s.told.contains(&event)
    };
    // Then: the rooms of that worker's peers hear of their end.
    stage.until("the news", |s| failed(s, alice) && s.sum("panics") == 1);
    assert!(!failed(&stage, carol) && stage.engine.ended().is_none());
    // They come again, to the same worker, and meet those of the others.
    let again = stage.join(0);
    call(&mut stage, carol, &[again]);
    call(&mut stage, again, &[carol]);
    assert_eq!(stage.sum("panics"), 1);
}

#[test]
fn a_flooded_mailbox_refuses_and_the_worker_goes_on() {
    let mut stage = Stage::new(&Config { mailbox: 4, ..on("127.0.0.1", 1) });
    let alice = stage.join(0);
    // More peers than anybody has: each message takes the worker longer than it takes to send the next.
    let nobody: Vec<PeerId> = (0..20_000).map(|n| PeerId(1 << 40 | n)).collect();
    let payload = Bytes::from_static(b"x");
    stage.until("a refusal", |s| {
        (0..100).any(|_| {
            let flood =
                Command::SendData { peers: nobody.clone(), label: "_reliable", payload: payload.clone() };
            s.engine.send(flood).is_err_and(|unsent| matches!(unsent.0[..], [(SendError::Full(0), _)]))
        })
    });
    // Then: a call goes on as if nothing had been.
    let peers = vec![stage.clients[alice].id];
    stage.until("a message through the same mailbox", |s| {
        if s.clients[alice].messages.is_empty() {
            let payload = Bytes::from_static(b"still here");
            let _ = s.engine.send(Command::SendData { peers: peers.clone(), label: "_reliable", payload });
        }
        s.clients[alice].messages.iter().any(|m| m == b"still here")
    });
}

#[test]
fn strangers_are_counted_and_disturb_nobody() {
    let mut stage = Stage::new(&on("127.0.0.1", 2));
    let (alice, bob) = (stage.join(0), stage.join(1));
    let address = stage.engine.candidates(0)[0].addr;
    // When: something of every class comes from an address that nobody knows, checks for unknown and foreign
    // fragments among it.
    let mut stun = vec![0, 1, 0, 20, 0x21, 0x12, 0xa4, 0x42];
    stun.extend([7; 12]);
    stun.extend([0, 6, 0, 14]);
    stun.extend(b"01AAAAAAAAAA:x\0\0");
    let answer = [&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[9; 12]].concat();
    let junk = [vec![0x80; 100], vec![0x16; 100], vec![0xff; 3], vec![0; 20], stun, answer];
    let mut stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..20 {
        if n % 5 == 0 {
            // Another port lands on another worker.
            stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        }
        for datagram in &junk {
            stranger.send_to(datagram, address).unwrap();
        }
    }
    let producer = stage.publish(alice, 11);
    stage.subscribe(bob, producer, 55);
    let mut sent = 0;
    stage.until("media in spite of it", |s| {
        if sent < 200 {
            s.clients[alice].frame(11, true, 2, 900);
            sent += 1;
        }
        s.received(bob, 55) > 10
    });
    let dropped = |s: &Stage| -> u64 {
        s.engine.router_counters().iter().flat_map(|c| c.drops.by_reason()).map(|(_, count)| count).sum()
    };
    stage.until("every stranger's datagram to be counted", |s| dropped(s) >= 120);
    assert!(!stage.told.iter().any(|e| matches!(e, Event::Failed { .. } | Event::Disconnected { .. })));
}
