//! What can be wrong with a description, and where.

/// A description that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct Error {
    /// Counted from 1; 0 where the text as a whole is meant.
    pub line: usize,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The text does not begin with `v=0`.
    #[error("not a session description")]
    NotSdp,
    /// Longer than [`crate::Limits::bytes`].
    #[error("the description is too long")]
    TooLong,
    /// A line that is not `x=value`.
    #[error("not a line of SDP")]
    NotALine,
    /// More of something than [`crate::Limits`] allow.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// An attribute or field whose value makes no sense.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Two sections with one mid.
    #[error("a mid occurs twice")]
    DuplicateMid,
}
