//! `tocsin policy simulate`: a month of recorded incidents through two bundles, who would have been paged more, who less.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use escalate::Policy;
use escalate::rehearsal::{Rehearsal, Sent};
use serde::Serialize;
use wire::{Incident, IncidentId, Zone};

use crate::args::PolicySimulateArgs;
use crate::config;
use crate::failure::{Failure, Kind};
use crate::input::Input;
use crate::term::{Look, Out, span, visible};

/// Hours at which most people sleep, of their own zone.
const NIGHT: std::ops::Range<u16> = 22 * 60..30 * 60;
/// Incidents that are named where they reach other people.
const NAMED_MAX: usize = 10;

/// What somebody gets in that time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Load {
    pages: u64,
    /// Of these, from 22:00 to 06:00 of their own clock.
    at_night: u64,
    incidents: u64,
}

/// Somebody, before and after.
#[derive(Debug, Serialize)]
struct Told<'a> {
    who: &'a str,
    before: Load,
    after: Load,
}

/// # Errors
/// When a config is not right, or the incidents cannot be read.
pub(crate) fn run(args: &PolicySimulateArgs, out: &Out) -> Result<(), Failure> {
    let (before, after) = (config::load(&args.against)?.policy, config::load(&args.config.config)?.policy);
    let records = records(args)?;
    let (first, last) = match (records.first(), records.last()) {
        (Some(first), Some(last)) => (first.changed_at, last.changed_at),
        _ => return Err(Failure::new(Kind::No, "there is no incident in these files")),
    };
    let answered_ms = args.answered_after_s.map(|s| i64::from(s) * 1000);
    let play = |policy: &Arc<Policy>| {
        let rehearsal = Rehearsal::new(Arc::clone(policy), first);
        let rehearsal = match answered_ms {
            Some(ms) => rehearsal.answered_after_ms(ms),
            None => rehearsal,
        };
        let mut sent = rehearsal.of_records(&records);
        sent.retain(|sent| sent.page.calls());
        sent
    };
    let (played, played_after) = (play(&before), play(&after));
    let (was, is) = (loads(&played, &before), loads(&played_after, &after));
    let everybody: BTreeSet<&str> = was.keys().chain(is.keys()).map(String::as_str).collect();
    let mut rows: Vec<Told<'_>> = everybody
        .into_iter()
        .map(|who| Told {
            who,
            before: was.get(who).copied().unwrap_or_default(),
            after: is.get(who).copied().unwrap_or_default(),
        })
        .collect();
    rows.sort_by_key(|row| (std::cmp::Reverse(row.after.pages.abs_diff(row.before.pages)), row.who));
    if out.json {
        rows.iter().for_each(|row| out.json(row));
        return Ok(());
    }
    let incidents: BTreeSet<&IncidentId> = records.iter().map(|record| &record.incident_id).collect();
    let answered = answered_ms.map_or_else(
        || "nobody answers".to_owned(),
        |ms| format!("whoever is called takes it {} later", span(ms)),
    );
    out.line(format!("incidents: {}, from {first} to {last}; {answered}", incidents.len()));
    table(&rows, out);
    moved(&played, &played_after, out);
    Ok(())
}

/// Records of incidents in order of time.
fn records(args: &PolicySimulateArgs) -> Result<Vec<Incident>, Failure> {
    let mut records: Vec<Incident> = Vec::new();
    let mut number = 0_u64;
    Input::files(&args.incidents)?.each_line("incidents", |line| {
        number += 1;
        let read = serde_json::from_slice(line.json);
        records
            .push(read.map_err(|e| Failure::new(Kind::Usage, format!("line {number} is no incident: {e}")))?);
        Ok(true)
    })?;
    records.sort_by(|a, b| {
        (a.changed_at, &a.incident_id, a.sequence).cmp(&(b.changed_at, &b.incident_id, b.sequence))
    });
    Ok(records)
}

