//! Data channels.

use bytes::Bytes;
use sfu::{ChannelParams, Command, Config, Event};

use crate::world::World;

fn open(w: &mut World, client: usize, label: &str, max_retransmits: Option<u16>) {
    let peer = w.clients[client].id;
    let params = ChannelParams {
        label: label.into(),
        ordered: max_retransmits.is_none(),
        max_retransmits,
        negotiated_id: None,
    };
    w.command(w.clients[client].worker, Command::OpenChannel { peer, params });
    for _ in 0..100 {
        w.run(10);
        if w.clients[client].open.iter().any(|(_, l)| l == label) {
            return;
        }
    }
    panic!("{label} does not open");
}

fn send(w: &mut World, to: &[usize], label: &'static str, payload: Vec<u8>) {
    let peers = to.iter().map(|c| w.clients[*c].id).collect();
    w.command(0, Command::SendData { peers, label, payload: Bytes::from(payload) });
}

#[test]
fn a_message_goes_to_many_and_answers_come_as_events_in_order() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    for c in [alice, bob] {
        open(&mut w, c, "_reliable", None);
        open(&mut w, c, "_lossy", Some(0));
    }
    for n in 0..20u8 {
        send(&mut w, &[alice, bob], "_reliable", vec![n; 1000]);
    }
    send(&mut w, &[bob], "_lossy", b"lossy".to_vec());
    w.run(100);
    for c in [alice, bob] {
        let got: Vec<u8> =
            w.clients[c].messages.iter().filter(|(_, m)| m.len() == 1000).map(|(_, m)| m[0]).collect();
        assert_eq!(got, (0..20).collect::<Vec<_>>());
    }
    assert!(w.clients[bob].messages.iter().any(|(_, m)| m == b"lossy"));
    let channel = w.clients[alice].open[0].0;
    for n in 0..20u8 {
        w.clients[alice].transport.send(channel, true, &Bytes::from(vec![n])).unwrap();
    }
    w.run(100);
    let id = w.clients[alice].id;
    let heard: Vec<u8> = w.events[0]
        .iter()
        .filter_map(|e| match e {
            Event::Data { peer, label, payload } if *peer == id && label == "_reliable" => Some(payload[0]),
            _ => None,
        })
        .collect();
    assert_eq!(heard, (0..20).collect::<Vec<_>>());
}

#[test]
fn a_slow_receiver_costs_bounded_memory_and_only_itself() {
    let mut w = World::with(1, Config { data_queue_bytes: 100_000, ..Config::default() });
    let (alice, bob) = (w.join(0), w.join(0));
    for c in [alice, bob] {
        open(&mut w, c, "_reliable", None);
    }
    // Nothing reaches bob any more.
    w.lose_down = Box::new(move |to, _| to == bob);
    let dropped = w.counters(0).drops.data;
    for n in 0..200u8 {
        send(&mut w, &[alice, bob], "_reliable", vec![n; 10_000]);
        w.run(20);
    }
    assert!(w.counters(0).drops.data > dropped + 50);
    assert_eq!(w.clients[alice].messages.len(), 200);
}

#[test]
fn messages_wait_for_their_channel_to_open_in_order_and_bounded() {
    let mut w = World::with(1, Config { data_queue_bytes: 10_000, ..Config::default() });
    let alice = w.join(0);
    for n in 0..20u8 {
        send(&mut w, &[alice], "_reliable", vec![n; 1000]);
    }
    assert_eq!(w.counters(0).drops.data, 10, "what does not fit is dropped and counted");
    w.run(100);
    assert!(w.clients[alice].messages.is_empty());
    open(&mut w, alice, "_lossy", Some(0));
    assert!(w.clients[alice].messages.is_empty(), "another channel is not the one they are for");
    open(&mut w, alice, "_reliable", None);
    send(&mut w, &[alice], "_reliable", vec![99; 1000]);
    w.run(100);
    let got: Vec<u8> = w.clients[alice].messages.iter().map(|(_, m)| m[0]).collect();
    assert_eq!(got, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 99]);
}

