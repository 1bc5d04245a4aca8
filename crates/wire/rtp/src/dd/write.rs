//! Writing descriptors: the inverse of `parse`.

use super::bits::Writer;
use super::{Descriptor, Indications, Structure};

impl Descriptor {
    /// Writes the descriptor against the structure that it refers to (its own, if it brings one); a
    /// forwarder that changes `active_targets` writes it again with this. `None` if `out` is too short.
    pub fn write(&self, used: &Structure, out: &mut [u8]) -> Option<usize> {
        let mut w = Writer::new(out);
        w.f(1, self.start_of_frame.into());
        w.f(1, self.end_of_frame.into());
        w.f(6, self.template_id.into());
        w.f(16, self.frame_number.into());
        let c = self.custom;
        // A new structure activates all its targets, which then need no bits.
        let implied = self.structure.as_ref().map(|s| s.all_targets());
        let active = self.active_targets.filter(|a| Some(*a) != implied);
        let any = self.structure.is_some() || active.is_some();
        if any || c.indications || c.frame_diffs || c.chain_diffs {
            w.f(1, self.structure.is_some().into());
            w.f(1, active.is_some().into());
            w.f(1, c.indications.into());
            w.f(1, c.frame_diffs.into());
            w.f(1, c.chain_diffs.into());
            if let Some(s) = &self.structure {
                s.write(&mut w);
            }
            if let Some(active) = active {
                w.f(used.targets.into(), active);
            }
            self.write_custom(used, &mut w);
        }
        w.finish()
    }

    fn write_custom(&self, used: &Structure, w: &mut Writer<'_>) {
        if self.custom.indications {
            write_indications(self.indications, used.targets, w);
        }
        if self.custom.frame_diffs {
            for &diff in self.frame_diffs.as_slice() {
                let minus_one = u32::from(diff.saturating_sub(1));
                let size = if minus_one < 1 << 4 {
                    1
                } else if minus_one < 1 << 8 {
                    2
                } else {
                    3
                };
                w.f(2, size);
                w.f(4 * size, minus_one);
            }
            w.f(2, 0);
        }
        if self.custom.chain_diffs {
            for diff in self.chain_diffs.0.iter().take(usize::from(used.chains)) {
                w.f(8, (*diff).into());
            }
        }
    }
}

fn write_indications(all: Indications, targets: u8, w: &mut Writer<'_>) {
    for target in 0..targets {
        w.f(2, all.raw(target));
    }
}

impl Structure {
    fn write(&self, w: &mut Writer<'_>) {
        w.f(6, self.template_id_offset.into());
        w.f(5, u32::from(self.targets).saturating_sub(1));
        for pair in self.templates.windows(2) {
            let [a, b] = pair else { continue };
            let step = match (b.spatial != a.spatial, b.temporal != a.temporal) {
                (true, _) => 2,
                (false, true) => 1,
                _ => 0,
            };
            w.f(2, step);
        }
        w.f(2, 3);
        for t in &self.templates {
            write_indications(t.indications, self.targets, w);
        }
        for t in &self.templates {
            for &diff in t.frame_diffs.as_slice() {
                w.f(1, 1);
                w.f(4, u32::from(diff).saturating_sub(1));
            }
            w.f(1, 0);
        }
        w.ns(u32::from(self.targets) + 1, self.chains.into());
        if self.chains > 0 {
            for by in &self.protected_by {
                w.ns(self.chains.into(), (*by).into());
            }
            for t in &self.templates {
                for diff in t.chain_diffs.0.iter().take(usize::from(self.chains)) {
                    w.f(4, (*diff).into());
                }
            }
        }
        w.f(1, u32::from(!self.resolutions.is_empty()));
        for (width, height) in &self.resolutions {
            w.f(16, u32::from(*width).saturating_sub(1));
            w.f(16, u32::from(*height).saturating_sub(1));
        }
    }
}
