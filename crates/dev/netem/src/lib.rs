//! A seeded link in virtual time: loss, delay, reordering, rate.
