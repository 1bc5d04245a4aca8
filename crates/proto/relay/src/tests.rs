#![allow(clippy::disallowed_methods)] // a test has to begin somewhere

use super::*;

fn name(domain: &str) -> Name {
    Name::new(domain, "live", "demo").unwrap()
}

fn origin(url: &str, max_retry: u32) -> Origin {
    Origin { protocol: Protocol::Rtmp, url: url.into(), interval: Duration::from_secs(1), max_retry }
}

fn push(url: &str) -> Push {
    Push { url: url.into() }
}

/// The machine in virtual time; times are milliseconds since it began.
struct Bench {
    relay: Relay,
    start: Time,
    now: Time,
}

impl Bench {
    fn new() -> Self {
        let start = Time { mono: Instant::now(), unix: Duration::ZERO };
        Self { relay: Relay::new(start.mono), start, now: start }
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now.after(Duration::from_millis(millis));
        while let Some(due) = self.relay.poll_timeout().filter(|due| *due <= end.mono) {
            self.now = self.now.after(due.saturating_duration_since(self.now.mono));
            self.relay.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.relay.poll_action()).collect()
    }

    /// The one attempt that is asked for now, and where it goes.
    fn attempt(&mut self) -> (Attempt, String) {
        let mut actions = self.actions();
        assert_eq!(actions.len(), 1, "{actions:?}");
        match actions.remove(0) {
            Action::Pull { attempt, url, .. } | Action::Push { attempt, url, .. } => (attempt, url),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for an attempt; when it was asked for.
    fn next_attempt(&mut self) -> (u64, Attempt, String) {
        for _ in 0..1000 {
            let due = self.relay.poll_timeout().expect("something is to come");
            self.now = self.now.after(due.saturating_duration_since(self.now.mono));
            self.relay.handle_timeout(self.now);
            let actions = self.actions();
            if let Some(Action::Pull { attempt, url, .. } | Action::Push { attempt, url, .. }) =
                actions.first()
            {
                let at = self.now.since(self.start.mono).as_millis() as u64;
                return (at, *attempt, url.clone());
            }
        }
        panic!("nothing came");
    }

    fn lost(&mut self, attempt: Attempt) {
        self.relay.lost(self.now, attempt);
    }
}

#[test]
fn origins_are_tried_in_order_and_given_up_after_their_retries() {
    let mut bench = Bench::new();
    bench.relay.wanted(bench.now, &name("d"), &[origin("rtmp://a/live", 1), origin("rtmp://b/live", 1)]);
    let (first, url) = bench.attempt();
    assert_eq!(url, "rtmp://a/live/demo");
    bench.lost(first);
    // The next at once, the first again after its interval.
    let (second, url) = bench.attempt();
    assert_eq!(url, "rtmp://b/live/demo");
    bench.lost(second);
    assert_eq!(bench.actions(), []);
    let (at, third, url) = bench.next_attempt();
    assert_eq!(url, "rtmp://a/live/demo");
    assert!((1000..=1010).contains(&at), "{at}");
    bench.lost(third);
    let (_, url) = bench.attempt();
    assert_eq!(url, "rtmp://b/live/demo");
    let fourth = Attempt(bench.relay.last);
    bench.lost(fourth);
    assert_eq!(bench.actions(), [Action::GiveUp { name: name("d") }]);
    assert_eq!(bench.relay.poll_timeout(), None);
    assert!(bench.relay.attempts.is_empty() && bench.relay.pulls.is_empty());
    // Whoever comes later begins anew.
    bench.relay.wanted(bench.now, &name("d"), &[origin("rtmp://a/live", 0)]);
    bench.attempt();
}

#[test]
fn a_killed_origin_is_followed_by_the_next_within_the_interval() {
    let mut bench = Bench::new();
    bench.relay.wanted(bench.now, &name("d"), &[origin("rtmp://a/live", 3), origin("rtmp://b/live", 3)]);
    let (a, _) = bench.attempt();
    bench.relay.connected(bench.now, a);
    bench.wait(3_600_000);
    bench.lost(a);
    assert_eq!(bench.attempt().1, "rtmp://b/live/demo", "at once");
    // A single one is tried again at once too, since its last attempt is long ago.
    let mut bench = Bench::new();
    bench.relay.wanted(bench.now, &name("d"), &[origin("rtmp://a/live", 0)]);
    let (a, _) = bench.attempt();
    bench.relay.connected(bench.now, a);
    bench.wait(60_000);
    bench.lost(a);
    assert_eq!(bench.actions(), [Action::GiveUp { name: name("d") }], "but not if it may not be retried");
}

#[test]
fn an_origin_that_has_served_begins_anew_and_one_that_flaps_does_not() {
    let mut bench = Bench::new();
    bench.relay.wanted(bench.now, &name("d"), &[origin("rtmp://a/live", 2)]);
    let mut attempt = bench.attempt().0;
    for _ in 0..10 {
        bench.relay.connected(bench.now, attempt);
        bench.wait(11_000);
        bench.lost(attempt);
        attempt = bench.attempt().0;
    }
    // Two more failures after a short connection are all that it may have.
    bench.relay.connected(bench.now, attempt);
    bench.wait(500);
    bench.lost(attempt);
    let (_, attempt, _) = bench.next_attempt();
    bench.lost(attempt);
    assert_eq!(bench.actions(), [Action::GiveUp { name: name("d") }]);
}

#[test]
fn an_attempt_that_brings_nothing_is_ended_and_counts_as_failed() {
    let mut bench = Bench::new();
    bench.relay.wanted(bench.now, &name("d"), &[origin("rtmp://a/live", 0), origin("rtmp://b/live", 0)]);
    let (a, _) = bench.attempt();
    bench.wait(4_900);
    assert_eq!(bench.actions(), []);
    bench.wait(200);
    let actions = bench.actions();
    assert_eq!(actions[0], Action::End { attempt: a });
    assert!(matches!(&actions[1], Action::Pull { url, .. } if url == "rtmp://b/live/demo"));
    // What is heard of it later is nothing.
    bench.relay.connected(bench.now, a);
    bench.lost(a);
    assert_eq!(bench.actions(), []);
}

#[test]
fn streams_of_one_name_in_two_domains_are_fetched_both() {
    let mut bench = Bench::new();
    for domain in ["one", "two", "one"] {
        bench.relay.wanted(bench.now, &name(domain), &[origin("rtmp://a/live", 0)]);
    }
    let names = bench.actions().into_iter().map(|action| match action {
        Action::Pull { name, .. } => name,
        other => panic!("{other:?}"),
    });
    assert_eq!(names.collect::<Vec<_>>(), [name("one"), name("two")]);
}

#[test]
fn what_nobody_needs_is_let_go_in_every_state() {
    // Trying.
    let mut bench = Bench::new();
    bench.relay.wanted(bench.now, &name("d"), &[origin("rtmp://a/live", 5)]);
    let (a, _) = bench.attempt();
    bench.relay.ended(&name("d"));
    assert_eq!(bench.actions(), [Action::End { attempt: a }]);
    // Running, because somebody publishes it here.
    bench.relay.wanted(bench.now, &name("d"), &[origin("rtmp://a/live", 5)]);
    let (a, _) = bench.attempt();
    bench.relay.connected(bench.now, a);
    bench.relay.started(bench.now, &name("d"), true, &[]);
    assert_eq!(bench.actions(), [], "that was ours");
    bench.relay.started(bench.now, &name("d"), false, &[]);
    assert_eq!(bench.actions(), [Action::End { attempt: a }]);
    // Missed: looked for later.
    bench.relay.wanted(bench.now, &name("d"), &[origin("rtmp://a/live", 5)]);
    let (a, _) = bench.attempt();
    bench.relay.retain(|_| true);
    assert_eq!(bench.actions(), []);
    bench.relay.retain(|_| false);
    assert_eq!(bench.actions(), [Action::End { attempt: a }]);
    // Waiting.
    bench.relay.wanted(bench.now, &name("d"), &[origin("rtmp://a/live", 5)]);
    let (a, _) = bench.attempt();
    bench.lost(a);
    bench.relay.ended(&name("d"));
    bench.relay.ended(&name("d"));
    bench.wait(60_000);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.relay.poll_timeout(), None);
    assert!(bench.relay.attempts.is_empty());
}

#[test]
fn no_origin_at_all_is_given_up_at_once() {
    let mut bench = Bench::new();
    bench.relay.wanted(bench.now, &name("d"), &[]);
    assert_eq!(bench.actions(), [Action::GiveUp { name: name("d") }]);
}

#[test]
fn forwarding_reconnects_for_ever_and_more_and_more_seldom() {
    let mut bench = Bench::new();
    bench.relay.started(bench.now, &name("d"), false, &[push("rtmp://a/live")]);
    let (mut attempt, url) = bench.attempt();
    assert_eq!(url, "rtmp://a/live/demo");
    let mut times = vec![0];
    for _ in 0..8 {
        bench.lost(attempt);
        let (at, next, _) = bench.next_attempt();
        times.push(at);
        attempt = next;
    }
    let waits: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    bench.relay.connected(bench.now, attempt);
    bench.wait(60_000);
    bench.lost(attempt);
    bench.attempt();
}

#[test]
fn forwarding_outlives_a_change_of_publishers_but_not_their_absence() {
    let mut bench = Bench::new();
    let pushes = [push("rtmp://a/live"), push("rtmp://b/live")];
    bench.relay.started(bench.now, &name("d"), false, &pushes);
    assert_eq!(bench.actions().len(), 2);
    bench.relay.connected(bench.now, Attempt(1));
    bench.relay.connected(bench.now, Attempt(2));
    bench.relay.stopped(bench.now, &name("d"));
    bench.relay.started(bench.now, &name("d"), false, &pushes);
    bench.wait(4_000);
    bench.relay.stopped(bench.now, &name("d"));
    bench.relay.stopped(bench.now, &name("d"));
    bench.wait(4_000);
    bench.relay.started(bench.now, &name("d"), false, &pushes);
    bench.wait(60_000);
    assert_eq!(bench.actions(), []);
    bench.relay.stopped(bench.now, &name("d"));
    bench.wait(5_100);
    let ends = [Action::End { attempt: Attempt(1) }, Action::End { attempt: Attempt(2) }];
    assert_eq!(bench.actions(), ends);
    assert_eq!(bench.relay.poll_timeout(), None);
}
