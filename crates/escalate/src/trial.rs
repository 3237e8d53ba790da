//! Tests of a policy, written by whoever owns it: given this incident at this time, expect these pages in this order.

mod cast;
mod compare;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::DateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::command::Action;
use wire::{Change, Family, Severity, Source, SubjectKind, Timestamp, Zone};

use crate::effect::Input;
use crate::policy::Policy;
use crate::rehearsal::Rehearsal;

use cast::Cast;

/// Most tests in a file, incidents, events and expectations of one, and longest time of one.
const TESTS_MAX: usize = 1000;
const LINES_MAX: usize = 200;
const UNTIL_S_MAX: u32 = 31 * 86_400;

/// How long a test goes on after the last thing that it says: more where it expects that nobody is paged.
const MINUTE_S: u32 = 60;
const DAY_S: u32 = 86_400;

/// A file of `tests/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialsConfig {
    #[serde(default)]
    pub test: Vec<TrialConfig>,
}

/// One `[[test]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialConfig {
    /// What it shows, in words.
    pub name: String,
    /// When the incident opens, such as `2026-03-07 03:00`.
    pub at: String,
    /// Time zone of `at`; that of `people.toml` if it is not given.
    #[serde(default)]
    pub zone: Option<String>,
    pub incident: TrialIncident,
    /// Incidents that open besides.
    #[serde(default)]
    pub also: Vec<TrialIncident>,
    /// What happens after that.
    #[serde(default)]
    pub then: Vec<ThenConfig>,
    /// Every page that calls somebody, in order, and no other.
    #[serde(default)]
    pub expect: Vec<ExpectConfig>,
    /// Seconds that are looked at, if it is not until a minute after the last thing that happens or is expected; a day, where
    /// nothing is expected.
    #[serde(default)]
    pub until_s: Option<u32>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialIncident {
    /// What `then` and `expect` call it.
    #[serde(default)]
    pub name: Option<String>,
    /// Seconds after `at` at which it opens, of those in `also`.
    #[serde(default)]
    pub after_s: u32,
    pub severity: Severity,
    #[serde(default = "availability")]
    pub family: Family,
    /// Name of the model; that of the subject, if it is about something else.
    #[serde(default = "some_model", alias = "subject")]
    pub model: String,
    /// What it is about.
    #[serde(default = "model")]
    pub kind: SubjectKind,
    #[serde(default)]
    pub segment: Option<String>,
    #[serde(default)]
    pub owner: Option<String>,
    #[serde(default)]
    pub tier: Option<u8>,
    /// What its lineage names, such as `dependency:feature-store`.
    #[serde(default)]
    pub upstream: Vec<String>,
    #[serde(default = "detector")]
    pub source: Source,
    #[serde(default)]
    pub drill: bool,
}

/// Something that happens later. One thing each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThenConfig {
    /// Seconds after `at`.
    pub after_s: u32,
    /// Name of the incident that it happens to; the first one, without.
    #[serde(default)]
    pub of: Option<String>,
    /// Its severity is this now.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// The signal is over.
    #[serde(default)]
    pub cleared: bool,
    /// Who acknowledges it.
    #[serde(default)]
    pub acknowledge: Option<String>,
    /// Who writes a note.
    #[serde(default)]
    pub note: Option<String>,
    /// Who resolves it.
    #[serde(default)]
    pub resolve: Option<String>,
    /// To whom it is handed, as a step names them.
    #[serde(default)]
    pub assign: Option<String>,
    /// A receiver that refuses everything from now on.
    #[serde(default)]
    pub breaks: Option<String>,
}

