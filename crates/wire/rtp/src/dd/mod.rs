//! The dependency descriptor header extension: "RTP Payload Format For AV1" (AOM, v1.0) appendix A.
//!
//! Owns: the descriptor's bits, and the template structure that a stream's later descriptors refer to.
//! Chains and decode targets are reported as they are; choosing among them is the forwarder's.

mod bits;
mod parse;
mod structure;
mod write;

use std::sync::Arc;

pub use structure::{Diffs, Structure, Template};

use crate::Malformed;

/// Decode targets a structure can have (5 bits).
pub const MAX_TARGETS: usize = 32;
/// Templates a structure can have (6 bits).
pub const MAX_TEMPLATES: usize = 64;

/// What a frame is to a decode target, appendix A.8.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indication {
    /// Not part of the target: need not be forwarded.
    NotPresent,
    /// Part of it, and no later frame of the target needs it.
    Discardable,
    /// Part of it, and all later frames of the target can be decoded if this one can: go up here.
    Switch,
    /// Part of it.
    Required,
}

/// Indications of a frame for all targets, two bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indications(u64);

impl Indications {
    /// What the frame is to `target`; nothing beyond the 32nd.
    pub fn get(self, target: u8) -> Indication {
        if usize::from(target) >= MAX_TARGETS {
            return Indication::NotPresent;
        }
        match (self.0 >> (2 * target)) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    pub(crate) fn set(&mut self, target: u8, value: u32) {
        self.0 |= u64::from(value & 3) << (2 * target);
    }

    pub(crate) fn raw(self, target: u8) -> u32 {
        ((self.0 >> (2 * target)) & 3) as u32
    }
}

/// A frame's distances to the last frame of each chain; 0 if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainDiffs(pub [u8; MAX_TARGETS]);

/// One packet's descriptor, with what its template says filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// First packet of its (layer) frame.
    pub start_of_frame: bool,
    /// Last packet of its (layer) frame.
    pub end_of_frame: bool,
    /// As on the wire, 6 bits.
    pub template_id: u8,
    /// Counts frames of all layers.
    pub frame_number: u16,
    /// A structure that this packet brings: a coded video sequence starts.
    pub structure: Option<Arc<Structure>>,
    /// Targets that are sent from now on, a bit each, if the packet says so.
    pub active_targets: Option<u32>,
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// What the frame is to each target.
    pub indications: Indications,
    /// Distances to the frames it refers to.
    pub frame_diffs: Diffs,
    /// Distances to the last frames of the chains.
    pub chain_diffs: ChainDiffs,
    /// Which of the three above differ from the template.
    pub custom: Custom,
}

/// Values that a descriptor gives itself instead of by template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Custom {
    /// `custom_dtis_flag`
    pub indications: bool,
    /// `custom_fdiffs_flag`
    pub frame_diffs: bool,
    /// `custom_chains_flag`
    pub chain_diffs: bool,
}

/// A stream's latest structure and active targets: what reading its next descriptor needs.
#[derive(Debug, Clone, Default)]
pub struct State {
    structure: Option<Arc<Structure>>,
    active: u32,
}

impl State {
    /// Reads a descriptor and takes over the structure it brings. A descriptor that refers to a structure
    /// never seen (its packet was lost) is [`Malformed::Forbidden`].
    pub fn read(&mut self, value: &[u8]) -> Result<Descriptor, Malformed> {
        let d = Descriptor::parse(value, self.structure.as_ref())?;
        if let Some(new) = &d.structure {
            self.active = new.all_targets();
            self.structure = Some(new.clone());
        }
        if let Some(active) = d.active_targets {
            self.active = active;
        }
        Ok(d)
    }

    /// The latest structure.
    pub fn structure(&self) -> Option<&Arc<Structure>> {
        self.structure.as_ref()
    }

    /// Targets that are being sent, a bit each.
    pub fn active_targets(&self) -> u32 {
        self.active
    }
}

#[cfg(test)]
mod tests;
