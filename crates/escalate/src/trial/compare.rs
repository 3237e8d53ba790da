//! What a test expects, beside what came: each page is one that was expected, or it is not.

use std::collections::BTreeSet;

use wire::page::{Page, PageKind};
use wire::{IncidentId, Source, Timestamp};

use super::cast::Cast;
use super::{BadTrial, ExpectConfig, TrialConfig, Verdict, bad};
use crate::policy::Policy;
use crate::rehearsal::Sent;

/// Whom an expectation names.
#[derive(Clone, Copy)]
enum Whom<'a> {
    Place(&'a str, &'a str),
    /// Wherever they are reached.
    Person(&'a str),
}

/// One that an expectation names.
struct Wanted<'a> {
    /// Which expectation, in order of time.
    nth: usize,
    expect: &'a ExpectConfig,
    whom: Whom<'a>,
    text: &'a str,
    calls: bool,
    of: Option<&'a IncidentId>,
    with: Option<BTreeSet<&'a IncidentId>>,
}

/// A page that came.
struct Came<'a> {
    after_s: u32,
    sent: &'a Sent,
    /// Which of what was wanted it is.
    is: Option<usize>,
}

impl<'a> Whom<'a> {
    fn of(policy: &Policy, text: &'a str) -> Option<Self> {
        match text.strip_prefix("person:") {
            Some(name) => policy.bundle().people.person.contains_key(name).then_some(Self::Person(name)),
            None => text.split_once('/').map(|(receiver, target)| Self::Place(receiver, target)),
        }
    }

    fn is(self, page: &Page) -> bool {
        match self {
            Self::Person(name) => page.person.as_deref() == Some(name),
            Self::Place(receiver, target) => page.receiver == receiver && page.target == target,
        }
    }
}

