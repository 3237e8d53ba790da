//! The tree of routes as a list in which the first that matches decides.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::condition::Condition;
use super::matchers::{Asked, asked};
use crate::import::moved::{DELAY_MAX_S, Left, once};
use crate::import::{given, said_too};

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Route {
    receiver: Option<String>,
    #[serde(default, deserialize_with = "given")]
    matchers: Vec<String>,
    #[serde(default, deserialize_with = "given")]
    r#match: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "given")]
    match_re: BTreeMap<String, String>,
    #[serde(default)]
    r#continue: bool,
    #[serde(default, deserialize_with = "given")]
    routes: Vec<Self>,
    repeat_interval: Option<String>,
    #[serde(default, deserialize_with = "given")]
    mute_time_intervals: Vec<String>,
    #[serde(default, deserialize_with = "given")]
    active_time_intervals: Vec<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// What becomes of the incidents that a condition takes.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub condition: Condition,
    pub receivers: Vec<String>,
    pub repeat_s: u64,
    /// When none of them is told.
    pub mutes: BTreeSet<Mute>,
    /// The route that it comes from.
    pub place: String,
    /// False for what some incidents come to, of which the condition tells no more than that they are of it: there is no
    /// route for them, and nothing that mutes may touch them.
    pub said: bool,
}

/// When a route tells nobody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mute {
    Within(String),
    /// At all times that are in none of these.
    Outside(Vec<String>),
}

/// How the grouping of alerts is set; an incident is one already.
const OF_GROUPS: [&str; 3] = ["group_by", "group_wait", "group_interval"];
/// Most outcomes: as many as a bundle has routes.
pub(super) const OUTCOMES_MAX: usize = 1000;

pub(super) struct Tree<'a> {
    file: &'a str,
    pub left: Vec<Left>,
}

/// What a route has from those above it.
#[derive(Clone)]
struct Above {
    receiver: String,
    repeat_s: u64,
    place: String,
}

impl<'a> Tree<'a> {
    pub(super) const fn new(file: &'a str) -> Self {
        Self { file, left: Vec::new() }
    }

    fn left(&mut self, what: &str, why: String, instead: &str) {
        let left = Left { file: self.file.into(), what: what.into(), why, instead: instead.into() };
        if !self.left.contains(&left) {
            self.left.push(left);
        }
    }

    /// Outcomes in order; the last takes everything.
    pub(super) fn root(&mut self, root: &Route) -> Vec<Outcome> {
        let above = Above { receiver: String::new(), repeat_s: 4 * 3600, place: "route".into() };
        self.node(root, &above)
    }

    /// Outcomes of what has come to a route: its children's, then its own.
    fn node(&mut self, route: &Route, above: &Above) -> Vec<Outcome> {
        let receiver = route.receiver.clone().unwrap_or_else(|| above.receiver.clone());
        let place = above.place.clone();
        let repeat_s = match route.repeat_interval.as_deref().map(seconds) {
            None => above.repeat_s,
            Some(Some(seconds)) => {
                if seconds > u64::from(DELAY_MAX_S) {
                    let why = format!(
                        "repeats after {seconds} s; here after {DELAY_MAX_S} s, the longest that a step waits"
                    );
                    self.left(&place, why, "nothing");
                }
                seconds
            }
            Some(None) => {
                self.left(
                    &place,
                    "has a repeat_interval that is not known".into(),
                    "`delay_s` of its policy",
                );
                above.repeat_s
            }
        };
        self.remarks(route, &place);
        let here = Above { receiver: receiver.clone(), repeat_s, place: place.clone() };
        let mut outcomes = self.children(&route.routes, 0, &here);
        let (condition, receivers) = (Condition::default(), vec![receiver]);
        outcomes.push(Outcome { condition, receivers, repeat_s, mutes: route.mutes(), place, said: true });
        outcomes
    }

