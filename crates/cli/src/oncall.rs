//! `tocsin oncall`: who is on call, until when, and why; as a calendar too.

use escalate::Policy;
use escalate::schedule::ical::{Event, calendar, looked_for_from};
use escalate::schedule::{OnCall, Schedule, Span};
use runtime::clock::Clock;
use serde::Serialize;
use wire::{Timestamp, Zone};

use crate::args::OnCallArgs;
use crate::config;
use crate::failure::{Failure, Kind};
use crate::term::{Look, Out, visible};

const DAY_MS: i64 = 86_400_000;
/// How far it is looked ahead for the next change.
const AHEAD_MS: i64 = 400 * DAY_MS;

/// Who is on call by one schedule at one time.
#[derive(Serialize)]
struct Told<'a> {
    schedule: &'a str,
    at: Timestamp,
    people: Vec<&'a str>,
    by: Vec<String>,
    /// When others take over; `null` if nothing changes within 400 days.
    until: Option<Timestamp>,
}

/// Somebody on call for a while.
#[derive(Serialize)]
struct Stint<'a> {
    schedule: &'a str,
    person: &'a str,
    from: Timestamp,
    until: Timestamp,
}

/// # Errors
/// When the config is not right, or has no such schedule or person.
pub(crate) fn run(args: &OnCallArgs, out: &Out) -> Result<(), Failure> {
    let checked = config::load_without_secrets(&args.config.config)?;
    let policy = &checked.policy;
    let schedules = asked(policy, args.schedule.as_deref())?;
    let now = Clock::start().now().wall;
    let at = args.at.as_deref().map_or(Ok(now), |text| instant(text, policy.zone()))?;
    let person = args.person.as_deref().map(|name| person(policy, name)).transpose()?;
    if args.ical || args.days.is_some() || person.is_some() {
        let days = i64::from(args.days.unwrap_or(if args.ical { 90 } else { 28 }));
        let span = Span { from: at, until: at.plus_ms(days * DAY_MS) };
        // An event of a calendar is known by when it began, also while it goes on.
        let from = if args.ical { looked_for_from(at) } else { at };
        let mut stints = stints(&schedules, person, Span { from, ..span });
        stints.retain(|stint| stint.until > at);
        if args.ical {
            let title =
                person.map_or_else(|| "on call".to_owned(), |p| format!("{} on call", policy.called(p)));
            let title = args.schedule.as_ref().map_or(title, |name| format!("on call: {name}"));
            // Its lines end as the standard says, the last one too.
            out.line(of_calendar(&title, &stints, policy, now).trim_end_matches('\n'));
        } else if out.json {
            stints.iter().for_each(|stint| out.json(stint));
        } else {
            list(&stints, &schedules, (policy, person), span, out);
        }
        return Ok(());
    }
    for (name, schedule) in schedules {
        let OnCall { people, by } = schedule.at(at);
        let until = schedule.until(at, AHEAD_MS);
        let by = by.iter().map(ToString::to_string).collect();
        let told = Told { schedule: name, at, people, by, until };
        if out.json {
            out.json(&told);
        } else {
            says(&told, schedule.zone(), policy, out);
        }
    }
    Ok(())
}

fn asked<'a>(policy: &'a Policy, name: Option<&str>) -> Result<Vec<(&'a str, &'a Schedule)>, Failure> {
    let all = policy.schedules();
    if all.is_empty() {
        let why = "there are no schedules: they stand in schedules.toml of the response bundle (`tocsin init --response` writes one)";
        return Err(Failure::new(Kind::No, why));
    }
    let of = |(name, schedule): (&'a String, &'a Schedule)| (name.as_str(), schedule);
    match name {
        None => Ok(all.iter().map(of).collect()),
        Some(name) => match all.get_key_value(name) {
            Some(found) => Ok(vec![of(found)]),
            None => {
                let known = all.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(Failure::new(Kind::No, format!("there is no schedule {name:?}; known: {known}")))
            }
        },
    }
}

