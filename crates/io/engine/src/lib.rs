//! Media workers: one pinned thread a core around a router.