    /// Outcomes of the children from the `nth` on. Where one goes on to the next, an incident has the outcomes of both.
    fn children(&mut self, routes: &[Route], nth: usize, above: &Above) -> Vec<Outcome> {
        let Some(route) = routes.get(nth) else { return vec![] };
        let receiver = route.receiver.as_ref().unwrap_or(&above.receiver);
        let place =
            format!("{}.routes[{nth}] to {receiver}", above.place.split(" to ").next().unwrap_or_default());
        let rest = self.children(routes, nth + 1, above);
        let condition = match asked(&route.matchers, &route.r#match, &route.match_re) {
            Asked::Said(condition) => condition,
            Asked::Never(why) => return self.left_out(None, why, place, receiver, rest),
            Asked::Partly(known, why) => return self.left_out(Some(known), why, place, receiver, rest),
        };
        let own = self.node(route, &Above { place: place.clone(), ..above.clone() });
        let mut outcomes = Vec::new();
        for one in own {
            let Some((condition, said)) = self.both(&place, &condition, &one.condition) else { continue };
            let one = Outcome { condition, said: said && one.said, ..one };
            if route.r#continue {
                let joined = rest.iter().filter_map(|other| self.joined(&one, other));
                outcomes.extend(joined);
            }
            outcomes.push(one);
        }
        outcomes.extend(rest);
        outcomes
    }

    /// What is of two routes, of which the first goes on to the other.
    fn joined(&mut self, one: &Outcome, other: &Outcome) -> Option<Outcome> {
        let (condition, said) = self.both(&one.place, &one.condition, &other.condition)?;
        let said = said && one.said && other.said;
        let mutes: BTreeSet<Mute> = one.mutes.intersection(&other.mutes).cloned().collect();
        for (muted, beside) in [(one, other), (other, one)] {
            if said && muted.mutes != mutes {
                let why = format!(
                    "{} is muted at times at which {} is not: an incident of both pages both at any time",
                    muted.receivers.join(", "),
                    beside.receivers.join(", ")
                );
                let instead = "`when` of a step chooses whom it pages at which hours";
                self.left(&muted.place, why, instead);
            }
        }
        let receivers = once([one.receivers.clone(), other.receivers.clone()].concat());
        let repeat_s = one.repeat_s.min(other.repeat_s);
        Some(Outcome { condition, receivers, repeat_s, mutes, place: one.place.clone(), said })
    }

    /// A route that conditions cannot say. Where incidents may come to it, it stands before the rest as far as it is known.
    fn left_out(
        &mut self,
        known: Option<Condition>,
        why: String,
        place: String,
        receiver: &str,
        rest: Vec<Outcome>,
    ) -> Vec<Outcome> {
        let instead =
            "add a [[route]] with `severity`, `family`, `model` or `owner`, if incidents are meant by it";
        self.left(&place, why, instead);
        let unsaid = known.map(|condition| Outcome {
            condition,
            receivers: vec![receiver.to_owned()],
            repeat_s: 0,
            mutes: BTreeSet::new(),
            place,
            said: false,
        });
        unsaid.into_iter().chain(rest).collect()
    }

    /// `None` if no incident is in both; false beside what holds for all that are, and for more.
    fn both(&mut self, place: &str, a: &Condition, b: &Condition) -> Option<(Condition, bool)> {
        match a.and(b) {
            Ok(both) => both.map(|both| (both, true)),
            Err(why) => {
                self.left(place, why, "write that [[route]] by hand");
                Some((a.clone(), false))
            }
        }
    }

    fn remarks(&mut self, route: &Route, place: &str) {
        if OF_GROUPS.iter().any(|key| route.rest.contains_key(*key)) {
            let why = format!(
                "{} gather alerts into one message; an incident is one already",
                OF_GROUPS.join(", ")
            );
            self.left("routes", why, "nothing");
        }
        if let Some(fields) = said_too(&route.rest, &OF_GROUPS) {
            self.left(place, format!("has {fields}, which is not known"), "look at it there");
        }
    }
}

impl Route {
    fn mutes(&self) -> BTreeSet<Mute> {
        let within = self.mute_time_intervals.iter().cloned().map(Mute::Within);
        let active = &self.active_time_intervals;
        let outside = (!active.is_empty()).then(|| Mute::Outside(active.clone()));
        within.chain(outside).collect()
    }
}

/// `1d12h` in seconds.
fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut number) = (0u64, String::new());
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let count: u64 = std::mem::take(&mut number).parse().ok()?;
        let unit = match c {
            'm' if letters.next_if_eq(&'s').is_some() => return Some(total + count / 1000),
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            'y' => 365 * 86_400,
            _ => return None,
        };
        total = total.checked_add(count.checked_mul(unit)?)?;
    }
    number.is_empty().then_some(total).filter(|total| *total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("4h", Some(14_400)),
            ("1d12h", Some(129_600)),
            ("90m", Some(5400)),
            ("1500ms", Some(1)),
            ("1w", Some(604_800)),
            ("0s", None),
            ("4", None),
            ("h", None),
            ("4x", None),
        ] {
            assert_eq!(seconds(text), want, "{text}");
        }
    }
}