fn person<'a>(policy: &'a Policy, name: &'a str) -> Result<&'a str, Failure> {
    let person = policy.person_of(name);
    let known = policy.bundle().people.person.contains_key(person);
    known.then_some(person).ok_or_else(|| {
        Failure::new(Kind::No, format!("there is no person {name:?} in people.toml of the response bundle"))
    })
}

/// An instant, or a time on the clock of the bundle's zone.
fn instant(text: &str, zone: &Zone) -> Result<Timestamp, Failure> {
    let civil = || text.parse::<jiff::civil::DateTime>().ok().map(|civil| zone.first(civil));
    text.parse().ok().or_else(civil).ok_or_else(|| {
        let why = format!(
            "{text:?} is no time such as \"2026-03-02T09:00:00Z\" or, in {zone:?}, \"2026-03-02 09:00\""
        );
        Failure::new(Kind::Usage, why)
    })
}

/// In order of time.
fn stints<'a>(schedules: &[(&'a str, &'a Schedule)], person: Option<&str>, span: Span) -> Vec<Stint<'a>> {
    let of = |(schedule, s): &(&'a str, &'a Schedule)| {
        let schedule = *schedule;
        let all = s.stints(span).into_iter();
        all.map(move |(person, Span { from, until })| Stint { schedule, person, from, until })
    };
    let mut stints: Vec<Stint<'a>> = schedules.iter().flat_map(of).collect();
    stints.retain(|stint| person.is_none_or(|person| stint.person == person));
    stints.sort_by_key(|stint| (stint.from, stint.schedule));
    stints
}

fn of_calendar(title: &str, stints: &[Stint<'_>], policy: &Policy, now: Timestamp) -> String {
    let events: Vec<Event<'_>> = stints
        .iter()
        .map(|&Stint { schedule, person, from, until }| {
            let name = policy.called(person);
            Event { schedule, person, name, span: Span { from, until } }
        })
        .collect();
    calendar(title, &events, now)
}

fn says(told: &Told<'_>, zone: &Zone, policy: &Policy, out: &Out) {
    let people: Vec<&str> = told.people.iter().map(|p| policy.called(p)).collect();
    let (people, look) = if people.is_empty() {
        ("nobody".to_owned(), Look::Yellow)
    } else {
        (people.join(" and "), Look::Bold)
    };
    out.line(format!("{}: {}", told.schedule, out.paint(look, visible(&people))));
    let by = if told.by.is_empty() { "no layer holds".to_owned() } else { told.by.join(", ") };
    let until = told.until.map_or_else(|| "for good".to_owned(), |at| format!("until {}", zone.shows(at)));
    out.line(format!("  at {}, {until}, by {by}", zone.shows(told.at)));
}

/// A line for each stint, and for each time that nobody has where everybody's are asked for.
fn list(
    stints: &[Stint<'_>],
    schedules: &[(&str, &Schedule)],
    (policy, person): (&Policy, Option<&str>),
    span: Span,
    out: &Out,
) {
    for (name, schedule) in schedules {
        let zone = schedule.zone();
        out.line(out.paint(Look::Bold, name));
        let mut lines: Vec<(Timestamp, Timestamp, String, Look)> = stints
            .iter()
            .filter(|stint| stint.schedule == *name)
            .map(|s| (s.from, s.until, policy.called(s.person).to_owned(), Look::Plain))
            .collect();
        if person.is_none() {
            let gaps = schedule.shifts(span).into_iter().filter(|shift| shift.on_call.people.is_empty());
            lines.extend(gaps.map(|gap| (gap.span.from, gap.span.until, "nobody".to_owned(), Look::Yellow)));
            lines.sort_by_key(|(from, ..)| *from);
        }
        if lines.is_empty() {
            out.line("  not on call in this time");
        }
        for (from, until, who, look) in lines {
            // What goes on beyond the span is not said to end with it.
            let until = if until == span.until { "…".to_owned() } else { zone.shows(until) };
            out.line(format!("  {} – {until:<26}  {}", zone.shows(from), out.paint(look, visible(&who))));
        }
    }
}
