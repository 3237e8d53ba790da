//! `tocsin silence`: nobody is paged about what matches, for a time, and whoever asks sees first what that is.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use http_api::{Previewed, SilenceItem, SilencePreview};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wire::Matches;

use crate::args::{Global, SilenceCommand, SilenceEndArgs, SilenceMakeArgs};
use crate::client::Client;
use crate::failure::{Failure, Kind};
use crate::remote::{checked_id, new_key};
use crate::term::{Look, Out, visible};

/// Incidents of a preview that are printed.
const SHOWN: usize = 20;
/// How long a command is waited for: a worker that takes over may need a few seconds.
const SETTLED_WAIT: Duration = Duration::from_secs(15);
const SETTLED_ASK: Duration = Duration::from_millis(100);

/// # Errors
/// When the server does not answer or refuses, or nobody said yes.
pub(crate) fn run(command: &SilenceCommand, global: &Global, out: &Out) -> Result<(), Failure> {
    match command {
        SilenceCommand::Make(args) => make(args, global, out),
        SilenceCommand::List => list(global, out),
        SilenceCommand::End(args) => end(args, global, out),
    }
}

fn make(args: &SilenceMakeArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let of = conditions(args);
    let seen: SilencePreview =
        read(client.post("/v1/silences/preview", &new_key()?, &json!({ "of": of }))?)?;
    let (listed, most) = (seen.incidents.len(), args.most.unwrap_or(0));
    let most = if most > 0 { most } else { u32::try_from(listed).unwrap_or(u32::MAX).max(10) };
    if !out.json {
        say_preview(&of, &seen, out);
    }
    if u64::from(most) < seen.total {
        let why = format!(
            "it would mute {} incidents, and at most {most} were to be: narrow it, or raise --most",
            seen.total
        );
        return Err(Failure::new(Kind::No, why));
    }
    let for_s = args.for_ms / 1000;
    if !args.yes && !agreed(for_s, most, out)? {
        return Err(Failure::new(Kind::No, "nothing was silenced"));
    }
    let body = json!({
        "of": of,
        "for_s": for_s,
        "until_resolved": args.until_resolved,
        "unmatched_s": args.unmatched_ms.map(|ms| (ms / 1000).max(1)),
        "incidents_max": most,
        "listed": seen.incidents.iter().map(|p| &p.listed).collect::<Vec<_>>(),
        "reason": args.reason,
    });
    let told = client.post("/v1/silences", &new_key()?, &body)?;
    settled(&client, &told, ("silenced", true), out)
}

fn conditions(args: &SilenceMakeArgs) -> Matches {
    Matches {
        severity: args.severity.clone(),
        family: args.family.clone(),
        model: args.model.clone(),
        subject: args.subject.clone(),
        segment: args.segment.clone(),
        owner: args.owner.clone(),
        tier: args.tier.clone(),
        source: args.source.clone(),
        drill: None,
    }
}

fn say_preview(of: &Matches, seen: &SilencePreview, out: &Out) {
    out.line(match seen.total {
        0 => format!("No open incident matches {} now; what opens later will.", visible(&of.to_string())),
        1 => format!("One open incident matches {}:", visible(&of.to_string())),
        n => format!("{n} open incidents match {}:", visible(&of.to_string())),
    });
    for Previewed { listed, severity, subject, title, .. } in seen.incidents.iter().take(SHOWN) {
        let id = crate::demo::screen::short(listed.incident_id.as_str());
        out.line(format!("  {id:<10}{severity:<6}{}  {}", visible(subject), visible(title)));
    }
    let more = seen.total.saturating_sub(SHOWN as u64);
    if more > 0 {
        out.line(format!("  and {more} more"));
    }
}

