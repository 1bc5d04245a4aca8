use super::*;

const MS: Duration = Duration::from_millis(1);

fn start() -> Time {
    Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) }
}

/// Everything the link delivers, with its delay since `from`.
fn drain(link: &mut Link<u32>, from: Time) -> Vec<(Duration, u32)> {
    let mut all = Vec::new();
    while let Some(at) = link.poll_timeout() {
        let now = from.after(at - from.mono);
        while let Some(d) = link.receive(now) {
            all.push((at - from.mono, d));
        }
    }
    all
}

#[test]
fn a_perfect_link_delivers_at_once_and_in_order() {
    let t = start();
    let mut link = Link::new(Config::default(), 1);
    for i in 0..5 {
        link.send(t, 1000, i);
    }
    assert_eq!(drain(&mut link, t), (0..5).map(|i| (Duration::ZERO, i)).collect::<Vec<_>>());
}

#[test]
fn nothing_arrives_before_its_delay() {
    let t = start();
    let mut link = Link::new(Config { delay: 50 * MS, ..Config::default() }, 1);
    link.send(t, 100, 7);
    assert_eq!(link.receive(t.after(49 * MS)), None);
    assert_eq!(link.receive(t.after(50 * MS)), Some(7));
}

#[test]
fn one_seed_gives_one_history_and_another_seed_another() {
    let run = |seed| {
        let t = start();
        let config = Config {
            loss: 0.2,
            duplicate: 0.1,
            jitter: 30 * MS,
            reorder: true,
            rate: Some(1_000_000),
            ..Config::default()
        };
        let mut link = Link::new(config, seed);
        for i in 0..500 {
            link.send(t.after(i * MS), 100, i);
        }
        drain(&mut link, t)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn loss_is_near_its_share() {
    let t = start();
    let mut link = Link::new(Config { loss: 0.1, ..Config::default() }, 3);
    for i in 0..10_000 {
        link.send(t, 100, i);
    }
    assert!((900..1100).contains(&link.counters().lost), "{:?}", link.counters());
}

#[test]
fn jitter_reorders_only_where_it_may() {
    for reorder in [false, true] {
        let t = start();
        let mut link = Link::new(Config { jitter: 20 * MS, reorder, ..Config::default() }, 4);
        for i in 0..100 {
            link.send(t.after(i * MS), 100, i);
        }
        let order: Vec<_> = drain(&mut link, t).into_iter().map(|d| d.1).collect();
        assert_eq!(order.len(), 100);
        assert_eq!(order.is_sorted(), !reorder);
    }
}

#[test]
fn a_rate_spreads_a_burst_and_a_full_queue_drops() {
    let t = start();
    // 972 + 28 bytes are 8 ms at 1 Mbit/s.
    let config = Config { rate: Some(1_000_000), queue: 20 * MS, ..Config::default() };
    let mut link = Link::new(config, 5);
    for i in 0..10 {
        link.send(t, 972, i);
    }
    let all = drain(&mut link, t);
    assert_eq!(all, [(8 * MS, 0), (16 * MS, 1), (24 * MS, 2)]);
    assert_eq!(link.counters().overflowed, 7);
    // Once the queue has drained there is room again.
    link.send(t.after(30 * MS), 972, 99);
    assert_eq!(link.receive(t.after(38 * MS)), Some(99));
}
