//! Fragments: `moof` and `mdat`.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::boxes::{overwrite, put, put_full};
use super::init::number;
use crate::ts::Medium;

/// `default-base-is-moof` (ISO/IEC 14496-12 section 8.8.7).
const BASE_IS_MOOF: u32 = 0x02_0000;
/// Offset of the data; and of each sample duration, size, flags and composition offset (section 8.8.8).
const RUN_FLAGS: u32 = 0x00_0f01;
/// `sample_depends_on`: on none, and decoding can begin here; on others, and it cannot (section 8.8.3.1).
const KEY: u32 = 0x0200_0000;
const NOT_KEY: u32 = 0x0101_0000;

/// A frame in a fragment, in its track's units.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Until the next one is decoded.
    pub duration: u32,
    /// From decoding until it is shown.
    pub offset: u32,
    /// Whether decoding can begin here.
    pub key: bool,
    pub data: Bytes,
}

/// The samples of one track.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    pub medium: Medium,
    /// When the first one is decoded.
    pub start: u64,
    pub samples: &'a [Sample],
}

/// One fragment, the `sequence`th that is made. Runs without samples are left out.
pub fn fragment(sequence: u32, runs: &[Run<'_>]) -> Bytes {
    let runs = || runs.iter().filter(|run| !run.samples.is_empty());
    let samples: usize = runs().map(|run| run.samples.len()).sum();
    let data: usize = runs().map(len).sum();
    let mut out = BytesMut::with_capacity(256 + samples * 16 + data);
    // Where each run's offset stands, which is known when the boxes are.
    let mut offsets = [None; 2];
    put(b"moof", &mut out, |out| {
        put_full(b"mfhd", 0, 0, out, |out| out.put_u32(sequence));
        for (run, place) in runs().zip(&mut offsets) {
            *place = Some(track_fragment(run, out));
        }
    });
    let mut at = out.len() + 8;
    for (run, place) in runs().zip(offsets) {
        if let Some(place) = place {
            overwrite(&mut out, place, u32::try_from(at).unwrap_or(u32::MAX));
        }
        at += len(run);
    }
    put(b"mdat", &mut out, |out| {
        runs().flat_map(|run| run.samples).for_each(|sample| out.put_slice(&sample.data));
    });
    out.freeze()
}

fn len(run: &Run<'_>) -> usize {
    run.samples.iter().map(|sample| sample.data.len()).sum()
}

/// Appends `traf`; the place of its data's offset.
fn track_fragment(run: &Run<'_>, out: &mut BytesMut) -> usize {
    let mut place = 0;
    put(b"traf", out, |out| {
        put_full(b"tfhd", 0, BASE_IS_MOOF, out, |out| out.put_u32(number(run.medium)));
        put_full(b"tfdt", 1, 0, out, |out| out.put_u64(run.start));
        put_full(b"trun", 0, RUN_FLAGS, out, |out| {
            out.put_u32(u32::try_from(run.samples.len()).unwrap_or(u32::MAX));
            place = out.len();
            out.put_u32(0);
            for sample in run.samples {
                out.put_u32(sample.duration);
                out.put_u32(u32::try_from(sample.data.len()).unwrap_or(u32::MAX));
                out.put_u32(if sample.key { KEY } else { NOT_KEY });
                out.put_u32(sample.offset);
            }
        });
    });
    place
}
