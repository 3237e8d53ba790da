//! What an incident must be, as far as a bundle's conditions can say it.

use escalate::RouteConfig;
use wire::{Family, Matches, Severity, Source};

/// What an incident must be; `None` is anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    pub severity: Option<Vec<Severity>>,
    pub family: Option<Vec<Family>>,
    pub source: Option<Vec<Source>>,
    pub drill: Option<Vec<bool>>,
    pub tier: Option<Vec<u8>>,
    /// Patterns, in which `*` stands for any characters.
    pub model: Patterns,
    pub owner: Patterns,
    pub segment: Patterns,
    /// Why it may hold for more than was written: enough for a route, too much for what mutes.
    pub wider: Option<String>,
    /// Why it may hold for less.
    pub narrower: Option<String>,
}

pub(super) type Patterns = Option<Vec<String>>;

impl Condition {
    /// What is in both; `None` if nothing is.
    ///
    /// # Errors
    /// When two patterns have a part in common that no pattern says.
    pub(super) fn and(&self, other: &Self) -> Result<Option<Self>, String> {
        let Some(severity) = common(&self.severity, &other.severity) else { return Ok(None) };
        let Some(family) = common(&self.family, &other.family) else { return Ok(None) };
        let Some(source) = common(&self.source, &other.source) else { return Ok(None) };
        let Some(drill) = common(&self.drill, &other.drill) else { return Ok(None) };
        let Some(tier) = common(&self.tier, &other.tier) else { return Ok(None) };
        let Some(model) = common_patterns(&self.model, &other.model)? else { return Ok(None) };
        let Some(owner) = common_patterns(&self.owner, &other.owner)? else { return Ok(None) };
        let Some(segment) = common_patterns(&self.segment, &other.segment)? else { return Ok(None) };
        let first = |a: &Option<String>, b: &Option<String>| a.clone().or_else(|| b.clone());
        let wider = first(&self.wider, &other.wider);
        let narrower = first(&self.narrower, &other.narrower);
        Ok(Some(Self { severity, family, source, drill, tier, model, owner, segment, wider, narrower }))
    }

    /// What is in this and not in `other`, as conditions of which one holds. `None` if conditions cannot say it: there is
    /// none for a name that something has not.
    pub(super) fn without(&self, other: &Self) -> Option<Vec<Self>> {
        if self.and(other) == Ok(None) {
            return Some(vec![self.clone()]);
        }
        let narrows = |of: &Patterns, by: &Patterns| by.is_some() && of != by;
        if narrows(&self.model, &other.model)
            || narrows(&self.owner, &other.owner)
            || narrows(&self.segment, &other.segment)
            || other.tier.is_some() && self.tier != other.tier
        {
            return None;
        }
        let severity = rest(&self.severity, &other.severity, Severity::ALL);
        let family = rest(&self.family, &other.family, Family::ALL);
        let source = rest(&self.source, &other.source, Source::ALL);
        let drill = rest(&self.drill, &other.drill, &[true, false]);
        let mut without = Vec::new();
        without.extend(severity.map(|severity| Self { severity: Some(severity), ..self.clone() }));
        without.extend(family.map(|family| Self { family: Some(family), ..self.clone() }));
        without.extend(source.map(|source| Self { source: Some(source), ..self.clone() }));
        without.extend(drill.map(|drill| Self { drill: Some(drill), ..self.clone() }));
        Some(without)
    }

    pub(super) fn matches(&self) -> Matches {
        let Self { severity, family, source, drill, tier, model, owner, segment, wider: _, narrower: _ } =
            self.clone();
        Matches {
            severity: severity.unwrap_or_default(),
            family: family.unwrap_or_default(),
            model: model.unwrap_or_default(),
            subject: vec![],
            segment: segment.unwrap_or_default(),
            owner: owner.unwrap_or_default(),
            tier: tier.unwrap_or_default(),
            source: source.unwrap_or_default(),
            drill: drill.and_then(|drill| drill.first().copied()),
        }
    }

    pub(super) fn route(&self, policy: String) -> RouteConfig {
        let Matches { severity, family, model, subject, segment, owner, tier, source, drill } =
            self.matches();
        RouteConfig { severity, family, model, subject, segment, owner, tier, source, drill, policy }
    }
}

