//! The commands about the audit and the people in it: audit verify, show and key, and forget.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http_api::{AnswerState, AuditHead, AuditPage, AuditReport, AuditVoucher, AuditWitnesses};
use http_api::{CommandAnswer, ForgetReceipt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wire::audit::AuditRecord;
use wire::checkpoint::Checkpoint;

use crate::args::{AuditShowArgs, AuditVerifyArgs, ConfigArgs, ForgetArgs, Global};
use crate::client::Client;
use crate::config::{self, checkpoints};
use crate::failure::{Failure, Kind};
use crate::remote::{checked_id, wait_for_answer};
use crate::term::{Look, Out, thousands, visible};

/// Most checkpoints that are handed over: the latest vouch for all that lies before them.
const ANCHORS_MAX: usize = 1000;

fn understood<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer)
        .map_err(|e| Failure::new(Kind::Unreachable, format!("the server speaks another version: {e}")))
}

/// # Errors
/// When the chain is broken, an anchor cannot be read, or the server does not answer.
pub(crate) fn verify(args: &AuditVerifyArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let answer = if args.anchor.is_none() && args.public_key.is_empty() {
        client.get("/v1/audit/verify")?
    } else {
        let (anchors, broken) = match &args.anchor {
            Some(file) => anchors(file)?,
            None => (Vec::new(), Vec::new()),
        };
        if !out.json {
            let file = args.anchor.as_deref().unwrap_or(Path::new("")).display();
            broken.iter().for_each(|n| out.line(format!("{file}:{n}: no checkpoint; passed over")));
        }
        let witnesses = AuditWitnesses { anchors, public_keys: args.public_key.clone() };
        let body = serde_json::to_value(&witnesses).expect("plain data");
        client.post("/v1/audit/anchors", "audit-anchors", &body)?
    };
    let report: AuditReport = understood(answer.clone())?;
    if out.json {
        out.json(&answer);
    } else {
        report.heads.iter().for_each(|head| say_head(head, out));
        report.faults.iter().for_each(|fault| out.line(out.paint(Look::Red, visible(fault))));
    }
    if !report.ok {
        return Err(Failure::new(Kind::No, "the audit chain is broken"));
    }
    if !out.json {
        if report.public_keys.is_empty() {
            out.line("no public key is known: signatures were not looked at (--public-key names one)");
        }
        out.line(out.paint(Look::Green, "the audit chain is whole"));
    }
    Ok(())
}

fn say_head(head: &AuditHead, out: &Out) {
    let AuditHead { partition, sequence, hash, first, continues, vouched } = head;
    let records = (sequence + 1).saturating_sub(*first);
    out.line(format!(
        "partition {partition}: {} records, {first} to {sequence}, head {hash}",
        thousands(records)
    ));
    if *first > 1 {
        let before = match continues {
            Some(by) => format!("what is left follows record {}, which {} knows", by.sequence, kept(by)),
            None => "nobody here knows the record before".to_owned(),
        };
        out.line(format!("  records 1 to {} are gone (retention); {before}", first - 1));
    }
    match vouched {
        Some(by) => {
            let key = by.key.as_deref().and_then(|key| key.get(..16)).unwrap_or_default();
            let at = by.at.map(|at| format!(" of {at}")).unwrap_or_default();
            let through = by.sequence;
            out.line(format!(
                "  records {first} to {through} are vouched for by {}{at}, key {key}…",
                kept(by)
            ));
        }
        None => out.line("  no checkpoint vouches for them"),
    }
}

fn kept(by: &AuditVoucher) -> &'static str {
    match by.by.as_str() {
        "anchor" => "a checkpoint in the file",
        "chain" => "a checkpoint in the chain",
        _ => "the state of the worker",
    }
}

/// The checkpoints of a file, and the numbers of the lines that are none. The latest, where there are many.
fn anchors(file: &Path) -> Result<(Vec<Checkpoint>, Vec<usize>), Failure> {
    let failed = |why: String| Failure::new(Kind::Usage, format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| failed(e.to_string()))?;
    let (mut found, mut broken) = (Vec::new(), Vec::new());
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Checkpoint>(line) {
            Ok(checkpoint) => found.push(checkpoint),
            Err(_) => broken.push(i + 1),
        }
    }
    if found.is_empty() {
        return Err(failed(
            "no line of it is a checkpoint, as [audit] checkpoint_file holds them".to_owned(),
        ));
    }
    let partitions: BTreeSet<u32> = found.iter().map(|c| c.partition).collect();
    let each = (ANCHORS_MAX / partitions.len()).max(1);
    let mut latest: BTreeMap<u32, Vec<Checkpoint>> = BTreeMap::new();
    for checkpoint in found.into_iter().rev() {
        let of = latest.entry(checkpoint.partition).or_default();
        if of.len() < each {
            of.push(checkpoint);
        }
    }
    Ok((latest.into_values().flatten().collect(), broken))
}

