//! `tocsin policy simulate`: a month of recorded incidents through two bundles, who would have been paged more, who less.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use escalate::Policy;
use escalate::rehearsal::{Rehearsal, Sent};
use serde::Serialize;
use wire::page::Page;
use wire::{Incident, IncidentId, Timestamp, Zone};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Told {
    who: String,
    before: Load,
    after: Load,
}

/// An incident that reaches other people than before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moved {
    id: IncidentId,
    title: String,
    before: BTreeSet<String>,
    after: BTreeSet<String>,
}

/// What recorded incidents come to under both bundles.
#[derive(Debug)]
struct Compared {
    incidents: usize,
    span: (Timestamp, Timestamp),
    /// Everybody whom either pages, by how much changes.
    told: Vec<Told>,
    moved: Vec<Moved>,
}

/// # Errors
/// When a config is not right, or the incidents cannot be read.
pub(crate) fn run(args: &PolicySimulateArgs, out: &Out) -> Result<(), Failure> {
    let Compared { incidents, span: (first, last), told, moved } = compared(args)?;
    if out.json {
        told.iter().for_each(|told| out.json(told));
        return Ok(());
    }
    let answered = args.answered_after_s.map_or_else(
        || "nobody answers".to_owned(),
        |s| format!("whoever is called takes it {} later", span(i64::from(s) * 1000)),
    );
    out.line(format!("incidents: {incidents}, from {first} to {last}; {answered}"));
    table(&told, out);
    reaches_others(&moved, out);
    Ok(())
}

fn compared(args: &PolicySimulateArgs) -> Result<Compared, Failure> {
    let load = |file| config::load_without_secrets(file).map(|checked| checked.policy);
    let (before, after) = (load(&args.against)?, load(&args.config.config)?);
    let records = records(args)?;
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Err(Failure::new(Kind::No, "there is no incident in these files"));
    };
    let span = (first.changed_at, last.changed_at);
    let play = |policy: &Arc<Policy>| {
        let rehearsal = Rehearsal::new(Arc::clone(policy), span.0);
        let rehearsal = match args.answered_after_s {
            Some(s) => rehearsal.answered_after_ms(i64::from(s) * 1000),
            None => rehearsal,
        };
        let mut sent = rehearsal.of_records(&records);
        sent.retain(|sent| sent.page.calls());
        sent
    };
    let (was, is) = (play(&before), play(&after));
    let ids: BTreeSet<&IncidentId> = records.iter().map(|record| &record.incident_id).collect();
    let told = told(&loads(&was, &before), &loads(&is, &after));
    Ok(Compared { incidents: ids.len(), span, told, moved: moved(&was, &is) })
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
    for sent in sent {
        let who = who(&sent.page);
        let (minute, _) = zone(sent.page.person.as_ref()).time_of_week(sent.at);
        let load = loads.entry(who.clone()).or_default();
        load.pages += 1;
        load.at_night += u64::from(NIGHT.contains(&minute) || NIGHT.contains(&(minute + 24 * 60)));
        load.incidents += sent.incidents().map(|id| u64::from(about.insert((who.clone(), id)))).sum::<u64>();
    }
    loads
}

fn who(page: &Page) -> String {
    let place = || format!("{}/{}", page.receiver, page.target);
    page.person.as_ref().map_or_else(place, |person| format!("person:{person}"))
}

/// Everybody of either, whose pages change most first.
fn told(was: &BTreeMap<String, Load>, is: &BTreeMap<String, Load>) -> Vec<Told> {
    let everybody: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let of = |loads: &BTreeMap<String, Load>, who| loads.get(who).copied().unwrap_or_default();
    let told = everybody.into_iter();
    let mut told: Vec<Told> =
        told.map(|who| Told { who: who.clone(), before: of(was, who), after: of(is, who) }).collect();
    told.sort_by_key(|told| std::cmp::Reverse(told.after.pages.abs_diff(told.before.pages)));
    told
}

/// Incidents that reach other people than before, by a page of their own or in one for several.
fn moved(before: &[Sent], after: &[Sent]) -> Vec<Moved> {
    let mut reached: BTreeMap<&IncidentId, (&str, [BTreeSet<String>; 2])> = BTreeMap::new();
    for (i, sent) in [before, after].into_iter().enumerate() {
        for Sent { page, others, .. } in sent {
            let others = others.iter().map(|other| (&other.incident_id, other.title.as_str()));
            let own = (&page.incident.incident_id, page.incident.title.as_str());
            for (id, title) in others.chain([own]) {
                reached.entry(id).or_insert_with(|| (title, Default::default())).1[i].insert(who(page));
            }
        }
    }
    let moved = reached.into_iter().filter(|(_, (_, [before, after]))| before != after);
    moved
        .map(|(id, (title, [before, after]))| Moved {
            id: id.clone(),
            title: title.to_owned(),
            before,
            after,
        })
        .collect()
}

fn table(rows: &[Told], out: &Out) {
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

fn reaches_others(moved: &[Moved], out: &Out) {
    if moved.is_empty() {
        return out.line("every incident reaches the same people");
    }
    out.line(format!("incidents that reach others: {}", moved.len()));
    let said = |people: &BTreeSet<String>| {
        if people.is_empty() {
            "nobody".to_owned()
        } else {
            people.iter().cloned().collect::<Vec<_>>().join(", ")
        }
    };
    for Moved { id, title, before, after } in moved.iter().take(NAMED_MAX) {
        out.line(format!("  {} {}", id.as_str().get(..8).unwrap_or_default(), visible(title)));
        out.line(format!("    {} → {}", visible(&said(before)), visible(&said(after))));
    }
    if moved.len() > NAMED_MAX {
        out.line(format!("  and {} more; --json has the numbers of all", moved.len() - NAMED_MAX));
    }
}

#[cfg(test)]
mod tests;
