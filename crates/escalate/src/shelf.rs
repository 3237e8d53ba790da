//! All incidents: those that something is being done about as they are, those that only wait in few bytes.
//!
//! An incident waits for hours and is worked on for seconds. While nothing of it is on its way it stands here as the text
//! of its state record, packed; what is asked of all incidents at once stands beside it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use wire::{IncidentId, Timestamp};
use zstd::bulk::{Compressor, Decompressor};

use crate::life::Stage;
use crate::state::{Filed, IncidentState};

/// Records are alike: the first that is packed is the dictionary of all others. No more of it than this is of use.
const DICTIONARY_MAX: usize = 16 << 10;

/// Longest text that is packed; one that is longer stays as it is.
const TEXT_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    held: BTreeMap<IncidentId, Held>,
    press: Option<Press>,
}

#[derive(Debug)]
enum Held {
    Open(Box<IncidentState>),
    Packed(Packed),
}

#[derive(Debug)]
struct Packed {
    text: Box<[u8]>,
    /// Of the text before it was packed, in bytes.
    bytes: u32,
    deadline: Option<Timestamp>,
    ended: Option<Timestamp>,
    seen: Seen,
}

/// What is asked of all incidents at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) stage: Stage,
    /// Whether a receiver has an open alert about it.
    pub(crate) stands: bool,
    /// Whether it is open, and nobody will be told again.
    pub(crate) told: bool,
    /// Whether somebody should be paged and never will be.
    pub(crate) silent: bool,
    /// Whether somebody is to be paged about it.
    pub(crate) paging: bool,
    /// Whether its signal is open and people are not done with it.
    pub(crate) live: bool,
}

impl Shelf {
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn contains(&self, id: &IncidentId) -> bool {
        self.held.contains_key(id)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &IncidentId> {
        self.held.keys()
    }

    /// Those that are not packed.
    pub(crate) fn open(&self) -> impl Iterator<Item = &IncidentState> {
        self.held.values().filter_map(|held| match held {
            Held::Open(state) => Some(state.as_ref()),
            Held::Packed(_) => None,
        })
    }

    /// What is known of all at once; `of` says it of those that are not packed.
    pub(crate) fn seen(
        &self,
        of: impl Fn(&IncidentState) -> Seen,
    ) -> impl Iterator<Item = (&IncidentId, Seen)> {
        self.held.iter().map(move |(id, held)| match held {
            Held::Open(state) => (id, of(state)),
            Held::Packed(packed) => (id, packed.seen),
        })
    }

    /// The same of one.
    pub(crate) fn seen_of(&self, id: &IncidentId, of: impl Fn(&IncidentState) -> Seen) -> Option<Seen> {
        Some(match self.held.get(id)? {
            Held::Open(state) => of(state),
            Held::Packed(packed) => packed.seen,
        })
    }

    /// Cost: some 20 µs for one that is packed.
    pub(crate) fn get(&self, id: &IncidentId) -> Option<Cow<'_, IncidentState>> {
        Some(match self.held.get(id)? {
            Held::Open(state) => Cow::Borrowed(state.as_ref()),
            Held::Packed(packed) => Cow::Owned(self.unpacked(packed)),
        })
    }

    /// When it ended; `None` if it has not, or is not known.
    pub(crate) fn ended_at(&self, id: &IncidentId) -> Option<Timestamp> {
        match self.held.get(id)? {
            Held::Open(state) => state.ended_at,
            Held::Packed(packed) => packed.ended,
        }
    }

    /// To be worked on; it stays so until it is packed again.
    pub(crate) fn get_mut(&mut self, id: &IncidentId) -> Option<&mut IncidentState> {
        let packed = match self.held.get(id)? {
            Held::Open(_) => None,
            Held::Packed(packed) => Some(Box::new(self.unpacked(packed))),
        };
        let held = self.held.get_mut(id)?;
        if let Some(state) = packed {
            *held = Held::Open(state);
        }
        match held {
            Held::Open(state) => Some(state),
            Held::Packed(_) => None,
        }
    }

    pub(crate) fn insert(&mut self, id: IncidentId, state: IncidentState) {
        self.held.insert(id, Held::Open(Box::new(state)));
    }

    pub(crate) fn remove(&mut self, id: &IncidentId) -> Option<IncidentState> {
        self.get_mut(id)?;
        match self.held.remove(id)? {
            Held::Open(state) => Some(*state),
            Held::Packed(_) => None,
        }
    }

    /// Packs one that only waits. `text` is its state as JSON, as it is now.
    pub(crate) fn pack(&mut self, id: &IncidentId, text: &[u8], seen: impl FnOnce(&IncidentState) -> Seen) {
        let Some(held) = self.held.get_mut(id) else { return };
        let Held::Open(state) = held else { return };
        if !state.only_waits() || text.len() > TEXT_MAX {
            return;
        }
        let press = self.press.get_or_insert_with(|| Press::new(text));
        let (Some(packed), Ok(bytes)) = (press.pack(text), u32::try_from(text.len())) else { return };
        let Filed { deadline, ended, .. } = state.filed;
        let seen = seen(state);
        *held = Held::Packed(Packed { text: packed, bytes, deadline, ended, seen });
    }