/// Who is paged then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectConfig {
    /// Seconds after `at`.
    pub after_s: u32,
    /// `person:NAME`, a page at each place where they are reached, or `receiver/target`, one page.
    #[serde(default)]
    pub to: Vec<String>,
    /// Who is told by `stakeholders.toml`, in the same words; none, if it is empty. A test that says nothing of them does not
    /// look at them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Vec<String>>,
    /// Name of the incident that it is about; any, without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Names of the incidents that the page speaks for beside that one: these and no others. Any, without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<Vec<String>>,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub name: String,
    /// Expected, and did not come, or not in that order: seconds, and to whom.
    pub missing: Vec<(u32, String)>,
    /// Came, and was not expected, or not then.
    pub unexpected: Vec<(u32, String)>,
    /// Everything that came.
    pub came: Vec<(u32, String)>,
}

impl Verdict {
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }
}

/// A key of a test that is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadTrial {
    pub key: &'static str,
    /// Which of its list, from 0.
    pub nth: Option<usize>,
    pub why: String,
}

impl BadTrial {
    fn nth(self, nth: usize) -> Self {
        Self { nth: Some(nth), ..self }
    }
}

const fn availability() -> Family {
    Family::Availability
}
const fn model() -> SubjectKind {
    SubjectKind::Model
}
const fn detector() -> Source {
    Source::Detector
}
fn some_model() -> String {
    "any".into()
}

fn bad(key: &'static str, why: impl Into<String>) -> BadTrial {
    BadTrial { key, nth: None, why: why.into() }
}

/// Says what is wrong with the file as a whole.
///
/// # Errors
/// Too many tests, or two of one name: `nth` is the second.
pub fn check(tests: &[TrialConfig]) -> Result<(), BadTrial> {
    if tests.len() > TESTS_MAX {
        return Err(bad("test", format!("{} tests, and the most is {TESTS_MAX}", tests.len())));
    }
    let mut names = BTreeSet::new();
    match tests.iter().position(|test| !names.insert(&test.name)) {
        Some(i) => Err(bad("name", format!("{:?} is the name of another test", tests[i].name)).nth(i)),
        None => Ok(()),
    }
}

/// Plays one test through. Cost: some milliseconds.
///
/// # Errors
/// What in it is no time, no person, no incident, or not one thing.
pub fn run(policy: &Arc<Policy>, test: &TrialConfig) -> Result<Verdict, BadTrial> {
    for (key, n) in [("also", test.also.len()), ("then", test.then.len()), ("expect", test.expect.len())] {
        if n > LINES_MAX {
            return Err(bad(key, format!("{n} lines, and the most is {LINES_MAX}")));
        }
    }
    let (from, until_s) = (from(policy, test)?, until_s(test)?);
    let at = |after_s: u32| from.plus_ms(i64::from(after_s) * 1000);
    let mut cast = Cast::of(policy, test, at)?;
    let opens = cast.opens().map(|(after_s, i)| (after_s, Event::Opens(i)));
    let then = test.then.iter().enumerate().map(|(i, then)| (then.after_s, Event::Then(i, then)));
    let mut events: Vec<(u32, Event<'_>)> = opens.chain(then).collect();
    if let Some((after_s, event)) = events.iter().find(|(after_s, _)| *after_s > until_s) {
        let (key, nth) = event.place();
        return Err(bad(key, format!("after_s = {after_s} is beyond until_s = {until_s}")).nth(nth));
    }
    // What opens then does so before anything happens to it.
    events.sort_by_key(|(after_s, _)| *after_s);
    let mut rehearsal = Rehearsal::new(Arc::clone(policy), from);
    for (after_s, event) in events {
        // What is due by then comes before it.
        rehearsal.run(at(after_s));
        match event {
            Event::Opens(i) => {
                rehearsal.put(at(after_s), Input::Incident(Box::new(cast.incidents[i].clone())));
            }
            Event::Then(i, then) => {
                happens(policy, then, &mut cast, (&mut rehearsal, at(after_s))).map_err(|bad| bad.nth(i))?;
            }
        }
    }
    rehearsal.run(at(until_s));
    compare::compare(test, policy, (&cast, from), &rehearsal.take())
}

/// Something of a test, at its time.
#[derive(Clone, Copy)]
enum Event<'a> {
    Opens(usize),
    Then(usize, &'a ThenConfig),
}

impl Event<'_> {
    /// The list that it stands in, and where.
    const fn place(self) -> (&'static str, usize) {
        match self {
            // The first one opens with the test.
            Self::Opens(i) => ("also", i.saturating_sub(1)),
            Self::Then(i, _) => ("then", i),
        }
    }
}