/// What `other` leaves of one condition; `None` if it leaves nothing.
fn rest<T: Copy + PartialEq>(of: &Option<Vec<T>>, other: &Option<Vec<T>>, all: &[T]) -> Option<Vec<T>> {
    let other = other.as_ref()?;
    let of = of.as_deref().unwrap_or(all);
    let rest: Vec<T> = of.iter().copied().filter(|one| !other.contains(one)).collect();
    (!rest.is_empty()).then_some(rest)
}

/// Outer `None`: nothing. Inner `None`: anything.
#[expect(clippy::option_option, reason = "nothing and anything are two things")]
fn common<T: Copy + PartialEq>(a: &Option<Vec<T>>, b: &Option<Vec<T>>) -> Option<Option<Vec<T>>> {
    match (a, b) {
        (None, any) | (any, None) => Some(any.clone()),
        (Some(a), Some(b)) => {
            let both: Vec<T> = a.iter().copied().filter(|one| b.contains(one)).collect();
            (!both.is_empty()).then_some(Some(both))
        }
    }
}

/// As [`common`].
fn common_patterns(a: &Patterns, b: &Patterns) -> Result<Option<Patterns>, String> {
    let (Some(a), Some(b)) = (a, b) else { return Ok(Some(a.clone().or_else(|| b.clone()))) };
    let mut both: Vec<String> = Vec::new();
    for one in a {
        for other in b {
            let found = match (one.contains('*'), other.contains('*')) {
                _ if one == other => Some(one),
                (false, _) => glob(other, one).then_some(one),
                (true, false) => glob(one, other).then_some(other),
                (true, true) if one == "*" => Some(other),
                (true, true) if other == "*" => Some(one),
                (true, true) => return Err(format!("{one:?} and {other:?} at once: no pattern says both")),
            };
            both.extend(found.cloned().filter(|found| !both.contains(found)));
        }
    }
    Ok((!both.is_empty()).then_some(Some(both)))
}

/// Whether `text` is `pattern`, in which `*` stands for any characters.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let cuts = text.char_indices().map(|(i, _)| i).chain([text.len()]);
            cuts.into_iter().any(|i| glob(rest, &text[i..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::matchers::{Asked, asked};
    use super::*;

    fn of(text: &str) -> Condition {
        match asked(&[text.to_owned()], &Default::default(), &Default::default()) {
            Asked::Said(condition) => condition,
            Asked::Never(why) | Asked::Partly(_, why) => panic!("{why}"),
        }
    }

    #[test]
    fn what_two_conditions_have_in_common() {
        let both = |a: &str, b: &str| of(a).and(&of(b)).map(|both| both.map(|c| c.matches()));
        let found =
            both("model=~\"fraud-.*|rank\"", "model=~\"fraud-eu|rank\"").expect("said").expect("some");
        assert_eq!(found.model, ["fraud-eu", "rank"]);
        assert_eq!(both("severity=critical", "severity=info"), Ok(None));
        assert!(both("model=~\"a.*\"", "model=~\".*b\"").is_err());
    }

    #[test]
    fn what_one_condition_leaves_of_another() {
        let without = |a: &str, b: &str| {
            let said = |of: Vec<Condition>| of.iter().map(|c| c.matches().to_string()).collect::<Vec<_>>();
            of(a).without(&of(b)).map(said)
        };
        for (a, b, want) in [
            ("team=risk", "team=search", Some(vec!["owner risk"])),
            (
                "team=risk",
                "{team=risk,severity=critical}",
                Some(vec!["severity sev2 or sev3 or sev4, owner risk"]),
            ),
            ("severity=~\"critical|info\"", "severity=critical", Some(vec!["severity sev4"])),
            (
                "severity=critical",
                "{severity=critical,family=~\"latency|drift\",drill=true}",
                Some(vec![
                    "severity sev1, family availability or traffic or data_quality or prediction or accuracy or \
                     calibration or deployment or telemetry or other",
                    "severity sev1, drill false",
                ]),
            ),
            ("severity=critical", "severity=~\"critical|info\"", Some(vec![])),
            ("severity=critical", "team=risk", None),
            ("model=~\"fraud.*\"", "model=fraud-eu", None),
            ("severity=critical", "tier=1", None),
            ("tier=1", "tier=2", Some(vec!["tier 1"])),
        ] {
            let want = want.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(without(a, b), want, "{a} without {b}");
        }
    }
}
