//! Matchers on labels as conditions on incidents.

use escalate::RouteConfig;
use wire::{Family, Severity, Source};

/// What an incident must be; `None` is anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    severity: Option<Vec<Severity>>,
    family: Option<Vec<Family>>,
    source: Option<Vec<Source>>,
    drill: Option<Vec<bool>>,
    /// Patterns, in which `*` stands for any characters.
    model: Option<Vec<String>>,
    owner: Option<Vec<String>>,
}

/// One matcher: whether the label's value is, or is not, one of these patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matcher {
    label: String,
    not: bool,
    /// As written.
    value: String,
    /// `None` for an expression that is no list of patterns.
    patterns: Option<Vec<String>>,
}

pub(super) fn equal(label: &str, value: &str) -> Matcher {
    Matcher { label: label.into(), not: false, value: value.into(), patterns: Some(vec![value.into()]) }
}

pub(super) fn like(label: &str, value: &str) -> Matcher {
    Matcher { label: label.into(), not: false, value: value.into(), patterns: patterns(value) }
}

/// Reads `severity = "critical"`, or several in braces.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, String> {
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
        let (label, value) = (unquoted(label), unquoted(value));
        let patterns = if operator.ends_with('~') { patterns(&value) } else { Some(vec![value.clone()]) };
        matchers.push(Matcher { label, not: operator.starts_with('!'), value, patterns });
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

/// The alternatives of an expression, if each is text with `.*` or `.+` in it.
fn patterns(expression: &str) -> Option<Vec<String>> {
    let inner = expression.trim_start_matches('^').trim_end_matches('$');
    let inner = inner
        .strip_prefix("(?:")
        .or_else(|| inner.strip_prefix('('))
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(inner);
    inner.split('|').map(pattern).collect()
}

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

impl Matcher {
    fn says(&self) -> String {
        let Self { label, not, value, .. } = self;
        format!("{label} is {}{value:?}", if *not { "not " } else { "" })
    }

    fn holds(&self, patterns: &[String], value: &str) -> bool {
        patterns.iter().any(|pattern| glob(pattern, value)) != self.not
    }

    /// # Errors
    /// Why no incident can be meant by it, or none that can be said.
    pub(super) fn condition(&self) -> Result<Condition, String> {
        let says = self.says();
        let Some(patterns) = &self.patterns else {
            return Err(format!("{says}: an expression that is no list of names and `.*`"));
        };
        let word = |text: &str| self.holds(patterns, text);
        let mut condition = Condition::default();
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
            "model" | "subject" | "model_name" => condition.model = Some(self.names(patterns, &says)?),
            "owner" | "team" => condition.owner = Some(self.names(patterns, &says)?),
            // An alert without the label has the empty text for it.
            _ if word("") => (),
            label => return Err(format!("{says}: incidents have no label {label:?}")),
        }
        Ok(condition)
    }

    fn names(&self, patterns: &[String], says: &str) -> Result<Vec<String>, String> {
        if self.not {
            Err(format!("{says}: a route cannot say what it is not"))
        } else {
            Ok(patterns.to_vec())
        }
    }
}

/// `None` for all of them.
fn some<T>(held: Vec<T>, all: usize, says: &str) -> Result<Option<Vec<T>>, String> {
    match held.len() {
        0 => Err(format!("{says}: a value that incidents never have")),
        n if n == all => Ok(None),
        _ => Ok(Some(held)),
    }
}

/// As tocsin names its alerts to an Alertmanager.
fn alertname(family: Family) -> String {
    let word = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    format!("Tocsin{}", family.name().split('_').map(word).collect::<String>())
}

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
        let Some(model) = common_patterns(&self.model, &other.model)? else { return Ok(None) };
        let Some(owner) = common_patterns(&self.owner, &other.owner)? else { return Ok(None) };
        Ok(Some(Self { severity, family, source, drill, model, owner }))
    }

    pub(super) fn route(self, policy: String) -> RouteConfig {
        let Self { severity, family, source, drill, model, owner } = self;
        RouteConfig {
            severity: severity.unwrap_or_default(),
            family: family.unwrap_or_default(),
            model: model.unwrap_or_default(),
            owner: owner.unwrap_or_default(),
            source: source.unwrap_or_default(),
            drill: drill.and_then(|drill| drill.first().copied()),
            policy,
            ..RouteConfig::default()
        }
    }
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

type Patterns = Option<Vec<String>>;

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
fn glob(pattern: &str, text: &str) -> bool {
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
        assert!(of("cluster!=dev").expect("holds always").is_catch_all());
        for text in
            ["cluster=prod", "team!=risk", "severity=purple", "model=~\"a[bc]\"", "alertname=HighLatency"]
        {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_two_conditions_have_in_common() {
        let of = |text: &str| parse(text).expect("a matcher")[0].condition().expect("a condition");
        let both = |a: &str, b: &str| of(a).and(&of(b)).map(|both| both.map(|c| c.route("p".into())));
        let found =
            both("model=~\"fraud-.*|rank\"", "model=~\"fraud-eu|rank\"").expect("said").expect("some");
        assert_eq!(found.model, ["fraud-eu", "rank"]);
        assert_eq!(both("severity=critical", "severity=info"), Ok(None));
        assert!(both("model=~\"a.*\"", "model=~\".*b\"").is_err());
    }
}
