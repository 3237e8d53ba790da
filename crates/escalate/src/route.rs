//! Which policy an incident goes to: the first route that matches.

use wire::{Incident, SubjectKind};

use crate::config::RouteConfig;

impl RouteConfig {
    /// True without conditions: every incident matches.
    #[must_use]
    pub const fn is_catch_all(&self) -> bool {
        self.severity.is_empty()
            && self.family.is_empty()
            && self.model.is_empty()
            && self.owner.is_empty()
            && self.source.is_empty()
            && self.drill.is_none()
    }

    /// Whether a real incident that must wake somebody can come this way.
    #[must_use]
    pub fn takes_pages(&self) -> bool {
        self.drill != Some(true) && (self.severity.is_empty() || self.severity.iter().any(|s| s.pages()))
    }

    #[must_use]
    pub fn matches(&self, incident: &Incident) -> bool {
        let owner = incident.context.owner.as_deref();
        let is_model = incident.subject.kind == SubjectKind::Model;
        (self.severity.is_empty() || self.severity.contains(&incident.severity))
            && (self.family.is_empty() || self.family.contains(&incident.family))
            && (self.source.is_empty() || self.source.contains(&incident.source))
            && (self.model.is_empty() || is_model && any(&self.model, &incident.subject.name))
            && (self.owner.is_empty() || owner.is_some_and(|owner| any(&self.owner, owner)))
            && self.drill.is_none_or(|drill| drill == incident.drill)
    }
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
