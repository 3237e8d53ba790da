//! The commands that ask the running process: incidents, show, ack, resolve, close, note, tail.

use std::num::NonZeroUsize;
use std::time::Duration;

use http_api::TailEvent;
use runtime::views::Event;
use serde_json::{Value, json};

use crate::args::{
    AckArgs, AssignArgs, ClearArgs, CloseArgs, DeclareArgs, Global, IdArgs, IncidentsArgs, MergeArgs,
    NoteArgs, RepinArgs, ResolveArgs, SnoozeArgs, TailArgs,
};
use crate::client::{Client, query_value};
use crate::demo::screen;
use crate::failure::{Failure, Kind};
use crate::term::{Look, Out, thousands, visible};

/// A page of the server's has no more.
const INCIDENTS_MAX: usize = 200;
/// What people are shown unless they ask for more.
const INCIDENTS_SHOWN: usize = 200;

/// How long a command is waited for. A worker that has just taken over may need a few seconds.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
const ANSWER_ASK: Duration = Duration::from_millis(50);

/// # Errors
/// When the server does not answer, or refuses.
pub(crate) fn incidents(args: &IncidentsArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let state = if args.all { "all" } else { "open" };
    let limit = args.limit.map_or(if out.json { usize::MAX } else { INCIDENTS_SHOWN }, NonZeroUsize::get);
    let (answer, list) = list_incidents(&Client::new(global)?, state, limit)?;
    if out.json {
        list.iter().for_each(|i| out.json(i));
        return Ok(());
    }
    say_whose(&answer, out);
    if list.is_empty() {
        out.line(if args.all {
            "No incident is known."
        } else {
            "No incident is open. (--all shows those that have cleared.)"
        });
        return Ok(());
    }
    let people_width = list.iter().map(|view| people(view).chars().count()).max().unwrap_or(0).max(6) + 2;
    out.line(out.paint(
        Look::Dim,
        format!("{:<10}{:<6}{:<14}{:<9}{:<people_width$}TITLE", "ID", "SEV", "FAMILY", "OPENED", "PEOPLE"),
    ));
    for view in &list {
        let i = &view["incident"];
        let opened = text(i, "opened_at");
        let severity = text(i, "severity");
        let cleared = text(i, "change") == "cleared";
        let look = match severity {
            _ if cleared => Look::Dim,
            "sev1" | "sev2" => Look::Red,
            _ => Look::Yellow,
        };
        let people = people(view);
        out.line(format!(
            "{:<10}{}{:<14}{:<9}{:<people_width$}{}{}",
            screen::short(text(i, "incident_id")),
            out.paint(look, format!("{severity:<6}")),
            text(i, "family"),
            opened.get(11..19).unwrap_or(opened),
            people,
            visible(text(i, "title")),
            if cleared { " (cleared)" } else { "" }
        ));
    }
    let total = answer["total"].as_u64().unwrap_or(0);
    if let more @ 1.. = total.saturating_sub(list.len() as u64) {
        out.line(out.paint(Look::Dim, format!("And {} older ones: --limit shows more.", thousands(more))));
    }
    Ok(())
}

/// The newest incidents, up to so many, and the last answer of which they are: page by page, as the server gives them.
fn list_incidents(client: &Client, state: &str, limit: usize) -> Result<(Value, Vec<Value>), Failure> {
    let (mut list, mut cursor) = (Vec::new(), String::new());
    loop {
        let wanted = (limit - list.len()).min(INCIDENTS_MAX);
        let mut answer = client.get(&format!("/v1/incidents?state={state}&limit={wanted}{cursor}"))?;
        if let Some(Value::Array(page)) = answer.get_mut("incidents").map(Value::take) {
            list.extend(page);
        }
        match answer["next"].as_str() {
            Some(next) if list.len() < limit => cursor = format!("&cursor={}", query_value(next)),
            _ => return Ok((answer, list)),
        }
    }
}

/// Where other processes hold some of the incidents, that is said.
fn say_whose(answer: &Value, out: &Out) {
    let partitions = |i: usize| answer["partitions"][i].as_u64().unwrap_or(0);
    let (here, of) = (partitions(0), partitions(1));
    if here < of {
        out.line(out.paint(
            Look::Yellow,
            format!("This process answers for {here} of {of} partitions; ask the others for the rest."),
        ));
    }
}

