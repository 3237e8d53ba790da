//! What people change about a schedule of GoAlert: fixed shifts for a while, and overrides.

use escalate::config::{OverrideConfig, ScheduleConfig, ShiftConfig, SwapConfig, TemporaryConfig};
use serde::Deserialize;
use wire::{Timestamp, Zone};

use super::Target;
use crate::import::turns::shown;

#[derive(Deserialize)]
pub(super) struct Temporary {
    start: String,
    end: String,
    shifts: Vec<Shift>,
}

#[derive(Deserialize)]
struct Shift {
    #[serde(alias = "userID")]
    user_id: String,
    start: String,
    end: String,
}

/// Adds somebody, takes somebody out, or puts one in the place of the other.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Override {
    start: String,
    end: String,
    #[serde(rename = "addUserID")]
    add: Option<String>,
    #[serde(rename = "removeUserID")]
    remove: Option<String>,
    pub(super) target: Target,
}

/// From and until.
fn times(start: &str, end: &str) -> Option<(Timestamp, Timestamp)> {
    let (start, end) = (start.parse().ok()?, end.parse().ok()?);
    (start < end).then_some((start, end))
}

impl Temporary {
    /// `None` if it is over.
    pub(super) fn made(
        &self,
        zone: &Zone,
        now: Timestamp,
        person: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<TemporaryConfig>, String> {
        let (from, until) = times(&self.start, &self.end).ok_or("a temporary schedule has no times")?;
        if until <= now {
            return Ok(None);
        }
        let mut shift = Vec::new();
        for Shift { user_id, start, end } in &self.shifts {
            let (start, end) = times(start, end).ok_or("a shift of a temporary schedule has no times")?;
            let (start, end) = (start.max(from), end.min(until));
            if start < end {
                let people = vec![person(user_id).ok_or("somebody in a temporary schedule was not moved")?];
                shift.push(ShiftConfig { from: shown(start, zone), until: shown(end, zone), people });
            }
        }
        Ok(Some(TemporaryConfig { from: shown(from, zone), until: shown(until, zone), shift }))
    }
}

/// One override whose times and people are known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    from: Timestamp,
    until: Timestamp,
    add: Option<String>,
    remove: Option<String>,
}

impl Change {
    fn overlaps(&self, other: &Self) -> bool {
        self.from < other.until && other.from < self.until
    }

    /// Whether the two have each other's turns.
    fn swaps(&self, other: &Self) -> bool {
        self.add.is_some()
            && (self.from, self.until) == (other.from, other.until)
            && (&self.add, &self.remove) == (&other.remove, &other.add)
    }
}

/// Writes overrides into a schedule, and says what of them is not as it was, with what to do about it.
///
/// There all of them are asked about whom the rules name; here they are asked one after the other. So one that puts
/// somebody in comes after the one that takes the same person out, and whoever is added comes last.
pub(super) fn apply(
    config: &mut ScheduleConfig,
    overrides: &[Override],
    now: Timestamp,
    person: impl Fn(&str) -> Option<String>,
) -> Vec<(String, &'static str)> {
    const BY_HAND: &str = "write a [[schedule.NAME.override]]";
    let zone = config.zone.as_deref().and_then(Zone::named).unwrap_or(Zone::UTC);
    let mut said = Vec::new();
    let mut changes: Vec<Change> = Vec::new();
    for over in overrides {
        let given = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
        let (add, remove) = (given(&over.add), given(&over.remove));
        let known = |id: &Option<String>| id.as_deref().is_none_or(|id| person(id).is_some());
        let Some((from, until)) = times(&over.start, &over.end).filter(|_| known(&add) && known(&remove))
        else {
            said.push(("an override names somebody who was not moved, or has no times".to_owned(), BY_HAND));
            continue;
        };
        if until <= now {
            said.push(("overrides that are over were left out".to_owned(), "nothing"));
            continue;
        }
        let key = |id: Option<String>| id.as_deref().and_then(&person);
        changes.push(Change { from, until, add: key(add), remove: key(remove) });
    }
    let written = |change: &Change| (shown(change.from, &zone), shown(change.until, &zone));
    while let Some((a, b)) = pair(&changes) {
        let (from, until) = written(&changes[a]);
        let between = [changes[a].remove.clone(), changes[a].add.clone()].map(Option::unwrap_or_default);
        config.swap.push(SwapConfig { from, until, between });
        changes.remove(b);
        changes.remove(a);
    }
    let (ordered, in_a_ring) = in_order(changes);
    if in_a_ring {
        let why =
            "overrides at the same time put people in each other's places: what comes of it here may differ";
        said.push((why.to_owned(), "look at `tocsin oncall` for these days"));
    }
    for change in ordered {
        let (from, until) = written(&change);
        let (add, remove) = (change.add, change.remove);
        config.overrides.push(OverrideConfig {
            from,
            until,
            people: add.into_iter().collect(),
            beside: remove.is_none(),
            instead_of: remove,
        });
    }
    // Times that are written alike come in the order of their text.
    let within = config.temporary.iter().any(|t| {
        let overlaps = |from: &String, until: &String| *from < t.until && t.from < *until;
        config.overrides.iter().any(|o| overlaps(&o.from, &o.until))
            || config.swap.iter().any(|s| overlaps(&s.from, &s.until))
    });
    if within {
        let why = "an override within a temporary schedule had no effect there, and has one here";
        said.push((why.to_owned(), "take it out of [[schedule.NAME.override]]"));
    }
    said
}

fn pair(changes: &[Change]) -> Option<(usize, usize)> {
    (0..changes.len())
        .find_map(|a| (a + 1..changes.len()).find(|b| changes[a].swaps(&changes[*b])).map(|b| (a, b)))
}

/// Whoever takes somebody out before whoever puts them in; those that only add last. And whether that cannot be.
fn in_order(mut changes: Vec<Change>) -> (Vec<Change>, bool) {
    let (mut ordered, mut in_a_ring) = (Vec::new(), false);
    let added: Vec<Change> = changes.extract_if(.., |change| change.remove.is_none()).collect();
    while !changes.is_empty() {
        let waits = |change: &Change| {
            let takes_out = |other: &&Change| {
                change.add.is_some()
                    && other.remove == change.add
                    && *other != change
                    && other.overlaps(change)
            };
            changes.iter().any(|other| takes_out(&other))
        };
        let free = changes.iter().position(|change| !waits(change));
        in_a_ring |= free.is_none();
        ordered.push(changes.remove(free.unwrap_or(0)));
    }
    ordered.extend(added);
    (ordered, in_a_ring)
}
