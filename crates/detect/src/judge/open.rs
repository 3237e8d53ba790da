//! Base panes that are not closed: partial panes merge here, exactly.

use std::collections::BTreeMap;

use wire::Timestamp;

use super::model::{Closed, Name};
use crate::mutant::{self, Mutant};
use crate::pane::{Pane, PaneCounts};

/// Open base panes by start, then by model, version, segment and digest.
///
/// Bound: `JudgeSettings::open_panes_max`, kept by the judge.
#[derive(Debug, Default)]
pub(super) struct OpenPanes {
    panes: BTreeMap<Timestamp, Slice>,
    len: usize,
}

#[derive(Debug)]
struct Slice {
    /// Offset of the first partial pane of this slice of time: it must be read again after a restart.
    first_offset: i64,
    models: BTreeMap<String, BTreeMap<(Name, u64), PaneCounts>>,
}

impl OpenPanes {
    /// Merges a partial pane. False if it does not fit what is there, which takes no harm.
    pub(super) fn add(&mut self, offset: i64, pane: Pane) -> bool {
        let Pane { key, profile, counts } = pane;
        let slice = self
            .panes
            .entry(key.start)
            .or_insert_with(|| Slice { first_offset: offset, models: BTreeMap::new() });
        slice.first_offset = slice.first_offset.min(offset);
        let model = slice.models.entry(key.model).or_default();
        let name = (key.version, key.segment);
        let profile = match model.keys().find(|(known, _)| *known == name) {
            Some((_, known)) if mutant::is(Mutant::TwoDigestsMerged) => *known,
            Some(_) | None => profile,
        };
        match model.entry((name, profile)) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(counts);
                self.len += 1;
                true
            }
            std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().merge(&counts).is_ok(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.panes.first_key_value().map(|(start, _)| *start)
    }

    pub(super) fn first_offset(&self) -> Option<i64> {
        self.panes.values().map(|slice| slice.first_offset).min()
    }

    /// Takes the base pane that starts at `start`, by model.
    pub(super) fn close(&mut self, start: Timestamp) -> BTreeMap<String, Closed> {
        let Some(slice) = self.panes.remove(&start) else { return BTreeMap::new() };
        let mut out: BTreeMap<String, Closed> = BTreeMap::new();
        for (model, panes) in slice.models {
            self.len -= panes.len();
            let closed = out.entry(model).or_default();
            for ((name, digest), counts) in panes {
                closed.entry(name).or_default().push((digest, counts));
            }
        }
        out
    }
}
