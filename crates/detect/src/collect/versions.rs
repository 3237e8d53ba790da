//! The models and versions of one partition, bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::Timestamp;
use wire::profile::Profile;

use super::config::CollectConfig;
use super::fold::{Fold, ProfileError};
use super::open::{Layout, OpenPane};
use super::state::{self, StateChange, StateError, StateKey};
use crate::decode::Canonical;
use crate::pane::OTHER;

/// Version by its place in the collector's table.
pub(super) type Slot = u32;

/// Profiles kept of a version: the one in force, and those before and after it.
const PROFILES_MAX: usize = 8;

/// A version that predicted nothing for so long makes room for others.
const FORGET_MS: i64 = 7 * 86_400_000;

/// How exactly it is remembered when a version last predicted.
const HOUR_MS: i64 = 3_600_000;

/// One model version.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) model: Box<str>,
    pub(super) version: Box<str>,
    /// Tells the same id of different versions apart.
    pub(super) salt: u64,
    pub(super) known: Known,
    pub(super) layout: Layout,
    /// Panes that are being counted, in no order; one or two, and some more in a fast replay.
    pub(super) open: Vec<OpenPane>,
    dirty: bool,
}

/// What is remembered of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The hour of event time in which it last predicted.
    pub(super) seen: Timestamp,
    /// Segments told apart: key, value and `key=value`.
    segments: Vec<(u8, String, Arc<str>)>,
    /// The first pane that counts anything of it, the same however far was read beyond it.
    pub(super) since: Timestamp,
}

impl Known {
    fn new() -> Self {
        Self { seen: Timestamp::MIN, segments: Vec::new(), since: Timestamp::MAX }
    }

    /// Reads a value of the state, of this schema or an older one.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        if bytes.first() != Some(&1) {
            return state::value(bytes);
        }
        let (seen, segments) = state::value(bytes)?;
        Ok(Self { seen, segments, since: Timestamp::MIN })
    }
}

/// By name and by slot.
#[derive(Debug, Default)]
pub(super) struct Versions {
    models: BTreeMap<Box<str>, BTreeMap<Box<str>, Slot>>,
    slots: Vec<Option<Version>>,
    free: Vec<Slot>,
    last: Slot,
    dirty: Vec<Slot>,
    profiles: BTreeMap<String, BTreeMap<String, Vec<Arc<Fold>>>>,
    none: Arc<Fold>,
    /// Predictions counted under `__other__`.
    pub(super) over: u64,
    /// Panes opened since the last flush.
    pub(super) opened: usize,
}

impl Versions {
    /// The version's slot; where tables are full, that of the others.
    pub(super) fn slot(&mut self, model: &str, version: &str, config: &CollectConfig) -> Slot {
        let is_it = |v: &Version| *v.version == *version && *v.model == *model;
        if self.slots.get(self.last as usize).and_then(Option::as_ref).is_some_and(is_it) {
            return self.last;
        }
        let (models_max, versions_max) = (config.raw().models_max, config.raw().versions_max);
        let slot = match self.models.get(model) {
            Some(versions) => match versions.get(version) {
                Some(slot) => *slot,
                None if versions.len() < versions_max as usize => self.add(model, version, config),
                None => self.other(model, config),
            },
            None if self.models.len() < models_max as usize => self.add(model, version, config),
            None => self.other(OTHER, config),
        };
        self.last = slot;
        slot
    }

    fn other(&mut self, model: &str, config: &CollectConfig) -> Slot {
        self.over = self.over.saturating_add(1);
        self.find(model, OTHER).unwrap_or_else(|| self.add(model, OTHER, config))
    }

    /// The slot of a version that is known.
    pub(super) fn find(&self, model: &str, version: &str) -> Option<Slot> {
        self.models.get(model)?.get(version).copied()
    }