/// # Errors
/// When there is no such incident, or the server does not answer.
pub(crate) fn show(args: &IdArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let id = checked_id(&args.id)?;
    let view = client.get(&format!("/v1/incidents/{id}"))?;
    if out.json {
        out.json(&view);
        return Ok(());
    }
    let i = &view["incident"];
    out.line(out.paint(Look::Bold, visible(text(i, "title"))));
    out.line(format!("  incident   {} (generation {})", text(i, "incident_id"), i["generation"]));
    out.line(format!("  severity   {} · {}", text(i, "severity"), text(i, "family")));
    let signal = if text(i, "change") == "cleared" { "cleared" } else { "open" };
    out.line(format!(
        "  signal     {signal} since {}",
        text(i, if signal == "open" { "opened_at" } else { "changed_at" })
    ));
    out.line(format!("  people     {}", people(&view)));
    if let Some(until) = view.get("muted_until").and_then(Value::as_str) {
        out.line(format!("  muted      until {until}, by {}", visible(text(&view, "muted_by"))));
    }
    let context = &i["context"];
    if let Some(owner) = context.get("owner").and_then(Value::as_str) {
        out.line(format!("  owner      {}", visible(owner)));
    }
    evidence(out, &i["evidence"]);
    for d in context.get("deployments").and_then(Value::as_array).into_iter().flatten() {
        out.line(format!(
            "  deployed   {} {} {}",
            text(d, "event_time"),
            visible(text(d, "version")),
            text(d, "change")
        ));
    }
    for page in view.get("pages").and_then(Value::as_array).into_iter().flatten() {
        let (receiver, target) = (text(page, "receiver"), text(page, "target"));
        let state = page
            .pointer("/state/is")
            .and_then(Value::as_str)
            .or_else(|| page["state"].as_str())
            .unwrap_or("");
        out.line(format!("  page       {} → {receiver}/{target}: {state}", text(page, "kind")));
    }
    for r in view.get("timeline").and_then(Value::as_array).into_iter().flatten() {
        let why =
            r.get("why").and_then(Value::as_str).map(|w| format!(": {}", visible(w))).unwrap_or_default();
        let idle = if r["not_actionable"] == true { ", not actionable," } else { "" };
        let to = r.get("to").and_then(Value::as_str).map(|to| format!(" to {}", visible(to)));
        let (at, change, by) = (text(r, "at"), text(r, "change"), text(r, "by"));
        out.line(format!("  {at}  {change}{}{idle} by {by}{why}", to.unwrap_or_default()));
    }
    Ok(())
}

fn evidence(out: &Out, e: &Value) {
    let number = |v: &Value| v.as_f64().map_or_else(|| "–".to_owned(), |x| format!("{x:.4}"));
    if e["samples"] == 0 {
        out.line(format!("  evidence   {}", text(e, "statistic")));
        return;
    }
    out.line(format!(
        "  evidence   {} = {} {}, normally {}; effect {} [{}, {}]",
        text(e, "statistic"),
        number(&e["value"]),
        text(e, "unit"),
        number(&e["reference"]),
        number(&e["effect"]["estimate"]),
        number(&e["effect"]["lower"]),
        number(&e["effect"]["upper"])
    ));
    out.line(format!(
        "             D = {} (an alarm is at 1), {} records from {} to {}",
        number(&e["evidence"]),
        e["samples"],
        e["window"][0].as_str().unwrap_or(""),
        e["window"][1].as_str().unwrap_or("")
    ));
    for c in e.get("contributors").and_then(Value::as_array).into_iter().flatten() {
        out.line(format!("             {}: {}", visible(text(c, "name")), visible(text(c, "detail"))));
    }
}

/// # Errors
/// When the server refuses, or the command was not carried out in time.
pub(crate) fn ack(args: &AckArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let body = json!({"for_s": args.for_s, "note": args.note});
    command(&args.id.id, "ack", &body, global, out)
}

/// # Errors
/// As [`ack`].
pub(crate) fn resolve(args: &ResolveArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let body = json!({"reason": args.reason, "not_actionable": args.not_actionable.then_some(true)});
    command(&args.id.id, "resolve", &body, global, out)
}

/// # Errors
/// As [`ack`].
pub(crate) fn close(args: &CloseArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let body = json!({"reason": args.reason, "not_actionable": args.not_actionable.then_some(true)});
    command(&args.id.id, "close", &body, global, out)
}

/// # Errors
/// As [`ack`].
pub(crate) fn note(args: &NoteArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    command(&args.id.id, "note", &json!({"text": args.text}), global, out)
}

/// # Errors
/// As [`ack`].
pub(crate) fn snooze(args: &SnoozeArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    command(&args.id.id, "snooze", &json!({"for_s": args.for_s, "reason": args.reason}), global, out)
}

/// # Errors
/// As [`ack`].
pub(crate) fn assign(args: &AssignArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    command(&args.id.id, "assign", &json!({"to": args.to, "note": args.note}), global, out)
}

/// # Errors
/// As [`ack`].
pub(crate) fn merge(args: &MergeArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    command(&args.id.id, "merge", &json!({"into": args.into, "reason": args.reason}), global, out)
}

/// # Errors
/// As [`ack`].
pub(crate) fn repin(args: &RepinArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    command(&args.id.id, "repin", &json!({"reason": args.reason}), global, out)
}

/// # Errors
/// As [`ack`].
pub(crate) fn clear(args: &ClearArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    command(&args.id.id, "clear", &json!({"reason": args.reason}), global, out)
}

/// # Errors
/// As [`ack`].
pub(crate) fn declare(args: &DeclareArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let subject = args.model.as_ref().map(|name| {
        json!({"kind": "model", "name": name, "version": args.model_version}).as_object().map(|fields| {
            let given = fields.clone().into_iter().filter(|(_, v)| !v.is_null());
            Value::Object(given.collect())
        })
    });
    let body = json!({
        "title": args.title, "severity": args.severity, "family": args.family, "owner": args.owner,
        "subject": subject.flatten(), "drill": args.drill.then_some(true),
    });
    send("/v1/incidents", "declare", &body, global, out)
}

