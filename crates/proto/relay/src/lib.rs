//! Relays: streams fetched from origins and forwarded to other servers.
//!
//! Owns: when which address is tried, how often, and what is tried next. Knows no socket: it asks for
//! connections ([`Action`]) and is told what became of them.
//!
//! A stream is fetched once however many want it, by its whole name, so that streams of the same name in two
//! domains are two. Origins are tried in order; one that fails is followed by the next at once, and tried again
//! no sooner than its interval. An origin that has failed more often than it may be retried is out; when all
//! are, the stream is given up. One that has served for a while begins anew.

mod link;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use clock::Time;
use media::{Name, Timer, Wheel};
use vhost::{Origin, Protocol, Push};

use link::{Link, Next, Route};

/// Until the first frame of an attempt; what takes longer has failed.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long forwarding waits for a publisher to return before the other side is told that it left.
const RETURN_LIMIT: Duration = Duration::from_secs(5);

/// One attempt at one address; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(pub u64);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Play `url` by `protocol` and publish what comes as `name`.
    Pull { attempt: Attempt, name: Name, protocol: Protocol, url: String },
    /// Publish `name` to `url` over RTMP.
    Push { attempt: Attempt, name: Name, url: String },
    /// End an attempt. Nothing more is to be heard of it.
    End { attempt: Attempt },
    /// No origin has the stream: whoever waits for it is to be told.
    GiveUp { name: Name },
}

/// See the crate's description.
#[derive(Debug)]
pub struct Relay {
    wheel: Wheel<Due>,
    pulls: HashMap<Name, Link>,
    pushes: HashMap<Name, Forward>,
    attempts: HashMap<Attempt, Place>,
    actions: VecDeque<Action>,
    last: u64,
}

/// Where a stream is forwarded, by address.
#[derive(Debug, Default)]
struct Forward {
    links: BTreeMap<String, Link>,
    /// Its publisher has left, and this is how long it is waited for.
    leaving: Option<Timer>,
}

/// Which link an attempt or a timer belongs to.
#[derive(Debug, Clone)]
enum Place {
    Pull(Name),
    Push(Name, String),
}

#[derive(Debug)]
enum Due {
    /// An attempt has brought nothing in time.
    Late(Attempt),
    /// It is time for the next attempt.
    Try(Place),
    /// The publisher has not returned.
    Left(Name),
}

impl Relay {
    pub fn new(now: Instant) -> Self {
        Self {
            wheel: Wheel::new(now),
            pulls: HashMap::new(),
            pushes: HashMap::new(),
            attempts: HashMap::new(),
            actions: VecDeque::new(),
            last: 0,
        }
    }

    /// Somebody wants a stream that is not here.
    pub fn wanted(&mut self, now: Time, name: &Name, origins: &[Origin]) {
        if self.pulls.contains_key(name) {
            return;
        }
        let routes = origins.iter().map(|origin| Route {
            protocol: origin.protocol,
            url: origin.address(name.stream()),
            interval: origin.interval,
            retries: Some(origin.max_retry),
        });
        self.pulls.insert(name.clone(), Link::new(routes.collect()));
        self.follow(now, Place::Pull(name.clone()));
    }

    /// A publisher has begun: its stream is forwarded, and if it came by itself, no longer fetched.
    pub fn started(&mut self, now: Time, name: &Name, is_pulled: bool, pushes: &[Push]) {
        if !is_pulled {
            self.drop_pull(name);
        }
        if pushes.is_empty() && !self.pushes.contains_key(name) {
            return;
        }
        let forward = self.pushes.entry(name.clone()).or_default();
        if let Some(timer) = forward.leaving.take() {
            self.wheel.cancel(timer);
        }
        for url in pushes.iter().map(|push| push.address(name.stream())) {
            let forward = self.pushes.entry(name.clone()).or_default();
            if forward.links.contains_key(&url) {
                continue;
            }
            let route = Route {
                protocol: Protocol::Rtmp,
                url: url.clone(),
                interval: Duration::from_secs(1),
                retries: None,
            };
            forward.links.insert(url.clone(), Link::new(vec![route]));
            self.follow(now, Place::Push(name.clone(), url));
        }
    }