    /// A slot for a version that is not known yet.
    pub(super) fn add(&mut self, model: &str, version: &str, config: &CollectConfig) -> Slot {
        let keys = config.keys();
        let entry = Version {
            model: model.into(),
            version: version.into(),
            // Of another key than ids, or an id that is spelled as the version would cancel it out.
            salt: keys.value(Canonical::Text(&format!("{model}\0{version}"))),
            known: Known::new(),
            layout: Layout::default(),
            open: Vec::new(),
            dirty: false,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot::try_from(self.slots.len() - 1).expect("fewer versions than 2^32")
        });
        self.slots[slot as usize] = Some(entry);
        self.models.entry(model.into()).or_default().insert(version.into(), slot);
        slot
    }

    /// # Panics
    /// If there is no such version.
    pub(super) fn get(&self, slot: Slot) -> &Version {
        self.slots[slot as usize].as_ref().expect("slots come from this table")
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Version {
        self.slots[slot as usize].as_mut().expect("slots come from this table")
    }

    pub(super) fn names(&self, slot: Slot) -> (String, String) {
        let version = self.get(slot);
        (version.model.as_ref().to_owned(), version.version.as_ref().to_owned())
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The version predicted in the pane that starts at `start`, and is counted in the one that starts at `counted`.
    pub(super) fn saw(&mut self, slot: Slot, start: Timestamp, counted: Timestamp) {
        let known = &mut self.get_mut(slot).known;
        let is_later = start >= known.seen.plus_ms(HOUR_MS) || known.seen == Timestamp::MIN;
        if is_later {
            known.seen = start.floor_to(HOUR_MS);
        }
        let is_earlier = counted < known.since;
        if is_earlier {
            known.since = counted;
        }
        if is_later || is_earlier {
            self.touch(slot);
        }
    }

    fn touch(&mut self, slot: Slot) {
        if !std::mem::replace(&mut self.get_mut(slot).dirty, true) {
            self.dirty.push(slot);
        }
    }

    /// `key=value` as this version's table has it, or the others.
    pub(super) fn segment(
        &mut self,
        slot: Slot,
        key: usize,
        value: &str,
        config: &CollectConfig,
    ) -> Arc<str> {
        let at = u8::try_from(key).expect("at most four keys");
        let known = &mut self.get_mut(slot).known;
        if let Some((_, _, name)) = known.segments.iter().find(|(k, v, _)| *k == at && v == value) {
            return Arc::clone(name);
        }
        let key_name = &config.raw().segments[key];
        if known.segments.len() >= config.raw().segments_max as usize {
            return format!("{key_name}={OTHER}").into();
        }
        let name: Arc<str> = format!("{key_name}={value}").into();
        known.segments.push((at, value.to_owned(), Arc::clone(&name)));
        self.touch(slot);
        name
    }

    /// Takes up a profile: in force for panes that start at its `effective_from` or later.
    pub(super) fn profile(&mut self, profile: Arc<Profile>) -> Result<(), ProfileError> {
        let fold = Arc::new(Fold::new(Arc::clone(&profile))?);
        let versions = self.profiles.entry(profile.model.clone()).or_default();
        let folds = versions.entry(profile.version.clone()).or_default();
        folds.retain(|known| known.digest != fold.digest);
        let at = folds.partition_point(|known| known.effective_from() <= fold.effective_from());
        folds.insert(at, fold);
        if folds.len() > PROFILES_MAX {
            folds.remove(0);
        }
        Ok(())
    }

    /// The pane of a version that starts at `start`, its layout, and the profile in force if it must be made.
    pub(super) fn open(
        &mut self,
        slot: Slot,
        start: Timestamp,
    ) -> (&mut OpenPane, &mut Layout, impl FnOnce() -> Arc<Fold>) {
        let Self { slots, profiles, none, opened, .. } = self;
        let entry = slots[slot as usize].as_mut().expect("slots come from this table");
        let Version { model, version, layout, open, .. } = entry;
        let at = open.iter().rposition(|pane| pane.start == start).unwrap_or_else(|| {
            *opened += 1;
            open.push(OpenPane::new(start));
            open.len() - 1
        });
        let in_force = move || {
            let folds = profiles.get(&**model).and_then(|versions| versions.get(&**version));
            let fold = folds.and_then(|folds| folds.iter().rev().find(|fold| fold.effective_from() <= start));
            Arc::clone(fold.unwrap_or(none))
        };
        (&mut open[at], layout, in_force)
    }

    /// All versions by model and version.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Version> {
        self.slots.iter_mut().flatten()
    }

    /// Forgets versions that have predicted nothing for a week, or for as long as labels may take.
    pub(super) fn forget(&mut self, now: Timestamp, wait_ms: i64, changes: &mut Vec<StateChange>) {
        let before = now.plus_ms(-FORGET_MS.max(wait_ms).saturating_add(2 * HOUR_MS));
        for (slot, entry) in (0..).zip(&mut self.slots) {
            let Some(version) = entry.take_if(|v| v.known.seen < before && v.open.is_empty()) else {
                continue;
            };
            self.free.push(slot);
            self.dirty.retain(|dirty| *dirty != slot);
            if let Some(versions) = self.models.get_mut(&version.model) {
                versions.remove(&version.version);
                if versions.is_empty() {
                    self.models.remove(&version.model);
                }
            }
            changes.push(StateKey::Version(version.model.into(), version.version.into()).delete());
        }
    }

    /// What changed since the last flush.
    pub(super) fn flush(&mut self, changes: &mut Vec<StateChange>) {
        for slot in std::mem::take(&mut self.dirty) {
            let version = self.get_mut(slot);
            version.dirty = false;
            let key =
                StateKey::Version(version.model.as_ref().to_owned(), version.version.as_ref().to_owned());
            changes.push(key.put(&version.known));
        }
    }
}

impl Fold {
    fn effective_from(&self) -> Timestamp {
        self.profile.as_ref().map_or(Timestamp::MIN, |p| p.effective_from)
    }
}
