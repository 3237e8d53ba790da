//! Matchers on labels as conditions on incidents.

use std::collections::BTreeMap;

use wire::{Family, Severity, Source};

use super::condition::{Condition, Patterns, glob};

/// One matcher: whether the label's value is, or is not, one of these patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matcher {
    label: String,
    not: bool,
    /// As written.
    value: String,
    expression: bool,
    /// `None` for an expression that is no list of patterns.
    patterns: Patterns,
}

/// Why a matcher is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unsaid {
    /// No incident is ever so.
    Never(String),
    /// Some may be so, and no condition says which.
    Cannot(String),
}

/// What matchers ask for together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Said(Condition),
    /// What no incident ever is.
    Never(String),
    /// No more than this, and what of it cannot be said.
    Partly(Condition, String),
}

/// Matchers in a list, and in the two maps in which older configs have them. All must hold.
pub(super) fn asked(
    list: &[String],
    equal: &BTreeMap<String, String>,
    like: &BTreeMap<String, String>,
) -> Asked {
    let mut unsaid = None;
    let mut matchers = Vec::new();
    for text in list {
        match parse(text) {
            Ok(parsed) => matchers.extend(parsed),
            Err(why) => unsaid = unsaid.or(Some(why)),
        }
    }
    matchers.extend(equal.iter().map(|(label, value)| Matcher::new(label, false, false, value)));
    matchers.extend(like.iter().map(|(label, value)| Matcher::new(label, false, true, value)));
    let mut all = Condition::default();
    for matcher in &matchers {
        match matcher.condition() {
            Err(Unsaid::Never(why)) => return Asked::Never(why),
            Err(Unsaid::Cannot(why)) => unsaid = unsaid.or(Some(why)),
            Ok(one) => match all.and(&one) {
                Ok(Some(both)) => all = both,
                Ok(None) => return Asked::Never("its matchers exclude each other".into()),
                Err(why) => unsaid = unsaid.or(Some(why)),
            },
        }
    }
    match unsaid {
        None => Asked::Said(all),
        Some(why) => Asked::Partly(all, why),
    }
}

/// Reads `severity = "critical"`, or several in braces.
fn parse(text: &str) -> Result<Vec<Matcher>, String> {
    let inner = text.trim();
    let inner = inner.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(inner);
    let odd = || format!("{text:?} is no matcher that is known");
    let mut matchers = Vec::new();
    for part in split(inner) {
        let at = part.find(['=', '!']).ok_or_else(odd)?;
        let (label, rest) = part.split_at(at);
        let (operator, value) = ["=~", "!~", "!=", "="]
            .iter()
            .find_map(|operator| Some((*operator, rest.strip_prefix(operator)?)))
            .ok_or_else(odd)?;
        let (not, expression) = (operator.starts_with('!'), operator.ends_with('~'));
        matchers.push(Matcher::new(&unquoted(label), not, expression, &unquoted(value)));
    }
    Ok(matchers)
}

/// At commas that are in no quotes.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        match c {
            ',' if !quoted => {
                parts.push(String::new());
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => (),
        }
        escaped = c == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.to_owned(),
    }
}

/// What stands between the bars of an expression.
fn alternatives(expression: &str) -> impl Iterator<Item = &str> {
    let inner = expression.trim_start_matches('^').trim_end_matches('$');
    let inner = inner
        .strip_prefix("(?:")
        .or_else(|| inner.strip_prefix('('))
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(inner);
    inner.split('|')
}

/// An alternative as a pattern, if it is text with `.*` or `.+` in it.
fn pattern(text: &str) -> Option<String> {
    let mut pattern = String::new();
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match c {
            '.' => match letters.next() {
                Some('*' | '+') => pattern.push('*'),
                Some(_) | None => return None,
            },
            '\\' => pattern.push(letters.next().filter(|c| !c.is_alphanumeric())?),
            '(' | ')' | '[' | ']' | '{' | '}' | '?' | '+' | '*' | '^' | '$' => return None,
            c => pattern.push(c),
        }
    }
    Some(pattern)
}

/// Words by which people route, for each severity.
const WORDS: [(Severity, &[&str]); 4] = [
    (Severity::Sev1, &["critical", "sev1", "page", "p1", "emergency", "fatal"]),
    (Severity::Sev2, &["error", "sev2", "page", "p2", "high", "major"]),
    (Severity::Sev3, &["warning", "sev3", "ticket", "p3", "medium", "minor", "warn"]),
    (Severity::Sev4, &["info", "sev4", "p4", "low", "notice", "none"]),
];

/// Labels that tocsin's alerts have, and no condition is about.
const OURS: [&str; 6] = ["incident", "kind", "namespace", "target", "tocsin_alert_key", "version"];
/// Most patterns of one condition, and most bytes of one.
const PATTERNS_MAX: usize = 200;
const PATTERN_BYTES_MAX: usize = 256;

