//! How long silence may last (consent freshness, RFC 7675, with the reference server's times).

use std::time::{Duration, Instant};

use clock::Time;

use crate::Config;

/// What silence or its end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Connected,
    Disconnected,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is expected of the far end yet.
    Waiting,
    /// To be connected before this.
    Connecting {
        deadline: Instant,
    },
    Connected,
    /// To be heard of again before this.
    Disconnected {
        deadline: Instant,
    },
    Failed,
}

pub(super) struct Liveness {
    state: State,
    heard: Option<Instant>,
    connect_timeout: Duration,
    disconnected_after: Duration,
    failed_after: Duration,
}

impl Liveness {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            state: State::Waiting,
            heard: None,
            connect_timeout: config.connect_timeout,
            disconnected_after: config.disconnected_after,
            failed_after: config.failed_after,
        }
    }

    /// Signalling says that the far end is about to show up, for the first time or again.
    pub(super) fn expect(&mut self, now: Time) {
        let deadline = now.mono + self.connect_timeout;
        match self.state {
            State::Waiting | State::Failed => self.state = State::Connecting { deadline },
            // A restart is a reason to wait on.
            State::Disconnected { .. } => self.state = State::Disconnected { deadline },
            State::Connecting { .. } | State::Connected => {}
        }
    }

    /// The far end is alive.
    pub(super) fn heard(&mut self, now: Time) {
        self.heard = Some(now.mono);
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// What has changed by now. `ready` says that a path and keys are there.
    pub(super) fn look(&mut self, now: Time, ready: bool) -> Option<Change> {
        let silence = self.heard.map(|at| now.since(at));
        let (state, change) = match self.state {
            State::Connecting { .. } | State::Disconnected { .. } | State::Failed
                if ready && silence.is_some_and(|s| s < self.disconnected_after) =>
            {
                (State::Connected, Change::Connected)
            }
            State::Connecting { deadline } if now.mono >= deadline => (State::Failed, Change::Failed),
            State::Connected if silence.is_none_or(|s| s >= self.disconnected_after) => {
                (State::Disconnected { deadline: now.mono + self.failed_after }, Change::Disconnected)
            }
            State::Disconnected { deadline } if now.mono >= deadline => (State::Failed, Change::Failed),
            _ => return None,
        };
        self.state = state;
        Some(change)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting | State::Failed => None,
            State::Connecting { deadline } | State::Disconnected { deadline } => Some(deadline),
            State::Connected => self.heard.map(|at| at + self.disconnected_after),
        }
    }
}