impl<'a> Wanted<'a> {
    /// Everybody whom an expectation names.
    fn all(
        policy: &Policy,
        cast: &'a Cast<'_>,
        (nth, expect): (usize, &'a ExpectConfig),
    ) -> Result<Vec<Self>, BadTrial> {
        let ExpectConfig { after_s: _, to, told, of, with } = expect;
        let of = of.as_deref().map(|name| cast.id(name, "expect")).transpose()?;
        let ids = |names: &'a Vec<String>| names.iter().map(|name| cast.id(name, "expect")).collect();
        let with: Option<BTreeSet<_>> = with.as_ref().map(ids).transpose()?;
        let both = to.iter().map(|text| (text, true)).chain(told.iter().flatten().map(|text| (text, false)));
        let wanted = both.map(|(text, calls)| {
            let whom = Whom::of(policy, text).ok_or_else(|| {
                let why = format!("{text:?} is neither `person:NAME` of people.toml nor `receiver/target`");
                bad("expect", why)
            })?;
            Ok(Self { nth, expect, whom, text, calls, of, with: with.clone() })
        });
        wanted.collect()
    }

    /// What says more comes first, so that what says less leaves it what it wants.
    fn rank(&self) -> (u32, bool, bool, bool, usize) {
        let person = matches!(self.whom, Whom::Person(_));
        (self.expect.after_s, self.of.is_none(), self.with.is_none(), person, self.nth)
    }

    fn is(&self, came: &Came<'_>) -> bool {
        let Sent { page, others, .. } = came.sent;
        let with = |with: &BTreeSet<&IncidentId>| {
            others.len() == with.len() && others.iter().all(|other| with.contains(&other.incident_id))
        };
        came.after_s == self.expect.after_s
            && page.calls() == self.calls
            && self.whom.is(page)
            && self.of.is_none_or(|of| *of == page.incident.incident_id)
            && self.with.as_ref().is_none_or(with)
    }

    /// Takes what it wants of the pages that nothing else has taken: of a person one page at each place. Whether there was any.
    fn take(&self, i: usize, came: &mut [Came<'_>]) -> bool {
        let mut places = BTreeSet::new();
        for one in came.iter_mut().filter(|one| one.is.is_none() && self.is(one)) {
            let Page { receiver, target, .. } = &one.sent.page;
            if places.insert((receiver, target)) {
                one.is = Some(i);
            }
            if let Whom::Place(..) = self.whom {
                break;
            }
        }
        !places.is_empty()
    }

    fn says(&self) -> (u32, String) {
        let ExpectConfig { after_s, of, with, .. } = self.expect;
        let told = if self.calls { "" } else { " (told)" };
        let about = of.as_ref().map_or_else(String::new, |of| format!(", about {of}"));
        let with = with.as_ref().map_or_else(String::new, |with| format!(", {}", said_with(with)));
        (*after_s, format!("{}{told}{about}{with}", self.text))
    }
}

fn said_with(others: &[String]) -> String {
    if others.is_empty() { "alone".into() } else { format!("with {}", others.join(", ")) }
}

impl Came<'_> {
    fn says(&self, cast: &Cast<'_>) -> (u32, String) {
        let Sent { page, others, .. } = self.sent;
        let place = format!("{}/{}", page.receiver, page.target);
        let place = page.person.as_ref().map_or(place.clone(), |p| format!("person:{p} ({place})"));
        let mut text = if page.calls() { place } else { format!("{place} (told)") };
        if page.incident.source == Source::Own {
            text.push_str(&format!(", about tocsin: {}", page.incident.title));
        } else if !cast.is_one() {
            let about = cast.says(&page.incident.incident_id).unwrap_or_default();
            text.push_str(&format!(", about {about}"));
        }
        if !others.is_empty() {
            let named = others.iter();
            let named = named.map(|o| cast.says(&o.incident_id).unwrap_or_else(|| o.title.clone()));
            text.push_str(&format!(", {}", said_with(&named.collect::<Vec<_>>())));
        }
        (self.after_s, text)
    }
}

/// Which of the pages came after one that was to come after them. At one instant any order is right.
fn late(came: &[Came<'_>], wanted: &[Wanted<'_>]) -> BTreeSet<usize> {
    let (mut late, mut before, mut here) = (BTreeSet::new(), 0, (Timestamp::MIN, 0));
    for (i, one) in came.iter().enumerate() {
        let Some(nth) = one.is.map(|is| wanted[is].nth) else { continue };
        if one.sent.at > here.0 {
            before = here.1.max(before);
            here = (one.sent.at, nth);
        }
        here.1 = here.1.max(nth);
        if nth < before {
            late.insert(i);
        }
    }
    late
}

pub(super) fn compare(
    test: &TrialConfig,
    policy: &Policy,
    (cast, from): (&Cast<'_>, Timestamp),
    sent: &[Sent],
) -> Result<Verdict, BadTrial> {
    let mut expected: Vec<(usize, &ExpectConfig)> = test.expect.iter().enumerate().collect();
    expected.sort_by_key(|(_, expect)| expect.after_s);
    let mut wanted = Vec::new();
    for (nth, (i, expect)) in expected.into_iter().enumerate() {
        wanted.extend(Wanted::all(policy, cast, (nth, expect)).map_err(|bad| bad.nth(i))?);
    }
    wanted.sort_by_key(Wanted::rank);

    // A test that says nothing of who is told does not look at them.
    let asks_of_told = test.expect.iter().any(|expect| expect.told.is_some());
    let asked = |s: &&Sent| s.page.kind == PageKind::Trigger && (s.page.calls() || asks_of_told);
    let seconds = |at: Timestamp| u32::try_from(at.since_ms(from) / 1000).unwrap_or(u32::MAX);
    let came = sent.iter().filter(asked);
    let mut came: Vec<Came<'_>> =
        came.map(|sent| Came { after_s: seconds(sent.at), sent, is: None }).collect();

    let mut missing: Vec<&Wanted<'_>> =
        wanted.iter().enumerate().filter(|(i, one)| !one.take(*i, &mut came)).map(|(_, one)| one).collect();
    let late = late(&came, &wanted);
    let of_late: BTreeSet<usize> = late.iter().filter_map(|i| came[*i].is).collect();
    missing.extend(of_late.into_iter().map(|is| &wanted[is]));
    missing.sort_by_key(|one| one.nth);
    let unexpected = came.iter().enumerate().filter(|(i, one)| one.is.is_none() || late.contains(i));
    Ok(Verdict {
        name: test.name.clone(),
        missing: missing.into_iter().map(Wanted::says).collect(),
        unexpected: unexpected.map(|(_, one)| one.says(cast)).collect(),
        came: came.iter().map(|one| one.says(cast)).collect(),
    })
}
