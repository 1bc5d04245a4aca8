//! MPEG transport streams (ISO/IEC 13818-1): the segments of HLS.
//!
//! Owns: packets, program tables, PES headers, clock references, and the forms that codecs have in them:
//! Annex B for H.264 and H.265, ADTS for AAC. Writes one program and reads one, from wherever it is joined and
//! whatever is missing. Other codecs have no place here.

mod demux;
mod elementary;
mod mux;
mod pes;
mod psi;
#[cfg(test)]
mod tests;

pub use demux::{Demuxer, Losses, Unit};
pub use elementary::{Adts, adts, adts_header, annex_b, nal_units};
pub use mux::{Medium, Muxer, PACKET};

/// What every packet begins with.
const SYNC: u8 = 0x47;