/// # Errors
/// When no or several incidents have such an id, or the server does not answer.
pub(crate) fn show(args: &AuditShowArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let id = checked_id(&args.id.id)?;
    let client = Client::new(global)?;
    let (mut records, mut people) = (Vec::new(), BTreeMap::new());
    let mut cursor = String::new();
    loop {
        let answer = client.get(&format!("/v1/audit?incident={id}&limit=1000{cursor}"))?;
        let page: AuditPage = understood(answer)?;
        records.extend(page.records);
        people.extend(page.people);
        let Some(next) = page.next else { break };
        cursor = format!("&cursor={next}");
    }
    let ids: BTreeSet<&str> = records.iter().filter_map(|r| Some(r.incident_id.as_ref()?.as_str())).collect();
    match ids.len() {
        0 => return Err(Failure::new(Kind::NotFound, format!("the audit knows no incident {id}"))),
        1 => (),
        n => {
            let why = format!("{n} incidents begin with these letters: write more of the id");
            return Err(Failure::new(Kind::Usage, why));
        }
    }
    if out.json {
        for record in &records {
            let mut value = serde_json::to_value(record).expect("plain data");
            if let Some(name) = people.get(&record.actor) {
                value["name"] = json!(name);
            }
            out.json(&value);
        }
        return Ok(());
    }
    let name = |record: &AuditRecord| visible(people.get(&record.actor).unwrap_or(&record.actor));
    let width = records.iter().map(|r| name(r).chars().count()).max().unwrap_or(0);
    for id in ids {
        out.line(out.paint(Look::Dim, format!("incident {id}, {} records", records.len())));
    }
    for record in &records {
        out.line(line(record, &name(record), width));
    }
    Ok(())
}

/// When, who, what, from what to what, and why.
fn line(record: &AuditRecord, name: &str, width: usize) -> String {
    let AuditRecord { at, action, before, after, why, .. } = record;
    let what = match action.strip_prefix("command.") {
        Some("refused") => "was refused".to_owned(),
        Some(command) => format!("asked to {command}"),
        None => action.replace('.', " "),
    };
    let change = match (before, after) {
        (Some(before), Some(after)) if before == after => format!("{after} as before"),
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (Some(text), None) => format!("{text} →"),
        (None, Some(text)) => format!("→ {text}"),
        (None, None) => String::new(),
    };
    let parts = [Some(change), why.clone()];
    let said: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    format!("{at}  {name:<width$}  {what:<22}  {}", visible(&said.join(" · "))).trim_end().to_owned()
}

/// # Errors
/// When the config or the key cannot be read.
pub(crate) fn key(args: &ConfigArgs, out: &Out) -> Result<(), Failure> {
    let checked = config::load(&args.config)?;
    let own = || checkpoints::own(&checked).map(|own| own.key.public().to_owned());
    let key = match checked.policy.public_key() {
        Some(key) => key.to_owned(),
        None if checked.config.log.brokers.is_some() => {
            let why = "on a Kafka nothing is signed until [audit] checkpoint_key_env or checkpoint_key_file gives a key";
            return Err(Failure::new(Kind::No, why));
        }
        None => own().map_err(|e| Failure::new(Kind::CannotStart, e))?,
    };
    if out.json {
        out.json(&json!({"public_key": key}));
    } else {
        out.line(key);
    }
    Ok(())
}

/// # Errors
/// When the server refuses, or not every partition has done it in time.
pub(crate) fn forget(args: &ForgetArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let random = crate::secrets::random::<16>().map_err(|e| Failure::new(Kind::CannotStart, e))?;
    let key = wire::id::base32(&random);
    let receipt: ForgetReceipt =
        understood(client.post("/v1/people/forget", &key, &json!({"name": args.name}))?)?;
    let mut left = Vec::new();
    for id in &receipt.commands {
        let answer: CommandAnswer = understood(wait_for_answer(&client, id.as_str())?)?;
        match answer.answer {
            AnswerState::Accepted | AnswerState::Noted => (),
            AnswerState::Refused => {
                let why = answer.why.unwrap_or_default();
                return Err(Failure::new(Kind::No, format!("refused: {}", visible(&why))));
            }
            AnswerState::Unknown => left.push(id.as_str()),
        }
    }
    if !left.is_empty() {
        return Err(Failure::new(
            Kind::No,
            format!(
                "it is durable; {} of {} partitions have not done it yet, or another process works on them: the audit \
                 will have a person.forgotten of each",
                left.len(),
                receipt.commands.len()
            ),
        ));
    }
    if out.json {
        out.json(&serde_json::to_value(&receipt).expect("plain data"));
    } else {
        let name = visible(&args.name);
        out.line(format!(
            "{}: {name} is {} from now on",
            out.paint(Look::Green, "forgotten"),
            receipt.pseudonym
        ));
    }
    Ok(())
}