    /// Says again of those that nobody is told of any more what `of` says: that depends on bundles, which may have come
    /// after them.
    pub(crate) fn see_again(&mut self, of: impl Fn(&IncidentState) -> Seen) {
        let told = |held: &&Held| matches!(held, Held::Packed(Packed { seen: Seen { told: true, .. }, .. }));
        let ids: Vec<IncidentId> =
            self.held.iter().filter(|(_, held)| told(held)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            let seen = self.get(&id).map(|state| of(&state));
            if let (Some(Held::Packed(packed)), Some(seen)) = (self.held.get_mut(&id), seen) {
                packed.seen = seen;
            }
        }
    }

    fn unpacked(&self, packed: &Packed) -> IncidentState {
        let text = self.press.as_ref().and_then(|press| press.unpack(&packed.text, packed.bytes as usize));
        let text = text.expect("what was packed here is whole");
        let mut state: IncidentState = serde_json::from_slice(&text).expect("it was written from one");
        state.filed = Filed {
            deadline: packed.deadline,
            ended: packed.ended,
            bundle: Some(state.bundle.clone()),
            muted: state.muter().cloned(),
            folds: state.folds(),
            ..Filed::default()
        };
        state
    }
}

/// Packs and unpacks texts that are like the first.
struct Press {
    dictionary: Vec<u8>,
    packs: Compressor<'static>,
    /// The library wants it exclusively, and whoever only looks has no more than a share.
    unpacks: RefCell<Decompressor<'static>>,
}

impl Press {
    fn new(first: &[u8]) -> Self {
        let dictionary = first[..first.len().min(DICTIONARY_MAX)].to_vec();
        let packs = Compressor::with_dictionary(1, &dictionary).expect("any bytes are a dictionary");
        let unpacks = Decompressor::with_dictionary(&dictionary).expect("any bytes are a dictionary");
        Self { dictionary, packs, unpacks: unpacks.into() }
    }

    fn pack(&mut self, text: &[u8]) -> Option<Box<[u8]>> {
        self.packs.compress(text).ok().map(Vec::into_boxed_slice)
    }

    fn unpack(&self, packed: &[u8], bytes: usize) -> Option<Vec<u8>> {
        self.unpacks.borrow_mut().decompress(packed, bytes).ok()
    }
}

impl fmt::Debug for Press {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Press({} bytes)", self.dictionary.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = include_str!("../tests/machine/fixtures/responding.v1.json");

    /// States of every way to respond, as they were written.
    fn states() -> Vec<(IncidentId, String)> {
        let fixture: serde_json::Value = serde_json::from_str(RECORD).expect("it is JSON");
        let records = fixture.as_object().expect("a map");
        let incidents = records.iter().filter_map(|(key, value)| {
            let text = value.as_str().expect("text").strip_prefix('\u{1}').expect("of the first version");
            Some((IncidentId::new(key.strip_prefix("incident/")?), text.to_owned()))
        });
        incidents.collect()
    }

    #[test]
    fn what_is_packed_is_the_same_when_it_is_worked_on_again() {
        let mut shelf = Shelf::default();
        let seen =
            Seen { stage: Stage::Open, stands: true, told: false, silent: false, paging: false, live: true };
        let states = states();
        assert!(states.len() > 3, "{} states", states.len());
        let mut waiting = 0;
        for (id, text) in &states {
            let mut state: IncidentState = serde_json::from_str(text).expect("a state");
            state.filed.ended = state.ended_at;
            waiting += usize::from(state.only_waits());
            shelf.insert(id.clone(), state);
            let text = serde_json::to_vec(shelf.get(id).expect("just put there").as_ref()).expect("text");
            shelf.pack(id, &text, |_| seen);
        }
        assert_eq!((shelf.len(), shelf.len() - shelf.open().count()), (states.len(), waiting));
        assert!(waiting > 0, "some only wait");
        let whole = |state: &IncidentState| serde_json::to_string(state).expect("text");
        for (id, text) in &states {
            let before: IncidentState = serde_json::from_str(text).expect("a state");
            assert_eq!(whole(&shelf.get(id).expect("it is there")), whole(&before));
            assert_eq!(shelf.ended_at(id), before.ended_at);
            assert_eq!(whole(shelf.get_mut(id).expect("it is there")), whole(&before));
        }
        assert_eq!(shelf.open().count(), states.len(), "all are worked on");
        for (id, _) in &states {
            assert!(shelf.remove(id).is_some() && !shelf.contains(id));
        }
        assert_eq!(shelf.len(), 0);
    }
}