    /// A publisher has left. It may return, or another may have taken over.
    pub fn stopped(&mut self, now: Time, name: &Name) {
        if let Some(forward) = self.pushes.get_mut(name)
            && forward.leaving.is_none()
        {
            let timer = self.wheel.set(now.mono + RETURN_LIMIT, Due::Left(name.clone()));
            forward.leaving = Some(timer);
        }
    }

    /// The stream is gone: nobody plays it any more, or nobody publishes it.
    pub fn ended(&mut self, name: &Name) {
        self.drop_pull(name);
        self.drop_pushes(name);
    }

    /// Ends everything for streams that are not there, where that was missed.
    pub fn retain(&mut self, is_there: impl Fn(&Name) -> bool) {
        let names = self.pulls.keys().chain(self.pushes.keys());
        let gone: Vec<Name> = names.filter(|name| !is_there(name)).cloned().collect();
        for name in gone {
            self.ended(&name);
        }
    }

    /// The first frame of an attempt has passed.
    pub fn connected(&mut self, now: Time, attempt: Attempt) {
        let Some(place) = self.attempts.get(&attempt).cloned() else { return };
        if let Some(timer) = self.link(&place).and_then(|link| link.connected(now)) {
            self.wheel.cancel(timer);
        }
    }

    /// An attempt has failed, or what it began has ended.
    pub fn lost(&mut self, now: Time, attempt: Attempt) {
        let Some(place) = self.attempts.remove(&attempt) else { return };
        let Some(link) = self.link(&place) else { return };
        if let Some(timer) = link.lost(now) {
            self.wheel.cancel(timer);
        }
        self.follow(now, place);
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.due()
    }

    pub fn handle_timeout(&mut self, now: Time) {
        let mut due = Vec::new();
        self.wheel.turn(now.mono, &mut due);
        for due in due {
            match due {
                Due::Late(attempt) => {
                    if self.attempts.contains_key(&attempt) {
                        self.actions.push_back(Action::End { attempt });
                        self.lost(now, attempt);
                    }
                }
                Due::Try(place) => self.follow(now, place),
                Due::Left(name) => self.drop_pushes(&name),
            }
        }
    }

    /// Does what comes next for a link without a connection.
    fn follow(&mut self, now: Time, place: Place) {
        let Some(link) = self.link(&place) else { return };
        match link.next(now) {
            Next::Try { protocol, url } => {
                self.last += 1;
                let attempt = Attempt(self.last);
                let timer = self.wheel.set(now.mono + CONNECT_LIMIT, Due::Late(attempt));
                if let Some(link) = self.link(&place) {
                    link.trying(attempt, timer);
                }
                self.attempts.insert(attempt, place.clone());
                self.actions.push_back(match place {
                    Place::Pull(name) => Action::Pull { attempt, name, protocol, url },
                    Place::Push(name, _) => Action::Push { attempt, name, url },
                });
            }
            Next::Wait(until) => {
                let timer = self.wheel.set(until, Due::Try(place.clone()));
                if let Some(link) = self.link(&place) {
                    link.waiting(timer);
                }
            }
            Next::GiveUp => {
                if let Place::Pull(name) = place {
                    self.pulls.remove(&name);
                    self.actions.push_back(Action::GiveUp { name });
                }
            }
        }
    }

    fn link(&mut self, place: &Place) -> Option<&mut Link> {
        match place {
            Place::Pull(name) => self.pulls.get_mut(name),
            Place::Push(name, url) => self.pushes.get_mut(name)?.links.get_mut(url),
        }
    }

    fn drop_pull(&mut self, name: &Name) {
        if let Some(link) = self.pulls.remove(name) {
            self.end(link);
        }
    }

    fn drop_pushes(&mut self, name: &Name) {
        let Some(forward) = self.pushes.remove(name) else { return };
        if let Some(timer) = forward.leaving {
            self.wheel.cancel(timer);
        }
        for (_, link) in forward.links {
            self.end(link);
        }
    }

    fn end(&mut self, link: Link) {
        let (attempt, timer) = link.into_parts();
        if let Some(timer) = timer {
            self.wheel.cancel(timer);
        }
        if let Some(attempt) = attempt {
            self.attempts.remove(&attempt);
            self.actions.push_back(Action::End { attempt });
        }
    }
}

#[cfg(test)]
mod tests;
