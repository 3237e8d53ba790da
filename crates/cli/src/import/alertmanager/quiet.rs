//! What is not told to anybody: routes that are muted at some hours, and what something else holds back. Nothing is muted
//! here that was told there.

use std::collections::{BTreeMap, BTreeSet};

use escalate::config::{InhibitConfig, MaintenanceConfig, Same};
use serde::Deserialize;
use serde_json::Value;
use wire::{Matches, Timestamp};

use super::condition::Condition;
use super::matchers::{Asked, asked};
use super::routes::{Mute, Outcome};
use super::times::{Stretch, outside, within};
use super::{Intervals, Reader, plain};
use crate::import::moved::Names;
use crate::import::{given, said_too};

/// Most windows, and most rules, of a bundle.
const RULES_MAX: usize = 200;
/// Longest that something upstream covers others, where the source has no end.
const COVERS_S: u32 = 86_400;
const BY_WHEN: &str = "`when` of a step chooses whom it pages at which hours";
const BY_HAND: &str = "a [[maintenance]] of silences.toml, if one can say what is meant";

/// One of `inhibit_rules`.
#[derive(Debug, Deserialize)]
struct Rule {
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    source_matchers: Vec<String>,
    #[serde(default, deserialize_with = "given")]
    source_match: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "given")]
    source_match_re: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "given")]
    target_matchers: Vec<String>,
    #[serde(default, deserialize_with = "given")]
    target_match: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "given")]
    target_match_re: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "given")]
    equal: Vec<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// A rule as tocsin has it: what is upstream of what, each with its own conditions.
#[derive(Debug)]
struct Held {
    name: Option<String>,
    pairs: Vec<(Matches, Matches)>,
    same: Vec<Same>,
    /// Why fewer are covered.
    fewer: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn inhibit_rules(&mut self, rules: &[Value], names: &mut Names) {
        for (nth, rule) in rules.iter().enumerate() {
            let what = format!("inhibit_rules[{nth}]");
            let (source, target) = (side(rule, "source"), side(rule, "target"));
            let equal = rule.get("equal").map(plain).unwrap_or_default();
            let says = format!("{source} holds back {target} (equal: {equal})");
            let held = match held(rule) {
                Ok(held) => held,
                Err(why) => {
                    let instead = "keep the rule in Alertmanager, if tocsin's alerts go through it";
                    self.left(what, format!("{says}: {why}"), instead);
                    continue;
                }
            };
            for why in held.fewer {
                self.left(&*what, format!("{says}: {why}"), "nothing, if what pages now may page");
            }
            let wish = held.name.unwrap_or_else(|| format!("{source} over {target}"));
            for (upstream, covers) in held.pairs {
                let (name, same) = (names.take(&wish), held.same.clone());
                let rule = InhibitConfig { name, upstream, covers, same, lineage: false, for_s: COVERS_S };
                self.moved.silences.inhibit.push(rule);
            }
        }
        if self.too_many("inhibit_rules", self.moved.silences.inhibit.len()) {
            self.moved.silences.inhibit.truncate(RULES_MAX);
        }
        if !self.moved.silences.inhibit.is_empty() {
            let why = format!(
                "hold as long as their source fires; an [[inhibit]] covers others for at most {COVERS_S} s from the opening of what is upstream. What is covered itself covers nothing, what neither of the two has is not the same, and tocsin's incidents about itself always page"
            );
            self.left("inhibit_rules", why, "another `for_s` in silences.toml, of at most 7 days");
        }
    }

    /// Windows of the routes that are muted at some times. Outcomes are in order: what is of an earlier one never comes to a
    /// later one.
    pub(super) fn windows(
        &mut self,
        outcomes: &[Outcome],
        intervals: &[&Intervals],
        names: &mut Names,
        now: Timestamp,
    ) {
        for (i, outcome) in outcomes.iter().enumerate().filter(|(_, outcome)| outcome.said) {
            for mute in &outcome.mutes {
                let place = outcome.place.as_str();
                match alone(outcome, &outcomes[..i], mute) {
                    Ok((pieces, fewer)) => {
                        for why in fewer {
                            self.left(place, format!("{}, but {why}", mute.says()), BY_HAND);
                        }
                        if pieces.is_empty() {
                            continue;
                        }
                        let wish = format!("{} {}", outcome.receivers.join(" "), mute.name());
                        for stretch in self.stretches(place, mute, intervals, now) {
                            pieces.iter().for_each(|of| self.window(&wish, of, &stretch, names));
                        }
                    }
                    Err(why) => self.left(place, format!("{}, but {why}", mute.says()), BY_WHEN),
                }
            }
        }
        if self.too_many("routes", self.moved.silences.maintenance.len()) {
            self.moved.silences.maintenance.truncate(RULES_MAX);
        }
        let said = outcomes.iter().filter(|outcome| outcome.said);
        let named: BTreeSet<&str> = said.flat_map(|o| &o.mutes).flat_map(Mute::names).collect();
        for Intervals { name, .. } in intervals.iter().filter(|of| !named.contains(of.name.as_str())) {
            self.left(format!("time interval {name}"), "no route that was moved is muted by it", "nothing");
        }
    }

