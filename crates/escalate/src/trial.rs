//! Tests of a policy, written by whoever owns it: given this incident at this time, expect these pages in this order.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::DateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::command::Action;
use wire::incident::Context;
use wire::page::PageKind;
use wire::{Change, Family, Incident, Severity, Source, Subject, SubjectKind, Timestamp, Zone};

use crate::effect::Input;
use crate::machine::said;
use crate::policy::Policy;
use crate::rehearsal::{Rehearsal, Sent};

/// Most tests in a file, events and expectations of one, and longest time of one.
const TESTS_MAX: usize = 1000;
const LINES_MAX: usize = 200;
const UNTIL_S_MAX: u32 = 31 * 86_400;

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
    /// What happens after that.
    #[serde(default)]
    pub then: Vec<ThenConfig>,
    /// Every page that calls somebody, and no other.
    #[serde(default)]
    pub expect: Vec<ExpectConfig>,
    /// Seconds that are looked at; until the last thing that happens or is expected, if it is not given.
    #[serde(default)]
    pub until_s: Option<u32>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialIncident {
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
    #[serde(default = "detector")]
    pub source: Source,
    #[serde(default)]
    pub drill: bool,
}

/// Something that happens later. One thing each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThenConfig {
    /// Seconds after the incident has opened.
    pub after_s: u32,
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
    /// Seconds after the incident has opened.
    pub after_s: u32,
    /// `person:NAME`, wherever they are reached, or `receiver/target`.
    #[serde(default)]
    pub to: Vec<String>,
    /// Who is told by `stakeholders.toml`, in the same words. A test that says nothing of them does not look at them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub name: String,
    /// Expected, and did not come: seconds, and to whom.
    pub missing: Vec<(u32, String)>,
    /// Came, and was not expected.
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
    pub why: String,
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
    BadTrial { key, why: why.into() }
}

/// Says what is wrong with the file as a whole.
///
/// # Errors
/// Too many tests, or two of one name.
pub fn check(tests: &[TrialConfig]) -> Result<(), BadTrial> {
    if tests.len() > TESTS_MAX {
        return Err(bad("test", format!("{} tests, and the most is {TESTS_MAX}", tests.len())));
    }
    let mut names = BTreeSet::new();
    match tests.iter().find(|test| !names.insert(&test.name)) {
        Some(twice) => Err(bad("name", format!("{:?} is the name of another test", twice.name))),
        None => Ok(()),
    }
}