#[test]
fn events_that_nobody_takes_stop_the_sender_and_lose_nothing() {
    let mut w = World::with(1, Config { event_queue: 64, ..Config::default() });
    let alice = w.join(0);
    open(&mut w, alice, "_reliable", None);
    let channel = w.clients[alice].open[0].0;
    let mut router_events = Vec::new();
    let mut sent = 0u32;
    for round in 0..400 {
        if sent < 300 {
            let message = Bytes::from([&sent.to_be_bytes()[..], &[0; 4000]].concat());
            if w.clients[alice].transport.send(channel, true, &message).is_ok() {
                sent += 1;
            }
        }
        // The driver takes nothing at first, then an event now and then.
        let mut outbox = sfu::Outbox::new(1 << 20);
        step(&mut w, alice, &mut outbox);
        if round == 150 {
            let waiting = w.counters(0).traffic.data_in;
            assert!((30..=64).contains(&waiting), "{waiting} messages wait as events");
        }
        if round > 150 && round % 3 == 0 {
            router_events.extend(w.routers[0].poll_event());
        }
    }
    for _ in 0..5000 {
        let mut outbox = sfu::Outbox::new(1 << 20);
        step(&mut w, alice, &mut outbox);
        router_events.extend(w.routers[0].poll_event());
    }
    let heard: Vec<u32> = router_events
        .iter()
        .filter_map(|e| match e {
            Event::Data { payload, .. } => Some(u32::from_be_bytes(payload[..4].try_into().unwrap())),
            _ => None,
        })
        .collect();
    assert_eq!(heard, (0..sent).collect::<Vec<_>>());
    assert!(sent > 100);
}

#[test]
fn data_that_is_held_stays_with_its_sender_and_changes_are_told() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    for c in [alice, bob] {
        open(&mut w, c, "_reliable", None);
    }
    let id = w.clients[alice].id;
    w.routers[0].hold_data(id, true);
    let mut sent = [0u32; 2];
    let mut push = |w: &mut World, c: usize| {
        let channel = w.clients[c].open[0].0;
        let message = Bytes::from([&sent[c].to_be_bytes()[..], &[0; 8000]].concat());
        sent[c] += u32::from(w.clients[c].transport.send(channel, true, &message).is_ok());
        sent[c]
    };
    let heard = |w: &World, c: usize| -> Vec<u32> {
        let from = w.clients[c].id;
        let number = |e: &Event| match e {
            Event::Data { peer, payload, .. } if *peer == from => {
                Some(u32::from_be_bytes(payload[..4].try_into().unwrap()))
            }
            _ => None,
        };
        w.events[0].iter().filter_map(number).collect()
    };
    // When: both send more than the buffers of a sender and a receiver take.
    for _ in 0..400 {
        push(&mut w, alice);
        push(&mut w, bob);
        w.run(10);
    }
    // Then: one is not read and cannot send any more; the other is not disturbed.
    assert_eq!((heard(&w, alice).len(), heard(&w, bob).len()), (0, 400));
    let before = push(&mut w, alice);
    assert!((100..300).contains(&before), "{before}");
    assert_eq!(push(&mut w, alice), before);
    // When: it is wanted again, Then: all of it comes, in order.
    w.routers[0].hold_data(id, false);
    w.run(5000);
    assert_eq!(heard(&w, alice), (0..before).collect::<Vec<_>>());
    // When: it is held, and the peer says goodbye, Then: that is told.
    w.routers[0].hold_data(id, true);
    let now = w.now;
    w.clients[alice].transport.close(now);
    w.run(100);
    assert!(w.events[0].iter().any(|e| matches!(e, Event::Failed { peer, .. } if *peer == id)));
}

/// A millisecond without taking events.
fn step(w: &mut World, client: usize, outbox: &mut sfu::Outbox) {
    let local = crate::world::address_of(0);
    while let Some(mut datagram) = w.clients[client].poll(w.now) {
        let from = w.clients[client].address;
        w.routers[0].handle_datagram(w.now, local, from, &mut datagram);
    }
    let _ = w.routers[0].poll_transmit(w.now, outbox);
    for entry in outbox.entries() {
        let datagram = outbox.payload(entry).to_vec();
        w.clients[client].take(w.now, local, datagram);
    }
    w.now = w.now.after(std::time::Duration::from_millis(1));
    w.routers[0].handle_timeout(w.now);
    w.clients[client].timeout(w.now);
}