    fn window(&mut self, wish: &str, incidents: &Matches, stretch: &Stretch, names: &mut Names) {
        let Stretch { hours, days, zone, from, until } = stretch.clone();
        let (name, incidents, zone) = (String::new(), incidents.clone(), Some(zone));
        let window = MaintenanceConfig { name, incidents, hours, days, holidays: None, zone, from, until };
        let known = &mut self.moved.silences.maintenance;
        let same = |k: &MaintenanceConfig| MaintenanceConfig { name: String::new(), ..k.clone() } == window;
        if !known.iter().any(same) {
            known.push(MaintenanceConfig { name: names.take(wish), ..window });
        }
    }

    /// The hours of a mute, as far as they can be said.
    fn stretches(
        &mut self,
        place: &str,
        mute: &Mute,
        intervals: &[&Intervals],
        now: Timestamp,
    ) -> Vec<Stretch> {
        let mut entries = Vec::new();
        for name in mute.names() {
            match intervals.iter().find(|of| of.name == name) {
                Some(of) => entries.extend(&of.time_intervals),
                None => {
                    let why = format!("{}, and there is no time interval {name:?}", mute.says());
                    self.left(place, why, BY_WHEN);
                    return vec![];
                }
            }
        }
        match mute {
            Mute::Within(name) => {
                let (stretches, unsaid) = within(entries, now);
                for why in unsaid {
                    self.left(
                        format!("time interval {name}"),
                        format!("in part {why}: not muted then"),
                        BY_HAND,
                    );
                }
                stretches
            }
            Mute::Outside(_) => match outside(entries, now) {
                Ok((stretches, less)) => {
                    if let Some(less) = less {
                        self.left(
                            place,
                            format!("{}: one of the times between {less}", mute.says()),
                            BY_HAND,
                        );
                    }
                    stretches
                }
                Err(why) => {
                    self.left(
                        place,
                        format!("{}, and one of these {why}: paged at any time", mute.says()),
                        BY_WHEN,
                    );
                    vec![]
                }
            },
        }
    }

    fn too_many(&mut self, what: &str, found: usize) -> bool {
        if found > RULES_MAX {
            let why = format!("come to {found} tables of silences.toml, and the most is {RULES_MAX}");
            self.left(what, why, "fewer, with wider conditions");
        }
        found > RULES_MAX
    }
}

impl Mute {
    fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::Within(name) => std::slice::from_ref(name),
            Self::Outside(names) => names,
        };
        names.iter().map(String::as_str)
    }

    fn says(&self) -> String {
        match self {
            Self::Within(name) => format!("is muted in {name}"),
            Self::Outside(names) => format!("is active only in {}", names.join(", ")),
        }
    }

    /// For a window's name.
    fn name(&self) -> String {
        match self {
            Self::Within(name) => name.clone(),
            Self::Outside(names) => format!("outside {}", names.join(" ")),
        }
    }
}

