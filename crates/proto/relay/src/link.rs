//! One stream's way to one of several addresses: which is tried next, and when.

use std::time::{Duration, Instant};

use clock::Time;
use media::Timer;
use vhost::Protocol;

use crate::Attempt;

/// A connection that has held for this long was a good one: what failed before it is forgotten.
const STABLE: Duration = Duration::from_secs(10);
/// The longest wait between attempts that are repeated for ever.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// An address that can be tried.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) protocol: Protocol,
    pub(crate) url: String,
    /// Between two attempts; it doubles where attempts are repeated for ever.
    pub(crate) interval: Duration,
    /// Attempts after the first failure; without a number, for ever.
    pub(crate) retries: Option<u32>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Try { protocol: Protocol, url: String },
    Wait(Instant),
    GiveUp,
}

#[derive(Debug)]
struct Record {
    route: Route,
    failures: u32,
    tried: Option<Instant>,
}

impl Record {
    fn is_out(&self) -> bool {
        self.route.retries.is_some_and(|retries| self.failures > retries)
    }

    /// When it may be tried again.
    fn ready(&self, now: Instant) -> Instant {
        let Some(tried) = self.tried else { return now };
        let wait = match self.route.retries {
            Some(_) => self.route.interval,
            None => {
                let doubled = 1 << self.failures.saturating_sub(1).min(8);
                self.route.interval.saturating_mul(doubled).min(MAX_WAIT)
            }
        };
        (tried + wait).max(now)
    }
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Link {
    routes: Vec<Record>,
    /// The one that is tried or used.
    at: usize,
    attempt: Option<Attempt>,
    /// Since when frames pass.
    since: Option<Instant>,
    /// Of the attempt, or of the wait for the next.
    timer: Option<Timer>,
}

impl Link {
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        let routes = routes.into_iter().map(|route| Record { route, failures: 0, tried: None }).collect();
        Self { routes, at: 0, attempt: None, since: None, timer: None }
    }

    /// From the present address on, the first that is not out and is ready; else the soonest.
    pub(crate) fn next(&mut self, now: Time) -> Next {
        let count = self.routes.len();
        let order = (0..count).map(|n| (self.at + n) % count);
        let choice = order
            .filter_map(|at| {
                self.routes.get(at).filter(|route| !route.is_out()).map(|r| (r.ready(now.mono), at))
            })
            // The first of several that are equally soon: the order is the operator's.
            .min_by_key(|(ready, _)| *ready);
        let Some((ready, at)) = choice else { return Next::GiveUp };
        if ready > now.mono {
            return Next::Wait(ready);
        }
        self.at = at;
        let Some(record) = self.routes.get_mut(at) else { return Next::GiveUp };
        record.tried = Some(now.mono);
        Next::Try { protocol: record.route.protocol, url: record.route.url.clone() }
    }

    pub(crate) fn trying(&mut self, attempt: Attempt, timer: Timer) {
        self.attempt = Some(attempt);
        self.since = None;
        self.timer = Some(timer);
    }

    pub(crate) fn waiting(&mut self, timer: Timer) {
        self.timer = Some(timer);
    }

    /// Frames pass; the timer that is not needed any more.
    pub(crate) fn connected(&mut self, now: Time) -> Option<Timer> {
        self.since.get_or_insert(now.mono);
        self.timer.take()
    }

    /// It has failed or ended; the timer that is not needed any more. The next address is up.
    pub(crate) fn lost(&mut self, now: Time) -> Option<Timer> {
        let held = self.since.take().map(|since| now.since(since));
        if held.is_some_and(|held| held >= STABLE) {
            for record in &mut self.routes {
                record.failures = 0;
            }
        }
        if let Some(record) = self.routes.get_mut(self.at) {
            record.failures += 1;
        }
        self.at = (self.at + 1) % self.routes.len().max(1);
        self.attempt = None;
        self.timer.take()
    }

    pub(crate) fn into_parts(self) -> (Option<Attempt>, Option<Timer>) {
        (self.attempt, self.timer)
    }
}
