//! Which incidents: conditions that a route, a silence or a rule of inhibition puts on them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Family, Incident, Severity, Source, SubjectKind};

/// Conditions on an incident. Every one that is given must hold; a list holds when one of its entries does. In names `*`
/// stands for any characters.
///
/// An unknown condition is refused: without it more would match than was meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matches {
    /// Severities: sev1 and sev2 page, sev3 is a ticket, sev4 is for the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub severity: Vec<Severity>,
    /// Families: latency, availability, traffic, data_quality, drift, prediction, accuracy, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub family: Vec<Family>,
    /// Names of models. Holds for incidents about models only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model: Vec<String>,
    /// Subjects as text: `model:fraud@7`, `dataset:orders`, `dependency:*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject: Vec<String>,
    /// Segments. Holds for incidents about a segment only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segment: Vec<String>,
    /// Owners as the context of the incident names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owner: Vec<String>,
    /// Tiers as the context of the incident names them; 1 is the most important.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tier: Vec<u8>,
    /// Who raised it: detector, human, import, dependency, self, drill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Source>,
    /// True for drills only, false for all else, absent for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<bool>,
}

impl Matches {
    /// Without conditions: every incident matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether every condition holds of an incident. Cost: the lengths of patterns times those of names.
    #[must_use]
    pub fn holds(&self, incident: &Incident) -> bool {
        let Self { severity, family, model, subject, segment, owner, tier, source, drill } = self;
        let (of, context) = (&incident.subject, &incident.context);
        one_of(severity, &incident.severity)
            && one_of(family, &incident.family)
            && one_of(source, &incident.source)
            && (model.is_empty() || of.kind == SubjectKind::Model && any(model, &of.name))
            && (subject.is_empty() || any(subject, &of.to_string()))
            && (segment.is_empty() || of.segment.as_deref().is_some_and(|s| any(segment, s)))
            && (owner.is_empty() || context.owner.as_deref().is_some_and(|o| any(owner, o)))
            && (tier.is_empty() || context.tier.is_some_and(|t| tier.contains(&t)))
            && drill.is_none_or(|drill| drill == incident.drill)
    }
}

fn one_of<T: PartialEq>(list: &[T], value: &T) -> bool {
    list.is_empty() || list.contains(value)
}

fn any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|p| glob(p, text))
}

/// Whether `text` is `pattern`, in which `*` stands for any characters, none included.
/// Cost: at most the product of the lengths.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// As a sentence goes on: `severity sev1 or sev2, model fraud`; `everything` where there is no condition.
impl fmt::Display for Matches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(name: &str, of: &[T]) -> Option<String> {
            let said: Vec<String> = of.iter().map(ToString::to_string).collect();
            (!of.is_empty()).then(|| format!("{name} {}", said.join(" or ")))
        }
        let Self { severity, family, model, subject, segment, owner, tier, source, drill } = self;
        let said: Vec<String> = [
            list("severity", severity),
            list("family", family),
            list("model", model),
            list("subject", subject),
            list("segment", segment),
            list("owner", owner),
            list("tier", tier),
            list("source", source),
            drill.map(|drill| format!("drill {drill}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if said.is_empty() { f.write_str("everything") } else { f.write_str(&said.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, want) in [
            ("fraud", "fraud", true),
            ("fraud", "fraud2", false),
            ("*", "", true),
            ("*", "anything", true),
            ("rank*", "ranking", true),
            ("rank*", "crank", false),
            ("*ing", "ranking", true),
            ("*in", "ranking", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
            ("a*", "*", false),
            ("*é", "café", true),
        ] {
            assert_eq!(glob(pattern, text), want, "{pattern} against {text}");
        }
    }
}
