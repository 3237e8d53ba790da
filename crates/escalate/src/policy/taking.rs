//! Whose word it takes to own an incident.

use std::collections::{BTreeMap, BTreeSet};

use wire::Timestamp;

use super::whom::{Roster, Whom};

/// Whose acknowledgement stops the pages, and how many of them it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taking {
    /// Anyone's, when empty.
    pub(crate) by: Vec<Whom>,
    pub(crate) need: Need,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Of so many people, all together.
    People(u32),
    /// Of one of each entry.
    Each,
}

/// Who has acknowledged, by pseudonym, and which of the entries they stand for.
pub(crate) type Taken = BTreeMap<String, BTreeSet<u32>>;

impl Taking {
    /// Anyone's word is enough.
    #[must_use]
    pub const fn by_anyone() -> Self {
        Self { by: Vec::new(), need: Need::People(1) }
    }

    /// Which of the entries somebody stands for at that time; empty for whoever is asked in vain.
    ///
    /// Where anybody may, one is enough whoever they are; of several each must be known, so that nobody counts under two names.
    pub(crate) fn stands_for(&self, roster: &Roster, person: &str, now: Timestamp) -> BTreeSet<u32> {
        if self.by.is_empty() {
            let alone = self.need == Need::People(1) || roster.people.is_empty();
            let counts = alone || roster.people.contains_key(roster.person_of(person));
            return counts.then_some(0).into_iter().collect();
        }
        (0..).zip(&self.by).filter(|(_, whom)| roster.includes(whom, person, now)).map(|(i, _)| i).collect()
    }

    /// Whether these are enough.
    pub(crate) fn is_enough(&self, taken: &Taken) -> bool {
        match self.need {
            Need::People(n) => taken.len() >= n as usize,
            Need::Each => {
                let stand: BTreeSet<u32> = taken.values().flatten().copied().collect();
                stand.len() >= self.by.len()
            }
        }
    }

    /// What whoever is asked in vain is told.
    pub(crate) fn in_vain(&self) -> String {
        format!("you have seen it, and pages go on: it takes {}", self.says())
    }

    /// What it takes, in words.
    pub(crate) fn says(&self) -> String {
        let by = |between: &str| self.by.iter().map(ToString::to_string).collect::<Vec<_>>().join(between);
        match (self.need, self.by.is_empty()) {
            (Need::Each, _) => format!("one of each of {}", by(", ")),
            (Need::People(1), true) => "anyone".into(),
            (Need::People(n), true) => format!("{n} people of those whom the config knows"),
            (Need::People(1), false) => by(" or "),
            (Need::People(n), false) => format!("{n} people of {}", by(", ")),
        }
    }
}
