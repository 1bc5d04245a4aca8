//! A room's commands on their way to media workers that may be behind.
//!
//! Owns: their order. Behind a command that waits all of them wait, whichever worker they are for: a consumer
//! must not be added before the producer that another worker has yet to take.

use std::collections::VecDeque;

use engine::{SendError, Unsent};
use sfu::Command;
use tracing::debug;

/// Commands in order, of which the first may wait for a worker.
#[derive(Default)]
pub(crate) struct Commands(VecDeque<Command>);

/// How a turn of sending went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// A worker had no room: to be tried again.
    pub(crate) held: bool,
    /// Commands whose worker has ended, and what they were to do with it.
    pub(crate) refused: u64,
}

impl Commands {
    pub(crate) fn push(&mut self, command: Command) {
        self.0.push_back(command);
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends until a worker has no room.
    pub(crate) fn send(&mut self, mut to: impl FnMut(Command) -> Result<(), Unsent>) -> Sent {
        let mut sent = Sent::default();
        while !sent.held
            && let Some(command) = self.0.pop_front()
        {
            let Err(Unsent(parts)) = to(command) else { continue };
            // The parts of one command are for workers of their own: in front of the rest, in any order.
            for (error, part) in parts {
                match error {
                    SendError::Full(_) => {
                        sent.held = true;
                        self.0.push_front(part);
                    }
                    SendError::Stopped(_) => {
                        sent.refused += 1;
                        debug!(%error, "command refused");
                    }
                }
            }
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use sfu::PeerId;

    use super::*;

    /// Commands that differ by their peer.
    fn close(peer: u64) -> Command {
        Command::ClosePeer { peer: PeerId(peer) }
    }

    fn peer(command: &Command) -> u64 {
        match command {
            Command::ClosePeer { peer } => peer.0,
            other => panic!("{other:?}"),
        }
    }

    fn three() -> Commands {
        let mut commands = Commands::default();
        (1..=3).for_each(|peer| commands.push(close(peer)));
        commands
    }

    /// Sends to workers that refuse the command of `refused` only; what was sent, and which were taken.
    fn send(commands: &mut Commands, refused: Option<(u64, SendError)>) -> (Sent, Vec<u64>) {
        let mut taken = Vec::new();
        let sent = commands.send(|command| match refused {
            Some((of, error)) if of == peer(&command) => Err(Unsent(vec![(error, command)])),
            _ => {
                taken.push(peer(&command));
                Ok(())
            }
        });
        (sent, taken)
    }

    #[test]
    fn behind_a_command_that_waits_the_others_wait_and_none_is_sent_twice() {
        let mut commands = three();
        let held = Sent { held: true, refused: 0 };
        assert_eq!(send(&mut commands, Some((2, SendError::Full(0)))), (held, vec![1]));
        assert!(!commands.is_empty());
        assert_eq!(send(&mut commands, None), (Sent::default(), vec![2, 3]));
        assert!(commands.is_empty());
    }

    #[test]
    fn a_command_waits_as_long_as_its_worker_is_full() {
        let mut commands = three();
        for _ in 0..3 {
            let held = Sent { held: true, refused: 0 };
            assert_eq!(send(&mut commands, Some((1, SendError::Full(0)))), (held, vec![]));
        }
        assert_eq!(send(&mut commands, None), (Sent::default(), vec![1, 2, 3]));
    }

    #[test]
    fn a_worker_that_has_ended_keeps_nobody_waiting() {
        let mut commands = three();
        let refused = Sent { held: false, refused: 1 };
        assert_eq!(send(&mut commands, Some((1, SendError::Stopped(0)))), (refused, vec![2, 3]));
        assert!(commands.is_empty());
    }

    #[test]
    fn of_a_command_in_parts_only_the_part_without_room_is_tried_again() {
        let mut commands = three();
        let sent = commands
            .send(|_| Err(Unsent(vec![(SendError::Stopped(0), close(11)), (SendError::Full(1), close(12))])));
        assert_eq!(sent, Sent { held: true, refused: 1 });
        assert_eq!(send(&mut commands, None), (Sent::default(), vec![12, 2, 3]));
    }
}
