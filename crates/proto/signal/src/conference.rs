//! One room with its sessions.

use std::collections::VecDeque;
use std::time::Instant;

use clock::Time;

use crate::{Config, Input, Output};

/// A room, its participants' sessions and their negotiations, as one machine.
#[derive(Debug)]
pub struct Conference {
    config: Config,
    output: VecDeque<Output>,
}

impl Conference {
    /// A room that waits for its first participant. ICE passwords come from the seed: outside of tests
    /// it is random, and long enough not to be guessed.
    pub fn new(_now: Time, config: Config, _seed: [u8; 32]) -> Self {
        Self { config, output: VecDeque::new() }
    }

    /// Takes one input; what follows from it waits in [`Conference::poll_output`].
    pub fn handle(&mut self, _now: Time, _input: Input) {}

    /// Does what is due. To be called when [`Conference::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// What is to be said and done, in order. To be drained after each call above.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// When [`Conference::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// How many participants there are, hidden ones too.
    pub fn participants(&self) -> usize {
        0
    }

    /// The room's name.
    pub fn name(&self) -> &str {
        &self.config.room
    }
}