impl Matcher {
    fn new(label: &str, not: bool, expression: bool, value: &str) -> Self {
        let patterns = if expression {
            alternatives(value).map(pattern).collect()
        } else {
            Some(vec![value.to_owned()])
        };
        Self { label: label.into(), not, value: value.into(), expression, patterns }
    }

    fn says(&self) -> String {
        let Self { label, not, value, .. } = self;
        format!("{label} is {}{value:?}", if *not { "not " } else { "" })
    }

    fn holds(&self, patterns: &[String], value: &str) -> bool {
        patterns.iter().any(|pattern| glob(pattern, value)) != self.not
    }

    /// Whether an alternative takes any text, that of a label that is not there too.
    fn is_any(&self) -> bool {
        self.expression && alternatives(&self.value).any(|one| one == ".*")
    }

    /// Whether its patterns take what it does not: a `*` of its own, and nothing where it wants some letter.
    fn is_loose(&self) -> bool {
        if self.expression {
            alternatives(&self.value).any(|one| one.contains("\\*") || one != ".+" && one.contains(".+"))
        } else {
            self.value.contains('*')
        }
    }

    /// # Errors
    /// Why no incident can be meant by it, or none that can be said.
    fn condition(&self) -> Result<Condition, Unsaid> {
        let says = self.says();
        let Some(patterns) = &self.patterns else {
            return Err(Unsaid::Cannot(format!("{says}: an expression that is no list of names and `.*`")));
        };
        if self.is_any() {
            return if self.not { Err(never(&says)) } else { Ok(Condition::default()) };
        }
        let wider = self.is_loose().then(|| format!("{says}: a pattern here takes more than that"));
        let mut condition = Condition { wider, ..Condition::default() };
        let word = |text: &str| self.holds(patterns, text);
        match self.label.as_str() {
            "severity" => {
                // A word that is not said holds back all that have it.
                let of = |words: &[&str]| {
                    if self.not { words.iter().all(|w| word(w)) } else { words.iter().any(|w| word(w)) }
                };
                let held: Vec<_> = WORDS.iter().filter(|(_, words)| of(words)).map(|(s, _)| *s).collect();
                condition.severity = some(held, Severity::ALL.len(), &says)?;
            }
            "family" => {
                let held = Family::ALL.iter().copied().filter(|f| word(f.name())).collect();
                condition.family = some(held, Family::ALL.len(), &says)?;
            }
            "alertname" => {
                let held = Family::ALL.iter().copied().filter(|f| word(&alertname(*f))).collect();
                condition.family = some(held, Family::ALL.len(), &says)?;
            }
            "source" => {
                let held = Source::ALL.iter().copied().filter(|s| word(s.name())).collect();
                condition.source = some(held, Source::ALL.len(), &says)?;
            }
            "drill" => {
                let held = [true, false].into_iter().filter(|d| word(&d.to_string())).collect();
                condition.drill = some(held, 2, &says)?;
            }
            "model" | "subject" | "model_name" => {
                condition.model = Some(self.names(patterns, &says)?);
                let less = || format!("{says}: here that is what is about models");
                condition.narrower = (self.label == "subject").then(less);
            }
            "owner" | "team" => condition.owner = Some(self.names(patterns, &says)?),
            "segment" => condition.segment = Some(self.names(patterns, &says)?),
            "tier" => condition.tier = Some(self.tiers(patterns, &says)?),
            // An alert without the label has the empty text for it.
            label if word("") => {
                let more = || format!("{says}: here that is whatever it is");
                condition.wider = OURS.contains(&label).then(more);
            }
            label if OURS.contains(&label) => {
                return Err(Unsaid::Cannot(format!("{says}: no condition is about {label:?}")));
            }
            label => return Err(Unsaid::Never(format!("{says}: incidents have no label {label:?}"))),
        }
        Ok(condition)
    }

    fn names(&self, patterns: &[String], says: &str) -> Result<Vec<String>, Unsaid> {
        if self.not {
            Err(Unsaid::Cannot(format!("{says}: a route cannot say what it is not")))
        } else if patterns.iter().any(String::is_empty) {
            Err(Unsaid::Cannot(format!("{says}: a route cannot say that there is none")))
        } else if patterns.len() > PATTERNS_MAX || patterns.iter().any(|p| p.len() > PATTERN_BYTES_MAX) {
            Err(Unsaid::Cannot(format!(
                "{says}: a route takes {PATTERNS_MAX} patterns of {PATTERN_BYTES_MAX} bytes"
            )))
        } else {
            Ok(patterns.to_vec())
        }
    }

