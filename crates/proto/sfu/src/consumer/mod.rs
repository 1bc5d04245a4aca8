//! One track on its way to one subscriber.

pub(crate) mod rewrite;
pub(crate) mod select;
pub(crate) mod sent;
