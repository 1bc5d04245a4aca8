use super::*;

const RTT: Duration = Duration::from_millis(100);

fn asked(nack: &mut Nack, now: Instant) -> Vec<u16> {
    let mut out = Vec::new();
    nack.poll(now, RTT, &mut out);
    out
}

#[test]
fn a_gap_is_asked_for_after_the_reordering_time_and_again_after_a_round_trip() {
    let t0 = Instant::now();
    let at = |ms| t0 + Duration::from_millis(ms);
    let mut nack = Nack::default();
    nack.packet(at(0), 100, false);
    nack.packet(at(0), 104, false);
    assert_eq!(asked(&mut nack, at(4)), [] as [u16; 0]);
    nack.packet(at(4), 102, false);
    assert_eq!(nack.next(), Some(at(5)));
    assert_eq!(asked(&mut nack, at(5)), [101, 103]);
    assert_eq!(asked(&mut nack, at(104)), [] as [u16; 0]);
    nack.packet(at(104), 101, true);
    assert_eq!(asked(&mut nack, at(109)), [] as [u16; 0]);
    assert_eq!(asked(&mut nack, at(110)), [103]);
}

/// A packet each 5 ms, every fifth of which is missing until its first answer comes, `takes` ms after a request;
/// each request is answered. How many requests 100 missing packets came to, after the first ten seconds.
fn requests_for_a_hundred(takes: u64) -> usize {
    let t0 = Instant::now();
    let at = |ms| t0 + Duration::from_millis(ms);
    let mut nack = Nack::default();
    nack.packet(t0, 0, false);
    let mut requests = 0;
    let mut answers: Vec<(u64, u64)> = Vec::new();
    for ms in 1..=12_500 {
        if ms % 5 == 0 && ms % 25 != 0 {
            nack.packet(at(ms), ms / 5, false);
        }
        answers.sort_unstable();
        while answers.first().is_some_and(|(due, _)| *due <= ms) {
            nack.packet(at(ms), answers.remove(0).1, true);
        }
        let out = asked(&mut nack, at(ms));
        requests += if ms > 10_000 { out.len() } else { 0 };
        answers.extend(out.iter().map(|seq| (ms + takes, u64::from(*seq))));
    }
    requests
}

#[test]
fn requests_wait_as_long_as_answers_take() {
    for takes in [1, 30, 100, 300, 450] {
        let requests = requests_for_a_hundred(takes);
        assert!((95..=115).contains(&requests), "answers take {takes} ms: {requests} requests");
    }
}

#[test]
fn what_comes_late_by_itself_says_nothing_of_answers() {
    let t0 = Instant::now();
    let at = |ms| t0 + Duration::from_millis(ms);
    let mut nack = Nack::default();
    nack.packet(at(0), 0, false);
    nack.packet(at(0), 3, false);
    assert_eq!(asked(&mut nack, at(5)), [1, 2]);
    nack.packet(at(6), 1, false);
    assert_eq!(nack.patience(RTT), RTT + REORDER);
    nack.packet(at(45), 2, true);
    assert_eq!(nack.patience(RTT), Duration::from_millis(40 + 40) + REORDER);
}

#[test]
fn requests_are_a_share_of_what_arrives() {
    let t0 = Instant::now();
    let mut nack = Nack::default();
    // Two of three are missing for ever.
    let mut requests = 0;
    for n in 0..6000u64 {
        let now = t0 + Duration::from_millis(n);
        if n % 3 == 0 {
            nack.packet(now, n, false);
        }
        requests += asked(&mut nack, now).len();
    }
    // Of 2000 that arrived, and what was saved before.
    assert!((1000..=1000 + SAVED as usize).contains(&requests), "{requests}");
    // When: all is well for a while, a burst is asked for at once again.
    let mut now = t0 + Duration::from_secs(6);
    for n in 6000..7000 {
        now += Duration::from_millis(3);
        nack.packet(now, n, false);
        asked(&mut nack, now);
    }
    nack.packet(now, 7100, false);
    assert_eq!(asked(&mut nack, now + REORDER).len(), 100);
}

#[test]
fn a_key_frame_ends_the_search_for_what_was_broken_before_it() {
    let t0 = Instant::now();
    let at = |ms| t0 + Duration::from_millis(ms);
    let mut nack = Nack::default();
    nack.packet(at(0), 0, false);
    nack.packet(at(0), 2, false);
    nack.packet(at(900), 4, false);
    assert_eq!(asked(&mut nack, at(905)).len(), 2);
    // Nothing was given up yet: the pictures before a key frame are wanted.
    nack.key_frame(4);
    assert_eq!(nack.missing.len(), 2);
    assert_eq!(nack.poll(at(1000), RTT, &mut Vec::new()), Gap::Lost);
    nack.packet(at(1001), 8, false);
    nack.key_frame(6);
    assert_eq!(nack.missing.iter().map(|m| m.seq).collect::<Vec<_>>(), [6, 7]);
}

#[test]
fn what_never_comes_is_given_up_and_a_jump_is_not_asked_for() {
    let t0 = Instant::now();
    let at = |ms| t0 + Duration::from_millis(ms);
    let mut nack = Nack::default();
    nack.packet(at(0), 100, false);
    nack.packet(at(0), 102, false);
    let mut out = Vec::new();
    let lost: Vec<u64> = (0..2000).filter(|ms| nack.poll(at(*ms), RTT, &mut out) == Gap::Lost).collect();
    assert!((3..=usize::from(MAX_ASKED)).contains(&out.len()), "{out:?}");
    assert_eq!(lost, [1000], "said once");
    assert_eq!(nack.next(), None);
    assert_eq!(nack.packet(at(2000), 60_000, false), Gap::Lost);
    assert_eq!(nack.next(), None);
}
