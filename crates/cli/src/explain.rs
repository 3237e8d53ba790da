//! `tocsin explain`: why an incident opened, in its own numbers.

mod reasons;

use detect::config::{FamilySettings, ModelSettings};
use serde::Serialize;
use wire::{Change, Incident};

use crate::args::{ExplainArgs, Global};
use crate::client::{Client, query_value};
use crate::config;
use crate::failure::{Failure, Kind};
use crate::input::Input;
use crate::remote::checked_id;
use crate::term::{Look, Out, visible};
use reasons::Explanation;

/// What of the config an explanation needs.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    family: FamilySettings,
    model: ModelSettings,
    /// Budgets a week: pages, tickets.
    per_week: [f64; 2],
    /// Whether it is the config that judged the incident.
    same: bool,
}

/// # Errors
/// When there is no such incident, or it cannot be read.
pub(crate) fn run(args: &ExplainArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let id = checked_id(&args.id.id)?;
    if args.pages || args.person.is_some() {
        return pages(id, args.person.as_deref(), global, out);
    }
    let records = match &args.file {
        Some(file) => of_file(&Input::files(std::slice::from_ref(file))?, id)?,
        None => of_process(id, global)?,
    };
    let last = records.last().ok_or_else(|| {
        Failure::new(Kind::NotFound, format!("no incident whose id begins with {id} is in that file"))
    })?;
    let asked = asked(args, last)?;
    let explanation = Explanation::new(&records, asked.as_ref());
    if out.json {
        out.json(&Told { incident: last, explanation: &explanation });
        return Ok(());
    }
    out.line(out.paint(Look::Bold, visible(&records.first().unwrap_or(last).title)));
    out.line(format!("  incident {} (generation {})", last.incident_id, last.generation));
    for (head, lines) in explanation.sections() {
        out.line("");
        out.line(out.paint(Look::Bold, head));
        for line in lines {
            let look = match line.chars().next() {
                Some('✓') => Look::Green,
                Some('✗') => Look::Yellow,
                Some(_) | None => Look::Plain,
            };
            out.line(format!("  {}", out.paint(look, visible(&line))));
        }
    }
    Ok(())
}

/// Why somebody was paged, or was not: the running process knows.
fn pages(id: &str, person: Option<&str>, global: &Global, out: &Out) -> Result<(), Failure> {
    let person = person.map(|person| format!("?person={}", query_value(person))).unwrap_or_default();
    let why = Client::new(global)?.get(&format!("/v1/incidents/{id}/why{person}"))?;
    if out.json {
        out.json(&why);
        return Ok(());
    }
    let because = why["because"].as_array().cloned().unwrap_or_default();
    for line in because.iter().filter_map(|line| line.as_str()).flat_map(str::lines) {
        out.line(visible(line));
    }
    Ok(())
}

#[derive(Serialize)]
struct Told<'a> {
    incident: &'a Incident,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

/// Every record of the last generation of the one incident whose id begins so.
fn of_file(input: &Input, id: &str) -> Result<Vec<Incident>, Failure> {
    let mut records: Vec<Incident> = vec![];
    let mut number = 0_u64;
    input.each_line("incidents", |line| {
        let line = line.json;
        number += 1;
        let incident: Incident = serde_json::from_slice(line)
            .map_err(|e| Failure::new(Kind::Usage, format!("line {number} is no incident: {e}")))?;
        if incident.incident_id.as_str().starts_with(id) {
            records.push(incident);
        }
        Ok(true)
    })?;
    if let Some(other) = records.iter().find(|one| one.incident_id != records[0].incident_id) {
        let why = format!("{id} is the beginning of {} and of {}", records[0].incident_id, other.incident_id);
        return Err(Failure::new(Kind::Usage, why));
    }
    let last = records.iter().map(|one| one.generation).max().unwrap_or(1);
    records.retain(|one| one.generation == last);
    records.sort_by_key(|one| one.sequence);
    Ok(records)
}

/// The last record, which is what the running process keeps.
fn of_process(id: &str, global: &Global) -> Result<Vec<Incident>, Failure> {
    let view = Client::new(global)?.get(&format!("/v1/incidents/{id}"))?;
    let incident = view.get("incident").cloned().unwrap_or_default();
    let incident: Incident = serde_json::from_value(incident)
        .map_err(|e| Failure::new(Kind::No, format!("the process answers with no incident: {e}")))?;
    Ok(vec![incident])
}

/// The config's settings for the incident. `None` where there is no config file; a config that is there must be valid.
fn asked(args: &ExplainArgs, incident: &Incident) -> Result<Option<Asked>, Failure> {
    let file = &args.config.config;
    if !file.exists() {
        return Ok(None);
    }
    let checked = config::load_without_secrets(file)?;
    let judge = &checked.judge;
    Ok(Some(Asked {
        family: *judge.judge.family(incident.family),
        model: judge.model(&incident.subject.name).clone(),
        per_week: [judge.budget.pages_per_week, judge.budget.tickets_per_week],
        same: incident.context.config.as_ref() == Some(judge.digest()),
    }))
}

/// Opened, updated or cleared, as a word.
fn changed(change: Change) -> &'static str {
    change.name()
}

#[cfg(test)]
mod tests;
