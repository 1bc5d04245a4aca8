use std::net::TcpListener;

use sfu::Path;

use super::*;

/// Connections over loopback, and the time in which they live.
struct Bench {
    streams: Streams,
    stats: WorkerStats,
    listener: TcpListener,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stats = WorkerStats::default();
        Self { streams: Streams::new().unwrap(), stats, listener, now: Instant::now() }
    }

    /// The client's end and its marked address.
    fn connect(&mut self, said: &[u8]) -> (TcpStream, SocketAddr) {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (socket, remote) = self.listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let local = self.listener.local_addr().unwrap();
        self.streams.adopt(self.now, Arrival { socket, local, remote, said: said.to_vec() }, &mut self.stats);
        (client, Carrier::Tcp.mark(remote))
    }

    /// What has been said; everybody who says something passes a check if `passes`.
    fn serve(&mut self, passes: bool) -> Vec<Vec<u8>> {
        let mut got = Vec::new();
        self.streams.poll();
        self.streams.serve(self.now, &mut self.stats, |_, _, datagram, known| {
            got.push(datagram.to_vec());
            known || passes
        });
        got
    }

    fn after(&mut self, time: Duration, owned: &[SocketAddr]) -> usize {
        self.now += time;
        self.streams.sweep(self.now, |remote| owned.contains(&remote));
        self.streams.len()
    }
}

fn framed(datagram: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    assert!(push_frame(&mut frame, datagram));
    frame
}

#[test]
fn what_was_said_in_the_lobby_is_heard_without_another_word() {
    let mut bench = Bench::new();
    let said = [framed(b"one"), framed(b"two"), vec![0, 9, b'h']].concat();
    let _client = bench.connect(&said);
    assert!(bench.streams.pending());
    assert_eq!(bench.serve(false), [b"one".to_vec(), b"two".to_vec()]);
    assert!(!bench.streams.pending());
}

#[test]
fn who_passes_no_check_is_closed_and_so_are_the_silent_and_the_disowned() {
    let mut bench = Bench::new();
    let (_stranger, _) = bench.connect(b"");
    let (_alice, alice) = bench.connect(&framed(b"check"));
    let (_bob, bob) = bench.connect(&framed(b"check"));
    bench.serve(true);
    assert_eq!(bench.after(CHECK_TIME - SWEEP, &[alice, bob]), 3);
    assert_eq!(bench.after(SWEEP, &[alice, bob]), 2, "the stranger's time is over");
    assert_eq!(bench.after(SWEEP, &[alice]), 1, "bob's peer has gone");
    assert_eq!(bench.after(SILENCE_MAX, &[alice]), 0, "alice has not said anything for long");
    assert!(bench.streams.is_empty());
}

#[test]
fn a_crowd_of_strangers_pushes_out_its_eldest_and_nobody_known() {
    let mut bench = Bench::new();
    let (_alice, alice) = bench.connect(&framed(b"check"));
    bench.serve(true);
    let mut crowd = Vec::new();
    for _ in 0..STRANGERS_MAX + 5 {
        bench.now += Duration::from_micros(1);
        crowd.push(bench.connect(b""));
    }
    assert_eq!((bench.streams.len(), bench.stats.streams_refused), (STRANGERS_MAX + 1, 5));
    let there = |remote: &SocketAddr| bench.streams.by_remote.contains_key(remote);
    assert!(
        there(&alice)
            && crowd[..5].iter().all(|(_, r)| !there(r))
            && crowd[5..].iter().all(|(_, r)| there(r))
    );
}

#[test]
fn a_frame_longer_than_any_datagram_ends_the_connection() {
    let mut bench = Bench::new();
    let _client = bench.connect(&[0xff, 0xff]);
    bench.serve(false);
    assert!(bench.streams.is_empty());
}

#[test]
fn media_that_waits_too_long_is_dropped_and_checks_are_not() {
    let mut bench = Bench::new();
    let (mut client, remote) = bench.connect(&framed(b"check"));
    bench.serve(true);
    let path = Path { local: bench.listener.local_addr().unwrap(), remote };
    let mut outbox = Outbox::new(1 << 20);
    let (media, check) = ([0x80; 1000], [0x01; 100]);
    let mut offer = |bench: &mut Bench, datagram: &[u8]| {
        outbox.clear();
        outbox.push(path, datagram);
        bench.streams.send(bench.now, &outbox, &mut bench.stats)
    };
    // Until the kernel takes no more, and half a second later.
    while bench.streams.slots[0].as_ref().unwrap().queue.is_empty() {
        assert_eq!(offer(&mut bench, &media), 1);
    }
    assert_eq!(bench.stats.streams_overflow, 0);
    bench.now += QUEUE_TIME;
    assert_eq!(offer(&mut bench, &media), 1);
    assert_eq!(bench.stats.streams_overflow, 1);
    offer(&mut bench, &check);
    assert_eq!(bench.stats.streams_overflow, 1);
    // Even checks are bounded.
    for _ in 0..(QUEUE_BYTES + QUEUE_RESERVE) / 100 {
        offer(&mut bench, &check);
    }
    assert!(bench.stats.streams_overflow > 1);
    assert!(bench.streams.slots[0].as_ref().unwrap().queue.len() <= QUEUE_BYTES + QUEUE_RESERVE);

    // When: the client reads everything, Then: the stream is whole, and media goes again.
    client.set_nonblocking(true).unwrap();
    let (mut all, mut room) = (Vec::new(), vec![0; 1 << 20]);
    while !bench.streams.slots[0].as_ref().unwrap().queue.is_empty() {
        while let Ok(count @ 1..) = client.read(&mut room) {
            all.extend_from_slice(&room[..count]);
        }
        bench.serve(true);
    }
    let dropped = bench.stats.streams_overflow;
    offer(&mut bench, &media);
    assert_eq!(bench.stats.streams_overflow, dropped);
    client.set_nonblocking(false).unwrap();
    let sent = bench.stats.bytes_out as usize + FRAME_HEADER * bench.stats.datagrams_out as usize;
    let read = all.len();
    all.resize(sent, 0);
    client.read_exact(&mut all[read..]).unwrap();
    let mut rest = &mut all[..];
    while let Some((datagram, _)) = split_frame(rest, FRAME_MAX).unwrap() {
        assert!(datagram == media || datagram == check);
        let used = FRAME_HEADER + datagram.len();
        rest = &mut rest[used..];
    }
    assert!(rest.is_empty());
}

#[test]
fn datagrams_for_a_connection_that_has_ended_are_nobodys() {
    let mut bench = Bench::new();
    let (client, remote) = bench.connect(b"");
    drop(client);
    while !bench.streams.is_empty() {
        bench.serve(false);
    }
    let mut outbox = Outbox::new(1000);
    outbox.push(Path { local: remote, remote }, b"late");
    assert_eq!(bench.streams.send(bench.now, &outbox, &mut bench.stats), 0);
}
