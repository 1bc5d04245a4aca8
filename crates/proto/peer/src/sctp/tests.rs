//! Data channels over whole transports.

#![expect(clippy::needless_range_loop, reason = "an end goes by its index")]

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::testbed::{End, Net, Setup};
use crate::{DtlsRole, Event, FailReason};

const SECOND: Duration = Duration::from_secs(1);

fn params(label: &str) -> ChannelParams {
    ChannelParams { label: label.into(), ordered: true, reliability: Reliability::Reliable, negotiated: None }
}

fn lossy(label: &str) -> ChannelParams {
    ChannelParams { ordered: false, reliability: Reliability::Retransmits(0), ..params(label) }
}

fn is_open(end: &End, label: &str) -> bool {
    end.has(|e| matches!(e, Event::ChannelOpen { label: l, .. } if l == label))
}

/// Opens a channel at one end and waits until both have it.
fn open(net: &mut Net, opener: usize, params: ChannelParams) -> [ChannelId; 2] {
    let label = params.label.clone();
    net.ends[opener].transport.open_channel(params).unwrap();
    net.run("the channel", 30 * SECOND, |net| net.ends.iter().all(|end| is_open(end, &label)));
    [0, 1].map(|i| net.ends[i].transport.channel(&label).unwrap())
}

fn messages(end: &End, channel: ChannelId) -> Vec<(bool, Bytes)> {
    let of = |e: &Event| match e {
        Event::Message { channel: c, binary, payload } if *c == channel => Some((*binary, payload.clone())),
        _ => None,
    };
    end.events.iter().filter_map(of).collect()
}

/// Two ends with a lossy link between them, connected.
fn lossy_net(seed: u64, client: usize) -> Net {
    let mut setups = [Setup::server(), Setup::browser()];
    setups[client].dtls = DtlsRole::Client;
    setups[1 - client].dtls = DtlsRole::Server;
    let mut net = Net::described(seed, setups);
    net.loss = 0.15;
    net.jitter = Duration::from_millis(10);
    net.connect();
    net
}

#[test]
fn either_end_opens_channels_in_either_role() {
    for client in 0..2 {
        let mut net = lossy_net(1, client);
        let ours = open(&mut net, 0, params("_reliable"));
        let theirs = open(&mut net, 1, lossy("_lossy"));
        assert_eq!((ours[0], theirs[0]), (ours[1], theirs[1]));
        // RFC 8832 section 6: even for the DTLS client.
        let parity = |opener: usize| u16::from(opener != client);
        assert_eq!((ours[0].0 % 2, theirs[0].0 % 2), (parity(0), parity(1)));
    }
}

#[test]
fn channels_asked_for_before_the_connection_open_after_it() {
    let mut net = Net::new(2, [Setup::server(), Setup::browser()]);
    net.ends[0].transport.open_channel(params("early")).unwrap();
    net.describe(0, 1);
    net.describe(1, 0);
    net.run("the channel", 5 * SECOND, |net| net.ends.iter().all(|end| is_open(end, "early")));
}

#[test]
fn reliable_messages_all_come_in_order_under_loss() {
    for seed in 0..6 {
        let mut net = lossy_net(seed, 1);
        net.duplicates = 0.1;
        let channel = open(&mut net, 1, params("_reliable"));
        for i in 0..200u32 {
            for from in 0..2 {
                let payload = Bytes::from(vec![i as u8; 1 + (i as usize * 37) % 3000]);
                net.ends[from].transport.send(channel[from], i % 2 == 0, &payload).unwrap();
            }
        }
        net.run("all messages", 120 * SECOND, |net| {
            (0..2).all(|i| messages(&net.ends[i], channel[i]).len() == 200)
        });
        for end in 0..2 {
            for (i, (binary, payload)) in messages(&net.ends[end], channel[end]).iter().enumerate() {
                assert_eq!((*binary, payload.len()), (i % 2 == 0, 1 + (i * 37) % 3000), "seed {seed}");
                assert!(payload.iter().all(|b| *b == i as u8), "seed {seed}");
            }
        }
        net.run("all acknowledged", 30 * SECOND, |_| true);
        net.run_for(10 * SECOND);
        assert_eq!(net.ends[0].transport.buffered_amount(channel[0]), 0);
    }
}

