//! Reading descriptors, appendix A.8.2. Names of the specification's syntax elements are in the comments.

use std::sync::Arc;

use super::bits::Reader;
use super::{ChainDiffs, Custom, Descriptor, Diffs, Indications, MAX_TEMPLATES, Structure, Template};
use crate::Malformed;

/// Bytes of a descriptor without extended fields.
const MANDATORY_LEN: usize = 3;

impl Descriptor {
    /// Reads the extension's value, against the structure that the stream sent last.
    pub fn parse(value: &[u8], known: Option<&Arc<Structure>>) -> Result<Self, Malformed> {
        let mut r = Reader::new(value);
        let start_of_frame = r.flag()?;
        let end_of_frame = r.flag()?;
        let template_id = r.f(6)? as u8;
        let frame_number = r.f(16)? as u16;
        let mut custom = Custom::default();
        let mut structure = None;
        let mut active_targets = None;
        if value.len() > MANDATORY_LEN {
            let has_structure = r.flag()?;
            let has_active = r.flag()?;
            custom = Custom { indications: r.flag()?, frame_diffs: r.flag()?, chain_diffs: r.flag()? };
            if has_structure {
                let new = Structure::read(&mut r)?;
                active_targets = Some(new.all_targets());
                structure = Some(Arc::new(new));
            }
            if has_active {
                let targets = structure.as_ref().or(known).ok_or(Malformed::Forbidden)?.targets;
                active_targets = Some(r.f(u32::from(targets))?);
            }
        }
        let used = structure.as_ref().or(known).ok_or(Malformed::Forbidden)?;
        let template = used.template(template_id).ok_or(Malformed::Forbidden)?;
        let mut d = Self {
            start_of_frame,
            end_of_frame,
            template_id,
            frame_number,
            active_targets,
            spatial: template.spatial,
            temporal: template.temporal,
            indications: template.indications,
            frame_diffs: template.frame_diffs,
            chain_diffs: template.chain_diffs,
            custom,
            structure: None,
        };
        d.read_custom(&mut r, used)?;
        d.structure = structure;
        Ok(d)
    }

    fn read_custom(&mut self, r: &mut Reader<'_>, structure: &Structure) -> Result<(), Malformed> {
        if self.custom.indications {
            self.indications = read_indications(r, structure.targets)?;
        }
        if self.custom.frame_diffs {
            // frame_fdiffs: sizes in nibbles, 0 ends the list.
            self.frame_diffs = Diffs::default();
            loop {
                let size = r.f(2)?;
                if size == 0 {
                    break;
                }
                self.frame_diffs.push(r.f(4 * size)? as u16 + 1)?;
            }
        }
        if self.custom.chain_diffs {
            self.chain_diffs = ChainDiffs::default();
            for diff in self.chain_diffs.0.iter_mut().take(usize::from(structure.chains)) {
                *diff = r.f(8)? as u8;
            }
        }
        Ok(())
    }
}

fn read_indications(r: &mut Reader<'_>, targets: u8) -> Result<Indications, Malformed> {
    let mut all = Indications::default();
    for target in 0..targets {
        all.set(target, r.f(2)?);
    }
    Ok(all)
}

impl Structure {
    /// `template_dependency_structure`
    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let template_id_offset = r.f(6)? as u8;
        let targets = r.f(5)? as u8 + 1;
        let mut s = Self { template_id_offset, targets, ..Self::default() };
        s.read_layers(r)?;
        for t in &mut s.templates {
            t.indications = read_indications(r, targets)?;
        }
        for t in &mut s.templates {
            while r.flag()? {
                t.frame_diffs.push(r.f(4)? as u16 + 1)?;
            }
        }
        s.read_chains(r)?;
        if r.flag()? {
            for _ in 0..=s.max_spatial() {
                let (w, h) = (r.f(16)? as u16, r.f(16)? as u16);
                s.resolutions.push((w.saturating_add(1), h.saturating_add(1)));
            }
        }
        Ok(s)
    }

    /// `template_layers`
    fn read_layers(&mut self, r: &mut Reader<'_>) -> Result<(), Malformed> {
        let mut next = Template::default();
        loop {
            if self.templates.len() == MAX_TEMPLATES {
                return Err(Malformed::Forbidden);
            }
            self.templates.push(next);
            match r.f(2)? {
                0 => {}
                1 => next.temporal += 1,
                2 => {
                    next.temporal = 0;
                    next.spatial += 1;
                }
                _ => return Ok(()),
            }
        }
    }

    /// `template_chains`
    fn read_chains(&mut self, r: &mut Reader<'_>) -> Result<(), Malformed> {
        self.chains = r.ns(u32::from(self.targets) + 1)? as u8;
        if self.chains == 0 {
            return Ok(());
        }
        for _ in 0..self.targets {
            self.protected_by.push(r.ns(u32::from(self.chains))? as u8);
        }
        for t in &mut self.templates {
            for diff in t.chain_diffs.0.iter_mut().take(usize::from(self.chains)) {
                *diff = r.f(4)? as u8;
            }
        }
        Ok(())
    }
}
