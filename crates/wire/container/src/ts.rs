//! MPEG transport streams (ISO/IEC 13818-1): the segments of HLS.
//!
//! Owns: packets, program tables, PES headers, clock references, and the forms that codecs have in them:
//! Annex B for H.264 and H.265, ADTS for AAC. Writes only. Other codecs have no place here.

mod elementary;
mod mux;
#[cfg(test)]
mod tests;

pub use elementary::{adts_header, annex_b};
pub use mux::{Medium, Muxer, PACKET};