#[test]
fn a_far_end_that_uses_streams_without_number_is_given_up() {
    let mut net = lossy_net(3, 1);
    open(&mut net, 1, params("_reliable"));
    // Some streams that are no channels are nobody's.
    net.ends[1].transport.babble(1000..1200);
    net.run_for(5 * SECOND);
    assert!(net.ends[0].is_connected() && is_open(&net.ends[0], "_reliable"));
    net.ends[1].transport.babble(2000..2100);
    net.run("its end", 30 * SECOND, |net| net.ends[0].has(|e| matches!(e, Event::Failed(FailReason::Sctp))));
}

#[test]
fn lossy_messages_are_not_repeated() {
    let mut net = lossy_net(7, 1);
    let channel = open(&mut net, 1, lossy("_lossy"));
    net.run_for(SECOND);
    for i in 0..300u32 {
        net.ends[0].transport.send(channel[0], true, &Bytes::copy_from_slice(&i.to_be_bytes())).unwrap();
        net.run_for(Duration::from_millis(20));
    }
    net.run_for(10 * SECOND);
    let got = messages(&net.ends[1], channel[1]);
    // 15 % of 300 are lost; nothing comes twice.
    assert!((200..=290).contains(&got.len()), "{} came", got.len());
    let mut numbers: Vec<_> = got.iter().map(|(_, payload)| payload.clone()).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), got.len());
    assert_eq!(net.ends[0].transport.buffered_amount(channel[0]), 0, "what was lost is given up");
}

#[test]
fn negotiated_channels_need_no_announcement() {
    let mut net = lossy_net(8, 1);
    let both = ChannelParams { negotiated: Some(7), ..params("both") };
    for end in &mut net.ends {
        end.transport.open_channel(both.clone()).unwrap();
    }
    net.run("both open", 10 * SECOND, |net| net.ends.iter().all(|end| is_open(end, "both")));
    let id = ChannelId(7);
    for from in 0..2 {
        net.ends[from].transport.send(id, false, &Bytes::from_static(b"hello")).unwrap();
    }
    net.run("messages", 10 * SECOND, |net| (0..2).all(|i| messages(&net.ends[i], id).len() == 1));
    assert_eq!(net.ends[0].transport.open_channel(both), Err(ChannelError::InUse));
}

#[test]
fn messages_of_every_size_up_to_the_limit() {
    let mut net = lossy_net(9, 1);
    let channel = open(&mut net, 1, params("big"));
    let sizes = [0, 1, 1115, 1116, 1117, 16_000, 64_000, 65_536];
    for size in sizes {
        let payload = Bytes::from((0..size).map(|i| (i % 251) as u8).collect::<Vec<_>>());
        net.ends[1].transport.send(channel[1], true, &payload).unwrap();
        net.ends[0].transport.send(channel[0], false, &payload).unwrap();
    }
    net.run("all", 120 * SECOND, |net| {
        (0..2).all(|i| messages(&net.ends[i], channel[i]).len() == sizes.len())
    });
    for end in 0..2 {
        for ((binary, payload), size) in messages(&net.ends[end], channel[end]).iter().zip(sizes) {
            assert_eq!((*binary, payload.len()), (end == 0, size));
            assert!(payload.iter().enumerate().all(|(i, b)| *b == (i % 251) as u8));
        }
    }
    let too_long = Bytes::from(vec![0; 65_537]);
    assert_eq!(net.ends[1].transport.send(channel[1], true, &too_long), Err(SendError::TooLong));
}

