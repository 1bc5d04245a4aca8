//! Candidates that came before the description they belong to (trickle ICE, RFC 8838).

use peer::Candidate;

/// More than a client has addresses.
const MAX: usize = 32;

/// Waiting candidates; those that are too many are dropped.
#[derive(Debug, Default)]
pub(crate) struct Early(Vec<Candidate>);

impl Early {
    pub(crate) fn keep(&mut self, candidate: Candidate) {
        if self.0.len() < MAX {
            self.0.push(candidate);
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Candidate> {
        std::mem::take(&mut self.0)
    }
}
