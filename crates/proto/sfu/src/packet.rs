//! A publisher's packet as consumers see it: parsed once.

#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {}
