//! Receiving: what came, what is missing, what could have been shown.

pub(crate) mod arrivals;
pub(crate) mod frames;
pub(crate) mod ledger;
pub(crate) mod missing;
pub(crate) mod reception;

pub use frames::VideoStats;
