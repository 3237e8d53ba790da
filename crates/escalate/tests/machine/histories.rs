//! What random histories are made of: what happens, what is under way, and what a receiver shows.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use wire::page::{Page, PageKind};
use wire::{AlertKey, IncidentId, Severity, Timestamp};

pub(crate) const MODELS: [&str; 3] = ["fraud", "rank", "triage"];

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// The next record of a model's incident: its severity, or that it cleared.
    Signal {
        model: usize,
        severity: Option<Severity>,
    },
    Ask {
        model: usize,
        who: bool,
        what: u8,
    },
    /// The receiver answers the `nth` attempt that is under way.
    Answer {
        nth: usize,
        class: u8,
    },
    Pass {
        ms: i64,
    },
    /// The process dies and another takes over: answers to what was under way are lost.
    Restart,
    /// An earlier incident record or command comes again.
    Again {
        nth: usize,
    },
    /// Somebody wants silence of this model, or of all of them.
    Silence {
        model: Option<usize>,
        incidents_max: u32,
        listed: bool,
        until_resolved: bool,
        unmatched: bool,
    },
    /// Somebody wants an end of the `nth`.
    EndSilence {
        nth: usize,
    },
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let severity = prop_oneof![
        4 => prop::sample::select(Severity::ALL.to_vec()).prop_map(Some),
        1 => Just(None),
    ];
    prop_oneof![
        4 => (0..MODELS.len(), severity).prop_map(|(model, severity)| Op::Signal { model, severity }),
        3 => (0..MODELS.len(), any::<bool>(), 0u8..9).prop_map(|(model, who, what)| Op::Ask { model, who, what }),
        9 => (0usize..8, 0u8..10).prop_map(|(nth, class)| Op::Answer { nth, class }),
        6 => prop_oneof![0i64..2_000, 0i64..40_000, 0i64..400_000].prop_map(|ms| Op::Pass { ms }),
        1 => Just(Op::Restart),
        1 => (0usize..64).prop_map(|nth| Op::Again { nth }),
        1 => (prop::option::of(0..MODELS.len()), 1u32..3, any::<[bool; 3]>()).prop_map(
            |(model, incidents_max, [listed, until_resolved, unmatched])| Op::Silence {
                model,
                incidents_max,
                listed,
                until_resolved,
                unmatched,
            }
        ),
        1 => (0usize..4).prop_map(|nth| Op::EndSilence { nth }),
    ]
}

/// An attempt after which nothing may follow for its alert yet.
#[derive(Clone, Debug)]
pub(crate) struct UnderWay {
    pub(crate) page: Page,
    pub(crate) attempt: u32,
    pub(crate) fate: Fate,
    /// End of the lease, counted from when it began, or from when a later owner took over.
    pub(crate) until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// An outcome may come.
    Open,
    /// Its process died: no outcome will come.
    Lost,
    /// The outcome came, and was that nobody knows.
    Unknown,
}

/// What a receiver that deduplicates by alert key shows.
#[derive(Default)]
pub(crate) struct Receiver {
    pub(crate) open: BTreeMap<AlertKey, IncidentId>,
    /// Of those, the ones for which it calls nobody any more, whatever triggers come.
    pub(crate) stopped: BTreeSet<AlertKey>,
    /// Alerts whose last trigger it took, and said was in error.
    pub(crate) in_error: BTreeSet<AlertKey>,
}

impl Receiver {
    pub(crate) fn take(&mut self, page: &Page, in_error: bool) {
        match page.kind {
            PageKind::Trigger => {
                let in_vain = page.receiver == "pager" && page.told.is_none();
                let in_vain = in_vain && self.stopped.contains(&page.alert_key);
                assert!(!in_vain, "people had stopped its calls there: this one calls nobody");
                self.in_error.remove(&page.alert_key);
                self.in_error.extend(in_error.then(|| page.alert_key.clone()));
                self.open.insert(page.alert_key.clone(), page.incident.incident_id.clone());
            }
            PageKind::Resolve => {
                self.open.remove(&page.alert_key);
                self.stopped.remove(&page.alert_key);
            }
            PageKind::Acknowledge if self.open.contains_key(&page.alert_key) => {
                self.stopped.insert(page.alert_key.clone());
            }
            PageKind::Acknowledge | PageKind::Update => (),
        }
    }
}
