//! The template structure, appendix A.8.2.

use super::{ChainDiffs, Indication, Indications};
use crate::Malformed;

/// Distances from a frame to those it refers to. No codec here has more than 8 references; 16 are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Diffs {
    len: u8,
    values: [u16; 16],
}

impl Diffs {
    /// The distances.
    pub fn as_slice(&self) -> &[u16] {
        self.values.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Appends one; [`Malformed::Forbidden`] when full.
    pub fn push(&mut self, diff: u16) -> Result<(), Malformed> {
        *self.values.get_mut(usize::from(self.len)).ok_or(Malformed::Forbidden)? = diff;
        self.len += 1;
        Ok(())
    }
}

/// What frames that name it have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Template {
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// What such a frame is to each target.
    pub indications: Indications,
    /// Distances to the frames it refers to.
    pub frame_diffs: Diffs,
    /// Distances to the last frames of the chains.
    pub chain_diffs: ChainDiffs,
}

/// Templates, decode targets and chains of a coded video sequence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Structure {
    /// Template id of the first template.
    pub template_id_offset: u8,
    /// Decode targets, 1 to 32.
    pub targets: u8,
    /// Ordered by spatial, then temporal layer.
    pub templates: Vec<Template>,
    /// Chains, 0 to 32.
    pub chains: u8,
    /// Which chain protects each target; empty without chains.
    pub protected_by: Vec<u8>,
    /// Width and height of each spatial layer; may be empty.
    pub resolutions: Vec<(u16, u16)>,
}

impl Structure {
    /// All targets, a bit each.
    pub fn all_targets(&self) -> u32 {
        u32::MAX >> (32 - u32::from(self.targets.clamp(1, 32)))
    }

    /// Highest spatial and temporal layer of a target's frames.
    pub fn target_layers(&self, target: u8) -> (u8, u8) {
        let of_target = self.templates.iter().filter(|t| t.indications.get(target) != Indication::NotPresent);
        of_target.fold((0, 0), |(s, t), x| (s.max(x.spatial), t.max(x.temporal)))
    }

    /// The active target with the highest layers that do not go beyond these; spatial layers count more.
    pub fn target_within(&self, active: u32, max_spatial: u8, max_temporal: u8) -> Option<u8> {
        (0..self.targets)
            .filter(|t| active >> t & 1 != 0)
            .map(|t| (self.target_layers(t), t))
            .filter(|((s, t), _)| *s <= max_spatial && *t <= max_temporal)
            .max_by_key(|(layers, t)| (*layers, std::cmp::Reverse(*t)))
            .map(|(_, t)| t)
    }

    /// The chain that tells whether `target` can be decoded.
    pub fn chain_of(&self, target: u8) -> Option<u8> {
        self.protected_by.get(usize::from(target)).copied()
    }

    /// Highest spatial layer.
    pub fn max_spatial(&self) -> u8 {
        self.templates.iter().map(|t| t.spatial).max().unwrap_or(0)
    }

    /// The template with this id on the wire.
    pub(crate) fn template(&self, id: u8) -> Option<&Template> {
        self.templates.get(usize::from((id + 64 - self.template_id_offset) % 64))
    }
}
