//! Logs, metrics and redaction.
//!
//! Owns: how this process's own log lines look and which of them are written, the text format in which
//! numbers are exported, and what must not stand in either. Knows nothing of what is logged or counted.

mod logs;
mod metrics;
mod redact;

pub use logs::{Config, Level, Logs};
pub use metrics::{Counter, Exposition, Kind};
pub use redact::Target;
