//! Logs, metrics and redaction.