/// Plays one test through. Cost: some milliseconds.
///
/// # Errors
/// What in it is no time, no person, or not one thing.
pub fn run(policy: &Arc<Policy>, test: &TrialConfig) -> Result<Verdict, BadTrial> {
    for (key, n) in [("then", test.then.len()), ("expect", test.expect.len())] {
        if n > LINES_MAX {
            return Err(bad(key, format!("{n} lines, and the most is {LINES_MAX}")));
        }
    }
    let from = from(policy, test)?;
    let last = test.then.iter().map(|t| t.after_s).chain(test.expect.iter().map(|e| e.after_s)).max();
    let until_s = test.until_s.or(last).unwrap_or(0);
    if until_s > UNTIL_S_MAX {
        return Err(bad("until_s", format!("{until_s} s, and the most is {UNTIL_S_MAX}")));
    }
    let at = |after_s: u32| from.plus_ms(i64::from(after_s) * 1000);
    let mut incident = opened(policy, &test.incident, from);
    let mut rehearsal = Rehearsal::new(Arc::clone(policy), from);
    rehearsal.put(from, Input::Incident(Box::new(incident.clone())));
    let mut then: Vec<&ThenConfig> = test.then.iter().filter(|then| then.after_s <= until_s).collect();
    then.sort_by_key(|then| then.after_s);
    for then in then {
        // What is due by then comes before it.
        rehearsal.run(at(then.after_s));
        happens(policy, then, &mut incident, (&mut rehearsal, at(then.after_s)))?;
    }
    rehearsal.run(at(until_s));
    compare(test, policy, from, &rehearsal.take())
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

fn opened(policy: &Policy, what: &TrialIncident, at: Timestamp) -> Incident {
    let TrialIncident { severity, family, model, kind, segment, owner, tier, source, drill } = what;
    let subject = Subject { kind: *kind, name: model.clone(), version: None, segment: segment.clone() };
    let namespace = policy.namespace();
    Incident {
        incident_id: Incident::id_of(namespace, *source, &subject, *family, at),
        generation: 1,
        sequence: 1,
        change: Change::Opened,
        namespace: namespace.into(),
        source: *source,
        severity: *severity,
        family: *family,
        subject,
        opened_at: at,
        changed_at: at,
        title: format!("{model}: a test of the policy"),
        evidence: said("said by a test".into(), at),
        context: Context { owner: owner.clone(), tier: *tier, ..Context::default() },
        drill: *drill,
    }
}

/// Has it happen.
fn happens(
    policy: &Policy,
    then: &ThenConfig,
    incident: &mut Incident,
    (rehearsal, at): (&mut Rehearsal, Timestamp),
) -> Result<(), BadTrial> {
    let ThenConfig { after_s: _, severity, cleared, acknowledge, note, resolve, assign, breaks } = then;
    let said = [severity.is_some(), *cleared, acknowledge.is_some(), note.is_some(), resolve.is_some()];
    let said = said.into_iter().chain([assign.is_some(), breaks.is_some()]).filter(|said| *said).count();
    if said != 1 {
        let why = "one thing each: severity, cleared, acknowledge, note, resolve, assign or breaks";
        return Err(bad("then", why));
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
    } else if let Some(to) = assign {
        (None, Action::Assign { to: to.clone(), note: some() })
    } else {
        breaks.iter().for_each(|receiver| rehearsal.breaks(receiver));
        return Ok(());
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

fn compare(test: &TrialConfig, policy: &Policy, from: Timestamp, sent: &[Sent]) -> Result<Verdict, BadTrial> {
    let seconds = |at: Timestamp| u32::try_from(at.since_ms(from) / 1000).unwrap_or(u32::MAX);
    // A test that says nothing of who is told does not look at them.
    let asks_of_told = test.expect.iter().any(|expect| !expect.told.is_empty());
    let asked = |s: &&Sent| s.page.kind == PageKind::Trigger && (s.page.calls() || asks_of_told);
    let calls: Vec<(u32, &Sent)> = sent.iter().filter(asked).map(|s| (seconds(s.at), s)).collect();
    let is = |sent: &Sent, to: &str| match to.strip_prefix("person:") {
        Some(person) => sent.page.person.as_deref() == Some(person),
        None => to.split_once('/') == Some((sent.page.receiver.as_str(), sent.page.target.as_str())),
    };
    let mut missing = Vec::new();
    for ExpectConfig { after_s, to, told } in &test.expect {
        let both = to.iter().map(|to| (to, true)).chain(told.iter().map(|to| (to, false)));
        for (to, called) in both {
            let known = to.strip_prefix("person:").map(|p| policy.bundle().people.person.contains_key(p));
            if !known.unwrap_or_else(|| to.contains('/')) {
                let why = format!("{to:?} is neither `person:NAME` of people.toml nor `receiver/target`");
                return Err(bad("expect", why));
            }
            if !calls.iter().any(|(at, sent)| at == after_s && sent.page.calls() == called && is(sent, to)) {
                missing.push((*after_s, if called { to.clone() } else { format!("{to} (told)") }));
            }
        }
    }
    let says = |sent: &Sent| {
        let place = format!("{}/{}", sent.page.receiver, sent.page.target);
        let place = sent.page.person.as_ref().map_or(place.clone(), |p| format!("person:{p} ({place})"));
        let place = if sent.page.calls() { place } else { format!("{place} (told)") };
        if sent.page.incident.source == Source::Own {
            format!("{place}, about tocsin: {}", sent.page.incident.title)
        } else {
            place
        }
    };
    let expected = |at: u32, sent: &Sent| {
        let wanted = |e: &ExpectConfig| if sent.page.calls() { e.to.clone() } else { e.told.clone() };
        test.expect.iter().any(|e| e.after_s == at && wanted(e).iter().any(|to| is(sent, to)))
    };
    let of = |calls: &[&(u32, &Sent)]| calls.iter().map(|(at, sent)| (*at, says(sent))).collect::<Vec<_>>();
    let unexpected: Vec<_> = calls.iter().filter(|(at, sent)| !expected(*at, sent)).collect();
    let came: Vec<_> = calls.iter().collect();
    Ok(Verdict { name: test.name.clone(), missing, unexpected: of(&unexpected), came: of(&came) })
}

#[cfg(test)]
mod tests;