fn from(policy: &Policy, test: &TrialConfig) -> Result<Timestamp, BadTrial> {
    let zone = match test.zone.as_deref() {
        None => policy.zone().clone(),
        Some(name) => {
            Zone::named(name).ok_or_else(|| bad("zone", format!("there is no time zone {name:?}")))?
        }
    };
    let civil = test.at.parse::<DateTime>().ok().filter(|civil| (1970..=9998).contains(&civil.year()));
    let civil = civil
        .ok_or_else(|| bad("at", format!("{:?} is not a time such as \"2026-03-07 03:00\"", test.at)))?;
    Ok(zone.first(civil))
}

fn until_s(test: &TrialConfig) -> Result<u32, BadTrial> {
    let opens = test.also.iter().map(|also| also.after_s);
    let then = test.then.iter().map(|then| then.after_s);
    let last = opens.chain(then).chain(test.expect.iter().map(|e| e.after_s)).max().unwrap_or(0);
    let more = if test.expect.is_empty() { DAY_S } else { MINUTE_S };
    let until_s = test.until_s.unwrap_or_else(|| last.max(last.saturating_add(more).min(UNTIL_S_MAX)));
    if until_s > UNTIL_S_MAX {
        return Err(bad("until_s", format!("{until_s} s, and the most is {UNTIL_S_MAX}")));
    }
    Ok(until_s)
}

/// Has it happen.
fn happens(
    policy: &Policy,
    then: &ThenConfig,
    cast: &mut Cast<'_>,
    (rehearsal, at): (&mut Rehearsal, Timestamp),
) -> Result<(), BadTrial> {
    let ThenConfig { after_s: _, of, severity, cleared, acknowledge, note, resolve, assign, breaks } = then;
    let said = [severity.is_some(), *cleared, acknowledge.is_some(), note.is_some(), resolve.is_some()];
    let said = said.into_iter().chain([assign.is_some(), breaks.is_some()]).filter(|said| *said).count();
    if said != 1 {
        let why = "one thing each: severity, cleared, acknowledge, note, resolve, assign or breaks";
        return Err(bad("then", why));
    }
    if let Some(receiver) = breaks {
        if of.is_some() {
            return Err(bad("then", "a receiver breaks for all incidents: without `of`"));
        }
        rehearsal.breaks(receiver);
        return Ok(());
    }
    let incident = cast.called(of.as_deref(), "then")?;
    if at < incident.opened_at {
        return Err(bad("then", "its incident opens later"));
    }
    if severity.is_some() || *cleared {
        incident.sequence += 1;
        incident.changed_at = at;
        incident.severity = severity.unwrap_or(incident.severity);
        incident.change = if *cleared { Change::Cleared } else { Change::Updated };
        rehearsal.put(at, Input::Incident(Box::new(incident.clone())));
        return Ok(());
    }
    let some = || Some("a test".to_owned());
    let (who, action) = if let Some(who) = acknowledge {
        (Some(who), Action::Acknowledge { for_s: None, note: None })
    } else if let Some(who) = note {
        (Some(who), Action::Note { text: "a test".into() })
    } else if let Some(who) = resolve {
        (Some(who), Action::Resolve { reason: some(), not_actionable: false })
    } else {
        (None, Action::Assign { to: assign.clone().unwrap_or_default(), note: some() })
    };
    if let Some(who) = who
        && !policy.bundle().people.is_empty()
        && !policy.bundle().people.person.contains_key(policy.person_of(who))
    {
        return Err(bad("then", format!("there is no person {who:?} in people.toml")));
    }
    let name = who.map_or("test", String::as_str);
    rehearsal.says(at, &incident.incident_id, name, action);
    Ok(())
}

#[cfg(test)]
mod tests;