/// Whoever is at a terminal is asked; a script must say `--yes`.
fn agreed(for_s: i64, most: u32, out: &Out) -> Result<bool, Failure> {
    if out.json || !std::io::stdin().is_terminal() {
        return Err(Failure::new(Kind::Usage, "say --yes to silence what the preview listed"));
    }
    eprint!("Page nobody about these, and at most {most} in all, for {for_s} s? [y/N] ");
    std::io::stderr().flush().map_err(|e| Failure::new(Kind::CannotStart, e.to_string()))?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|e| Failure::new(Kind::CannotStart, e.to_string()))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn list(global: &Global, out: &Out) -> Result<(), Failure> {
    let answer = Client::new(global)?.get("/v1/silences")?;
    if out.json {
        answer.as_array().into_iter().flatten().for_each(|one| out.json(one));
        return Ok(());
    }
    let silences: Vec<SilenceItem> = read(answer)?;
    if silences.is_empty() {
        out.line("There is no silence.");
    }
    for SilenceItem { silence, ends_at, muted } in &silences {
        let most = silence.incidents_max;
        let (id, by) = (&silence.silence_id, visible(&silence.by));
        out.line(format!("{}  until {ends_at}, by {by}", out.paint(Look::Bold, id)));
        out.line(format!("  of      {}", visible(&silence.of.to_string())));
        out.line(format!("  why     {}", visible(&silence.reason)));
        let listed = if silence.until_resolved { ", each until it is resolved" } else { "" };
        out.line(format!("  mutes   {} of at most {most}{listed}", muted.len()));
    }
    Ok(())
}

fn end(args: &SilenceEndArgs, global: &Global, out: &Out) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let id = checked_id(&args.id)?;
    let silences: Vec<SilenceItem> = read(client.get("/v1/silences")?)?;
    let ids = silences.iter().map(|item| item.silence.silence_id.as_str());
    let found: Vec<&str> = ids.filter(|known| known.starts_with(id)).collect();
    let [id] = found[..] else {
        let (kind, why) = match found.len() {
            0 => (Kind::NotFound, "there is no such silence, or it has ended".to_owned()),
            n => (Kind::No, format!("{n} silences begin with these letters: write more of the id")),
        };
        return Err(Failure::new(kind, why));
    };
    let mut body = json!({});
    if let Some(reason) = &args.reason {
        body["reason"] = json!(reason);
    }
    let told = client.post(&format!("/v1/silences/{id}/end"), &new_key()?, &body)?;
    settled(&client, &told, ("ended", false), out)
}

/// Waits until the escalation has carried it out, as any process sees it, or refused it, as the one sees it that works on
/// the first partition.
fn settled(client: &Client, told: &Value, (done, is_made): (&str, bool), out: &Out) -> Result<(), Failure> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let (id, command) = (text(told, "silence_id"), text(told, "command_id"));
    let mut left = SETTLED_WAIT;
    while !left.is_zero() {
        let silences: Vec<SilenceItem> = read(client.get("/v1/silences")?)?;
        if silences.iter().any(|item| item.silence.silence_id.as_str() == id) == is_made {
            if out.json {
                out.json(told);
            } else {
                out.line(format!("{}: {id}", out.paint(Look::Green, done)));
            }
            return Ok(());
        }
        // Where nobody here works on that partition, nobody here knows.
        let answer = client.get(&format!("/v1/commands/{command}")).unwrap_or_default();
        if text(&answer, "answer") == "refused" {
            return Err(Failure::new(Kind::No, format!("refused: {}", visible(&text(&answer, "why")))));
        }
        std::thread::sleep(SETTLED_ASK);
        left = left.saturating_sub(SETTLED_ASK);
    }
    Err(Failure::new(
        Kind::No,
        "it is durable and not carried out yet: the escalation worker is busy or does not run; \
         `tocsin silence list` will tell",
    ))
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    let strange = |e| format!("the server answers with what this program does not understand: {e}");
    serde_json::from_value(answer).map_err(|e| Failure::new(Kind::Unreachable, strange(e)))
}