    fn tiers(&self, patterns: &[String], says: &str) -> Result<Vec<u8>, Unsaid> {
        let tier = |text: &String| text.parse::<u8>().ok().filter(|tier| tier.to_string() == *text);
        let tiers = self.names(patterns, says)?.iter().map(tier).collect::<Option<Vec<u8>>>();
        tiers.ok_or_else(|| Unsaid::Cannot(format!("{says}: tiers are numbers, such as 1")))
    }
}

fn never(says: &str) -> Unsaid {
    Unsaid::Never(format!("{says}: a value that incidents never have"))
}

/// `None` for all of them.
fn some<T>(held: Vec<T>, all: usize, says: &str) -> Result<Option<Vec<T>>, Unsaid> {
    match held.len() {
        0 => Err(never(says)),
        n if n == all => Ok(None),
        _ => Ok(Some(held)),
    }
}

/// As tocsin names its alerts to an Alertmanager.
fn alertname(family: Family) -> String {
    let word = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    format!("Tocsin{}", family.name().split('_').map(word).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_as_alertmanager_writes_them() {
        let said = |text: &str| {
            let of = |m: &Matcher| (m.label.clone(), m.not, m.patterns.clone().unwrap_or_default().join("|"));
            parse(text).map(|all| all.iter().map(of).collect::<Vec<_>>())
        };
        let one =
            |label: &str, not: bool, patterns: &str| Ok(vec![(label.to_owned(), not, patterns.to_owned())]);
        assert_eq!(said("severity=\"critical\""), one("severity", false, "critical"));
        assert_eq!(said(" team != risk "), one("team", true, "risk"));
        assert_eq!(said("model =~ \"fraud-.*|rank\\\\.v1\""), one("model", false, "fraud-*|rank.v1"));
        assert_eq!(said("model !~ \"^(?:a|b)$\""), one("model", true, "a|b"));
        assert_eq!(said("x=~\"[ab]\""), one("x", false, ""));
        let two = said("{a=\"b,c\", d!~\"e\"}").expect("two");
        assert_eq!(two, [("a".into(), false, "b,c".into()), ("d".into(), true, "e".into())]);
        assert!(said("severity").is_err());
    }

    #[test]
    fn a_matcher_is_a_condition_or_says_why_not() {
        let of = |text: &str| parse(text).expect("a matcher")[0].condition().map(|c| c.route("p".into()));
        let severity = |text: &str| of(text).expect("a condition").severity;
        assert_eq!(severity("severity=critical"), [Severity::Sev1]);
        assert_eq!(severity("severity=~\"critical|error\""), [Severity::Sev1, Severity::Sev2]);
        assert_eq!(severity("severity=page"), [Severity::Sev1, Severity::Sev2]);
        assert_eq!(severity("severity!=info"), [Severity::Sev1, Severity::Sev2, Severity::Sev3]);
        assert_eq!(severity("severity=~\".*\""), []);
        assert_eq!(of("alertname=~\"TocsinD.*\"").expect("a condition").family.len(), 3);
        assert_eq!(of("team=~\"risk|ml-.*\"").expect("a condition").owner, ["risk", "ml-*"]);
        assert_eq!(of("segment=~\"eu-.*\"").expect("a condition").segment, ["eu-*"]);
        assert_eq!(of("tier=~\"1|2\"").expect("a condition").tier, [1, 2]);
        assert!(of("cluster!=dev").expect("holds always").is_catch_all());
        // What has no model is taken too.
        assert!(of("model=~\"fraud|.*\"").expect("holds always").is_catch_all());
        for (text, never) in [
            ("cluster=prod", true),
            ("severity=purple", true),
            ("alertname=HighLatency", true),
            ("model!~\".*\"", true),
            ("team!=risk", false),
            ("segment!=eu", false),
            ("model=\"\"", false),
            ("tier=01", false),
            ("namespace=prod", false),
            ("model=~\"a[bc]\"", false),
        ] {
            let why = of(text).expect_err(text);
            assert_eq!(matches!(why, Unsaid::Never(_)), never, "{text}: {why:?}");
        }
    }

    #[test]
    fn what_a_condition_takes_beyond_its_matcher_is_known() {
        for (text, wider) in [
            ("model=fraud", false),
            ("model=\"fraud*\"", true),
            ("model=~\"fraud.*\"", false),
            ("model=~\"fraud.+\"", true),
            ("model=~\".+\"", false),
            ("model=~\"fraud\\\\*\"", true),
            ("family=~\"drift.+|latency\"", true),
            ("namespace!=prod", true),
            ("cluster!=prod", false),
        ] {
            let condition = parse(text).expect("a matcher")[0].condition().expect(text);
            assert_eq!(condition.wider.is_some(), wider, "{text}: {condition:?}");
        }
    }
}