#[test]
fn what_waits_to_be_sent_is_bounded() {
    let mut net = Net::connected(10);
    let reliable = open(&mut net, 1, params("_reliable"));
    let lossy = open(&mut net, 1, lossy("_lossy"));
    net.ends[1].silent = true;
    let payload = Bytes::from(vec![0; 10_000]);
    for (channel, limit) in [(lossy[0], 128 << 10), (reliable[0], 1 << 20)] {
        let server = &mut net.ends[0].transport;
        let accepted = (0..1000).take_while(|_| server.send(channel, true, &payload).is_ok()).count();
        assert!(accepted * 10_000 <= limit, "{accepted} accepted");
        assert_eq!(server.send(channel, true, &payload), Err(SendError::Full));
        // DCEP's own ACK may still be on its way.
        assert!((0..=1).contains(&(server.buffered_amount(channel) - accepted * 10_000)));
    }
}

#[test]
fn an_unread_receiver_stops_its_sender() {
    let mut net = Net::connected(11);
    let channel = open(&mut net, 1, params("_reliable"));
    // Messages are read when events are polled; this receiver polls none.
    let mut buf = [0; 1500];
    let payload = Bytes::from(vec![0; 16_000]);
    let mut sent = 0;
    for _ in 0..3000 {
        if net.ends[1].transport.send(channel[1], true, &payload).is_ok() {
            sent += 16_000;
        }
        net.now = net.now.after(Duration::from_millis(10));
        for from in [1, 0] {
            let (now, path) = (net.now, net.ends[1 - from].transport.selected().unwrap());
            while let Some(transmit) = net.ends[from].transport.poll_transmit(now, &mut buf) {
                let other = &mut net.ends[1 - from].transport;
                let bytes = &buf[..transmit.len];
                let _ = match bytes[0] {
                    0..=3 => other.handle_stun(now, path.remote, path.local, bytes),
                    _ => other.handle_dtls(now, path.remote, path.local, bytes),
                };
            }
            net.ends[from].transport.handle_timeout(now);
        }
    }
    // The receive buffer of 512 KiB and the send buffer of 1 MiB are full.
    assert!((1 << 20..=(1 << 20) + (600 << 10)).contains(&sent), "{sent} sent");
    // When it reads on, everything comes.
    net.run("all", 60 * SECOND, |net| messages(&net.ends[0], channel[0]).len() * 16_000 == sent);
}

#[test]
fn a_channel_that_one_end_closes_closes_at_both() {
    for closer in 0..2 {
        let mut net = lossy_net(12, 1);
        let channel = open(&mut net, 1, params("short"));
        net.ends[closer].transport.send(channel[closer], true, &Bytes::from_static(b"last")).unwrap();
        net.run_for(5 * SECOND);
        net.ends[closer].transport.close_channel(channel[closer]);
        net.run("both closed", 30 * SECOND, |net| {
            net.ends.iter().all(|end| end.has(|e| matches!(e, Event::ChannelClosed { .. })))
        });
        assert_eq!(messages(&net.ends[1 - closer], channel[0]).len(), 1);
        for i in 0..2 {
            let end = &mut net.ends[i].transport;
            assert_eq!(end.send(channel[i], true, &Bytes::from_static(b"x")), Err(SendError::NotOpen));
        }
    }
}

#[test]
fn channels_are_bounded_in_number_and_name() {
    let mut net = Net::connected(13);
    for i in 0..40 {
        let opened = net.ends[1].transport.open_channel(params(&format!("c{i}")));
        assert_eq!(opened.is_err(), i >= 32);
    }
    let long = "x".repeat(257);
    assert_eq!(net.ends[0].transport.open_channel(params(&long)), Err(ChannelError::Label));
    let none = ChannelParams { negotiated: Some(u16::MAX), ..params("none") };
    assert_eq!(net.ends[0].transport.open_channel(none), Err(ChannelError::Id));
    net.run_for(5 * SECOND);
    assert_eq!(net.ends[0].transport.open_channel(params("more")), Err(ChannelError::TooMany));
}

