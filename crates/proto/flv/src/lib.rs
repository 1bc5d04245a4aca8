//! Live streams as FLV tags.
//!
//! Owns: from tags to tracks and frames ([`Ingest`]) and back ([`egress`]), for HTTP-FLV and for RTMP, whose
//! audio, video and data messages are tags without their frame. Knows no connection; the bytes of a tag are
//! `container::flv`'s.

pub mod egress;
mod ingest;
mod nal;

pub use egress::Tags;
pub use ingest::{Ingest, Item};
