//! Tokens that are no longer taken, because whoever holds them was removed from a room.
//!
//! A token is known by when it began to hold (`nbf`): one that says nothing of it is as old as can be.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use auth::Claims;
use clock::Time;

/// How long a removal without a time of its own reaches ahead, for clocks that differ: as in LiveKit.
const LEEWAY: Duration = Duration::from_secs(60);
/// How long one without a time of its own is remembered: as in LiveKit.
const REMEMBERED: Duration = Duration::from_secs(11 * 60);
/// One with a time of its own is remembered for as long as a token usually holds, and its leeway.
const REMEMBERED_AS_TOLD: Duration = auth::DEFAULT_LIFETIME.saturating_add(LEEWAY);
/// Removals that are remembered at once; beyond it the one that would end first is forgotten.
const MAX: usize = 10_000;

/// Who was removed from where, and which tokens that ends.
#[derive(Debug, Default)]
pub(crate) struct Revoked(Mutex<HashMap<(String, String), Entry>>);

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Seconds since 1970: tokens that began before then are refused.
    before: i64,
    forget: Instant,
}

impl Revoked {
    /// Refuses tokens of `identity` for `room` that began to hold before `before`, or, if that is 0, now.
    pub(crate) fn revoke(&self, room: &str, identity: &str, before: i64, now: Time) {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let (before, remembered) = match before {
            ..=0 => (seconds(now.unix + LEEWAY), REMEMBERED),
            told => (told, REMEMBERED_AS_TOLD),
        };
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX {
            entries.retain(|_, entry| entry.forget > now.mono);
        }
        if entries.len() >= MAX
            && let Some(first) = entries.iter().min_by_key(|(_, e)| e.forget).map(|(who, _)| who.clone())
        {
            entries.remove(&first);
        }
        entries
            .insert((room.to_owned(), identity.to_owned()), Entry { before, forget: now.mono + remembered });
    }

    pub(crate) fn is_revoked(&self, room: &str, claims: &Claims, now: Time) -> bool {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.is_empty() {
            return false;
        }
        let who = (room.to_owned(), claims.identity.clone());
        let Some(entry) = entries.get(&who).copied() else { return false };
        if entry.forget <= now.mono {
            entries.remove(&who);
            return false;
        }
        claims.not_before < entry.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(not_before: i64) -> Claims {
        Claims { identity: "ann".into(), not_before, ..Claims::default() }
    }

    #[test]
    fn what_began_before_is_refused_there_and_for_a_time() {
        let start = Time { mono: Instant::now(), unix: Duration::from_secs(1000) };
        let at = |after: u64| Time {
            mono: start.mono + Duration::from_secs(after),
            unix: start.unix + Duration::from_secs(after),
        };
        let revoked = Revoked::default();
        assert!(!revoked.is_revoked("a", &token(0), start));
        revoked.revoke("a", "ann", 500, start);
        let now = |room, nbf| revoked.is_revoked(room, &token(nbf), start);
        assert_eq!([now("a", 499), now("a", 500), now("b", 0)], [true, false, false]);
        assert!(!revoked.is_revoked("a", &Claims { identity: "bob".into(), ..Claims::default() }, start));
        assert!(
            revoked.is_revoked("a", &token(0), at(6 * 3600))
                && !revoked.is_revoked("a", &token(0), at(6 * 3600 + 60))
        );
        // Without a time: a minute ahead, for eleven.
        revoked.revoke("a", "ann", 0, start);
        assert_eq!([now("a", 1059), now("a", 1060)], [true, false]);
        assert!(revoked.is_revoked("a", &token(0), at(659)) && !revoked.is_revoked("a", &token(0), at(660)));
    }

    #[test]
    fn there_are_only_so_many() {
        let start = Time { mono: Instant::now(), unix: Duration::from_secs(1000) };
        let revoked = Revoked::default();
        for n in 0..MAX + 5 {
            let now = Time { mono: start.mono + Duration::from_millis(n as u64), unix: start.unix };
            revoked.revoke("a", &format!("{n}"), 0, now);
        }
        let left = revoked.0.lock().unwrap();
        assert_eq!(left.len(), MAX);
        assert!(
            !left.contains_key(&("a".into(), "4".into())) && left.contains_key(&("a".into(), "5".into()))
        );
    }
}
