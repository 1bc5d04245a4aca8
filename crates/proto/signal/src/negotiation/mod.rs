//! Offers and answers: which codec, extension, m-section and SSRC carries what.
//!
//! Owns: everything that becomes SDP. Knows nothing of sockets or protobuf, and of rooms only the names of
//! tracks.

mod answer;
mod codecs;
mod downstream;
mod early;
mod local;
mod offerer;
mod upstream;

pub(crate) use answer::{Plan, Stream, build_answer};
pub(crate) use codecs::{
    Chosen, accepts, choose_for, choose_to_receive, defaults_for, extension_ids, misses_first,
    offered_extensions, placeholder, restrict,
};
pub(crate) use downstream::{Downstream, Line, Slot, SlotState};
pub(crate) use local::{Local, Remote, from_sdp};
pub(crate) use offerer::{Answered, Offerer, Phase, SPROP_STEREO};
pub(crate) use upstream::{Pending, Upstream, Wish, cid_of, rids_of, track_kind};