/// Sends a command and waits until it was carried out or refused.
fn command(id: &str, what: &str, body: &Value, global: &Global, out: &Out) -> Result<(), Failure> {
    let id = checked_id(id)?;
    send(&format!("/v1/incidents/{id}/{what}"), what, body, global, out)
}

fn send(path: &str, what: &str, body: &Value, global: &Global, out: &Out) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let mut told = client.post(path, &new_key()?, &without_nulls(body))?;
    if told["repeated"] == true && what == "declare" {
        out.line(format!("it is open already: {}", text(&told, "incident_id")));
        return Ok(());
    }
    let answer = wait_for_answer(&client, text(&told, "command_id"))?;
    if out.json {
        for field in ["answer", "why"] {
            told[field] = answer[field].clone();
        }
        out.json(&without_nulls(&told));
    }
    match text(&answer, "answer") {
        "accepted" | "noted" if out.json => Ok(()),
        "noted" => {
            out.line(out.paint(Look::Yellow, visible(text(&answer, "why"))));
            Ok(())
        }
        "accepted" => say_done(&client, text(&told, "incident_id"), what, out),
        "refused" => Err(Failure::new(Kind::No, format!("refused: {}", visible(text(&answer, "why"))))),
        _ => Err(Failure::new(
            Kind::No,
            "the command is durable and not carried out yet: the escalation worker is busy or does not run; \
             `tocsin show` will tell",
        )),
    }
}

/// A key of its own for each command.
pub(crate) fn new_key() -> Result<String, Failure> {
    let random = crate::secrets::random::<16>().map_err(|e| Failure::new(Kind::CannotStart, e))?;
    Ok(wire::id::base32(&random))
}

/// The receipt says that it is durable; what people want to know is what came of it.
pub(crate) fn wait_for_answer(client: &Client, command_id: &str) -> Result<Value, Failure> {
    let mut left = ANSWER_WAIT;
    loop {
        let answer = client.get(&format!("/v1/commands/{command_id}"))?;
        if text(&answer, "answer") != "unknown" || left.is_zero() {
            return Ok(answer);
        }
        std::thread::sleep(ANSWER_ASK);
        left = left.saturating_sub(ANSWER_ASK);
    }
}

fn say_done(client: &Client, id: &str, what: &str, out: &Out) -> Result<(), Failure> {
    if what == "declare" {
        // It comes back through the topic before it is shown.
        out.line(format!("{}: {id}", out.paint(Look::Green, "raised")));
        return Ok(());
    }
    let view = client.get(&format!("/v1/incidents/{id}"))?;
    let done = match what {
        "ack" => "acknowledged",
        "resolve" => "resolved",
        "close" => "closed",
        "snooze" => "nobody is paged",
        "assign" => "handed on",
        "merge" => "merged",
        "clear" => "cleared",
        "repin" => "follows the policies of today",
        _ => "noted",
    };
    let key = if what == "snooze" { "snoozed_until" } else { "acknowledged_until" };
    let until = view.get(key).and_then(Value::as_str).filter(|_| matches!(what, "ack" | "snooze"));
    let until = until.map(|u| format!(" until {u}")).unwrap_or_default();
    let title = visible(text(&view["incident"], "title"));
    out.line(format!("{}{until}: {title}", out.paint(Look::Green, done)));
    Ok(())
}

fn without_nulls(body: &Value) -> Value {
    let fields = body.as_object().cloned().unwrap_or_default();
    Value::Object(fields.into_iter().filter(|(_, v)| !v.is_null()).collect())
}

/// An id or its first letters, safe to put into a path.
pub(crate) fn checked_id(id: &str) -> Result<&str, Failure> {
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(Failure::new(
            Kind::Usage,
            format!("{id:?} is no incident id: it has letters and digits"),
        ));
    }
    Ok(id)
}

/// # Errors
/// When the server does not answer.
pub(crate) fn tail(args: &TailArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let mut left = args.lines;
    Client::new(global)?.stream("/v1/tail", |line| {
        if out.json {
            out.line(line);
        } else if let Ok(told) = serde_json::from_str::<TailEvent>(line)
            && let Ok(event) = serde_json::from_value::<Event>(told.data)
        {
            screen::show(out, &event);
        }
        left = left.map(|n| n.saturating_sub(1));
        left != Some(0)
    })
}

fn people(view: &Value) -> String {
    let stage = view.get("stage").and_then(Value::as_str).unwrap_or("open");
    let until = |key: &str| view.get(key).and_then(Value::as_str).and_then(|at| at.get(11..16));
    match (view.get("owner").and_then(Value::as_str), until("muted_until"), until("snoozed_until")) {
        (Some(owner), ..) => format!("{stage} ({})", visible(owner)),
        (None, Some(until), _) => format!("{stage}, muted to {until}"),
        (None, None, Some(until)) => format!("{stage}, put off to {until}"),
        (None, None, None) => stage.to_owned(),
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}