/// Who gets how much: people by their keys, channels by their places.
fn loads(sent: &[Sent], policy: &Policy) -> BTreeMap<String, Load> {
    let people = &policy.bundle().people.person;
    let zone = |person: Option<&String>| {
        let of = person.and_then(|p| people.get(p)?.zone.as_deref()).and_then(Zone::named);
        of.unwrap_or_else(|| policy.zone().clone())
    };
    let mut loads: BTreeMap<String, Load> = BTreeMap::new();
    let mut about: BTreeSet<(String, &IncidentId)> = BTreeSet::new();
    for Sent { at, page } in sent {
        let who = who(page);
        let (minute, _) = zone(page.person.as_ref()).time_of_week(*at);
        let load = loads.entry(who.clone()).or_default();
        load.pages += 1;
        load.at_night += u64::from(NIGHT.contains(&minute) || NIGHT.contains(&(minute + 24 * 60)));
        load.incidents += u64::from(about.insert((who, &page.incident.incident_id)));
    }
    loads
}

fn who(page: &wire::page::Page) -> String {
    let place = || format!("{}/{}", page.receiver, page.target);
    page.person.as_ref().map_or_else(place, |person| format!("person:{person}"))
}

fn table(rows: &[Told<'_>], out: &Out) {
    let width = rows.iter().map(|row| row.who.chars().count()).max().unwrap_or(0).max(3);
    let head =
        format!("{:<width$}  {:>15}  {:>15}  {:>7}", "WHO", "BEFORE (NIGHT)", "AFTER (NIGHT)", "CHANGE");
    out.line(out.paint(Look::Bold, head));
    for Told { who, before, after } in rows {
        let of = |load: &Load| format!("{} ({})", load.pages, load.at_night);
        let change = i128::from(after.pages) - i128::from(before.pages);
        let look = match change {
            1.. => Look::Yellow,
            0 => Look::Plain,
            _ => Look::Green,
        };
        let change = out.paint(look, format!("{change:>+7}"));
        out.line(format!("{:<width$}  {:>15}  {:>15}  {change}", visible(who), of(before), of(after)));
    }
}

/// Incidents that reach other people than before.
fn moved(before: &[Sent], after: &[Sent], out: &Out) {
    let reached = |sent: &[Sent]| {
        let mut reached: BTreeMap<IncidentId, (String, BTreeSet<String>)> = BTreeMap::new();
        for Sent { page, .. } in sent {
            let known = reached.entry(page.incident.incident_id.clone());
            known.or_insert_with(|| (page.incident.title.clone(), BTreeSet::new())).1.insert(who(page));
        }
        reached
    };
    let (was, is) = (reached(before), reached(after));
    let nobody = (String::new(), BTreeSet::new());
    let ids: BTreeSet<&IncidentId> = was.keys().chain(is.keys()).collect();
    let differs = ids.into_iter().filter_map(|id| {
        let (before, after) = (was.get(id).unwrap_or(&nobody), is.get(id).unwrap_or(&nobody));
        (before.1 != after.1).then_some((id, before, after))
    });
    let differs: Vec<_> = differs.collect();
    if differs.is_empty() {
        return out.line("every incident reaches the same people");
    }
    out.line(format!("incidents that reach others: {}", differs.len()));
    let said = |people: &BTreeSet<String>| {
        if people.is_empty() {
            "nobody".to_owned()
        } else {
            people.iter().cloned().collect::<Vec<_>>().join(", ")
        }
    };
    for (id, before, after) in differs.iter().take(NAMED_MAX) {
        let title = if before.0.is_empty() { &after.0 } else { &before.0 };
        out.line(format!("  {} {}", id.as_str().get(..8).unwrap_or_default(), visible(title)));
        out.line(format!("    {} → {}", visible(&said(&before.1)), visible(&said(&after.1))));
    }
    if differs.len() > NAMED_MAX {
        out.line(format!("  and {} more; --json has the numbers of all", differs.len() - NAMED_MAX));
    }
}