#[test]
fn a_peer_that_opens_more_than_allowed_gets_its_streams_reset() {
    let (mut server, browser) = (Setup::server(), Setup::browser());
    server.config.max_channels = 2;
    let mut net = Net::described(14, [server, browser]);
    net.connect();
    for label in ["a", "b", "c"] {
        net.ends[1].transport.open_channel(params(label)).unwrap();
    }
    net.run("the third is closed", 10 * SECOND, |net| {
        net.ends[1].has(|e| matches!(e, Event::ChannelClosed { .. }))
    });
    assert!(is_open(&net.ends[0], "a") && is_open(&net.ends[0], "b") && !is_open(&net.ends[0], "c"));
}

#[test]
fn without_sctp_there_are_no_channels() {
    let (mut server, mut browser) = (Setup::server(), Setup::browser());
    (server.sctp, browser.sctp) = (false, false);
    let mut net = Net::described(15, [server, browser]);
    net.connect();
    assert_eq!(net.ends[0].transport.open_channel(params("x")), Err(ChannelError::NoSctp));
    let id = ChannelId(0);
    assert_eq!(net.ends[0].transport.send(id, true, &Bytes::new()), Err(SendError::NotOpen));
    assert_eq!(net.ends[0].transport.buffered_amount(id), 0);
}

#[test]
fn sctp_negotiated_later_starts_then() {
    let (mut server, mut browser) = (Setup::server(), Setup::browser());
    (server.sctp, browser.sctp) = (false, false);
    let mut net = Net::described(16, [server, browser]);
    net.connect();
    for end in &mut net.ends {
        end.setup.sctp = true;
    }
    net.describe(0, 1);
    net.describe(1, 0);
    open(&mut net, 0, params("late"));
}

#[test]
fn packets_that_are_no_sctp_disturb_nothing() {
    use rand::{Rng, SeedableRng};
    let config = Config::default();
    let remote = SctpRemote { port: 5000, max_message_size: 0 };
    let now = crate::testbed::start();
    for client in [true, false] {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(17);
        let mut sctp = Sctp::new(&config, remote, client);
        let mut other = Sctp::new(&config, remote, !client);
        let mut now = now;
        for round in 0..400 {
            now = now.after(Duration::from_millis(50));
            if round == 100 {
                sctp.open(params("a")).unwrap();
            }
            // Each packet comes whole and, before that, damaged in one way.
            while let Some(packet) = sctp.poll_transmit(now) {
                let mut damaged = packet.to_vec();
                match rng.random_range(0..3) {
                    0 => damaged.truncate(rng.random_range(0..packet.len())),
                    1 => damaged[rng.random_range(0..packet.len())] ^= 1 << rng.random_range(0..8),
                    _ => damaged.fill_with(|| rng.random()),
                }
                other.handle(now, damaged.into());
                other.handle(now, packet);
            }
            while let Some(packet) = other.poll_transmit(now) {
                sctp.handle(now, packet);
            }
            sctp.handle_timeout(now);
            other.handle_timeout(now);
            while sctp.poll_notice().is_some() || other.poll_notice().is_some() {}
        }
        assert!(sctp.channel("a").is_some(), "client {client}");
    }
}

#[test]
fn both_ends_may_open_the_association() {
    // Browsers do, whatever the DTLS role.
    let remote = SctpRemote { port: 5000, max_message_size: 0 };
    let mut now = crate::testbed::start();
    let mut ends = [Sctp::new(&Config::default(), remote, true), Sctp::new(&Config::default(), remote, true)];
    ends[0].open(params("a")).unwrap();
    for _ in 0..100 {
        now = now.after(Duration::from_millis(50));
        for from in 0..2 {
            while let Some(packet) = ends[from].poll_transmit(now) {
                ends[1 - from].handle(now, packet);
            }
            ends[from].handle_timeout(now);
            while ends[from].poll_notice().is_some() {}
        }
    }
    assert!(ends.iter().all(|end| end.channel("a").is_some()));
}

#[test]
fn an_association_that_is_aborted_ends_the_transport() {
    let mut net = Net::connected(18);
    open(&mut net, 1, params("a"));
    net.ends[0].transport.abort_sctp();
    net.run("the end", 5 * SECOND, |net| net.ends[0].has(|e| matches!(e, Event::Failed(FailReason::Sctp))));
}
