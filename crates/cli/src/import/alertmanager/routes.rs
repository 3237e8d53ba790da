//! The tree of routes as a list in which the first that matches decides.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Condition;
use crate::import::moved::Left;
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
}

/// How the grouping of alerts is set; an incident is one already.
const OF_GROUPS: [&str; 3] = ["group_by", "group_wait", "group_interval"];
/// Most outcomes: as many as a bundle has routes.
const OUTCOMES_MAX: usize = 1000;

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
        let mut outcomes = self.node(root, &above);
        if outcomes.len() > OUTCOMES_MAX {
            let why = format!("come to {} routes, and the most is {OUTCOMES_MAX}", outcomes.len());
            self.left("routes", why, "fewer of them with `continue`");
            let last = outcomes.pop();
            outcomes.truncate(OUTCOMES_MAX - 1);
            outcomes.extend(last);
        }
        outcomes
    }

    /// Outcomes of what has come to a route: its children's, then its own.
    fn node(&mut self, route: &Route, above: &Above) -> Vec<Outcome> {
        let receiver = route.receiver.clone().unwrap_or_else(|| above.receiver.clone());
        let place = above.place.clone();
        let repeat_s = match route.repeat_interval.as_deref().map(seconds) {
            None => above.repeat_s,
            Some(Some(seconds)) => seconds,
            Some(None) => {
                self.left(
                    &place,
                    "has a repeat_interval that is not known".into(),
                    "`delay_s` of its policy",
                );
                above.repeat_s
            }
        };
        self.remarks(route, &place, &receiver);
        let here = Above { receiver: receiver.clone(), repeat_s, place };
        let mut outcomes = self.children(&route.routes, 0, &here);
        outcomes.push(Outcome { condition: Condition::default(), receivers: vec![receiver], repeat_s });
        outcomes
    }

    /// Outcomes of the children from the `nth` on. Where one goes on to the next, an incident has the outcomes of both.
    fn children(&mut self, routes: &[Route], nth: usize, above: &Above) -> Vec<Outcome> {
        let Some(route) = routes.get(nth) else { return vec![] };
        let receiver = route.receiver.as_ref().unwrap_or(&above.receiver);
        let place =
            format!("{}.routes[{nth}] to {receiver}", above.place.split(" to ").next().unwrap_or_default());
        let rest = self.children(routes, nth + 1, above);
        let condition = match route.condition() {
            Ok(condition) => condition,
            Err(why) => {
                let instead = "add a [[route]] with `severity`, `family`, `model` or `owner`, if incidents are meant by it";
                self.left(&place, why, instead);
                return rest;
            }
        };
        let own = self.node(route, &Above { place: place.clone(), ..above.clone() });
        let mut outcomes = Vec::new();
        for one in own {
            let Some(condition) = self.both(&place, &condition, &one.condition) else { continue };
            let one = Outcome { condition, ..one };
            if route.r#continue {
                for other in &rest {
                    let Some(condition) = self.both(&place, &one.condition, &other.condition) else {
                        continue;
                    };
                    let receivers =
                        crate::import::moved::once([one.receivers.clone(), other.receivers.clone()].concat());
                    let repeat_s = one.repeat_s.min(other.repeat_s);
                    outcomes.push(Outcome { condition, receivers, repeat_s });
                }
            }
            outcomes.push(one);
        }
        outcomes.extend(rest);
        outcomes
    }

    /// `None` if no incident is in both, or it cannot be said.
    fn both(&mut self, place: &str, a: &Condition, b: &Condition) -> Option<Condition> {
        a.and(b).unwrap_or_else(|why| {
            self.left(place, why, "write that [[route]] by hand");
            None
        })
    }

    fn remarks(&mut self, route: &Route, place: &str, receiver: &str) {
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
        for (kind, names) in
            [("muted", &route.mute_time_intervals), ("active only", &route.active_time_intervals)]
        {
            if !names.is_empty() {
                let why =
                    format!("{receiver} is {kind} in {}; here it is paged at any time", names.join(", "));
                self.left(place, why, "`when` of a step chooses whom it pages at which hours");
            }
        }
    }
}

impl Route {
    /// What an incident must be for it.
    fn condition(&self) -> Result<Condition, String> {
        let mut matchers = Vec::new();
        for text in &self.matchers {
            matchers.extend(super::matchers::parse(text)?);
        }
        matchers.extend(self.r#match.iter().map(|(label, value)| super::matchers::equal(label, value)));
        matchers.extend(self.match_re.iter().map(|(label, value)| super::matchers::like(label, value)));
        let mut all = Condition::default();
        for matcher in &matchers {
            let one = matcher.condition()?;
            all = all.and(&one)?.ok_or("its matchers exclude each other")?;
        }
        Ok(all)
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