/// Conditions of the incidents that come to an outcome alone, but for those that are muted at these times anyway; and why
/// some of these are left out.
///
/// # Errors
/// Why conditions cannot say which these are.
fn alone(outcome: &Outcome, earlier: &[Outcome], mute: &Mute) -> Result<(Vec<Matches>, Vec<String>), String> {
    if let Some(wider) = &outcome.condition.wider {
        return Err(wider.clone());
    }
    let mut fewer: Vec<String> = outcome.condition.narrower.iter().cloned().collect();
    let mut pieces = vec![outcome.condition.clone()];
    for other in earlier.iter().filter(|other| !other.mutes.contains(mute)) {
        let (of, to) = (other.condition.matches(), other.receivers.join(", "));
        let rest = pieces.iter().map(|piece| piece.without(&other.condition)).collect::<Option<Vec<_>>>();
        let rest = rest.map(|rest| rest.concat()).filter(|rest| rest.len() <= RULES_MAX);
        match rest {
            Some(rest) => {
                if !other.said && rest != pieces {
                    let place = &other.place;
                    fewer.push(format!("some of {of} come to {place} before, so none of that is muted here"));
                }
                pieces = rest;
            }
            None if other.said => {
                return Err(format!(
                    "what is of {of} goes to {to} before, which are not all muted then, and no condition leaves that out"
                ));
            }
            None => {
                let place = &other.place;
                return Err(format!(
                    "what comes to {place} before could not be said, so no condition leaves it out"
                ));
            }
        }
    }
    let pieces: Vec<Matches> = pieces.iter().map(Condition::matches).collect();
    if pieces.iter().any(Matches::is_everything) {
        return Err("takes every incident, and a window must leave some out".into());
    }
    Ok((pieces, fewer))
}

/// Which incidents a rule holds back.
///
/// # Errors
/// What of it cannot be said.
fn held(rule: &Value) -> Result<Held, String> {
    let rule: Rule =
        serde_json::from_value(rule.clone()).map_err(|e| format!("is not written as is known: {e}"))?;
    if let Some(fields) = said_too(&rule.rest, &[]) {
        return Err(format!("has {fields}, which is not known"));
    }
    let exactly = |asked: Asked| match asked {
        Asked::Said(Condition { wider: Some(why), .. }) | Asked::Never(why) | Asked::Partly(_, why) => {
            Err(why)
        }
        Asked::Said(condition) => Ok(condition),
    };
    let source = exactly(asked(&rule.source_matchers, &rule.source_match, &rule.source_match_re))?;
    let target = exactly(asked(&rule.target_matchers, &rule.target_match, &rule.target_match_re))?;
    let mut same = rule.equal.iter().map(|label| same(label)).collect::<Result<Vec<_>, _>>()?;
    same.sort_unstable();
    same.dedup();
    let mut fewer: Vec<String> = [&source, &target].into_iter().filter_map(|c| c.narrower.clone()).collect();
    if rule.equal.iter().any(|label| label == "subject") {
        fewer.push("`equal` has subject: here only models are the same".into());
    }
    let pairs = pairs(&source, &target, &mut fewer)?;
    let pairs: Vec<_> = pairs.iter().map(|(up, covers)| (up.matches(), covers.matches())).collect();
    Ok(Held { name: rule.name, pairs, same, fewer })
}

/// What is upstream of what. Of two that are of both sides neither holds the other back there.
fn pairs(
    source: &Condition,
    target: &Condition,
    fewer: &mut Vec<String>,
) -> Result<Vec<(Condition, Condition)>, String> {
    if source.and(target) == Ok(None) {
        return Ok(vec![(source.clone(), target.clone())]);
    }
    let (sources, targets) = (source.without(target), target.without(source));
    let left_out = sources.is_none() || targets.is_none();
    let whole = |all: Option<Vec<Condition>>| all.unwrap_or_default().into_iter();
    let mut pairs: Vec<_> = whole(sources).map(|source| (source, target.clone())).collect();
    pairs.extend(whole(targets).map(|target| (source.clone(), target)));
    if pairs.is_empty() {
        return Err(
            "some incidents are of both sides, of which none holds back another, and no condition says so"
                .into(),
        );
    }
    if left_out {
        fewer.push("some incidents are of both sides, and conditions say only in part which of these hold others back: fewer are covered".into());
    }
    Ok(pairs)
}

/// In what two incidents agree whose labels do.
fn same(label: &str) -> Result<Same, String> {
    match label {
        "model" | "subject" | "model_name" => Ok(Same::Model),
        "owner" | "team" => Ok(Same::Owner),
        "segment" => Ok(Same::Segment),
        "tier" => Ok(Same::Tier),
        "family" | "alertname" => Ok(Same::Family),
        _ => Err(format!(
            "`equal` has {label}, and two incidents can agree in model, owner or team, segment, tier and family only"
        )),
    }
}

/// The matchers of one side as they are written.
fn side(rule: &Value, side: &str) -> String {
    let keys = ["matchers", "match", "match_re"].map(|key| format!("{side}_{key}"));
    let parts = keys.iter().filter_map(|key| rule.get(key)).filter(|value| !value.is_null());
    let parts: Vec<_> = parts.map(plain).filter(|text| !text.is_empty()).collect();
    if parts.is_empty() { "everything".into() } else { parts.join(", ") }
}
